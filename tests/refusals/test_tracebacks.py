"""What an error tracker would send of a refused token: it takes the locals of every frame."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS, Issuers
from auth_jwks.sync import SyncIssuers, SyncJWKS
from auth_jwks.testing import FakeIssuer, SigningKey

SECRET = "alice@example.com"
# What error trackers blot out by default, by the name of the variable.
SCRUBBED = {"token", "credentials", "authorization"}
TOKENS: dict[str, Callable[[FakeIssuer], str]] = {
    "expired": lambda issuer: issuer.sign(aud="api", exp=1, email=SECRET),
    "audience": lambda issuer: issuer.sign(aud="other", email=SECRET),
    "issuer": lambda issuer: issuer.sign(aud="api", iss="https://other.example", email=SECRET),
    "claim": lambda issuer: issuer.sign(aud="api", sub=None, email=SECRET),
    "signature": lambda issuer: issuer.forge(aud="api", email=SECRET),
    "algorithm": lambda issuer: issuer.sign(aud="api", email=SECRET, headers={"alg": "none"}),
    "unknown key": lambda issuer: issuer.sign(
        aud="api", email=SECRET, key=SigningKey.generate("ES256")
    ),
    "malformed": lambda _issuer: f"{'header' * 5}.{'payload' * 5}.{'signature' * 5}",
    "in another spelling": lambda issuer: f"Bearer {issuer.sign(aud='other', email=SECRET)}",
}
Verify = Callable[[str], object]
Verifying = Callable[[FakeIssuer], AbstractContextManager[Verify]]


def options(issuer: FakeIssuer) -> dict[str, Any]:
    """Return what a verifier of the provider is made of."""
    return {"issuer": issuer.issuer, "aud": "api", "retries": 0, "timeout": 30}


@contextmanager
def by_jwks(issuer: FakeIssuer) -> Iterator[Verify]:
    """Verify on an event loop."""
    jwks = JWKS(**options(issuer))
    yield lambda token: asyncio.run(jwks.verify_token(token))


@contextmanager
def by_issuers(issuer: FakeIssuer) -> Iterator[Verify]:
    """Verify with one of several."""
    issuers = Issuers(JWKS(**options(issuer)))
    yield lambda token: asyncio.run(issuers.verify_token(token))


@contextmanager
def by_threads(issuer: FakeIssuer) -> Iterator[Verify]:
    """Verify in a thread."""
    with SyncJWKS(**options(issuer)) as jwks:
        yield jwks.verify_token


@contextmanager
def by_threads_and_issuers(issuer: FakeIssuer) -> Iterator[Verify]:
    """Verify in a thread, with one of several."""
    with SyncIssuers(SyncJWKS(**options(issuer))) as issuers:
        yield issuers.verify_token


def told_by(traceback: TracebackType | None) -> dict[str, str]:
    """Return the locals of all frames of ours, but for those that are blotted out."""
    told = {}
    while traceback is not None:
        frame, traceback = traceback.tb_frame, traceback.tb_next
        if "auth_jwks" in frame.f_globals["__name__"]:
            for name, value in frame.f_locals.items():
                if name not in SCRUBBED:
                    told[f"{frame.f_code.co_qualname}.{name}"] = repr(value)
    return told


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("verifier", [by_jwks, by_issuers, by_threads, by_threads_and_issuers])
def test_no_frame_shows_a_part_of_the_token(verifier: Verifying, name: str) -> None:
    """Neither as it came nor decoded, in the frames of the error and of what led to it."""
    with FakeIssuer(algorithm="ES256") as issuer, verifier(issuer) as verify:
        token = TOKENS[name](issuer)
        with pytest.raises(jwt.InvalidTokenError) as caught:
            verify(token)
    assert_untold(caught.value, token)


@pytest.mark.parametrize("verifier", [by_jwks, by_issuers, by_threads, by_threads_and_issuers])
@pytest.mark.parametrize("stated", [None, "https://other.example"])
def test_nor_does_one_if_another_token_ended_alike(verifier: Verifying, stated: str | None) -> None:
    """A stranger may take the signature of a token that was verified before."""
    with FakeIssuer(algorithm="ES256") as issuer, verifier(issuer) as verify:
        seen = issuer.sign(aud="api")
        verify(seen)
        changed = issuer.sign(aud="api", email=SECRET, iss=stated or issuer.issuer)
        token = f"{changed.rpartition('.')[0]}.{seen.rpartition('.')[2]}"
        with pytest.raises(jwt.InvalidTokenError) as caught:
            verify(token)
    assert_untold(caught.value, token)


def assert_untold(caught: BaseException, token: str) -> None:
    """Assert that neither the frames of an error nor those of what led to it show the token."""
    parts = [SECRET, *token.removeprefix("Bearer ").split(".")]
    error: BaseException | None = caught
    while error is not None:
        told = told_by(error.__traceback__)
        assert [where for where, text in told.items() if any(part in text for part in parts)] == []
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
