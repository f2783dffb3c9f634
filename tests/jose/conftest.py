"""The keys that the tests of key sets publish."""

import dataclasses

import pytest

from auth_jwks.testing import SigningKey
from tests.jose.sets import OTHERS, RSA


@pytest.fixture(scope="session")
def keys() -> dict[str, SigningKey]:
    """Return a key for each algorithm; those of RSA share one modulus, which takes time to find."""
    rsa = SigningKey.generate()
    shared = {name: dataclasses.replace(rsa, algorithm=name) for name in RSA}
    return shared | {name: SigningKey.generate(name) for name in OTHERS}


@pytest.fixture(scope="session")
def es256(keys: dict[str, SigningKey]) -> SigningKey:
    """Return a key that is good in every way."""
    return keys["ES256"]
