"""Which signatures are good, and by which key."""

import dataclasses
import hashlib
import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from auth_jwks._jose.keys import KeySet, parse_key_set
from auth_jwks._jose.tokens import parse_token, signer
from auth_jwks.testing import SigningKey
from tests.jose.tokens.judging import ALLOWED, CLAIMS, NOW, base64url, refuse, verified

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_a_good_token_gives_its_claims(algorithm: str, rsa: SigningKey, keys: KeySet) -> None:
    """All of them, as they were signed, by whichever algorithm fits the key."""
    claims = CLAIMS | {"scope": ["é", {"a": None}], "nbf": NOW}
    token = dataclasses.replace(rsa, algorithm=algorithm).sign(claims)
    assert verified(token, keys) == claims


@pytest.mark.parametrize(
    "secret",
    [
        lambda public, _jwk: public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        lambda public, _jwk: public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        lambda public, _jwk: public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        lambda public, _jwk: public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        lambda _public, jwk: json.dumps(jwk).encode(),
        lambda _public, jwk: json.dumps({"keys": [jwk]}).encode(),
        lambda _public, jwk: jwk["n"].encode(),
        lambda _public, jwk: urlsafe_b64decode(jwk["n"] + "=="),
        lambda _public, _jwk: b"",
    ],
    ids=["PEM", "PKCS#1", "DER", "OpenSSH", "JWK", "JWK Set", "base64 of n", "n", "empty"],
)
def test_a_public_key_is_no_shared_secret(
    secret: Callable[[Any, dict[str, Any]], bytes], rsa: SigningKey, keys: KeySet
) -> None:
    """An HMAC with what everybody can read, under whatever name it comes."""
    for alg, refusal in (
        ("HS256", jwt.InvalidAlgorithmError),
        ("RS256", jwt.InvalidSignatureError),
    ):
        signed = rsa.sign(CLAIMS, headers={"alg": alg}).rpartition(".")[0]
        known = secret(rsa.private_key.public_key(), rsa.jwk())
        forged = hmac.digest(known, signed.encode(), hashlib.sha256)
        refuse(f"{signed}.{base64url(forged)}", refusal, keys)


def test_a_signature_of_another_algorithm_is_refused(
    rsa: SigningKey, es256: SigningKey, keys: KeySet
) -> None:
    """The header's `alg` decides how it is checked, and which keys may."""
    for key, alg in ((rsa, "PS256"), (rsa, "ES256"), (es256, "RS256"), (es256, "EdDSA")):
        refuse(key.sign(CLAIMS, headers={"alg": alg}), jwt.InvalidSignatureError, keys)


def ecdsa(r: int, s: int) -> bytes:
    """Return an ES256 signature (RFC 7518 §3.4)."""
    return r.to_bytes(32) + s.to_bytes(32)


@pytest.mark.parametrize(
    "change",
    [
        lambda _r, _s: b"",
        lambda _r, _s: bytes(64),
        lambda _r, s: ecdsa(0, s),
        lambda r, _s: ecdsa(r, 0),
        lambda _r, _s: ecdsa(P256_ORDER, P256_ORDER),
        lambda r, _s: ecdsa(r, P256_ORDER),
        lambda r, s: ecdsa(s, r),
        lambda r, s: ecdsa(r, s)[:-1],
        lambda r, s: ecdsa(r, s)[1:],
        lambda r, s: ecdsa(r, s) + b"\x00",
        lambda r, s: b"\x00" + ecdsa(r, s),
        lambda r, s: ecdsa(r, s) * 2,
        lambda r, s: r.to_bytes(48) + s.to_bytes(48),
        encode_dss_signature,
    ],
    ids=["empty", "zero", "r=0", "s=0", "r=s=n", "s=n", "swapped", "63 bytes", "63 bytes, front",
         "65 bytes", "65 bytes, front", "twice", "96 bytes", "DER"],
)  # fmt: skip
def test_malformed_ecdsa_signatures_are_refused(
    change: Callable[[int, int], bytes], es256: SigningKey, keys: KeySet
) -> None:
    """Zero, the group order, other lengths and DER are no signatures."""
    signed, _, signature = es256.sign(CLAIMS).rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    forged = change(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    refuse(f"{signed}.{base64url(forged)}", jwt.InvalidSignatureError, keys)


def test_either_form_of_s_is_a_signature(es256: SigningKey, keys: KeySet) -> None:
    """So the bytes of a signature are no name for a token."""
    signed, _, signature = es256.sign(CLAIMS).rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    other = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:])).to_bytes(32)
    assert verified(f"{signed}.{base64url(other)}", keys) == CLAIMS


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_malformed_rsa_signatures_are_refused(
    algorithm: str, rsa: SigningKey, keys: KeySet
) -> None:
    """Zeros, ones, other lengths and another algorithm's."""
    key = dataclasses.replace(rsa, algorithm=algorithm)
    signed, _, signature = key.sign(CLAIMS).rpartition(".")
    raw = urlsafe_b64decode(signature + "==")
    for forged in (b"", b"\x00", bytes(256), b"\xff" * 256, raw[1:], b"\x00" + raw, raw + b"\x00"):
        refuse(f"{signed}.{base64url(forged)}", jwt.InvalidSignatureError, keys)


def test_the_key_that_signed_is_found(es256: SigningKey) -> None:
    """Each of the candidates is tried."""
    others = [SigningKey.generate("ES256").jwk() for _ in range(3)]
    text = json.dumps({"keys": [*others, es256.jwk()]})
    found = parse_key_set(text.encode(), ALLOWED).keys
    token = parse_token(es256.sign(CLAIMS), ALLOWED)
    assert signer(token, found) is found[3]
    assert signer(token, found[:3]) is signer(token, []) is None
