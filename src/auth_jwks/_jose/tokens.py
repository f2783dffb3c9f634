"""Parses and checks a JWT (RFC 7519). Pure: keys and the time are arguments.

PyJWT is the reference: its algorithm classes check signatures, and its exceptions are raised in
its order. `docs/tokens.md` lists what is refused although PyJWT accepts it.
"""

import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import jwt
from jwt.exceptions import InvalidJTIError, InvalidSubjectError

from auth_jwks._jose.issuer import PLACEHOLDER, IssuerNames
from auth_jwks._jose.keys import MAX_KID, Key
from auth_jwks._jose.strict_json import strict_object

__all__ = [
    "MAX_TOKEN",
    "Expected",
    "Token",
    "compact",
    "parse_token",
    "read_claims",
    "signer",
    "unverified_claims",
    "validity",
]

MAX_TOKEN = 16 * 1024
MAX_HEADER = 8 * 1024  # characters, as encoded
MAX_CACHED_HEADER = 1024  # likewise

Claims = dict[str, Any]

# base64url to base64 (RFC 4648 §5). Characters of base64 alone become invalid ones.
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/!!!")
# By the length of a segment modulo 4: the allowed last characters, whose unused bits are zero, and
# the padding.
_LAST_CHARACTERS: tuple[frozenset[int], ...] = (
    frozenset(),
    frozenset(),
    frozenset(b"AQgw"),
    frozenset(b"AEIMQUYcgkosw048"),
)
_PADDING = (b"", b"", b"==", b"=")


@dataclass(slots=True)
class Token:
    """A parsed compact JWS (RFC 7515 §7.1). Nothing in it is verified yet."""

    alg: str
    kid: str | None
    signing_input: bytes
    payload: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"Token(alg={self.alg!r}, kid={self.kid!r})"


@dataclass(frozen=True, slots=True)
class Header:
    """A JOSE header (RFC 7515 §4). A plain one has no member that must be refused."""

    members: Mapping[str, Any]
    alg: str | None
    kid: str | None
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """The requirements on claims. If `issuer` or `audience` is None, that claim is not checked."""

    leeway: float
    required: tuple[str, ...]
    issuer: IssuerNames | None
    audience: frozenset[str] | None


def compact(token: object) -> str:
    """Return a token that may be a compact JWS, without the `Bearer ` of RFC 6750 §2.1.

    Type, length, characters and the number of segments are checked before any decoding. Raises
    `jwt.DecodeError`.
    """
    if type(token) is not str:
        raise jwt.DecodeError("the token must be a string")
    if token[6:7] == " ":
        token = _without_scheme(token)
    if len(token) > MAX_TOKEN:
        raise jwt.DecodeError(f"the token is longer than {MAX_TOKEN} characters")
    if not token.isascii() or token.count(".") != 2:
        raise jwt.DecodeError("the token is not a compact JWS of three ASCII segments")
    return token


def parse_token(token: str, allowed: frozenset[str]) -> Token:
    """Parse a compact JWS. Raises `jwt.InvalidTokenError` if no key could make it valid."""
    signing_input, _, signature_segment = token.encode().rpartition(b".")
    header_segment, _, payload_segment = signing_input.partition(b".")
    header = _header(header_segment)
    if header.members.get("b64", True) is False and payload_segment:
        raise jwt.DecodeError("an unencoded payload (RFC 7797) is not supported")
    payload = _decoded(payload_segment, "payload")
    signature = _decoded(signature_segment, "signature")
    if not header.is_plain:
        _raise_unsupported(header.members)
    if header.alg is None or header.alg not in allowed:
        raise jwt.InvalidAlgorithmError("the algorithm is not allowed")
    return Token(header.alg, header.kid, signing_input, payload, signature)


def unverified_claims(token: str) -> Claims | None:
    """Return what a compact JWS claims, whoever signed it; None if that is no JSON object."""
    try:
        return strict_object(_decoded(token.split(".")[1].encode(), "payload"))
    except jwt.DecodeError:
        return None


def signer(token: Token, keys: Collection[Key]) -> Key:
    """Return the one of `keys` that signed the token, or raise `jwt.InvalidSignatureError`."""
    for key in keys:
        if key.verify(token.signing_input, token.signature):
            return key
    raise jwt.InvalidSignatureError("the signature does not match")


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
    """Check the claims in PyJWT's order (RFC 7519 §4.1)."""
    for name in expected.required:
        if claims.get(name) is None:
            raise jwt.MissingRequiredClaimError(name)
    _check_times(claims, expected.leeway, now)
    if expected.issuer is not None:
        _check_issuer(claims, expected.issuer)
    if expected.audience is not None:
        _check_audience(claims, expected.audience)
    if not isinstance(claims.get("sub", ""), str):
        raise InvalidSubjectError("sub must be a string")
    if not isinstance(claims.get("jti", ""), str):
        raise InvalidJTIError("jti must be a string")


def _without_scheme(token: str) -> str:
    """Return a token that may be a compact JWS, without `Bearer ` and the spaces around it.

    With more spaces than a token has characters it stays as it is, which is too long.
    """
    if token[:6].lower() == "bearer" and len(token) <= 2 * MAX_TOKEN:
        token = token[7:].strip(" ")
        if " " in token:  # another scheme, which would be removed in its turn
            raise jwt.DecodeError("the token contains a space")
    return token


def _header(segment: bytes) -> Header:
    """Parse each distinct header once: a provider has few, and sends one with every token.

    Only short headers are cached, so that an attacker can't fill the memory.
    """
    if len(segment) <= MAX_CACHED_HEADER:
        return _cached_header(segment)
    if len(segment) > MAX_HEADER:
        raise jwt.DecodeError(f"the header is longer than {MAX_HEADER} characters")
    return _parsed_header(segment)


def _parsed_header(segment: bytes) -> Header:
    members = strict_object(_decoded(segment, "header"), unique_members=True)
    if members is None:
        raise jwt.DecodeError("the header is not a small JSON object with unique members")
    alg, kid = members.get("alg"), members.get("kid")
    is_plain = _is_good_kid(members) and "crit" not in members and "b64" not in members
    return Header(members, alg if isinstance(alg, str) else None, kid, is_plain)


_cached_header = lru_cache(maxsize=256)(_parsed_header)


def _decoded(segment: bytes, name: str) -> bytes:
    """Decode base64url without padding (RFC 7515 §2). Only the canonical form is accepted."""
    excess = len(segment) % 4
    if not excess or segment[-1] in _LAST_CHARACTERS[excess]:
        padded = segment.translate(_TO_BASE64) + _PADDING[excess]
        try:
            return binascii.a2b_base64(padded, strict_mode=True)
        except binascii.Error:
            pass
    raise jwt.DecodeError(f"the {name} is not base64url")


def _is_good_kid(header: Mapping[str, Any]) -> bool:
    kid = header.get("kid", "")
    return isinstance(kid, str) and len(kid) <= MAX_KID


def _raise_unsupported(header: Mapping[str, Any]) -> NoReturn:
    """Raise for what is wrong with a header that is not plain.

    No extension is supported (RFC 7515 §4.1.11). PyJWT supports `b64`, hence the two classes.
    """
    if not _is_good_kid(header):
        message = f"the kid must be a string of at most {MAX_KID} characters"
        raise jwt.InvalidTokenError(message)
    crit = header.get("crit")
    is_declared = isinstance(crit, list) and crit and all(name == "b64" for name in crit)
    if header.get("b64", True) is False and is_declared:
        raise jwt.DecodeError("an unencoded payload (RFC 7797) is not supported")
    raise jwt.InvalidTokenError("critical header extensions are not supported")


def _check_times(claims: Claims, leeway: float, now: float) -> None:
    """Check the times in whole seconds, as PyJWT does."""
    if "iat" in claims and _seconds(claims, "iat", jwt.InvalidIssuedAtError) > now + leeway:
        raise jwt.ImmatureSignatureError("the token is not yet valid (iat)")
    if "nbf" in claims and _seconds(claims, "nbf", jwt.DecodeError) > now + leeway:
        raise jwt.ImmatureSignatureError("the token is not yet valid (nbf)")
    if _seconds(claims, "exp", jwt.DecodeError) <= now - leeway:
        raise jwt.ExpiredSignatureError("the token has expired")


def _seconds(claims: Claims, name: str, fault: type[jwt.InvalidTokenError]) -> int:
    """Return a claim in whole seconds. A bool is refused."""
    value = claims[name]
    if type(value) is int:
        return value
    if type(value) is not float:
        raise fault(f"{name} must be a number")
    return int(value)


def _check_issuer(claims: Claims, issuer: IssuerNames) -> None:
    if "iss" not in claims:
        raise jwt.MissingRequiredClaimError("iss")
    # As `accepts`, without a call where no template is.
    if claims["iss"] not in issuer.exact and issuer.tenant(claims["iss"]) is None:
        raise jwt.InvalidIssuerError(f"the issuer does not match{_hint(issuer, claims['iss'])}")


def _hint(issuer: IssuerNames, stated: object) -> str:
    """Return what in the configuration may be wrong."""
    if issuer.lacks_slash(stated):
        return ": the two differ in the slash at the end"
    if not issuer.templates and PLACEHOLDER in "".join(issuer.names):
        return ": discovery names a template for all tenants; pass it as issuer=, with tenants="
    return ""


def _check_audience(claims: Claims, audience: frozenset[str]) -> None:
    stated = claims.get("aud")
    if not stated:
        raise jwt.MissingRequiredClaimError("aud")
    if isinstance(stated, str):
        matches = stated in audience
    elif isinstance(stated, list) and all(isinstance(one, str) for one in stated):
        matches = not audience.isdisjoint(stated)
    else:
        raise jwt.InvalidAudienceError("aud must be a string or a list of strings")
    if not matches:
        raise jwt.InvalidAudienceError("the audience does not match")
