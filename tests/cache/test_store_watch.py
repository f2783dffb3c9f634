"""What is told of a store: its faults, its breaker, and who holds the lease."""

import logging

import pytest

from auth_jwks._cache.freshness import Policy
from auth_jwks._cache.guarded_store import GuardedStore, Held
from auth_jwks._cache.status import StoreStatus
from auth_jwks._cache.store_watch import StoreWatch
from auth_jwks.events import BreakerChanged, Event, LeaseChanged
from auth_jwks.stores import Busy, Granted, MemoryKeyStore, StoreUnavailable, Unchanged
from auth_jwks.testing import ChaosStore, FakeClock
from tests.cache.worker import spin
from tests.scripted_store import ScriptedStore, Step, granted

OPENED = StoreUnavailable("timed out", opened=True)
RESTING = StoreUnavailable("circuit breaker open", resting=True)


def guarded(
    store: ScriptedStore | MemoryKeyStore, clock: FakeClock, events: list[Event]
) -> GuardedStore:
    """Return a store that tells of what happens."""
    return GuardedStore(
        store, "key", name="n", deadline=10.0, policy=Policy(), clock=clock, observer=events.append
    )


def leases(events: list[Event]) -> list[str]:
    """Return what was told of the lease."""
    return [event.change for event in events if isinstance(event, LeaseChanged)]


async def lease_of(shared: GuardedStore) -> Held:
    """Return a lease that the store grants."""
    store, answer = await shared.ask("age", attempts=1)
    assert isinstance(answer, Granted)
    return Held(store, answer.lease)


async def test_a_breaker_is_told_of_once(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """When it opens, and when the store answers again; nothing in between is."""
    caplog.set_level(logging.INFO)
    events: list[Event] = []
    store = ScriptedStore(StoreUnavailable("timed out"), OPENED, RESTING, OPENED, Unchanged())
    shared = guarded(store, clock, events)
    for _ in range(6):
        await shared.look()
    assert [event for event in events if isinstance(event, BreakerChanged)] == [
        BreakerChanged("n", "ScriptedStore", "opened"),
        BreakerChanged("n", "ScriptedStore", "closed"),
    ]
    alone = "this worker asks the provider itself"
    assert caplog.messages == [
        f"the key store ScriptedStore failed to poll for n: timed out; {alone}",
        f"the key store ScriptedStore is left alone for a while (timed out); for n {alone}",
        "the key store ScriptedStore answers again, for n",
    ]


async def test_a_store_that_never_works_is_a_line_a_minute(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Strangers can cause a call each second; each is an event all the same."""
    events: list[Event] = []
    shared = guarded(ScriptedStore(OSError("secret")), clock, events)
    shared.watch.fetched = clock.monotonic
    for _ in range(61):
        await shared.look()
        clock.advance(1)
    assert len(events) == 61
    text = "the key store ScriptedStore failed to poll for n: OSError; serving keys of 0 s ago"
    assert caplog.messages == [text, f"{text}; 59 more since the last such line"]
    assert repr(shared.watch) == "StoreWatch('ScriptedStore', open=False, fault='OSError')"


async def test_its_state_is_that_of_the_last_call(clock: FakeClock) -> None:
    """The fault stays, with its age; a breaker is open or not; a lease is held or not."""
    store = ScriptedStore(granted(1), OPENED)
    shared = guarded(store, clock, [])
    assert shared.watch.status() == StoreStatus("ScriptedStore", False, None, None, False)  # noqa: FBT003 - values
    async with shared.renewing(await lease_of(shared)):
        assert shared.watch.status().lease_held
    assert not shared.watch.status().lease_held
    await shared.look()
    clock.advance(5)
    assert shared.watch.status() == StoreStatus("ScriptedStore", True, "timed out", 5.0, False)  # noqa: FBT003 - values


async def test_a_lease_is_told_of_when_its_work_is_done(clock: FakeClock) -> None:
    """No fleet waits for an observer."""
    events: list[Event] = []
    shared = guarded(ScriptedStore(granted(1), commits=(1, None)), clock, events)
    held = await lease_of(shared)
    assert leases(events) == []
    await shared.commit(held, b"x", ttl=60, window=30)
    await shared.commit(held, b"x", ttl=60, window=30)
    assert leases(events) == ["granted", "superseded"]
    again = await lease_of(shared)
    await shared.fail(again, retry_after=5, mismatch=False)
    assert leases(events) == ["granted", "superseded"], "a lost reply is no second lease"


@pytest.mark.parametrize("answer", [Busy(3.0), granted(2)], ids=["another's", "lapsed"])
async def test_a_lease_that_lapses_amid_its_fetch_is_lost(clock: FakeClock, answer: Step) -> None:
    """Whether another holder has it by now, or this one gets a new one."""
    events: list[Event] = []
    store = ScriptedStore(granted(1), answer)
    shared = guarded(store, clock, events)
    held = await lease_of(shared)
    async with shared.renewing(held):
        await clock.until_sleeping()
        clock.advance(1)
        await spin()
    await shared.commit(held, b"x", ttl=60, window=30)
    assert leases(events) == ["granted", "lost"]


async def test_a_wait_is_told_of_once(clock: FakeClock) -> None:
    """However often the store is asked while another worker holds the lease."""
    events: list[Event] = []
    busy = Busy(3.0)
    shared = guarded(ScriptedStore(busy, busy, Unchanged(), busy), clock, events)
    for _ in range(4):
        await shared.ask("age", attempts=1)
    assert leases(events) == ["waited", "waited"]


async def test_a_store_in_memory_has_no_fleet(clock: FakeClock) -> None:
    """Its leases are of no interest."""
    events: list[Event] = []
    shared = guarded(MemoryKeyStore(timer=clock.monotonic), clock, events)
    await shared.commit(await lease_of(shared), b"x", ttl=60, window=30)
    assert events == []


async def test_a_store_is_named(clock: FakeClock) -> None:
    """By its `name`, also that of a store around it, or else by its class."""
    for store, name in (
        (ChaosStore(ScriptedStore(Unchanged())), "ScriptedStore"),
        (MemoryKeyStore(), "MemoryKeyStore"),
    ):
        assert StoreWatch(store, "n", clock, None).status().name == name
