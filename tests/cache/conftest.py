"""What the tests of the cache run on: a clock, a provider, and workers for hire."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from auth_jwks.testing import FakeClock, FakeIssuer
from tests.cache.worker import FIRST, Hire, Worker


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> FakeIssuer:
    """Return a provider of one key."""
    return FakeIssuer(keys=[FIRST], clock=clock)


@pytest.fixture
async def hire(clock: FakeClock, issuer: FakeIssuer) -> AsyncIterator[Hire]:
    """Return what makes workers, and ends them with the test."""
    workers: list[Worker] = []
    async with httpx.AsyncClient(transport=issuer.transport()) as client:

        def make(*parts: Any, **more: Any) -> Worker:
            workers.append(Worker(issuer, client, clock, *parts, **more))
            return workers[-1]

        yield make
        issuer.release()
        for worker in workers:
            await worker.cache.aclose()
