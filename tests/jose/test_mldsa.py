"""ML-DSA: the examples of RFC 9964, sizes, and keys that serve no other algorithm."""

import json
import subprocess
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from importlib import import_module
from itertools import permutations
from pathlib import Path
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS
from auth_jwks._jose.keys import ALGORITHMS, UnusableKeySetError
from auth_jwks._jose.mldsa import PARAMETER_SETS, is_supported
from auth_jwks._jose.tokens import parse_token, signer
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.jose.sets import parsed, reason, signed

NAMES = tuple(PARAMETER_SETS)
# FIPS 204, table 2: of a public key and of a signature, in bytes.
SIZES = {"ML-DSA-44": (1312, 2420), "ML-DSA-65": (1952, 3309), "ML-DSA-87": (2592, 4627)}
# Appendix A.1, one token a line; their private key is the seed of zeros.
EXAMPLES = (Path(__file__).parent / "rfc9964.txt").read_text("utf-8").split()

with_mldsa = pytest.mark.skipif(not is_supported(), reason="this cryptography has no ML-DSA")


def of_zeros(name: str) -> SigningKey:
    """Return the key of the examples, under its thumbprint (RFC 7638)."""
    module = import_module("cryptography.hazmat.primitives.asymmetric.mldsa")
    private = getattr(module, f"{name.replace('-', '')}PrivateKey").from_seed_bytes(bytes(32))
    required = SigningKey(name, "", private).jwk(kid=None, use=None)
    text = json.dumps(required, sort_keys=True, separators=(",", ":"))
    kid = urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()
    return SigningKey(name, kid, private)


@with_mldsa
@pytest.mark.parametrize(("name", "token"), [*zip(NAMES, EXAMPLES, strict=True)])
def test_the_examples_of_the_rfc_are_verified(name: str, token: str) -> None:
    """Others made them: their key, its thumbprint and its signature."""
    key = of_zeros(name)
    found = parse_token(token, ALGORITHMS)
    assert (found.alg, found.kid) == (name, key.kid)
    published = parsed(key.jwk()).select(found.kid, found.alg)
    assert [signer(found, published)] == [*published]
    assert found.payload.decode().startswith("It\u2019s a dangerous business, Frodo")
    assert signer(parse_token(token.replace(".S", ".T"), ALGORITHMS), published) is None


@with_mldsa
@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_those_of_the_standard(name: str, keys: dict[str, SigningKey]) -> None:
    """Of the public key and of the signature, and neither may have a byte more or less."""
    [key] = parsed(keys[name].jwk()).keys
    message, signature = signed(keys[name], name)
    pub = urlsafe_b64decode(keys[name].jwk()["pub"] + "==")
    assert (len(pub), len(signature)) == SIZES[name]
    assert key.verify(message, signature)
    for wrong in (b"", signature[:-1], signature[1:], signature + b"\0", bytes(len(signature))):
        assert not key.verify(message, wrong)


@with_mldsa
@pytest.mark.parametrize(
    "pub", [None, "", 1, ["AQAB"], "AQAB", "A" * 1751, "A" * 1748, "A" * 9999, "\ud800" * 1750]
)
def test_a_public_key_of_another_size_is_refused(
    pub: object, keys: dict[str, SigningKey], es256: SigningKey
) -> None:
    """As is one that is no text."""
    why = reason(es256, keys["ML-DSA-44"].jwk(kid="bad") | {"pub": pub})
    assert why == "its key material is malformed"


@with_mldsa
@pytest.mark.parametrize(("name", "other"), [*permutations(NAMES, 2)])
def test_a_key_is_of_its_own_algorithm_alone(
    name: str, other: str, keys: dict[str, SigningKey], es256: SigningKey
) -> None:
    """Under another name it is malformed; and a token under another name finds no key."""
    assert reason(es256, keys[name].jwk(alg=other)) == "its key material is malformed"
    assert parsed(keys[name].jwk()).select(keys[name].kid, other) == ()


@with_mldsa
@pytest.mark.parametrize("alg", [None, "", [], {}], ids=repr)
def test_a_key_must_state_its_algorithm(
    alg: object, keys: dict[str, SigningKey], es256: SigningKey
) -> None:
    """Unlike keys of other types (RFC 9964); its tokens are refused for that reason."""
    why = "its alg is missing, which a key of type AKP must state"
    member = keys["ML-DSA-65"].jwk(kid="bad") | {"alg": alg}
    assert reason(es256, member) == why
    found = parsed(member, es256.jwk())
    assert {name for name in ALGORITHMS if found.reason_for("bad", name)} == set(NAMES)


@with_mldsa
@pytest.mark.parametrize("alg", ["RS256", "EdDSA", "HS256", "none", "ml-dsa-65", 65, ["ML-DSA-65"]])
def test_no_other_algorithm_fits_the_key_type(
    alg: object, keys: dict[str, SigningKey], es256: SigningKey
) -> None:
    """Nor does ML-DSA fit a key of another type."""
    unfit = "its alg or crv does not fit its kty"
    assert reason(es256, keys["ML-DSA-65"].jwk(alg=alg)) == unfit
    assert reason(es256, es256.jwk(alg="ML-DSA-65", kid="bad")) == unfit


@with_mldsa
def test_a_private_key_is_refused(keys: dict[str, SigningKey], es256: SigningKey) -> None:
    """`priv` is the seed (RFC 9964)."""
    member = keys["ML-DSA-65"].jwk(priv="A" * 43)
    assert reason(es256, member) == "it contains private members"


@with_mldsa
def test_a_stray_curve_is_ignored(keys: dict[str, SigningKey]) -> None:
    """It is no member of the key type (RFC 7517 §4)."""
    [key] = parsed(keys["ML-DSA-65"].jwk(crv="P-256")).keys
    assert key.alg == "ML-DSA-65"


@with_mldsa
@pytest.mark.parametrize("name", NAMES)
async def test_tokens_are_verified_if_the_algorithm_is_allowed(name: str) -> None:
    """From the provider to the claims, and from the cache; and not by default."""
    with FakeIssuer(algorithm=name) as provider:
        token, forged = provider.sign(sub="alice"), provider.forge()
        async with JWKS(
            provider.discovery_url, issuer=provider.issuer, allowed_algorithms=[name, "RS256"]
        ) as jwks:
            for _ in range(2):
                assert (await jwks.verify_token(token))["sub"] == "alice"
            with pytest.raises(jwt.InvalidSignatureError):
                await jwks.verify_token(forged)
        async with JWKS(provider.discovery_url, issuer=provider.issuer) as jwks:
            with pytest.raises(jwt.InvalidAlgorithmError):
                await jwks.verify_token(token)


def test_a_key_that_is_not_allowed_spoils_no_set(es256: SigningKey) -> None:
    """It need not be read for that, so any cryptography will do."""
    member = {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA", "kid": "a"}
    allowed = frozenset(("ES256",))
    assert reason(es256, member, allowed) == "its algorithm is not allowed"
    assert parsed(member, allowed=allowed).keys == ()
    with pytest.raises(UnusableKeySetError, match="its alg or crv does not fit its kty"):
        parsed(member | {"alg": "ES256"}, allowed=allowed)


WITHOUT = """
import json, sys
{lacking}
from auth_jwks import JWKS
from auth_jwks._jose.keys import ALGORITHMS, parse_key_set
from auth_jwks.testing import SigningKey

JWKS("https://idp.test", allowed_algorithms=["ES256", "Ed25519"])
for names in (["ML-DSA-65", "ES256", "ML-DSA-44"], ["ML-DSA-87"]):
    try:
        JWKS("https://idp.test", allowed_algorithms=names)
    except ValueError as refused:
        print(refused)
try:
    SigningKey.generate("ML-DSA-65")
except ValueError as refused:
    print(str(refused).partition(",")[0])
members = [{{"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA"}}, SigningKey.generate("ES256").jwk()]
print(parse_key_set(json.dumps({{"keys": members}}).encode(), ALGORITHMS).skipped)
"""
# As in releases before 47, and as with an older OpenSSL.
LACKING = [
    "import jwt; sys.modules['cryptography.hazmat.primitives.asymmetric.mldsa'] = None",
    "from cryptography.hazmat.backends.openssl import backend; type(backend).mldsa_supported = int",
]


@pytest.mark.parametrize("lacking", LACKING, ids=["no module", "no algorithm"])
def test_a_cryptography_without_it_is_told(lacking: str) -> None:
    """At construction, with the version that is needed; and its keys are skipped alone."""
    done: Any = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(lacking=lacking)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    several, one, testing, skipped = done.stdout.splitlines()
    needed = (
        " without cryptography 48 or later, with OpenSSL 3.5 or later; installed is cryptography "
    )
    for said, names in ((several, "ML-DSA-44, ML-DSA-65"), (one, "ML-DSA-87")):
        assert said.startswith(f"allowed_algorithms: expected none of {names}{needed}")
    assert testing == "algorithm: expected one of RS256"
    assert skipped == "('the installed cryptography lacks its algorithm',)"
