"""What the tests of a verifier run on: a clock, a provider, and verifiers of its tokens."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from auth_jwks import JWKS
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.verifier.maker import KEY, Make


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> FakeIssuer:
    """Return a provider of one key."""
    return FakeIssuer(keys=[KEY], clock=clock)


@pytest.fixture
async def client(issuer: FakeIssuer) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client that reaches the provider without a socket."""
    async with httpx.AsyncClient(transport=issuer.transport()) as client:
        yield client


@pytest.fixture
async def make(
    clock: FakeClock, issuer: FakeIssuer, client: httpx.AsyncClient
) -> AsyncIterator[Make]:
    """Return what makes verifiers, closed with the test; whoever wants retries asks for them."""
    made: list[JWKS] = []

    def make(**options: Any) -> JWKS:
        defaults: dict[str, Any] = {
            "discovery_url": issuer.discovery_url,
            "issuer": issuer.issuer,
            "retries": 0,
            "http_client": client,
            "clock": clock,
        }
        made.append(JWKS(**(defaults | options)))
        return made[-1]

    yield make
    issuer.release()
    for jwks in made:
        await jwks.close()
