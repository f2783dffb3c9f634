"""What the tests of tokens expect, and how a token is judged: taken, or refused in silence."""

import json
import traceback
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from typing import Any

import jwt
import pytest

from auth_jwks._jose.claims import Expected, read_claims
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._jose.keys import KeySet
from auth_jwks._jose.tokens import compact, parse_token, signer_in, wrongly_signed
from auth_jwks._jose.typ import plain_type
from auth_jwks._jose.words import shown

NOW = 1_800_000_000
CLAIMS = {
    "iss": "https://issuer.example",
    "aud": "https://api.example",
    "sub": "0123456789abcdef",
    "iat": NOW,
    "exp": NOW + 300,
}
EXPECTED = Expected(
    leeway=30.0,
    required=("exp", "iat", "sub"),
    issuer=IssuerNames(("https://issuer.example",)),
    audience=frozenset(("https://api.example", "https://web.example")),
)
ALLOWED = frozenset(("RS256", "PS256", "ES256", "EdDSA"))
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

NOBODY = IssuerNames()

Refusal = type[jwt.InvalidTokenError]


def verified(token: object, keys: KeySet, expected: Expected = EXPECTED) -> dict[str, Any]:
    """Return the claims of a token, the whole way."""
    parsed = parse_token(compact(token), ALLOWED)
    if signer_in(parsed, keys) is None:
        raise wrongly_signed(parsed, keys)
    return read_claims(parsed.payload, expected, NOW)


def refuse(token: object, refusal: Refusal, keys: KeySet, expected: Expected = EXPECTED) -> str:
    """Check that a token is refused with exactly this class, and gives nothing of itself away."""
    with pytest.raises(jwt.InvalidTokenError) as caught:
        verified(token, keys, expected)
    error = caught.value
    assert type(error) is refusal
    assert error.__cause__ is None
    assert error.__context__ is None
    said = "".join([*traceback.format_exception(error), repr(error.args)])
    configured = {*ALLOWED, *(expected.audience or ()), *(expected.issuer or NOBODY).names}
    for value in sorted(configured | told_of(token), key=len, reverse=True):
        said = said.replace(value, "")
    written = contents(token)
    assert [part for part in slices(said) if any(part in text for text in written)] == []
    return str(error)


def told_of(token: object) -> set[str]:
    """Return what a refusal may tell of a token, as it tells it: what its issuer and key are."""
    found: list[object] = []
    for text in contents(token)[1:3]:
        with suppress(ValueError, RecursionError):
            members = json.loads(text)
            if isinstance(members, dict):
                found += [members.get(name) for name in ("alg", "typ", "kid", "iss", "tid")]
                audience = members.get("aud")
                found += audience if isinstance(audience, list) else [audience]
    words = [value for value in found if isinstance(value, str)]
    return {shown(form)[1:-1] for value in words for form in (value, plain_type(value)) if value}


def slices(text: str) -> set[str]:
    """Return all that is 12 characters long in a text, indentation aside."""
    return {text[start : start + 12] for start in range(len(text) - 11)} - {" " * 12}


def contents(token: object) -> list[str]:
    """Return the beginning of a token as text, and what its segments decode to."""
    text = token.decode() if isinstance(token, bytes) else str(token)
    return [text[:65_536], *map(decoded, text[:65_536].split(".", 3))]


def decoded(segment: str) -> str:
    """Return what can be made of a segment, by the most forgiving decoder."""
    try:
        return urlsafe_b64decode(segment.encode(errors="replace") + b"===").decode("latin-1")
    except ValueError:
        return ""


def base64url(raw: bytes) -> str:
    """Return the canonical form (RFC 7515 §2)."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
