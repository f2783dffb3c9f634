"""Key sets as a provider publishes them, and what becomes of them."""

import dataclasses
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

from auth_jwks._jose.keys import ALGORITHMS, KeySet, parse_key_set
from auth_jwks._jose.mldsa import PARAMETER_SETS, is_supported
from auth_jwks.testing import SigningKey

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
MLDSA = tuple(PARAMETER_SETS) if is_supported() else ()
OTHERS = ("ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "Ed448", *MLDSA)
JUNK: list[object] = [
    None,
    1,
    "key",
    [],
    {},
    {"kty": None},
    {"kty": ["EC"]},
    {"kty": "AKP", "alg": "SLH-DSA-SHA2-128s", "pub": "AAAA", "kid": "post-quantum"},
    {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "shared"},
    {"kty": "RSA", "kid": "empty"},
    {"kty": "EC", "crv": "P-256", "kid": "empty"},
    {"kty": "OKP", "crv": "Ed25519", "kid": "empty"},
]


def document(*members: object) -> bytes:
    """Return a JWK Set of these members."""
    return json.dumps({"keys": members}).encode()


def parsed(*members: object, allowed: frozenset[str] = ALGORITHMS) -> KeySet:
    """Return what becomes of a set of these members."""
    return parse_key_set(document(*members), allowed)


def reason(es256: SigningKey, member: object, allowed: frozenset[str] = ALGORITHMS) -> str:
    """Return why a member is left out of a set whose other member is good."""
    found = parsed(member, es256.jwk(), allowed=allowed | {"ES256"})
    assert [key.kid for key in found.keys] == [es256.kid]
    [why] = found.skipped
    return why.partition(" (kid ")[0]


def rsa_jwk(modulus: int, **members: object) -> dict[str, object]:
    """Return an RSA key of that modulus, which need not have two prime factors to be read."""
    raw = modulus.to_bytes((modulus.bit_length() + 7) // 8)
    return {"kty": "RSA", "n": urlsafe_b64encode(raw).decode(), "e": "AQAB", **members}


def signed(key: SigningKey, algorithm: str) -> tuple[bytes, bytes]:
    """Return a message and the key's signature of it, by that algorithm."""
    token = dataclasses.replace(key, algorithm=algorithm).sign({})
    message, _, signature = token.rpartition(".")
    return message.encode(), urlsafe_b64decode(signature + "==")
