"""A refresh without its store."""

import asyncio

import pytest

from auth_jwks._cache.freshness import Policy
from auth_jwks._cache.guarded_store import GuardedStore
from auth_jwks._cache.outcome import Deferred, Done, Failed
from auth_jwks.events import StoreFailed
from auth_jwks.stores import Answer, LeaseRequest, Newer
from auth_jwks.stores.gate import microseconds
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.cache.refresh.storing import DOWN, stored
from tests.cache.worker import SECOND, Hire, spin
from tests.scripted_store import ScriptedStore, Silence, granted


async def test_a_cold_worker_asks_a_failing_store_twice(hire: Hire, issuer: FakeIssuer) -> None:
    """Then it fetches by itself: the store is not needed to start."""
    store = ScriptedStore(DOWN)
    worker = hire(store)
    assert await worker.run() == Done()
    assert worker.kids == ["first"]
    assert len(store.polls) == 2
    assert store.commits == []
    assert issuer.jwks_requests == 1
    assert (
        worker.told(StoreFailed)
        == [StoreFailed(issuer.jwks_uri, "ScriptedStore", "poll", "unavailable", "timed out")] * 2
    )


async def test_a_cold_worker_takes_the_second_answer(hire: Hire) -> None:
    """One failure, of the connection's first use perhaps, does not call the store down."""
    store = ScriptedStore(DOWN, granted(1))
    assert await hire(store).run() == Done()
    assert len(store.commits) == 1


async def test_a_warm_worker_asks_a_failing_store_once(hire: Hire, clock: FakeClock) -> None:
    """It has keys, and time."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    clock.advance(700)
    store.play(DOWN)
    assert await worker.run() == Done()
    assert len(store.polls) == 2
    assert len(store.commits) == 1
    assert worker.is_young()


async def test_a_fault_of_the_store_is_named_by_its_class(hire: Hire, issuer: FakeIssuer) -> None:
    """Whatever a store raises it is unavailable; what the exception says stays in it."""
    worker = hire(ScriptedStore(RuntimeError("redis://:hunter2@redis.test refused")))
    assert await worker.run() == Done()
    assert (
        worker.told(StoreFailed)
        == [StoreFailed(issuer.jwks_uri, "ScriptedStore", "poll", "unexpected", "RuntimeError")] * 2
    )


async def test_a_store_that_gives_itself_up_is_down(hire: Hire, issuer: FakeIssuer) -> None:
    """A cancellation that nobody asked for is a fault like any other."""

    def give_up(_key: str, _request: LeaseRequest | None) -> Answer:
        raise asyncio.CancelledError

    worker = hire(ScriptedStore(give_up))
    assert await worker.run() == Done()
    fault = StoreFailed(issuer.jwks_uri, "ScriptedStore", "poll", "cancelled", "CancelledError")
    assert worker.told(StoreFailed) == [fault] * 2


async def test_a_store_that_does_not_answer_is_down(hire: Hire, issuer: FakeIssuer) -> None:
    """No call of it is waited for without end, whatever the store thinks of it."""
    store = ScriptedStore(Silence(), granted(1), commits=(Silence(),), fails=(Silence(),))
    worker = hire(store, store_patience=0.01)
    assert await worker.run() == Done()
    issuer.outage()
    assert isinstance(await worker.run("forced"), Failed)
    faults = [event for event in worker.events if isinstance(event, StoreFailed)]
    assert [(fault.operation, fault.reason) for fault in faults] == [
        ("poll", "TimeoutError"),
        ("commit", "TimeoutError"),
        ("fail", "TimeoutError"),
    ]


@pytest.mark.parametrize(
    ("cache_ttl", "max_stale", "apart"),
    [(20.0, 3600.0, 30.0), (20.0, 0.0, 10.0), (900.0, 86_400.0, 30.0)],
)
async def test_without_a_store_fetches_are_half_a_minute_apart(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, cache_ttl: float, max_stale: float,
    apart: float,
) -> None:  # fmt: skip
    """Keys of short life don't multiply the fetches of a fleet by its workers; nor do they die."""
    worker = hire(ScriptedStore(DOWN), cache_ttl=cache_ttl, max_stale=max_stale)
    await worker.run()
    clock.advance(apart - 1)
    assert await worker.run() == Deferred(1.0)
    assert issuer.jwks_requests == 1
    clock.advance(1)
    assert await worker.run() == Done()
    assert issuer.jwks_requests == 2


async def test_without_a_store_unscheduled_refreshes_are_limited_all_the_same(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """A gate of the worker's own allows two searches a window, as the store does."""
    worker = hire(ScriptedStore(DOWN))
    await worker.run()
    for outcome in (Done(), Done(), Deferred(8.0)):
        clock.advance(1)
        assert await worker.run("unknown_kid") == outcome
    assert issuer.jwks_requests == 3


async def test_without_a_store_a_failure_cools_down_all_the_same(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The worker's own gate remembers failures and counts them."""
    worker = hire(ScriptedStore(DOWN))
    issuer.outage(503)
    first = await worker.run()
    clock.advance(2)
    second = await worker.run()
    clock.advance(3)
    third = await worker.run()
    outcomes = [first, second, third]
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    assert [failure.retry_after for failure in failures] == [5.0, 3.0, 10.0]
    assert [failure.here for failure in failures] == [True, False, True]
    assert issuer.jwks_requests == 2


async def test_without_a_store_a_lease_that_lapses_hides_no_later_refresh(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """As after a freeze: its own gate has a time of its own, perhaps far behind the store's."""
    version = microseconds(clock.monotonic() + 3_600)
    store = ScriptedStore(Newer(version, stored(issuer, SECOND), 0.0, 90_000.0))
    worker = hire(store)
    assert await worker.run(None) == Done()
    store.play(DOWN)
    clock.advance(901)
    issuer.hang(times=1)
    refresh = asyncio.ensure_future(worker.run())
    await issuer.arrived(1)
    await spin()
    clock.advance(4.0)  # longer than the lease
    await spin()
    issuer.release()
    assert await refresh == Done()
    clock.advance(901)
    assert await worker.run() == Done()
    assert worker.is_young()


async def test_without_a_store_a_look_finds_nothing(hire: Hire, issuer: FakeIssuer) -> None:
    """There is nothing to be seen, and no reason to fetch."""
    assert await hire(ScriptedStore(DOWN)).run(None) == Done()
    assert issuer.requests == ()


async def test_a_store_that_is_back_is_used_again(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """What was fetched without it does not hide what is fetched with it."""
    store = ScriptedStore(DOWN)
    worker = hire(store)
    await worker.run()
    clock.advance(10)
    store.play(Newer(3, stored(issuer, SECOND), 1.0, 1000.0))
    assert await worker.run(None) == Done()
    assert worker.kids == ["second"]
    assert worker.refresher.known == 3


async def test_its_representation_tells_the_version_seen(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """And the source, without a key."""
    worker = hire(ScriptedStore(granted(7), commits=(7,)))
    await worker.run()
    assert repr(worker.refresher) == f"Refresher({issuer.jwks_uri!r}, known=7)"
    store = ScriptedStore(granted())
    shared = GuardedStore(store, "k", name="n", deadline=10.0, policy=Policy(), clock=clock)
    assert repr(shared) == "GuardedStore('n', known=0)"
