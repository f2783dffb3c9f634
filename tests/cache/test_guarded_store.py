"""One key of a store, as one worker sees it."""

from auth_jwks._cache.freshness import Policy
from auth_jwks._cache.guarded_store import GuardedStore
from auth_jwks.stores import Granted, Newer, StoreUnavailable, Unchanged
from auth_jwks.testing import FakeClock
from tests.scripted_store import ScriptedStore, granted


def guarded(store: ScriptedStore, clock: FakeClock) -> GuardedStore:
    """Return a guarded store that tells nobody of failures."""
    return GuardedStore(store, "key", name="n", policy=Policy(), clock=clock)


async def test_highest_version_seen_is_what_it_asks_with(clock: FakeClock) -> None:
    """The store is told what the worker has seen, usable or not."""
    store = ScriptedStore(Unchanged())
    shared = guarded(store, clock)
    assert shared.known == 0
    shared.see(7)
    await shared.look()
    assert (shared.known, store.polls) == (7, [(7, None)])


async def test_holder_stays_until_the_lease_is_used_up(clock: FakeClock) -> None:
    """A lost reply loses nothing; after the commit another name asks."""
    store = ScriptedStore(granted(3), commits=(3,))
    shared = guarded(store, clock)
    await shared.ask("age", attempts=1)
    _, answer = await shared.ask("age", attempts=1)
    assert isinstance(answer, Granted)
    assert await shared.commit(store, answer.lease, b"x", ttl=60, window=30)
    await shared.ask("age", attempts=1)
    first, again, later = (request.holder for request in store.leases)
    assert first == again != later
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
