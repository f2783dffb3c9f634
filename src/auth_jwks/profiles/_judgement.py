"""Checks a token against a profile. Pure: the claims are parsed, and the time is an argument.

No message holds a claim's value: what the profile expects is known, and what was found is a kind.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256, sha384, sha512, shake_256
from typing import Any, assert_never

import jwt

from auth_jwks._jose.hints import missing
from auth_jwks._jose.tokens import Token
from auth_jwks.profiles._kinds import (
    AccessToken,
    IDToken,
    LogoutToken,
    Profile,
    in_json,
)

__all__ = ["accepted_types", "checked_profile", "comes_once", "hold", "passed"]

Claims = Mapping[str, Any]

OF_RFC_9068 = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
OF_ACCESS_TOKENS = ("exp", "iat", "sub")
OF_ID_TOKENS = ("iss", "sub", "aud", "exp", "iat")
OF_LOGOUT_TOKENS = ("iss", "aud", "iat", "exp", "jti", "events")
BY_PROFILE = "the profile requires it, whatever required_claims= says"
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"

# Neither always has an explicit `typ`; their claims distinguish them from all others.
TYPES_OF_ID_TOKENS = frozenset(("jwt", None))
TYPES_OF_LOGOUT_TOKENS = frozenset(("logout+jwt", "jwt", None))

# By the digits of the algorithm's name. Ed25519 hashes by SHA-512, the others by SHAKE256.
_HASHES = {"256": sha256, "384": sha384, "512": sha512}
ED448_BYTES = 114  # of its hash, and of its signatures (RFC 8032 §5.2)
MLDSA_BYTES = 64  # of its hash (FIPS 204 §6.2)


def checked_profile(profile: object) -> Profile:
    """Return a profile. Raises `TypeError` for anything else."""
    if isinstance(profile, Profile):
        return profile
    kinds = "an AccessToken, an IDToken or a LogoutToken"
    raise TypeError(f"profile: expected {kinds}, got {type(profile).__name__}")


def accepted_types(profile: Profile) -> frozenset[str | None]:
    """Return the accepted values of `typ`, in which None stands for none."""
    match profile:
        case AccessToken():
            return profile.typ
        case IDToken():
            return TYPES_OF_ID_TOKENS
        case LogoutToken():
            return TYPES_OF_LOGOUT_TOKENS
        case _:
            assert_never(profile)


def comes_once(profile: IDToken) -> bool:
    """Return whether a profile is about one login, or about this moment.

    Such a result must not be remembered, nor may the profile's values, which are secret.
    """
    of_a_login = profile.nonce is not None or profile.access_token is not None
    return of_a_login or profile.max_age is not None


def hold(profile: Profile, token: Token, claims: Claims, now: float, leeway: float) -> None:
    """Check claims against a profile at Unix time `now`; issuer, audience and times were checked.

    Raises `jwt.InvalidTokenError`.
    """
    match profile:
        case AccessToken():
            _hold_access_token(profile, token.typ, claims)
        case IDToken():
            _hold_id_token(profile, token, claims, now, leeway)
        case LogoutToken():
            _hold_logout_token(claims)
        case _:
            assert_never(profile)


def passed(check: Callable[[dict[str, Any]], object], claims: dict[str, Any]) -> dict[str, Any]:
    """Return the claims if a check of the user's accepts them.

    Raises what the check raises, and `TypeError` if it returns a value: a function that answers
    True or False would accept every token.
    """
    found = check(claims)
    if found is not None:
        kind = type(found).__name__
        raise TypeError(f"check: expected it to return None or to raise, got {kind}")
    return claims


def _hold_access_token(profile: AccessToken, typ: str | None, claims: Claims) -> None:
    _require(claims, OF_RFC_9068 if typ == "at+jwt" else OF_ACCESS_TOKENS)
    _refuse_logout(claims)
    for name, expected in profile.claims:
        _require(claims, (name,))
        if in_json(claims[name]) != expected:
            raise jwt.InvalidTokenError(f"{name}: expected the profile's value, found another")


def _hold_id_token(
    profile: IDToken, token: Token, claims: Claims, now: float, leeway: float
) -> None:
    _require(claims, OF_ID_TOKENS)
    _refuse_logout(claims)
    _check_party(claims, profile.client_id)
    _check_nonce(claims, profile.nonce)
    if profile.access_token is not None:
        _require(claims, ("at_hash",))
        if claims["at_hash"] != _half_hash(profile.access_token, token):
            raise jwt.InvalidTokenError("at_hash: expected that of the access token, found another")
    if profile.max_age is not None:
        _check_age(claims, profile.max_age, now, leeway)


def _hold_logout_token(claims: Claims) -> None:
    _require(claims, OF_LOGOUT_TOKENS)
    if not _is_logout(claims):
        raise jwt.InvalidTokenError("events: expected an object for a logout, found none")
    if "nonce" in claims:
        raise jwt.InvalidTokenError("nonce: expected none in a logout token, found one")
    if not isinstance(claims.get("sid", ""), str):
        raise jwt.InvalidTokenError("sid: expected a string, found another type")
    if not (claims.get("sub") or claims.get("sid")):
        raise missing("sub or sid", BY_PROFILE)


def _require(claims: Claims, names: tuple[str, ...]) -> None:
    for name in names:
        if claims.get(name) is None:
            raise missing(name, BY_PROFILE)


def _is_logout(claims: Claims) -> bool:
    events = claims.get("events")
    return isinstance(events, dict) and isinstance(events.get(LOGOUT_EVENT), dict)


def _refuse_logout(claims: Claims) -> None:
    """Reject a logout token without a `typ`, whose audience is a client too."""
    if _is_logout(claims):
        raise jwt.InvalidTokenError("events: expected no logout, found one")


def _check_party(claims: Claims, client_id: str) -> None:
    """Check to whom the token was issued. A token for several parties must say it."""
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1:
        _require(claims, ("azp",))
    if claims.get("azp", client_id) != client_id:
        raise jwt.InvalidTokenError("azp: expected the client_id, found another value")


def _check_nonce(claims: Claims, nonce: str | None) -> None:
    """Check the nonce. One that nobody expects shows that a request was mixed up, or replayed."""
    if nonce is None:
        if "nonce" in claims:
            raise jwt.InvalidTokenError("nonce: expected none, as the profile has none, found one")
        return
    _require(claims, ("nonce",))
    if claims["nonce"] != nonce:
        raise jwt.InvalidTokenError("nonce: expected that of the request, found another")


def _half_hash(access_token: str, token: Token) -> str:
    """Return the left half of the access token's hash (OpenID Connect Core §3.1.3.6)."""
    digest = _digest(access_token.encode(), token)
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _digest(message: bytes, token: Token) -> bytes:
    """Hash as the algorithm of the token does. `EdDSA` has the curve that its signature shows."""
    alg = token.alg
    if alg == "Ed448" or (alg == "EdDSA" and len(token.signature) == ED448_BYTES):
        return shake_256(message).digest(ED448_BYTES)
    if alg.startswith("ML-DSA"):
        return shake_256(message).digest(MLDSA_BYTES)
    return _HASHES.get(alg[2:5], sha512)(message).digest()


def _check_age(claims: Claims, max_age: float, now: float, leeway: float) -> None:
    _require(claims, ("auth_time",))
    signed_in = claims["auth_time"]
    if type(signed_in) not in {int, float}:
        raise jwt.InvalidTokenError("auth_time: expected a number, found another type")
    if signed_in > now + leeway:
        raise jwt.ImmatureSignatureError("auth_time: expected a time that has passed")
    # Only compared: an integer of any length is there, and a sum with a float could overflow.
    if signed_in < now - leeway - max_age:
        raise jwt.InvalidTokenError(f"auth_time: expected the last {max_age:g} s, found earlier")
