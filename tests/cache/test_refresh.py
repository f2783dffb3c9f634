"""One refresh: what is asked of the store and the provider, in which order, and what is told."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from math import nan

import httpx
import pytest

from auth_jwks._cache.freshness import Policy
from auth_jwks._cache.guarded_store import GuardedStore
from auth_jwks._cache.purpose import FindKey, Replace
from auth_jwks._cache.refresh import Deferred, Done, Failed, Outcome
from auth_jwks._provider.document import Document, decode, encode
from auth_jwks.events import DocumentRejected, KeysRefreshed, RefreshFailed, StoreFailed
from auth_jwks.stores import (
    Answer,
    Busy,
    Cause,
    Cooling,
    LeaseRequest,
    MemoryKeyStore,
    Newer,
    StoreUnavailable,
    Unchanged,
)
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.cache.worker import FIRST, SECOND, Hire, Worker, spin
from tests.scripted_store import ScriptedStore, Silence, granted

DOWN = StoreUnavailable("timed out")
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


@pytest.fixture
def hire(hire: Hire) -> Hire:
    """Return what makes workers that know their `jwks_uri`."""
    return lambda store, **more: hire(store, **{"discovers": False, **more})


def stored(issuer: FakeIssuer, *keys: SigningKey, etag: str | None = None) -> bytes:
    """Return what a worker of the same source keeps in the store."""
    jwks = json.dumps({"keys": [key.jwk() for key in keys]}).encode()
    return encode(Document(issuer.jwks_uri, issuer.issuer, jwks, etag))


async def elapsed(clock: FakeClock, task: asyncio.Task[Outcome]) -> float:
    """Let time pass until the task is done; return how much, to a hundredth of a second."""
    began = clock.monotonic()
    while not task.done():
        clock.advance(0.01)
        await spin()
    return clock.monotonic() - began


# The store has keys.


async def test_newer_keys_are_taken_from_the_store(hire: Hire, issuer: FakeIssuer) -> None:
    """What another worker fetched is used, with the age it has, and the provider not asked."""
    store = ScriptedStore(Newer(7, stored(issuer, SECOND), age=100.0, ttl_left=1000.0))
    worker = hire(store)
    assert await worker.run() == Done()
    assert worker.kids == ["second"]
    assert worker.refresher.known == 7
    assert worker.events == [KeysRefreshed(issuer.jwks_uri, "store", 1, (), 100.0)]
    assert worker.refresher.current.life.fetched == worker.clock.monotonic() - 100
    assert issuer.requests == ()


async def test_a_worker_asks_for_what_it_has_not_seen(hire: Hire, issuer: FakeIssuer) -> None:
    """`known` is the highest version seen."""
    store = ScriptedStore(Newer(7, stored(issuer, FIRST), 0.0, 1000.0), Unchanged())
    worker = hire(store)
    await worker.run()
    assert await worker.run(None) == Done()
    assert store.polls[1] == (7, None)


async def test_keys_from_the_store_that_are_too_old_are_fetched_anew(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """A stored set beyond its refresh point is held, and leased over."""
    store = ScriptedStore(Newer(7, stored(issuer, SECOND), 700.0, 1000.0), granted(8))
    worker = hire(store)
    assert await worker.run() == Done()
    assert [known for known, _ in store.polls] == [0, 7]
    assert [event.origin for event in worker.events if isinstance(event, KeysRefreshed)] == [
        "store",
        "provider",
    ]


async def test_an_older_document_is_seen_and_not_used(hire: Hire, issuer: FakeIssuer) -> None:
    """A document that was fetched before the worker's own set replaces nothing."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    worker.clock.advance(50)
    store.play(Newer(9, stored(issuer, SECOND), 60.0, 1000.0))
    assert await worker.run(None) == Done()
    assert worker.kids == ["first"]
    assert worker.refresher.known == 9


async def test_a_younger_document_replaces_the_keys_at_hand(hire: Hire, issuer: FakeIssuer) -> None:
    """A document that was fetched after the worker's own set is used, withdrawn keys and all."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    worker.clock.advance(50)
    store.play(Newer(9, stored(issuer, SECOND), 40.0, 1000.0))
    assert await worker.run(None) == Done()
    assert worker.kids == ["second"]


# The worker is the one to fetch.


async def test_what_is_fetched_is_shared(hire: Hire, issuer: FakeIssuer) -> None:
    """The document goes to the store under the lease, for as long as it may serve anybody."""
    store = ScriptedStore(granted(41, failures=2), commits=(41,))
    worker = hire(store)
    assert await worker.run() == Done()
    [(lease, payload, ttl, cooldown)] = store.commits
    document = decode(payload)
    assert document is not None
    assert (document.uri, document.issuer) == (issuer.jwks_uri, issuer.issuer)
    assert json.loads(document.jwks) == {"keys": [FIRST.jwk()]}
    assert (lease.fence, ttl, cooldown) == (41, 900 + 86_400, 30.0)
    assert worker.refresher.known == 41
    assert worker.kids == ["first"]


async def test_a_lease_request_says_why(hire: Hire) -> None:
    """The request names its cause, lasts three seconds and holds 128 random bits."""
    store = ScriptedStore(Cooling(5.0, "budget"))
    worker = hire(store)
    causes: list[Cause] = ["age", "unknown_kid", "forced"]
    for cause in causes:
        assert await worker.run(cause) == Deferred(5.0)
    assert [lease.cause for lease in store.leases] == causes
    assert {lease.ttl for lease in store.leases} == {3.0}
    assert {len(bytes.fromhex(lease.holder)) for lease in store.leases} == {16}


async def test_a_failure_is_shared(hire: Hire, issuer: FakeIssuer) -> None:
    """When the provider can't be had, nobody is to ask for a while."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    issuer.outage(503)
    outcome = await worker.run()
    assert isinstance(outcome, Failed)
    assert (outcome.retry_after, outcome.here, outcome.mismatch) == (5.0, True, False)
    assert [retry_after for _, retry_after, _ in store.fails] == [5.0]
    assert worker.events == [RefreshFailed(issuer.jwks_uri, "status", outcome.reason, 5.0)]
    assert store.commits == []


@pytest.mark.parametrize(
    ("failures", "retry_after", "cooldown"),
    [
        (0, None, 5.0),
        (1, None, 10.0),
        (2, None, 20.0),
        (5, None, 160.0),
        (6, None, 300.0),
        (10_000, None, 300.0),
        (0, 120, 120.0),
        (0, 4000, 300.0),
        (1, 1, 10.0),
    ],
)
async def test_cool_downs_double_with_the_failures_of_the_fleet(
    hire: Hire, issuer: FakeIssuer, failures: int, retry_after: float | None, cooldown: float
) -> None:
    """Five seconds, doubling to five minutes; the provider's `Retry-After` may prolong them."""
    store = ScriptedStore(granted(1, failures))
    issuer.outage(503, retry_after)
    outcome = await hire(store).run()
    assert isinstance(outcome, Failed)
    assert outcome.retry_after == cooldown
    assert [retry_after for _, retry_after, _ in store.fails] == [cooldown]


async def test_cool_downs_are_jittered(hire: Hire, issuer: FakeIssuer) -> None:
    """At most a quarter is added, so that not all workers come back at once."""
    issuer.outage(503)
    outcome = await hire(ScriptedStore(granted(1)), uniform=max).run()
    assert isinstance(outcome, Failed)
    assert outcome.retry_after == 6.25


@pytest.mark.parametrize("body", [b'{"keys": []}', b"{}", b"<html>", b'{"keys": [{"kty": "oct"}]}'])
async def test_an_unusable_set_replaces_nothing(
    hire: Hire, issuer: FakeIssuer, body: bytes
) -> None:
    """What holds no usable key is a failure: it is neither held nor stored."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    issuer.junk(body)
    assert isinstance(await worker.run("forced"), Failed)
    assert worker.kids == ["first"]
    assert len(store.commits) == len(store.fails) == 1


async def test_keys_for_others_are_shared_with_them(hire: Hire, issuer: FakeIssuer) -> None:
    """A worker whose algorithms fit no key fails alone: the set is stored, and nobody cools."""
    store = ScriptedStore(granted(1))
    worker = hire(store, algorithm="RS256")
    outcome = await worker.run()
    assert isinstance(outcome, Failed)
    assert (outcome.here, outcome.retry_after) == (True, 30.0)
    assert "allowed_algorithms" in outcome.reason
    assert worker.told(RefreshFailed) == [
        RefreshFailed(issuer.jwks_uri, "no_fitting_keys", outcome.reason, 30.0)
    ]
    assert (len(store.commits), len(store.fails)) == (1, 0)
    assert worker.kids == []


async def test_keys_for_others_are_not_rejected(hire: Hire, issuer: FakeIssuer) -> None:
    """In the store, too, they are somebody's; what the worker holds is kept."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    worker.clock.advance(50)
    store.play(Newer(9, stored(issuer, SigningKey.generate("ES384")), 0.0, 1000.0))
    assert await worker.run(None) == Done()
    assert worker.kids == ["first"]
    assert worker.told(DocumentRejected) == []


async def test_keys_for_others_are_fetched_once_for_all_they_are_no_good_to(
    hire: Hire, issuer: FakeIssuer, clock: FakeClock
) -> None:
    """Whoever finds them in the store waits for others, as long as they are fresh."""
    store = MemoryKeyStore(timer=clock.monotonic)
    crew = [hire(store, algorithm="RS256") for _ in range(5)]
    for worker in crew * 2:
        assert isinstance(await worker.run(), Failed)
        assert len(worker.told(RefreshFailed)) > 0
    assert issuer.jwks_requests == 1
    issuer.rotate(SigningKey.generate("RS256", "third"))
    other = hire(store)
    assert await other.run("forced") == Done()
    assert await crew[0].run() == Done()
    assert crew[0].kids == ["third"]
    assert issuer.jwks_requests == 2
    clock.advance(900)
    assert await hire(store, algorithm="PS256").run() != Done()
    assert issuer.jwks_requests == 3


async def test_another_issuer_is_told_apart(hire: Hire, issuer: FakeIssuer) -> None:
    """A discovery document of another issuer is an answer and no outage; its keys are not used."""
    store = ScriptedStore(granted(1))
    worker = hire(store, discovers=True)
    issuer.announce(issuer="https://other.test")
    outcome = await worker.run()
    assert isinstance(outcome, Failed)
    assert outcome.mismatch
    [event] = worker.events
    assert isinstance(event, RefreshFailed)
    assert event.mismatch
    assert worker.kids == []
    assert issuer.jwks_requests == 0
    assert [mismatch for _, _, mismatch in store.fails] == [True]


async def test_a_reply_that_comes_late_replaces_nothing(hire: Hire, issuer: FakeIssuer) -> None:
    """A set whose fetch began earlier gives way to the one at hand, whenever it arrives."""
    worker = hire(ScriptedStore(granted(1), commits=(None,)))
    issuer.hang(times=1)
    late = asyncio.ensure_future(worker.run())
    await issuer.arrived(1)
    worker.clock.advance(0.5)
    issuer.rotate(SECOND, keep=False)
    assert await worker.run("forced") == Done()
    issuer.release()
    assert await late == Done()
    assert worker.kids == ["second"]


async def test_the_etag_of_the_document_at_hand_is_sent(hire: Hire, issuer: FakeIssuer) -> None:
    """A set that did not change is not sent again, and committed exactly as it was."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    worker.clock.advance(1)
    assert await worker.run("forced") == Done()
    assert issuer.not_modified == 1
    assert store.commits[0][1] == store.commits[1][1]
    assert worker.kids == ["first"]
    assert worker.refresher.current.life.fetched == worker.clock.monotonic()


async def test_the_etag_of_another_workers_document_is_sent_once_it_is_held(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """The `ETag` comes from the store with its document."""
    store = ScriptedStore(Newer(7, stored(issuer, FIRST, etag='"x"'), 700.0, 1000.0), granted(8))
    await hire(store).run()
    assert [request.headers.get("if-none-match") for request in issuer.requests] == ['"x"']


async def test_no_etag_is_sent_for_a_document_that_is_not_held(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """A cold worker, or one that rejected the stored document, wants the set itself."""
    store = ScriptedStore(Newer(7, stored(issuer, etag='"x"'), 0.0, 1000.0), granted(8))
    await hire(store).run()
    assert [request.headers.get("if-none-match") for request in issuer.requests] == [None]


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
    async with asyncio.timeout(5):
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
        StoreFailed(issuer.jwks_uri, "poll", "unavailable", "timed out")
    ]


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


async def test_a_lease_token_is_used_for_one_lease(hire: Hire, issuer: FakeIssuer) -> None:
    """Commit and fail use it up."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    issuer.outage(times=1)
    await worker.run("forced")
    await worker.run("forced")
    assert (len(store.commits), len(store.fails)) == (2, 1)
    assert len({lease.holder for lease in store.leases}) == 3


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
    """What one worker learned of the issuer the others need not find out by themselves."""
    worker = hire(ScriptedStore(Cooling(4.5, "mismatch")), discovers=True)
    outcome = await worker.run()
    assert isinstance(outcome, Failed)
    assert (outcome.mismatch, outcome.retry_after, outcome.here) == (True, 4.5, False)
    assert outcome.reason.startswith("issuer: ")
    assert issuer.requests == ()


@pytest.mark.parametrize(
    ("stated", "believed"), [(-5.0, 1.0), (0.0, 1.0), (nan, 1.0), (20.0, 20.0), (1e9, 300.0)]
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
    purpose = FindKey("second", "ES256", before, now) if is_search else Replace(before, now)
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


# The commit goes wrong.


async def test_a_lost_reply_to_a_commit_costs_nothing(hire: Hire, issuer: FakeIssuer) -> None:
    """The keys are used at once; when the store shows them as newer, they are recognised."""
    store = ScriptedStore(granted(7), commits=(DOWN,))
    worker = hire(store)
    assert await worker.run() == Done()
    assert worker.told(StoreFailed) == [
        StoreFailed(issuer.jwks_uri, "commit", "unavailable", "timed out")
    ]
    assert worker.refresher.known == 0
    worker.clock.advance(2)
    store.play(Newer(7, store.commits[0][1], 2.0, 1000.0))
    assert await worker.run(None) == Done()
    assert worker.refresher.known == 7
    assert len(worker.told(KeysRefreshed)) == 1


@pytest.mark.parametrize(("age", "kids"), [(1.0, ["second"]), (9.0, ["first"])])
async def test_a_superseded_worker_looks_at_what_superseded_it(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, age: float, kids: list[str]
) -> None:
    """The younger of the two sets is used, and the stored version is known from then on."""
    store = ScriptedStore(granted(7), commits=(None,))
    worker = hire(store)
    issuer.hang(times=1)
    task = asyncio.ensure_future(worker.run())
    await issuer.arrived(1)
    clock.advance(4)
    store.play(Newer(9, stored(issuer, SECOND), age, 1000.0))
    issuer.release()
    assert await task == Done()
    assert store.polls[-1] == (0, None)
    assert worker.kids == kids
    assert worker.refresher.known == 9


@pytest.mark.parametrize("answer", [DOWN, Unchanged()])
async def test_a_superseded_worker_goes_on_with_what_it_fetched(
    hire: Hire, answer: Answer | Exception
) -> None:
    """Nothing newer is shown: what was fetched serves."""
    store = ScriptedStore(granted(7), answer, commits=(None,))
    worker = hire(store)
    assert await worker.run() == Done()
    assert worker.kids == ["first"]


async def test_a_failure_that_cannot_be_shared_is_a_failure_all_the_same(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """The worker cools down by itself."""
    issuer.outage(503)
    worker = hire(ScriptedStore(granted(1), fails=(DOWN,)))
    assert isinstance(await worker.run(), Failed)
    assert worker.told(StoreFailed) == [
        StoreFailed(issuer.jwks_uri, "fail", "unavailable", "timed out")
    ]
    assert len(worker.told(RefreshFailed)) == 1


# The store is down.


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
        == [StoreFailed(issuer.jwks_uri, "poll", "unavailable", "timed out")] * 2
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
        == [StoreFailed(issuer.jwks_uri, "poll", "unexpected", "RuntimeError")] * 2
    )


async def test_a_store_that_gives_itself_up_is_down(hire: Hire, issuer: FakeIssuer) -> None:
    """A cancellation that nobody asked for is a fault like any other."""

    def give_up(_key: str, _request: LeaseRequest | None) -> Answer:
        raise asyncio.CancelledError

    worker = hire(ScriptedStore(give_up))
    assert await worker.run() == Done()
    fault = StoreFailed(issuer.jwks_uri, "poll", "cancelled", "CancelledError")
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
    for outcome in (Done(), Done(), Deferred(28.0)):
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
    shared = GuardedStore(store, "k", name="n", policy=Policy(), clock=clock)
    assert repr(shared) == "GuardedStore('n', known=0)"


# What the store holds can't be used.


def rejected_documents(issuer: FakeIssuer) -> dict[str, bytes]:
    """Return documents of every kind that must not be trusted."""
    jwks = json.dumps({"keys": [SECOND.jwk()]}).encode()
    return {
        "no document": b"\x00\xff",
        "another format": b'{"format": 2}',
        "another issuer": encode(Document(issuer.jwks_uri, "https://evil.test", jwks)),
        "another source": encode(Document("https://evil.test/jwks", issuer.issuer, jwks)),
        "no key set": encode(Document(issuer.jwks_uri, issuer.issuer, b"[]")),
        "no usable key": stored(issuer),
    }


@pytest.mark.parametrize(
    "kind",
    ["no document", "another format", "another issuer", "another source", "no key set",
     "no usable key"],
)  # fmt: skip
async def test_an_unusable_document_is_seen_and_leased_over(
    hire: Hire, issuer: FakeIssuer, kind: str
) -> None:
    """What comes out of the store is checked like an answer of the provider's."""
    payload = rejected_documents(issuer)[kind]
    store = ScriptedStore(Newer(7, payload, 0.0, 1000.0), granted(8), commits=(8,))
    worker = hire(store)
    assert await worker.run() == Done()
    assert [known for known, _ in store.polls] == [0, 7]
    assert worker.kids == ["first"]
    [rejection] = worker.told(DocumentRejected)
    assert isinstance(rejection, DocumentRejected)
    assert rejection.reason
    assert worker.refresher.known == 8


async def test_a_document_that_its_store_does_not_vouch_for_is_rejected(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """The store says why, and the event repeats it; the worker may lease over it."""
    forged = Newer(4, stored(issuer, SECOND), 1.0, 1000.0, fault="it is not sealed")
    store = ScriptedStore(forged, granted(5), commits=(5,))
    worker = hire(store)
    assert await worker.run() == Done()
    assert worker.kids == ["first"]
    assert worker.told(DocumentRejected) == [
        DocumentRejected(issuer.jwks_uri, "seal", "it is not sealed")
    ]


@pytest.mark.parametrize(("over", "fetches"), [(0, 0), (1, 1)])
async def test_a_document_has_at_most_2_mib(
    hire: Hire, issuer: FakeIssuer, over: int, fetches: int
) -> None:
    """Room for the largest key set that is fetched, escaped; more is not even parsed."""
    document = stored(issuer, SECOND).ljust(2 * 1024 * 1024 + over)
    worker = hire(ScriptedStore(Newer(4, document, 1.0, 1000.0), granted(5), commits=(5,)))
    assert await worker.run() == Done()
    assert len(worker.told(DocumentRejected)) == fetches
    assert worker.kids == ["first" if fetches else "second"]


async def test_a_rejected_document_takes_no_keys_away(hire: Hire) -> None:
    """A worker with young keys rejects the document, and leases it over."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    worker.clock.advance(50)
    store.play(Newer(9, b"junk", 0.0, 1000.0), granted(10))
    assert await worker.run(None) == Done()
    assert worker.kids == ["first"]
    assert store.leases[-1].cause == "repair"
    assert store.commits[-1][0].fence == 10
    assert len(worker.told(DocumentRejected)) == 1


async def test_a_store_that_repeats_itself_is_not_asked_without_end(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """A version that is not newer than the one known is a broken contract."""
    store = ScriptedStore(Newer(9, b"junk", 0.0, 1000.0))
    outcome = await hire(store).run()
    assert isinstance(outcome, Failed)
    assert len(store.polls) == 2
    assert issuer.requests == ()


async def test_a_store_that_alternates_is_not_asked_without_end(hire: Hire) -> None:
    """Two documents in turn, both of no use, would keep it busy for as long as it may wait."""
    polls = [Newer(version, b"junk", 1.0, 10.0) for version in (2, 1, 2)]
    store = ScriptedStore(*polls)
    assert await hire(store).run() == Failed("the key store returned the same version twice", 1.0)
    assert len(store.polls) == 3


async def test_a_store_whose_clock_went_back_is_used_again(
    hire: Hire, issuer: FakeIssuer, clock: FakeClock
) -> None:
    """It ignores a version that lies more than a day ahead, and so does the worker."""
    ahead = 2 * 86_400.0
    store = MemoryKeyStore(timer=lambda: clock.monotonic() + ahead)
    worker, other = hire(store), hire(store)
    assert await worker.run() == Done()
    await store.aclose()
    ahead = 0.0
    assert await other.run() == Done()
    clock.advance(700)
    for count in (2, 3):
        for each in (worker, other):
            assert await each.run() == Done()
            assert each.is_young()
        assert issuer.jwks_requests == count + 1
        clock.advance(700)


async def test_a_look_that_finds_junk_becomes_a_repair(hire: Hire, issuer: FakeIssuer) -> None:
    """A worker whose keys are due leases the document over, within the unscheduled budget."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    worker.clock.advance(700)
    store.play(Newer(9, b"junk", 0.0, 1000.0), granted(10))
    assert await worker.run(None) == Done()
    assert store.leases[-1].cause == "repair"
    assert worker.is_young()
    assert issuer.jwks_requests == 2


async def test_the_store_is_asked_under_one_name_per_source(hire: Hire, issuer: FakeIssuer) -> None:
    """Workers of one source share, those of another don't."""
    names: list[str] = []

    def note(key: str, _request: LeaseRequest | None) -> Answer:
        names.append(key)
        return Unchanged()

    for discovers in (False, False, True):
        await hire(ScriptedStore(note), discovers=discovers).run(None)
    assert names[0] == names[1] != names[2]
    assert issuer.issuer not in names[0]
