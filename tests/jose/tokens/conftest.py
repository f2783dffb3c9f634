"""Keys that sign, and the set in which a provider publishes them."""

import json

import pytest

from auth_jwks._jose.keys import KeySet, parse_key_set
from auth_jwks.testing import SigningKey
from tests.jose.tokens.judging import ALLOWED


@pytest.fixture(scope="session")
def rsa() -> SigningKey:
    """Return a key that takes time to find."""
    return SigningKey.generate("RS256")


@pytest.fixture(scope="session")
def es256() -> SigningKey:
    """Return the key that signs, unless a test says otherwise."""
    return SigningKey.generate("ES256")


@pytest.fixture(scope="session")
def keys(rsa: SigningKey, es256: SigningKey) -> KeySet:
    """Return what the provider publishes; the RSA key fits several algorithms."""
    members = [rsa.jwk(alg=None), es256.jwk(), es256.jwk(kid=None)]
    return parse_key_set(json.dumps({"keys": members}).encode(), ALLOWED)
