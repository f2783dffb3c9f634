"""The pytest plugin of auth-jwks: a provider and its tokens as fixtures.

It is outside the package, so that a test run without its fixtures does not import the package.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from auth_jwks.testing import FakeIssuer, SigningKey

__all__ = ["jwks_issuer", "jwks_token"]


@pytest.fixture
def jwks_issuer() -> "Iterator[FakeIssuer]":
    """A provider that listens on a free port of 127.0.0.1 while the test runs.

    Each test has a provider of its own. All publish the same ES256 key, until a test changes it.
    """
    from auth_jwks.testing import FakeIssuer

    with FakeIssuer(keys=[_signing_key()]) as issuer:
        yield issuer


@pytest.fixture
def jwks_token(jwks_issuer: "FakeIssuer") -> Callable[..., str]:
    """A function that returns a token of `jwks_issuer`: `jwks_token(aud="my-api", role="admin")`.

    The token is valid for five minutes. The arguments are claims; None leaves a claim out.
    """
    return jwks_issuer.sign


@cache
def _signing_key() -> "SigningKey":
    from auth_jwks.testing import SigningKey

    return SigningKey.generate("ES256", "test")
