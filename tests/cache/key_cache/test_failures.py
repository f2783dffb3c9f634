"""What a failed refresh means for the calls that follow, and another issuer."""

from typing import Any

import pytest

from auth_jwks import IssuerMismatchError, KeysUnavailableError, MemoryKeyStore
from auth_jwks.events import RefreshFailed
from auth_jwks.stores import Newer, Unchanged
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.cache.key_cache.calling import begin, stale
from tests.cache.worker import SECOND, Hire, Worker, spin
from tests.scripted_store import ScriptedStore, granted

# Failures.


async def test_failures_cool_down(hire: Hire, clock: FakeClock, issuer: FakeIssuer) -> None:
    """The provider is left alone for 5 s, then 10 s and so on; `retry_after` says how long.

    The worker that failed adds a second, so that the next turn is another worker's.
    """
    issuer.outage()
    worker = hire()
    for attempts, cooldown in enumerate((5, 10, 20, 30, 30), start=1):
        for left in (cooldown + 1.0, 2.0):
            with pytest.raises(KeysUnavailableError) as caught:
                await worker.verify()
            assert caught.value.retry_after == left
            assert issuer.discovery_requests == attempts
            clock.advance(left - 2 if left > 2 else left)
    issuer.recover()
    assert await worker.verify() == ["first"]


async def test_a_success_ends_the_doubling(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The next failure is a first one again."""
    issuer.outage(times=2)
    worker = hire(max_stale=0.0)
    for wait in (6, 11):
        with pytest.raises(KeysUnavailableError):
            await worker.verify()
        clock.advance(wait)
    await worker.verify()
    issuer.outage()
    clock.advance(901)
    with pytest.raises(KeysUnavailableError) as caught:
        await worker.verify()
    assert caught.value.retry_after == 6.0


@pytest.mark.parametrize(("stated", "retry_after"), [(50, 51.0), (4000, 61.0), (1, 6.0)])
async def test_the_provider_may_ask_for_a_longer_pause(
    hire: Hire, issuer: FakeIssuer, stated: int, retry_after: float
) -> None:
    """`Retry-After` is honoured up to a minute."""
    issuer.outage(429, stated)
    with pytest.raises(KeysUnavailableError) as caught:
        await hire().verify()
    assert caught.value.retry_after == retry_after


async def test_the_worker_that_failed_skips_the_next_turn(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The failure of two is everybody's; who has no keys may search, and tries next."""
    store = MemoryKeyStore(timer=clock.monotonic)
    crew = [hire(store=store) for _ in range(5)]
    issuer.outage()

    async def asked(worker: Worker) -> int:
        before = issuer.discovery_requests
        with pytest.raises(KeysUnavailableError):
            await worker.verify()
        return issuer.discovery_requests - before

    assert [await asked(worker) for worker in crew] == [1, 1, 1, 1, 0], "two, and two searches"
    assert [worker.cache.status().retry_after for worker in crew] == [6.0, 11.0, 21.0, 31.0, 30.0]
    clock.advance(10)
    assert [await asked(worker) for worker in reversed(crew)] == [0, 0, 0, 0, 1]
    assert [await asked(worker) for worker in crew] == [0, 0, 0, 0, 0]


async def test_two_broken_workers_in_turns_hold_back_no_worker_without_keys(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Their failures are the fleet's. Whoever waits for keys asks nevertheless, as a search."""
    store = MemoryKeyStore(timer=clock.monotonic)
    broken = hire(store=store), hire(store=store)
    quiet = hire(store=store)
    issuer.outage(times=2)
    for worker in broken:
        with pytest.raises(KeysUnavailableError):
            await worker.verify()
    assert await quiet.verify() == ["first"]


async def test_keys_that_serve_make_no_search_of_a_failure(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Who has stale keys leaves it at the cool-down of the fleet."""
    store = MemoryKeyStore(timer=clock.monotonic)
    crew = [hire(store=store) for _ in range(4)]
    for worker in crew:
        await worker.verify()
    issuer.reset()
    issuer.outage()
    clock.advance(901)
    for worker in crew:
        assert await worker.verify() == ["first"]
        await worker.landed()
    assert issuer.discovery_requests == 2


async def test_the_failure_of_one_worker_is_not_everybodys(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The next one asks at once: if it can reach the provider, nobody waits for the first."""
    store = MemoryKeyStore(timer=clock.monotonic)
    one, other = hire(store=store), hire(store=store)
    issuer.outage(times=1)
    with pytest.raises(KeysUnavailableError):
        await one.verify()
    assert await other.verify() == ["first"]
    clock.advance(6)
    assert await one.verify() == ["first"]
    assert (issuer.discovery_requests, issuer.jwks_requests) == (2, 1)


async def test_the_next_turn_is_drawn_among_the_others(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Within half a second after the cool-down, before the worker that failed."""
    store = MemoryKeyStore(timer=clock.monotonic)
    crew = [hire(store=store, uniform=max) for _ in range(5)]
    issuer.outage()
    for worker in crew:
        with pytest.raises(KeysUnavailableError):
            await worker.verify()
    assert [worker.cache.status().retry_after for worker in crew] == [7.25, 13.5, 26.0, 31.0, 30.5]


async def test_another_workers_keys_end_a_failure(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """What a look into the store brings does, though this worker itself may not ask yet."""
    store = ScriptedStore(granted())
    worker = hire(store=store)
    await worker.verify()
    issuer.outage(retry_after=300)
    store.play(granted(2))
    clock.advance(700)
    assert worker.at_once == ["first"]
    await worker.landed()
    for answer in (Unchanged(), Newer(9, store.commits[0][1], 0.0, 1000.0)):
        assert worker.cache.status().failure
        store.play(answer)
        clock.advance(45)
        assert worker.at_once == ["first"]
        await worker.landed()
    assert (worker.cache.status().failure, worker.cache.status().retry_after) == (None, 0.0)
    assert worker.cache.status().age == 0.0


async def test_a_bug_is_a_failure_like_others(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """A store that answers nonsense makes the keys unavailable, and not every token asks it."""
    nonsense: Any = "nonsense"
    store = ScriptedStore(nonsense)
    worker = hire(store=store)
    for _ in range(3):
        with pytest.raises(KeysUnavailableError, match="unexpected AssertionError") as caught:
            await worker.verify()
        assert caught.value.retry_after == 6.0
    assert len(store.polls) == 1
    reason = "unexpected AssertionError"
    assert worker.events == [RefreshFailed(issuer.discovery_url, "unexpected", reason, 5.0)]
    clock.advance(6)
    store.play(granted())
    assert await worker.verify() == ["first"]


# Another issuer.


async def test_an_outage_does_not_excuse_another_issuer(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Only a good answer undoes the answer that the issuer is another one."""
    worker = hire()
    await worker.verify()
    issuer.announce(issuer="https://other.test")
    clock.advance(901)
    with pytest.raises(IssuerMismatchError):
        await worker.verify()
    issuer.outage()
    for wait in (6, 11, 21):
        clock.advance(wait)
        with pytest.raises(IssuerMismatchError):
            await worker.verify()
    assert issuer.discovery_requests == 5
    issuer.recover()
    issuer.announce(issuer=issuer.issuer)
    clock.advance(41)
    assert await worker.verify() == ["first"]
    assert worker.cache.status().failure is None
    assert stale(worker) == []


async def test_another_issuer_speaks_for_the_worker_that_met_it_alone(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """To the others it is a failure like any: what two hosts see is not what each one would."""
    store = MemoryKeyStore(timer=clock.monotonic)
    *misled, other = crew = [hire(store=store) for _ in range(3)]
    for worker in crew:
        await worker.verify()
    issuer.announce(issuer="https://other.test")
    clock.advance(901)
    issuer.reset()
    for worker in misled:
        with pytest.raises(IssuerMismatchError, match="issuer: "):
            await worker.verify()
    assert await other.verify() == ["first"]
    assert issuer.discovery_requests == 2
    assert [stale(worker) for worker in crew] == [[], [], [True]]


async def test_another_issuer_that_one_worker_meets_costs_the_others_nothing(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The next one asks for itself, and what it finds is for all."""
    store = MemoryKeyStore(timer=clock.monotonic)
    one, other = hire(store=store), hire(store=store)
    issuer.announce(issuer="https://other.test")
    with pytest.raises(IssuerMismatchError, match="issuer: "):
        await one.verify()
    issuer.announce(issuer=issuer.issuer)
    assert await other.verify() == ["first"]
    clock.advance(6)
    assert await one.verify() == ["first"]
    assert issuer.discovery_requests == 2


async def test_a_call_without_keys_waits_for_two_failures_no_longer_than_for_one(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Lease, deadline and a second: who waited for one that failed need not wait for its own."""
    store = MemoryKeyStore(timer=clock.monotonic)
    one, other = hire(store=store), hire(store=store)
    issuer.hang()
    first = begin(one.verify())
    await issuer.arrived(1)
    waiting = begin(other.verify())
    await spin()
    for seconds in range(1, 14):
        clock.advance(1)
        await spin()
        assert first.done() is (seconds >= 10)
    assert issuer.discovery_requests == 2
    assert not waiting.done()
    clock.advance(1)
    for call in (first, waiting):
        with pytest.raises(KeysUnavailableError):
            await call
    assert other.cache.status().refreshing
    issuer.recover()
    issuer.release()
    await other.landed()
    assert await other.verify() == ["first"]


async def test_a_search_meets_another_issuer(hire: Hire, issuer: FakeIssuer) -> None:
    """Discovery is asked where the keys have moved: known kids pass, others tell what is wrong."""
    worker = hire()
    await worker.verify()
    issuer.announce(issuer="https://other.test")
    issuer.outage(404, on="jwks")
    for _ in range(2):
        with pytest.raises(IssuerMismatchError):
            await worker.verify("second")
    assert worker.at_once == ["first"]


async def test_a_search_does_not_take_back_that_the_issuer_is_another(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Only a look at the discovery document does: the keys alone tell nothing of it."""
    worker = hire()
    await worker.verify()
    issuer.announce(issuer="https://other.test")
    clock.advance(700)
    assert worker.at_once == ["first"]
    await worker.landed()
    issuer.rotate(SECOND)
    for _ in range(2):
        clock.advance(100)
        with pytest.raises(IssuerMismatchError):
            await worker.verify("second")
        await worker.landed()
    issuer.announce(issuer=issuer.issuer)
    clock.advance(300)
    assert await worker.verify("second") == ["second"]
