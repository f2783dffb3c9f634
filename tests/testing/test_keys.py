"""Signing keys: their JWK, and the tokens they sign, right ones and wrong ones."""

import dataclasses
import json
from base64 import urlsafe_b64decode
from importlib import import_module
from typing import Any

import jwt
import pytest
from jwt.algorithms import OKPAlgorithm

from auth_jwks._jose.mldsa import PARAMETER_SETS, is_supported
from auth_jwks.testing import SigningKey

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
OTHERS = ("ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "Ed448")
MLDSA = tuple(PARAMETER_SETS) if is_supported() else ()


@pytest.fixture(scope="session")
def keys() -> dict[str, SigningKey]:
    """Return a key for each algorithm; those of RSA share one modulus, which takes time to find."""
    rsa = SigningKey.generate()
    shared = {name: dataclasses.replace(rsa, algorithm=name) for name in RSA}
    return shared | {name: SigningKey.generate(name) for name in OTHERS}


@pytest.fixture(scope="session")
def jws() -> jwt.PyJWS:
    """Return PyJWT's own verification, with the names of RFC 9864 added."""
    jws = jwt.PyJWS()
    for name in ("Ed25519", "Ed448"):
        jws.register_algorithm(name, OKPAlgorithm())
    return jws


def _public(key: SigningKey, **overrides: object) -> Any:
    family = "EdDSA" if key.algorithm in {"Ed25519", "Ed448"} else key.algorithm
    return jwt.PyJWK(key.jwk(**overrides), algorithm=family).key


def _segment(token: str, at: int) -> bytes:
    segment = token.split(".")[at]
    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


@pytest.mark.parametrize("algorithm", RSA + OTHERS)
def test_token_verifies_under_the_published_jwk(
    algorithm: str, keys: dict[str, SigningKey], jws: jwt.PyJWS
) -> None:
    """What a key signs, PyJWT verifies with nothing but the public JWK."""
    token = keys[algorithm].sign({"sub": "alice"})
    payload = jws.decode(token, _public(keys[algorithm]), algorithms=[algorithm])
    assert json.loads(payload) == {"sub": "alice"}
    assert "=" not in token
    assert jws.get_unverified_header(token)["alg"] == algorithm


@pytest.mark.parametrize("algorithm", MLDSA)
def test_token_of_mldsa_verifies_with_the_public_jwk(algorithm: str) -> None:
    """PyJWT has no such algorithm, so `cryptography` is asked."""
    key = SigningKey.generate(algorithm)
    token, jwk = key.sign({"sub": "alice"}), key.jwk()
    assert jwk == {
        "kty": "AKP", "alg": algorithm, "use": "sig", "kid": key.kid, "pub": jwk["pub"],
    }  # fmt: skip
    module = import_module("cryptography.hazmat.primitives.asymmetric.mldsa")
    kind = getattr(module, f"{algorithm.replace('-', '')}PublicKey")
    public = kind.from_public_bytes(urlsafe_b64decode(jwk["pub"] + "=="))
    assert public.verify(_segment(token, 2), token.rpartition(".")[0].encode()) is None


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519"])
def test_token_fails_under_another_key(
    algorithm: str, keys: dict[str, SigningKey], jws: jwt.PyJWS
) -> None:
    """A key of the same algorithm and `kid` does not verify it."""
    other = SigningKey.generate(algorithm, kid=keys[algorithm].kid)
    with pytest.raises(jwt.InvalidSignatureError):
        jws.decode(keys[algorithm].sign({}), _public(other), algorithms=[algorithm])


def test_any_algorithm_of_rsa_can_be_generated() -> None:
    """`generate` makes keys for PSS too, of 2048 bits."""
    key = SigningKey.generate("PS512")
    assert (key.algorithm, key.private_key.key_size) == ("PS512", 2048)  # type: ignore[union-attr]


@pytest.mark.parametrize("algorithm", ["HS256", "none", "es256", ""])
def test_unknown_algorithms_are_refused(algorithm: str) -> None:
    """Symmetric, absent and misspelt algorithms are a `ValueError` that lists the known ones."""
    with pytest.raises(ValueError, match="expected one of RS256"):
        SigningKey.generate(algorithm)


def test_each_key_has_a_kid_of_its_own() -> None:
    """A `kid` is as given, or else one that no other key has."""
    kids = {SigningKey.generate("ES256").kid for _ in range(3)}
    assert len(kids) == 3
    assert SigningKey.generate("ES256", kid="mine").kid == "mine"


@pytest.mark.parametrize(
    ("algorithm", "members"),
    [
        ("RS256", {"kty": "RSA", "e": "AQAB"}),
        ("ES256", {"kty": "EC", "crv": "P-256"}),
        ("ES512", {"kty": "EC", "crv": "P-521"}),
        ("ES256K", {"kty": "EC", "crv": "secp256k1"}),
        ("Ed25519", {"kty": "OKP", "crv": "Ed25519"}),
        ("Ed448", {"kty": "OKP", "crv": "Ed448"}),
    ],
)
def test_jwk_is_public_and_complete(
    algorithm: str, members: dict[str, str], keys: dict[str, SigningKey]
) -> None:
    """A JWK has its type's public members, `kid`, `use` and `alg`, and nothing else."""
    key = keys[algorithm]
    jwk = key.jwk()
    common = {"kid": key.kid, "use": "sig", "alg": algorithm}
    point = {"RSA": {"n"}, "EC": {"x", "y"}, "OKP": {"x"}}[members["kty"]]
    assert {name: jwk[name] for name in jwk.keys() - point} == members | common
    assert point < jwk.keys()


def test_jwk_can_be_changed(es256: SigningKey) -> None:
    """An override replaces or adds a member, and `None` removes it."""
    jwk = es256.jwk(alg=None, use="enc", **{"x5t#S256": "abc"})
    expected = es256.jwk() | {"use": "enc", "x5t#S256": "abc"}
    del expected["alg"]
    assert jwk == expected


def test_header_is_what_a_provider_sends(es256: SigningKey) -> None:
    """By default the header names algorithm, key and type."""
    header = jwt.get_unverified_header(es256.sign({}))
    assert header == {"alg": "ES256", "kid": "first", "typ": "JWT"}


def test_header_can_be_changed(es256: SigningKey) -> None:
    """A header parameter is replaced or added, and `None` removes it."""
    token = es256.sign({}, headers={"kid": None, "typ": "at+jwt", "crit": ["b64"]})
    assert json.loads(_segment(token, 0)) == {"alg": "ES256", "typ": "at+jwt", "crit": ["b64"]}


@pytest.mark.parametrize("alg", ["none", "HS256", "RS256"])
def test_header_may_lie_about_the_algorithm(
    alg: str, es256: SigningKey, keys: dict[str, SigningKey]
) -> None:
    """Under whatever `alg`, the signature is the key's own."""
    token = es256.sign({}, headers={"alg": alg})
    signed = token.rpartition(".")[0].encode()
    assert json.loads(_segment(token, 0))["alg"] == alg
    verify = jwt.PyJWK(es256.jwk()).Algorithm.verify
    assert verify(signed, _public(es256), _segment(token, 2))
    assert not verify(signed, _public(keys["ES256"]), _segment(token, 2))


def test_payload_and_header_can_be_raw(es256: SigningKey) -> None:
    """Bytes are signed as they stand: no object, no JSON, duplicate members."""
    header = b'{"alg":"ES256","alg":"none"}'
    token = es256.sign(b"\xff not JSON", headers=header)
    assert _segment(token, 0) == header
    assert _segment(token, 1) == b"\xff not JSON"
    payload = jwt.PyJWS().decode(es256.sign(b"[1]"), _public(es256), algorithms=["ES256"])
    assert payload == b"[1]"


def test_repr_keeps_the_secret(es256: SigningKey) -> None:
    """`repr` shows algorithm and `kid`, and no private material."""
    assert repr(es256) == "SigningKey(algorithm='ES256', kid='first')"


def test_keys_are_values(es256: SigningKey) -> None:
    """A key can't be changed, and can be a member of a set."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        es256.kid = "other"  # type: ignore[misc]
    assert {es256, dataclasses.replace(es256)} == {es256}
