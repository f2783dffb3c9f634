"""A refresh on demand, and the state that is told."""

import asyncio

import pytest

from auth_jwks import KeysUnavailableError, MemoryKeyStore
from auth_jwks._cache.single_flight import SingleFlight
from auth_jwks.events import KeysRefreshed
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.cache.key_cache.calling import begin
from tests.cache.worker import SECOND, Hire, spin

# A refresh on demand.


async def test_a_warm_up_fetches_once(hire: Hire, issuer: FakeIssuer) -> None:
    """`refresh()` makes sure of fresh keys, and does nothing when there are some."""
    worker = hire()
    await asyncio.gather(*(worker.cache.refresh(force=False) for _ in range(10)))
    await worker.cache.refresh(force=False)
    assert issuer.jwks_requests == 1
    assert worker.at_once == ["first"]


async def test_without_a_lifetime_a_warm_up_fetches_each_time(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """With `cache_ttl=0` nothing stays fresh."""
    worker = hire(cache_ttl=0.0)
    for fetches in (1, 2):
        await worker.cache.refresh(force=False)
        assert issuer.jwks_requests == fetches


async def test_a_warm_up_that_fails_says_so(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Even if stale keys can serve; and it leaves the provider alone while that cools down."""
    worker = hire()
    await worker.verify()
    issuer.outage()
    clock.advance(901)
    issuer.reset()
    for _ in range(2):
        with pytest.raises(KeysUnavailableError) as caught:
            await worker.cache.refresh(force=False)
        assert caught.value.retry_after == 6.0
    assert issuer.discovery_requests == 1
    issuer.recover()
    clock.advance(6)
    await worker.cache.refresh(force=False)
    assert worker.cache.status().fresh


async def test_a_forced_refresh_fetches_even_fresh_keys(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """It ends with a set that was fetched after the call."""
    worker = hire()
    await worker.verify()
    clock.advance(1)
    issuer.rotate(SECOND, keep=False)
    await worker.cache.refresh(force=True)
    assert worker.at_once == ["second"]
    assert worker.cache.status().age == 0


async def test_a_forced_refresh_takes_what_was_fetched_after_the_call(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """One that waited for another, begun after it was called, is content with that one's set."""
    worker = hire()
    await worker.verify()
    clock.advance(1)
    issuer.reset()
    issuer.hang(times=1)
    first = begin(worker.cache.refresh(force=True))
    await issuer.arrived(1)
    clock.advance(1)
    second = begin(worker.cache.refresh(force=True))
    third = begin(worker.cache.refresh(force=True))
    await spin()
    issuer.release()
    await asyncio.gather(first, second, third)
    assert issuer.jwks_requests == 2


async def test_a_forced_refresh_is_not_content_with_what_was_fetched_before_the_call(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """It waits for the lease holder, takes what that brings, and then fetches as well."""
    store = MemoryKeyStore(timer=clock.monotonic)
    one, other = hire(store=store), hire(store=store)
    issuer.hang(times=1)
    waiting = begin(one.verify())
    await issuer.arrived(1)
    clock.advance(1)
    forced = begin(other.cache.refresh(force=True))
    await clock.until_sleeping(3)  # the deadline, the renewal and the other worker's pause
    issuer.release()
    await waiting
    issuer.rotate(SECOND, keep=False)
    clock.advance(0.05)
    await forced
    origins = [event.origin for event in other.events if isinstance(event, KeysRefreshed)]
    assert origins == ["store", "provider"]
    assert other.at_once == ["second"]
    assert issuer.jwks_requests == 2


async def test_forced_refreshes_have_a_budget(hire: Hire, clock: FakeClock) -> None:
    """A third one within the window says when there may be another."""
    worker = hire()
    await worker.verify()
    for _ in range(2):
        clock.advance(1)
        await worker.cache.refresh(force=True)
    clock.advance(1)
    with pytest.raises(KeysUnavailableError, match="too many refreshes") as caught:
        await worker.cache.refresh(force=True)
    assert caught.value.retry_after == 8.0
    assert worker.at_once == ["first"]
    clock.advance(8)
    await worker.cache.refresh(force=True)


async def test_a_forced_refresh_waits_for_no_cool_down(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """An operator who knows that the provider is back may try at once, and once."""
    worker = hire()
    issuer.outage(times=2)
    for force in (False, True, True):
        with pytest.raises(KeysUnavailableError):
            await worker.cache.refresh(force=force)
    assert issuer.discovery_requests == 2, "the rest of the budget is left to other workers"
    clock.advance(10)
    await worker.cache.refresh(force=True)
    assert worker.at_once == ["first"]
    assert issuer.discovery_requests == 3


async def test_a_refresh_past_the_refresh_point_refreshes(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """So that a timer can keep the keys of an idle worker young; before it, nothing is asked."""
    worker = hire()
    for age, requests in ((0, 1), (674, 1), (1, 2)):
        clock.advance(age)
        await worker.cache.refresh(force=False)
        assert issuer.jwks_requests == requests
    issuer.outage()
    clock.advance(675)
    await worker.cache.refresh(force=False)
    await worker.cache.refresh(force=False)
    assert issuer.discovery_requests == 3, "it failed once, and cools down; the keys are fresh"


# The state.


async def test_the_status_tells_the_state(hire: Hire, clock: FakeClock, issuer: FakeIssuer) -> None:
    """What an operator wants to know, without I/O."""
    issuer.publish(SigningKey.generate("RS256").jwk())
    worker = hire()
    cold = worker.cache.status()
    assert (cold.source, cold.issuer) == (issuer.discovery_url, issuer.issuer)
    assert (cold.kids, cold.fresh, cold.version, cold.refreshing) == ((), False, 0, False)
    assert (cold.age, cold.expires_in, cold.usable_for) == (None, None, None)
    issuer.hang(times=1)
    warm_up = begin(worker.verify())
    await issuer.arrived(1)
    assert worker.cache.status().refreshing
    issuer.release()
    await warm_up
    clock.advance(100)
    warm = worker.cache.status()
    assert (warm.kids, warm.fresh, warm.refreshing) == (("first",), True, False)
    assert (warm.age, warm.expires_in, warm.usable_for) == (100.0, 800.0, 87_200.0)
    assert (warm.retry_after, warm.failure) == (0.0, None)
    assert len(warm.skipped) == 1
    assert warm.version > 0
    issuer.outage()
    clock.advance(800)
    await worker.verify()
    stale = worker.cache.status()
    assert (stale.kids, stale.fresh, stale.expires_in) == (("first",), False, 0.0)
    assert stale.retry_after == 6.0
    assert stale.failure


async def test_its_representation_names_the_source(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """And how many keys there are."""
    worker = hire()
    await worker.verify()
    assert repr(worker.cache) == f"KeyCache({issuer.discovery_url!r}, keys=1)"
    assert repr(SingleFlight(clock)) == "SingleFlight(busy=False)"
