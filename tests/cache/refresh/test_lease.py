"""The lease of a refresh: asked for, renewed, and the wait for another worker's."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from math import nan

import httpx
import pytest

from auth_jwks._cache.outcome import Deferred, Done, Failed, Outcome
from auth_jwks._cache.purpose import FindKey, Replace
from auth_jwks.events import StoreFailed
from auth_jwks.stores import Answer, Busy, Cooling, LeaseRequest, MemoryKeyStore, Newer, Unchanged
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.cache.refresh.storing import DOWN, elapsed, stored
from tests.cache.worker import FIRST, SECOND, Hire, Worker, spin, token_of
from tests.scripted_store import ScriptedStore, granted

NO_SUCCESSOR = """
import asyncio, os
from auth_jwks import JWKS, MemoryKeyStore

class Store(MemoryKeyStore):
    async def poll(self, key, *, known, lease):
        print(lease.holder, flush=True)
        self.polled.set()
        await asyncio.Event().wait()

store = Store()
jwks = JWKS(jwks_uri="http://127.0.0.1/jwks", issuer="x", store=store)

async def ask_and_die():
    store.polled = asyncio.Event()
    refresh = asyncio.ensure_future(jwks.refresh())
    await store.polled.wait()

asyncio.run(ask_and_die())
asyncio.run(ask_and_die())
child = os.fork()
if child:
    os.waitpid(child, 0)
asyncio.run(ask_and_die())
"""


# The lease.


async def test_the_lease_is_renewed_while_the_fetch_runs(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Every third of its time the holder asks for it again, and no more once it has the keys."""
    store = ScriptedStore(granted(1))
    issuer.hang(times=1)
    task = asyncio.ensure_future(hire(store).run())
    await issuer.arrived(1)
    await spin()
    for renewals in range(4):
        assert len(store.polls) == 1 + renewals
        clock.advance(0.9)
        await spin()
        assert len(store.polls) == 1 + renewals
        clock.advance(0.1)
        await spin()
    issuer.release()
    assert await task == Done()
    clock.advance(10)
    await spin()
    assert len(store.polls) == 5
    assert len({lease.holder for lease in store.leases}) == 1
    assert clock.sleeping == 0


class Deaf(MemoryKeyStore):
    """A store whose second call loses the cancellation, as `asyncio.wait_for` may before 3.12."""

    polls = 0

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Answer, the second time once it is cancelled."""
        self.polls += 1
        if self.polls == 2:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return await super().poll(key, known=known, lease=lease)


async def test_a_renewal_that_hears_no_cancellation_holds_up_nobody(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Else the refresh would never end, and its lease be renewed for ever."""
    store = Deaf(timer=clock.monotonic)
    issuer.hang(times=1)
    task = asyncio.ensure_future(hire(store, store_patience=30.0).run())
    await issuer.arrived(1)
    await clock.until_sleeping()
    clock.advance(1)
    await spin()
    assert store.polls == 2
    issuer.release()
    async with asyncio.timeout(60):
        assert await task == Done()
    assert (issuer.jwks_requests, clock.sleeping) == (1, 0)


async def test_the_lease_is_not_renewed_beyond_the_deadline(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """A provider that never answers is given up on in time, and the lease with it."""
    store = ScriptedStore(granted(1))
    issuer.hang()
    task = asyncio.ensure_future(hire(store).run())
    await issuer.arrived(1)
    assert await elapsed(clock, task) == pytest.approx(5.0, abs=0.02)
    assert isinstance(task.result(), Failed)
    asked = len(store.polls)
    assert asked in {5, 6}
    clock.advance(10)
    await spin()
    assert len(store.polls) == asked
    assert len(store.fails) == 1


async def test_a_lost_lease_is_not_asked_for_again(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """When another worker has it, the fetch goes on for this worker's own sake."""
    store = ScriptedStore(granted(1), Busy(2.0), commits=(None,))
    worker = hire(store)
    issuer.hang(times=1)
    task = asyncio.ensure_future(worker.run())
    await issuer.arrived(1)
    await spin()
    for _ in range(3):
        clock.advance(1.0)
        await spin()
    assert len(store.polls) == 2
    issuer.release()
    assert await task == Done()
    assert worker.kids == ["first"]


async def test_a_renewal_that_fails_is_tried_again(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """A store that is away for a moment does not end the renewals."""
    store = ScriptedStore(granted(1), DOWN, granted(1))
    worker = hire(store)
    issuer.hang(times=1)
    task = asyncio.ensure_future(worker.run())
    await issuer.arrived(1)
    await spin()
    for _ in range(3):
        clock.advance(1.0)
        await spin()
    issuer.release()
    assert await task == Done()
    assert len(store.polls) == 4
    assert worker.told(StoreFailed) == [
        StoreFailed(issuer.jwks_uri, "ScriptedStore", "poll", "unavailable", "timed out")
    ]


class Ahead:
    """The time of a store, which may run ahead of a worker's."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.seconds = 0.0

    def __call__(self) -> float:
        """Return the store's time."""
        return self.clock.monotonic() + self.seconds


async def lapsed(worker: Worker, time: Ahead, issuer: FakeIssuer) -> Outcome:
    """Refresh; amid the fetch the lease lapses, and is granted anew when it is to be renewed."""
    issuer.hang(times=1)
    task = asyncio.ensure_future(worker.run())
    await issuer.arrived(1)
    await spin()
    time.seconds += 4.0
    worker.clock.advance(1.0)
    await spin()
    issuer.release()
    return await task


async def test_a_failure_under_a_lease_granted_anew_is_shared(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Its fence is the one that the store knows: under the old one the failure would be lost.

    Those without keys ask as long as there is a budget for searches.
    """
    time = Ahead(clock)
    store = MemoryKeyStore(timer=time)
    issuer.outage(503)
    assert isinstance(await lapsed(hire(store), time, issuer), Failed)
    for requests, here in ((2, True), (3, True), (4, True), (4, False)):
        async with asyncio.timeout(60):
            outcome = await hire(store).run()
        assert isinstance(outcome, Failed)
        assert (outcome.here, issuer.jwks_requests) == (here, requests)


async def test_keys_under_a_lease_granted_anew_are_shared(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """And are as old as their fetch, which began under the lease before."""
    time, began = Ahead(clock), clock.monotonic()
    store = MemoryKeyStore(timer=time)
    assert await lapsed(hire(store), time, issuer) == Done()
    other = hire(store)
    async with asyncio.timeout(60):
        assert await other.run() == Done()
    assert other.kids == ["first"]
    assert other.refresher.current.life.fetched <= began
    assert issuer.jwks_requests == 1


async def test_a_lease_token_outlives_a_cancellation(hire: Hire, issuer: FakeIssuer) -> None:
    """What was granted to a refresh that was cancelled is granted again to the next."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    issuer.hang(times=1)
    task = asyncio.ensure_future(worker.run())
    await issuer.arrived(1)
    task.cancel()
    await asyncio.wait((task,))
    assert await worker.run() == Done()
    assert [lease.holder for lease in store.leases] == [store.leases[0].holder] * 2


async def test_a_worker_has_one_name_for_all_its_leases(hire: Hire, issuer: FakeIssuer) -> None:
    """So that a store can tell one host that fails again and again from many."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    issuer.outage(times=1)
    await worker.run("forced")
    await worker.run("forced")
    assert (len(store.commits), len(store.fails)) == (2, 1)
    assert len({lease.holder for lease in store.leases}) == 1


def test_a_lease_token_is_not_shared_with_a_living_loop(
    clock: FakeClock, issuer: FakeIssuer
) -> None:
    """A loop beside the one that holds the lease is another holder; a dead one leaves it."""
    client = httpx.AsyncClient(transport=issuer.transport())
    store = ScriptedStore(Cooling(5.0, "budget"))
    worker = Worker(issuer, client, clock, store)
    with asyncio.Runner() as one:
        one.run(worker.run())
        with asyncio.Runner() as other:
            other.run(worker.run())
    with asyncio.Runner() as last:
        last.run(worker.run())
        last.run(client.aclose())
    first, second, third = (lease.holder for lease in store.leases)
    assert first != second == third


@pytest.mark.posix
def test_a_lease_token_is_not_shared_with_a_forked_child() -> None:
    """Two processes never hold one lease: the child asks with a token of its own."""
    command = [sys.executable, "-c", NO_SUCCESSOR]
    asked = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
    parents, childs = asked[0], asked[2]
    assert asked == [parents, parents, childs, parents]
    assert parents != childs


# Another worker is at it, or nobody may.


@pytest.mark.parametrize(
    ("uniform", "pauses"),
    [(max, (0.05, 0.1, 0.2, 0.4, 0.4, 0.4)), (min, (0.025, 0.05, 0.1, 0.2, 0.2, 0.2))],
)
async def test_a_cold_worker_waits_for_the_lease_holders_keys(
    hire: Hire,
    clock: FakeClock,
    issuer: FakeIssuer,
    uniform: Callable[[float, float], float],
    pauses: tuple[float, ...],
) -> None:
    """It asks the store at growing, jittered intervals, and the provider not at all."""
    newer = Newer(7, stored(issuer, FIRST), 0.1, 1000.0)
    store = ScriptedStore(*[Busy(3.0)] * len(pauses), newer)
    task = asyncio.ensure_future(hire(store, uniform=uniform).run())
    for asked, pause in enumerate(pauses, start=1):
        await spin()
        clock.advance(pause - 0.001)
        await spin()
        assert len(store.polls) == asked
        clock.advance(0.001)
    assert await task == Done()
    assert issuer.requests == ()


async def test_a_cold_worker_gives_up_after_lease_deadline_and_a_second(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """While the store can lease, no worker fetches without a lease, however long it waits."""
    task = asyncio.ensure_future(hire(ScriptedStore(Busy(3.0)), uniform=max).run())
    assert await elapsed(clock, task) == pytest.approx(9.0, abs=0.02)
    outcome = task.result()
    assert isinstance(outcome, Failed)
    assert (outcome.here, outcome.retry_after) == (False, 1.0)
    assert issuer.requests == ()


async def test_a_shared_failure_ends_the_wait_at_once(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """When the lease holder failed, those who wait for it fail too, and for the same time."""
    task = asyncio.ensure_future(hire(ScriptedStore(Busy(3.0), Cooling(4.5, "failed"))).run())
    await spin()
    clock.advance(0.05)
    outcome = await task
    assert isinstance(outcome, Failed)
    assert (outcome.retry_after, outcome.here) == (4.5, False)
    assert issuer.requests == ()


async def test_another_workers_mismatch_is_no_outage(hire: Hire, issuer: FakeIssuer) -> None:
    """And no mismatch either, for a worker that has not met it: it says who has."""
    worker = hire(ScriptedStore(Cooling(4.5, "mismatch")), discovers=True)
    outcome = await worker.run()
    assert isinstance(outcome, Failed)
    assert (outcome.mismatch, outcome.retry_after, outcome.here) == (False, 4.5, False)
    assert outcome.reason.startswith("issuer: ")
    assert issuer.requests == ()


@pytest.mark.parametrize(
    ("stated", "believed"), [(-5.0, 1.0), (0.0, 1.0), (nan, 1.0), (20.0, 20.0), (1e9, 60.0)]
)
async def test_a_stores_numbers_are_believed_within_reason(
    hire: Hire, stated: float, believed: float
) -> None:
    """No store can stop a worker for good, or make it ask without a pause."""
    outcome = await hire(ScriptedStore(Cooling(stated, "failed"))).run()
    assert isinstance(outcome, Failed)
    assert outcome.retry_after == believed
    assert await hire(ScriptedStore(Cooling(stated, "budget"))).run() == Deferred(believed)


async def test_a_document_from_the_future_counts_as_new(hire: Hire, issuer: FakeIssuer) -> None:
    """A clock that went wrong elsewhere prolongs no key's life."""
    worker = hire(ScriptedStore(Newer(7, stored(issuer, FIRST), -500.0, 1000.0)))
    assert await worker.run() == Done()
    assert worker.refresher.current.life.fetched == worker.clock.monotonic()


async def test_a_worker_with_fresh_keys_waits_for_nobody(hire: Hire, clock: FakeClock) -> None:
    """Its refresh-ahead leaves it to the lease holder."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    clock.advance(700)
    store.play(Busy(2.5))
    assert await worker.run() == Deferred(2.5)


async def test_a_worker_with_stale_keys_asks_less_and_less(
    hire: Hire, issuer: FakeIssuer, clock: FakeClock
) -> None:
    """Nobody waits for it any more: ten thousand of them should not wear the store out."""
    store = ScriptedStore(granted(1))
    worker = hire(store, uniform=max)
    await worker.run()
    clock.advance(1000)
    store.play(Busy(3.0))
    before = len(store.polls)
    call = asyncio.ensure_future(worker.run())
    for _ in range(36):
        await clock.until_sleeping()
        clock.advance(0.25)
    assert len(store.polls) - before <= 10
    assert call.done() or call.cancel()
    issuer.release()


@pytest.mark.parametrize("is_search", [True, False])
async def test_a_search_waits_for_the_lease_holders_keys(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, *, is_search: bool
) -> None:
    """Fresh keys do not help a token that none of them fits."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    clock.advance(1)
    store.play(Busy(2.5), Newer(2, stored(issuer, SECOND), 0.0, 1000.0))
    before, now = worker.refresher.current, clock.monotonic()
    purpose = FindKey(token_of("second"), before, now) if is_search else Replace(before, now)
    task = asyncio.ensure_future(worker.refresher.run(purpose))
    await spin()
    clock.advance(0.05)
    assert await task == Done()


async def test_a_store_without_keys_and_lease_is_a_failure(hire: Hire, issuer: FakeIssuer) -> None:
    """`Unchanged` answers a look; to a lease request it breaks the contract."""
    worker = hire(ScriptedStore(Unchanged()))
    assert await worker.run(None) == Done()
    outcome = await worker.run()
    assert isinstance(outcome, Failed)
    assert outcome.retry_after == 1.0
    assert issuer.requests == ()
