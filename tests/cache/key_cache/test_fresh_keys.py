"""Who gets fresh keys, and what that starts in the background."""

import asyncio
from collections.abc import Callable

import pytest

from auth_jwks import MemoryKeyStore
from auth_jwks.events import KeysRefreshed
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.cache.key_cache.calling import begin, outcomes, stale
from tests.cache.worker import SECOND, Hire


async def test_keys_are_fetched_once_and_then_cost_nothing(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The first token waits for discovery and the key set, later ones for nothing."""
    worker = hire()
    assert worker.cache.ready(clock.time()) is None
    assert await worker.verify() == ["first"]
    for _ in range(6):
        clock.advance(7)
        assert worker.at_once == ["first"]
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)
    assert not worker.cache.status().refreshing


async def test_a_cold_start_is_one_fetch(hire: Hire, issuer: FakeIssuer) -> None:
    """A hundred tokens at once share it."""
    worker = hire()
    assert await outcomes(*(worker.verify() for _ in range(100))) == {list: 100}
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


async def test_workers_of_one_store_share_a_fetch(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """One is granted the lease, the other takes over what it brings."""
    store = MemoryKeyStore(timer=clock.monotonic)
    one, other = hire(store=store), hire(store=store)
    issuer.hang(times=1)
    waiting = [begin(one.verify()), begin(other.verify())]
    await issuer.arrived(1)
    await clock.until_sleeping(3)  # the deadline, the renewal and the other worker's pause
    issuer.release()
    await waiting[0]
    clock.advance(0.05)
    assert await waiting[1] == ["first"]
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)
    assert [event.origin for event in other.events if isinstance(event, KeysRefreshed)] == ["store"]


@pytest.mark.parametrize(("uniform", "point"), [(min, 0.75), (max, 0.9)])
async def test_the_refresh_point_is_drawn(
    hire: Hire, clock: FakeClock, uniform: Callable[[float, float], float], point: float
) -> None:
    """Somewhere from three quarters to nine tenths of the lifetime."""
    worker = hire(uniform=uniform, cache_ttl=40.0)
    await worker.verify()
    clock.advance(40 * point - 0.1)
    assert worker.at_once == ["first"]
    assert not worker.cache.status().refreshing
    clock.advance(0.1)
    assert worker.at_once == ["first"]
    assert worker.cache.status().refreshing


async def test_nobody_waits_for_a_refresh_ahead(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The token that triggers it, and all others meanwhile, get the keys at hand."""
    worker = hire()
    await worker.verify()
    clock.advance(700)
    issuer.rotate(SECOND)
    issuer.reset()
    issuer.hang(times=1)
    assert worker.at_once == ["first"]
    await issuer.arrived(1)
    assert worker.at_once == ["first"]
    issuer.release()
    await worker.landed()
    assert worker.at_once == ["first", "second"]
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


async def test_a_failed_refresh_ahead_harms_nobody(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The keys serve to the end of their life, and the provider is asked once per cool-down."""
    worker = hire()
    await worker.verify()
    issuer.outage()
    clock.advance(700)
    for _ in range(100):
        assert worker.at_once == ["first"]
        await worker.landed()
    assert issuer.discovery_requests == 2
    assert stale(worker) == []
    assert worker.cache.status().failure is not None


@pytest.mark.parametrize(
    ("control", "age", "lifetime"),
    [
        ("max-age=400", None, 400.0),
        ("public, max-age=400", 30, 370.0),
        ("max-age=400", 390, 300.0),
        ("max-age=1", None, 300.0),
        ("max-age=86400", None, 900.0),
        ("no-store", None, 900.0),
        ("no-cache, max-age=100", None, 900.0),
        ("max-age=soon", None, 900.0),
        (None, None, 900.0),
    ],
)
async def test_the_provider_may_shorten_the_lifetime(
    hire: Hire, issuer: FakeIssuer, control: str | None, age: int | None, lifetime: float
) -> None:
    """`Cache-Control: max-age` less `Age` shortens it, to five minutes at the least."""
    issuer.cache(control, age)
    worker = hire()
    await worker.verify()
    assert worker.cache.status().expires_in == lifetime


async def test_without_a_lifetime_every_token_asks(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """`cache_ttl=0`: one fetch for each token, but for those that come while it runs."""
    worker = hire(cache_ttl=0.0)
    for _ in range(3):
        assert await worker.verify() == ["first"]
    assert issuer.jwks_requests == 3
    await asyncio.gather(*(worker.verify() for _ in range(10)))
    assert issuer.jwks_requests == 4
    issuer.outage()
    clock.advance(1)
    assert await worker.verify() == ["first"]
    assert stale(worker) == [True]
