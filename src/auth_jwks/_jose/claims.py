"""Checks the claims of a JWT (RFC 7519 §4.1), in PyJWT's order. Pure: the time is an argument."""

from typing import Any, NamedTuple

import jwt
from jwt.exceptions import InvalidJTIError, InvalidSubjectError

from auth_jwks._jose.hints import audience_hint, issuer_hint, missing
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._jose.reasons import because
from auth_jwks._jose.strict_json import strict_object
from auth_jwks._jose.words import either, listed, shown, span
from auth_jwks.errors import Reason

__all__ = ["Claims", "Expected", "read_claims", "validity"]

Claims = dict[str, Any]


class Expected(NamedTuple):
    """The requirements on claims. If `issuer` or `audience` is None, that claim is not checked.

    With `numeric_sub`, `sub` may be an integer too.
    """

    leeway: float
    required: tuple[str, ...]
    issuer: IssuerNames | None
    audience: frozenset[str] | None
    numeric_sub: bool = False


def read_claims(payload: bytes, expected: Expected, now: float) -> Claims:
    """Return the claims of a signed payload if they meet `expected` at Unix time `now`.

    Raises `jwt.InvalidTokenError`.
    """
    claims = strict_object(payload)
    if claims is None:
        raise jwt.DecodeError("the payload is not a JSON object")
    _check_claims(claims, expected, now)
    return claims


def validity(claims: Claims) -> tuple[int, int]:
    """Return the whole Unix seconds between which checked claims are valid, without leeway."""
    return max(int(claims.get("iat", 0)), int(claims.get("nbf", 0))), int(claims["exp"])


def _check_claims(claims: Claims, expected: Expected, now: float) -> None:
    """Check the claims in PyJWT's order (RFC 7519 §4.1); what is usual without a call."""
    for name in expected.required:
        if claims.get(name) is None:
            raise missing(name)
    _check_times(claims, expected.leeway, now)
    if expected.issuer is not None and claims.get("iss") not in expected.issuer.exact:
        _check_issuer(claims, expected.issuer)
    if expected.audience is not None:
        audience = claims.get("aud")
        if type(audience) is not str or audience not in expected.audience:
            _check_audience(audience, claims, expected.audience)
    subject = claims.get("sub", "")
    # A boolean is an int of Python's, and no number of JSON.
    if not isinstance(subject, str) and not (expected.numeric_sub and type(subject) is int):
        raise InvalidSubjectError("sub must be a string")
    if not isinstance(claims.get("jti", ""), str):
        raise InvalidJTIError("jti must be a string")


def _check_times(claims: Claims, leeway: float, now: float) -> None:
    """Check the times in whole seconds, as PyJWT does."""
    issued = claims.get("iat", 0)
    if type(issued) is not int:
        issued = _seconds(issued, "iat", jwt.InvalidIssuedAtError)
    if issued > now + leeway and "iat" in claims:
        ahead = f"the token was issued {_ahead(claims['iat'], now)} of this host's clock (iat)"
        raise jwt.ImmatureSignatureError(f"{ahead}; leeway is {leeway:g} s")
    if "nbf" in claims and _seconds(claims["nbf"], "nbf", jwt.DecodeError) > now + leeway:
        ahead = f"the token begins {_ahead(claims['nbf'], now)} of this host's clock (nbf)"
        raise jwt.ImmatureSignatureError(f"{ahead}; leeway is {leeway:g} s")
    ends = claims["exp"]
    if type(ends) is not int:
        ends = _seconds(ends, "exp", jwt.DecodeError)
    if ends <= now - leeway:
        raise jwt.ExpiredSignatureError(f"the token expired {span(int(now) - ends)} ago (exp)")


def _ahead(value: float, now: float) -> str:
    return f"{span(int(value) - int(now))} ahead"


def _seconds(value: object, name: str, fault: type[jwt.InvalidTokenError]) -> int:
    """Return a claim in whole seconds. A bool is refused."""
    if type(value) is int:
        return value
    if type(value) is not float:
        raise because(Reason.CLAIM, fault(f"{name} must be a number"))
    return int(value)


def _check_issuer(claims: Claims, issuer: IssuerNames) -> None:
    """Check an `iss` that is none of the exact names."""
    if "iss" not in claims:
        raise missing("iss")
    if issuer.tenant(claims["iss"]) is None:
        expected, found = either(issuer.names), shown(claims["iss"])
        hint = issuer_hint(issuer, claims["iss"])
        raise jwt.InvalidIssuerError(f"iss: expected {expected}, the token has {found}{hint}")


def _check_audience(stated: object, claims: Claims, audience: frozenset[str]) -> None:
    if not stated:
        raise missing("aud")
    if isinstance(stated, str):
        matches = stated in audience
    elif isinstance(stated, list) and all(isinstance(one, str) for one in stated):
        matches = not audience.isdisjoint(stated)
    else:
        raise jwt.InvalidAudienceError("aud must be a string or a list of strings")
    if not matches:
        found = shown(stated) if isinstance(stated, str) else listed(stated)
        text = f"aud: expected {either(audience)}, the token has {found}"
        raise jwt.InvalidAudienceError(text + audience_hint(claims, audience))
