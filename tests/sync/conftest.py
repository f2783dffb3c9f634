"""What the tests of `SyncJWKS` run on: providers on loopback, and verifiers."""

from collections.abc import Iterator
from typing import Any

import pytest

from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.sync.threads import KEY, Make, let_end, threads


@pytest.fixture(autouse=True)
def _alone() -> None:
    """See that no test before has a thread left, since they are counted here."""
    let_end()


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> Iterator[FakeIssuer]:
    """Return a provider of one key, on loopback."""
    with FakeIssuer(keys=[KEY], clock=clock) as issuer:
        yield issuer


@pytest.fixture
def provider() -> Iterator[FakeIssuer]:
    """Return a provider whose time passes."""
    with FakeIssuer(keys=[KEY]) as issuer:
        yield issuer
        issuer.release()


@pytest.fixture
def make(clock: FakeClock, issuer: FakeIssuer) -> Iterator[Make]:
    """Return what makes verifiers, which are closed with the test: then no thread is left."""
    made: list[SyncJWKS] = []

    def make(**options: Any) -> SyncJWKS:
        defaults: dict[str, Any] = {
            "discovery_url": issuer.discovery_url,
            "issuer": issuer.issuer,
            "retries": 0,
            "clock": clock,
        }
        made.append(SyncJWKS(**(defaults | options)))
        return made[-1]

    yield make
    issuer.release()
    for jwks in made:
        jwks.close()
    assert threads() == 0


@pytest.fixture
def jwks(make: Make) -> SyncJWKS:
    """Return a verifier."""
    return make()
