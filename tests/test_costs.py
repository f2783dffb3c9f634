"""What observers, threads and stores cost, in counts: of calls, of system calls, of fetches.

`test_hot_path.py` counts a verification alone, `web/test_costs.py` the integrations. Fewer is
better: lower a limit when it sinks.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from auth_jwks import JWKS, FileKeyStore, KeyStore, MemoryKeyStore, UnknownKeyError
from auth_jwks.opentelemetry import OpenTelemetryObserver
from auth_jwks.prometheus import PrometheusObserver
from auth_jwks.stores import Granted, LeaseRequest, Newer
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.counting import at_once, frames, system_calls

OBSERVED = {"Prometheus": 3, "OpenTelemetry": 3, "both": 5}
IN_A_THREAD, REFUSED_IN_A_THREAD = 3, 8
LOOK, COMMIT = 9, 18


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock(time.time())


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """Return a provider."""
    with FakeIssuer(algorithm="ES256") as issuer:
        yield issuer


@pytest.fixture
async def jwks(issuer: FakeIssuer, clock: FakeClock) -> AsyncIterator[JWKS]:
    """Return a verifier that nobody observes, and that has verified a token."""
    async with JWKS(issuer.discovery_url, "api", issuer=issuer.issuer, clock=clock) as jwks:
        await jwks.verify_token(issuer.sign(aud="api"))
        yield jwks


def observer(name: str) -> Any:
    """Return an observer whose metrics go nowhere."""
    made = {
        "Prometheus": PrometheusObserver(registry=CollectorRegistry()),
        "OpenTelemetry": OpenTelemetryObserver(
            meter_provider=MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
        ),
    }
    return made.get(name) or (*made.values(),)


def verification(jwks: JWKS, token: str) -> int:
    """Return how many calls a verification takes that suspends nowhere."""
    return frames(lambda: at_once(jwks.verify_token(token))).total()


@pytest.mark.parametrize("name", OBSERVED)
async def test_observed_verification(
    name: str, issuer: FakeIssuer, clock: FakeClock, jwks: JWKS
) -> None:
    """A function that adds one, for a token seen first and for one seen before."""
    token = issuer.sign(aud="api", jti="first")
    options: dict[str, Any] = {"issuer": issuer.issuer, "clock": clock, "observer": observer(name)}
    async with JWKS(issuer.discovery_url, "api", **options) as observed:
        await observed.verify_token(issuer.sign(aud="api"))
        for _ in range(3):
            beyond = verification(observed, token) - verification(jwks, token)
            assert beyond <= OBSERVED[name]


@pytest.fixture
def threads(issuer: FakeIssuer, clock: FakeClock) -> Iterator[SyncJWKS]:
    """Return a verifier for threads, whose limits stay spent: to count calls takes time."""
    with SyncJWKS(issuer.discovery_url, "api", issuer=issuer.issuer, clock=clock) as threads:
        threads.verify_token(issuer.sign(aud="api"))
        yield threads


async def test_verification_in_a_thread(issuer: FakeIssuer, jwks: JWKS, threads: SyncJWKS) -> None:
    """Tokens seen first and before cost little more than on a loop, and no fetch."""
    token = issuer.sign(aud="api", jti="first")
    for _ in range(3):
        there = frames(lambda: threads.verify_token(token)).total()
        assert there - verification(jwks, token) <= IN_A_THREAD
    assert issuer.jwks_requests == 2


async def test_refusal_in_a_thread(issuer: FakeIssuer, jwks: JWKS, threads: SyncJWKS) -> None:
    """A made-up `kid` costs a few calls more than on a loop, once the searches are spent."""
    tokens = [issuer.sign(aud="api", headers={"kid": f"made up {n}"}) for n in range(20)]

    def refused_there(token: str) -> None:
        with pytest.raises(UnknownKeyError):
            threads.verify_token(token)

    def refused_here(token: str) -> None:
        with pytest.raises(UnknownKeyError):
            at_once(jwks.verify_token(token))

    for token in tokens[:8]:
        await asyncio.to_thread(refused_there, token)
        with pytest.raises(UnknownKeyError):
            await jwks.verify_token(token)
    for one, other in zip(tokens[8::2], tokens[9::2], strict=True):
        there, here = frames(partial(refused_there, one)), frames(partial(refused_here, other))
        assert there.total() - here.total() <= REFUSED_IN_A_THREAD
    assert issuer.jwks_requests == 2 * 3, "each fetched once and searched twice"


@pytest.fixture(params=["memory", pytest.param("file", marks=pytest.mark.posix)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> KeyStore:
    """Return a store that several verifiers share."""
    return MemoryKeyStore() if request.param == "memory" else FileKeyStore(tmp_path / "keys")


async def test_verifiers_of_a_store_fetch_once(issuer: FakeIssuer, store: KeyStore) -> None:
    """At a cold start of eight, and at a rotation: the table of the stores' benchmark."""
    crew = [JWKS(issuer.discovery_url, "api", issuer=issuer.issuer, store=store) for _ in range(8)]
    for _ in range(2):
        token = issuer.sign(aud="api")
        before = issuer.jwks_requests
        await asyncio.gather(*(jwks.verify_token(token) for jwks in crew))
        assert issuer.jwks_requests == before + 1
        issuer.rotate()
    for jwks in crew:
        await jwks.close()


@pytest.mark.posix
async def test_a_poll_of_files_takes_few_system_calls(tmp_path: Path) -> None:
    """A look takes no lock and changes nothing; a commit replaces the record."""
    wish = LeaseRequest("somebody", 3.0, "age")
    async with FileKeyStore(tmp_path / "keys") as store:
        granted = await store.poll("keys", known=0, lease=wish)
        assert isinstance(granted, Granted)
        commit = system_calls(
            lambda: at_once(store.commit(granted.lease, b"document", ttl=60.0, window=10.0))
        )
        look = system_calls(lambda: at_once(store.poll("keys", known=0, lease=None)))
        found = await store.poll("keys", known=0, lease=None)
        assert isinstance(found, Newer)
        assert look["open"] == 2, "the directory, and the record"
        assert look.total() <= LOOK, look
        assert commit.total() <= COMMIT, commit
