"""One key of a store, as one worker sees it."""

from auth_jwks._cache.freshness import Policy
from auth_jwks._cache.guarded_store import GuardedStore, Held
from auth_jwks.events import BreakerChanged, Event, StoreFailed
from auth_jwks.stores import Busy, Granted, Newer, StoreUnavailable, Unchanged
from auth_jwks.testing import FakeClock
from tests.scripted_store import ScriptedStore, granted


def guarded(store: ScriptedStore, clock: FakeClock) -> GuardedStore:
    """Return a guarded store that tells nobody of failures."""
    return GuardedStore(store, "key", name="n", deadline=10.0, policy=Policy(), clock=clock)


async def test_highest_version_seen_is_what_it_asks_with(clock: FakeClock) -> None:
    """The store is told what the worker has seen, usable or not."""
    store = ScriptedStore(Unchanged())
    shared = guarded(store, clock)
    assert shared.known == 0
    shared.see(7)
    await shared.look()
    assert (shared.known, store.polls) == (7, [(7, None)])


async def test_holder_is_the_name_of_the_worker(clock: FakeClock) -> None:
    """A lost reply loses nothing, and a store can tell one worker that fails often from many."""
    store = ScriptedStore(granted(3), commits=(3,))
    shared = guarded(store, clock)
    await shared.ask("age", attempts=1)
    _, answer = await shared.ask("age", attempts=1)
    assert isinstance(answer, Granted)
    assert await shared.commit(Held(store, answer.lease), b"x", ttl=60, window=30)
    await shared.ask("age", attempts=1)
    first, again, later = (request.holder for request in store.leases)
    assert first == again == later
    assert shared.known == 3


async def test_stand_in_answers_while_the_store_is_down(clock: FakeClock) -> None:
    """It grants the lease that the store can't, and tells which of the two it is."""
    store = ScriptedStore(StoreUnavailable("down"))
    own, answer = await guarded(store, clock).ask("age", attempts=2)
    assert isinstance(answer, Granted)
    assert own is not store
    assert len(store.polls) == 2


async def test_answer_of_the_store_is_passed_on(clock: FakeClock) -> None:
    """With the store that gave it."""
    newer = Newer(9, b"document", 1.0, 60.0)
    store = ScriptedStore(newer)
    assert await guarded(store, clock).ask("age", attempts=1) == (store, newer)


async def test_lease_that_outlived_its_refresh_is_left_to_lapse(clock: FakeClock) -> None:
    """Where refreshes die with their event loops a worker must not renew one lease for ever."""
    store = ScriptedStore(granted(3))
    shared = guarded(store, clock)
    for _ in range(3):
        _, answer = await shared.ask("age", attempts=1)
        assert isinstance(answer, Granted)
        clock.advance(5)
    _, answer = await shared.ask("age", attempts=1)
    assert answer == Busy(3.0)
    await shared.ask("age", attempts=1)
    *before, after = (request.holder for request in store.leases)
    assert len({*before}) == 1
    assert after not in before


async def test_new_lease_is_as_young_as_its_fence(clock: FakeClock) -> None:
    """However long ago the one before it was granted."""
    shared = guarded(ScriptedStore(granted(3), granted(4)), clock)
    await shared.ask("age", attempts=1)
    clock.advance(1000)
    _, answer = await shared.ask("age", attempts=1)
    assert isinstance(answer, Granted)
    assert answer.lease.fence == 4


async def test_store_at_rest_is_no_news(clock: FakeClock) -> None:
    """What made its breaker open was told then; a stranger must not cause a line each second."""
    events: list[Event] = []
    store = ScriptedStore(StoreUnavailable("open", resting=True))
    shared = GuardedStore(
        store, "key", name="n", deadline=10.0, policy=Policy(), clock=clock, observer=events.append
    )
    assert await shared.look() is None
    assert events == [
        StoreFailed("n", "ScriptedStore", "poll", "resting", "open"),
        BreakerChanged("n", "ScriptedStore", "opened"),
    ]
