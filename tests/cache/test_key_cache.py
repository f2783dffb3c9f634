"""Who gets which keys and who waits, as time passes and things go wrong."""

import asyncio
import logging
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import httpx
import pytest

from auth_jwks import (
    JWKS,
    IssuerMismatchError,
    KeysUnavailableError,
    MemoryKeyStore,
    UnknownKeyError,
)
from auth_jwks._cache.single_flight import SingleFlight
from auth_jwks.events import KeysRefreshed, RefreshFailed, StaleServed, UnknownKey
from auth_jwks.stores import Answer, LeaseRequest, Newer, Unchanged
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.cache.worker import FIRST, SECOND, Hire, Worker, spin
from tests.scripted_store import ScriptedStore, granted

T = TypeVar("T")

FORK = """
import asyncio, os, sys, traceback
from auth_jwks import JWKS

moment, discovery_url, issuer, token = sys.argv[1:]
jwks = JWKS(discovery_url, issuer=issuer)

def fork():
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        return
    try:
        asyncio.run(jwks.verify_token(token))
        asyncio.run(jwks.refresh(force=True))
        print("child", flush=True)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

async def fork_amid_refresh():
    verification = asyncio.ensure_future(jwks.verify_token(token))
    told = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, told.set)
    await told.wait()
    asyncio.get_running_loop().remove_reader(0)
    fork()
    await verification

if moment == "used":
    asyncio.run(jwks.verify_token(token))
if moment == "amid":
    asyncio.run(fork_amid_refresh())
else:
    fork()
asyncio.run(jwks.verify_token(token))
print("parent", flush=True)
"""


class CountingStore(MemoryKeyStore):
    """A store in memory that counts what it is asked, and answers while it is `open`."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(timer=clock.monotonic)
        self.polls = 0
        self.open = asyncio.Event()
        self.open.set()

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Count, and answer."""
        self.polls += 1
        await self.open.wait()
        return await super().poll(key, known=known, lease=lease)


def begin(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Run something at the same time."""
    return asyncio.ensure_future(work)


def stale(worker: Worker) -> list[bool]:
    """Return, for each time that stale keys were served, whether it opened an episode."""
    return [event.first for event in worker.events if isinstance(event, StaleServed)]


async def outcomes(*work: Coroutine[Any, Any, Any]) -> Counter[type]:
    """Return how many ended with which class."""
    return Counter(type(end) for end in await asyncio.gather(*work, return_exceptions=True))


# Fresh keys.


async def test_keys_are_fetched_once_and_then_cost_nothing(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The first token waits for discovery and the key set, later ones for nothing."""
    worker = hire()
    assert worker.cache.ready() is None
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
        ("max-age=100", None, 100.0),
        ("public, max-age=100", 30, 70.0),
        ("max-age=100", 90, 60.0),
        ("max-age=1", None, 60.0),
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
    """`Cache-Control: max-age` less `Age` shortens it, to a minute at the least."""
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


# Stale keys.


async def test_stale_keys_serve_while_the_provider_is_down(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """Each use is an event, and the first of an episode one WARNING."""
    worker = hire()
    await worker.verify()
    for _ in range(2):
        issuer.outage()
        clock.advance(901)
        caplog.clear()
        assert [await worker.verify() for _ in range(3)] == [["first"]] * 3
        warnings = [note for note in caplog.records if note.levelno == logging.WARNING]
        assert sum("stale" in note.getMessage() for note in warnings) == 1
        issuer.recover()
        clock.advance(310)
        await worker.verify()
    assert stale(worker) == [True, False, False] * 2


async def test_a_token_waits_half_a_second_from_the_refreshs_begin(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """With stale keys at hand a hung provider costs the first half a second, a later token less."""
    worker = hire()
    await worker.verify()
    clock.advance(901)
    issuer.reset()
    issuer.hang(times=1)
    first = begin(worker.verify())
    await issuer.arrived(1)
    clock.advance(0.375)
    second = begin(worker.verify())
    await spin()
    assert not first.done()
    assert not second.done()
    clock.advance(0.125)
    assert await first == await second == ["first"]
    assert worker.at_once == ["first"]
    assert stale(worker) == [True, False, False]
    issuer.rotate(SECOND)
    issuer.release()
    await worker.landed()
    assert not worker.cache.status().failure
    assert worker.cache.status().fresh


async def test_a_quick_refresh_spares_the_stale_keys(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """An answer within half a second is waited for."""
    worker = hire()
    await worker.verify()
    clock.advance(901)
    issuer.rotate(SECOND, keep=False)
    assert await worker.verify("second") == ["second"]
    assert stale(worker) == []


async def test_without_max_stale_nothing_stale_is_served(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """`max_stale=0`: the token waits for the refresh, however long, and fails with it."""
    worker = hire(max_stale=0.0)
    await worker.verify()
    clock.advance(901)
    issuer.reset()
    issuer.hang()
    waiting = begin(worker.verify())
    await issuer.arrived(1)
    clock.advance(9)
    await spin()
    assert not waiting.done()
    clock.advance(1)
    with pytest.raises(KeysUnavailableError):
        await waiting
    assert stale(worker) == []


async def test_beyond_max_stale_the_keys_are_unavailable(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Stale service is bounded, and ends with what it can't replace."""
    worker = hire(max_stale=100.0)
    await worker.verify()
    issuer.outage()
    clock.advance(999)
    assert await worker.verify() == ["first"]
    clock.advance(1)
    assert worker.cache.ready() is None
    with pytest.raises(KeysUnavailableError):
        await worker.verify()
    issuer.recover()
    clock.advance(301)
    assert await worker.verify() == ["first"]


@pytest.mark.parametrize("max_stale", [0.0, 86_400.0])
async def test_a_refresh_left_to_another_worker_is_looked_for_in_time(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, max_stale: float
) -> None:
    """A worker that left the refresh-ahead to the lease holder has its keys when its own expire."""
    store = CountingStore(clock)
    one, other = (hire(store=store, max_stale=max_stale) for _ in range(2))
    await one.verify()
    await other.verify()
    clock.advance(899)
    issuer.reset()
    issuer.hang(times=1)
    assert one.at_once == ["first"]
    await issuer.arrived(1)
    polls = store.polls
    for _ in range(10):
        assert other.at_once == ["first"]
        await other.landed()
    assert store.polls == polls + 1
    issuer.release()
    await one.landed()
    clock.advance(1)
    assert await other.verify() == ["first"]
    assert stale(other) == []
    assert issuer.jwks_requests == 1


# Failures.


async def test_failures_cool_down(hire: Hire, clock: FakeClock, issuer: FakeIssuer) -> None:
    """The provider is left alone for 5 s, then 10 s and so on; `retry_after` says how long.

    The worker that failed adds a second, so that the next turn is another worker's.
    """
    issuer.outage()
    worker = hire()
    for attempts, cooldown in enumerate((5, 10, 20, 40, 80, 160, 300, 300), start=1):
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


@pytest.mark.parametrize(("stated", "retry_after"), [(120, 121.0), (4000, 301.0), (1, 6.0)])
async def test_the_provider_may_ask_for_a_longer_pause(
    hire: Hire, issuer: FakeIssuer, stated: int, retry_after: float
) -> None:
    """`Retry-After` is honoured up to five minutes."""
    issuer.outage(429, stated)
    with pytest.raises(KeysUnavailableError) as caught:
        await hire().verify()
    assert caught.value.retry_after == retry_after


async def test_the_worker_that_failed_skips_the_next_turn(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """A failure is everybody's, and who tries next is another."""
    store = MemoryKeyStore(timer=clock.monotonic)
    one, other = hire(store=store), hire(store=store)
    issuer.outage()
    for worker in (one, other):
        with pytest.raises(KeysUnavailableError):
            await worker.verify()
    assert issuer.discovery_requests == 1
    clock.advance(5)
    for worker in (one, other):
        with pytest.raises(KeysUnavailableError):
            await worker.verify()
    assert issuer.discovery_requests == 2
    assert one.cache.status().retry_after == 1.0
    assert other.cache.status().retry_after == 11.0


async def test_the_next_turn_is_drawn_among_the_others(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Within half a second after the cool-down, before the worker that failed."""
    store = MemoryKeyStore(timer=clock.monotonic)
    one, other = hire(store=store, uniform=max), hire(store=store, uniform=max)
    issuer.outage()
    for worker in (one, other):
        with pytest.raises(KeysUnavailableError):
            await worker.verify()
    assert one.cache.status().retry_after == 7.25
    assert other.cache.status().retry_after == 6.75


async def test_another_workers_keys_end_a_failure(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """What a look into the store brings does, though this worker itself may not ask yet."""
    store = ScriptedStore(granted())
    worker = hire(store=store)
    await worker.verify()
    issuer.outage(retry_after=300)
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


# Unknown keys.


async def test_a_flood_of_unknown_kids_is_two_fetches(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """One for those that come at once, one more for the rest; no call to the store each."""
    store = CountingStore(clock)
    worker = hire(store=store)
    await worker.verify()
    issuer.reset()
    store.polls = 0
    unknown = (worker.verify(f"random-{number}") for number in range(1000))
    assert await outcomes(*unknown) == {UnknownKeyError: 1000}
    for number in range(1000):
        with pytest.raises(UnknownKeyError):
            await worker.verify(f"sequential-{number}")
    assert issuer.jwks_requests == 2
    assert store.polls == 2
    told = [event for event in worker.events if isinstance(event, UnknownKey)]
    assert Counter(event.asked for event in told) == {True: 1001, False: 999}


@pytest.mark.parametrize(("cache_ttl", "window"), [(900.0, 30), (20.0, 10)])
async def test_an_unending_flood_is_two_fetches_a_window(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, cache_ttl: float, window: int
) -> None:
    """In any min(30 s, `cache_ttl`/2); and the store is asked once a second."""
    store = CountingStore(clock)
    worker = hire(store=store, cache_ttl=cache_ttl)
    await worker.verify()
    asked, polls = [], store.polls
    for second in range(3 * window):
        clock.advance(1)
        before = issuer.jwks_requests
        ends = await outcomes(*(worker.verify(f"{second}-{number}") for number in range(20)))
        assert ends == {UnknownKeyError: 20}
        asked.append(issuer.jwks_requests - before)
    assert max(sum(asked[begin : begin + window]) for begin in range(len(asked))) == 2
    assert store.polls - polls <= 3 * window + 1


async def test_a_rotation_is_picked_up_at_once(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """One second after the first fetch a new key is found by its first token."""
    worker = hire()
    await worker.verify()
    clock.advance(1)
    issuer.rotate(SECOND)
    assert await worker.verify("second") == ["second"]
    assert worker.at_once == ["first", "second"]


async def test_a_rotation_amid_a_flood_is_picked_up_within_a_window(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Noise may spend the budget of one window, not of the next."""
    worker = hire()
    await worker.verify()
    for turn in range(2):
        await outcomes(*(worker.verify(f"random-{turn}-{number}") for number in range(100)))
    issuer.rotate(SECOND)
    with pytest.raises(UnknownKeyError):
        await worker.verify("second")
    clock.advance(30)
    assert await worker.verify("second") == ["second"]


async def test_a_token_without_kid_searches_as_well(hire: Hire, issuer: FakeIssuer) -> None:
    """With several candidates it is refused, through the same limiter; with one it is not."""
    worker = hire()
    assert await worker.verify(None) == ["first"]
    issuer.rotate(SECOND)
    await worker.verify("second")
    issuer.reset()
    for _ in range(10):
        with pytest.raises(UnknownKeyError):
            await worker.verify(None)
    assert issuer.jwks_requests == 1


async def test_known_kids_wait_for_no_search(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """While the provider hangs over an unknown `kid`, tokens of a known one pass."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    issuer.hang(times=1)
    search = begin(worker.verify("second"))
    await issuer.arrived(1)
    clock.advance(5)
    assert worker.at_once == ["first"]
    issuer.rotate(SECOND)
    issuer.release()
    assert await search == ["second"]


async def test_a_search_that_fails_makes_the_keys_unavailable(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Whoever joined it fails with it; and so do later ones, without asking, until it cooled."""
    worker = hire()
    await worker.verify()
    issuer.outage()
    issuer.reset()
    searches = [worker.verify(f"random-{number}") for number in range(10)]
    assert await outcomes(*searches) == {KeysUnavailableError: 10}
    for _ in range(5):
        with pytest.raises(KeysUnavailableError) as caught:
            await worker.verify("second")
        assert caught.value.retry_after == 6.0
    assert issuer.discovery_requests == 1
    assert worker.at_once == ["first"]
    issuer.recover()
    clock.advance(6)
    with pytest.raises(UnknownKeyError):
        await worker.verify("second")


async def test_a_search_that_waited_for_a_failure_fails_with_it(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The provider that just failed a refresh-ahead is not asked again for an unknown `kid`."""
    store = CountingStore(clock)
    worker = hire(store=store)
    await worker.verify()
    clock.advance(700)
    issuer.reset()
    issuer.outage()
    issuer.hang(times=1)
    assert worker.at_once == ["first"]
    await issuer.arrived(1)
    search = begin(worker.verify("second"))
    await spin()
    issuer.release()
    with pytest.raises(KeysUnavailableError):
        await search
    assert issuer.discovery_requests == 1
    assert store.polls == 2


async def test_searches_are_joined_by_a_thousand(hire: Hire, issuer: FakeIssuer) -> None:
    """One more is refused at once, however long the provider takes."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    issuer.hang(times=1)
    searches = [begin(worker.verify("second")) for _ in range(1100)]
    await issuer.arrived(1)
    await spin()
    refused = [search for search in searches if search.done()]
    assert len(refused) == 100
    issuer.rotate(SECOND)
    issuer.release()
    issuer.recover()
    ends = await asyncio.gather(*searches, return_exceptions=True)
    assert Counter(type(end) for end in ends) == {UnknownKeyError: 100, list: 1000}


async def test_a_search_is_waited_for_no_longer_than_the_deadline(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """A search that first had to wait for a refresh-ahead may take longer than its tokens."""
    worker = hire()
    await worker.verify()
    clock.advance(700)
    issuer.reset()
    issuer.hang(on="jwks")
    assert worker.at_once == ["first"]
    await issuer.arrived(2)
    clock.advance(4)
    search = begin(worker.verify("second"))
    await spin()
    clock.advance(5)
    issuer.release()
    await issuer.arrived(4)
    clock.advance(4)
    await spin()
    assert not search.done()
    clock.advance(1)
    with pytest.raises(KeysUnavailableError, match="no answer in time"):
        await search
    assert worker.at_once == ["first"]


async def test_one_search_serves_all_who_came_by_its_begin(hire: Hire, issuer: FakeIssuer) -> None:
    """A hundred tokens of a hundred unknown keys at once are one fetch."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    searches = (worker.verify(f"random-{number}") for number in range(100))
    assert await outcomes(*searches) == {UnknownKeyError: 100}
    assert issuer.jwks_requests == 1


async def test_a_search_that_came_too_early_is_followed_by_another(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The answer under way may be older than the token's key."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    issuer.hang(times=1, on="jwks")
    early = begin(worker.verify("random"))
    await issuer.arrived(2)
    clock.advance(1)
    issuer.rotate(SECOND)
    late = begin(worker.verify("second"))
    await spin()
    issuer.release()
    with pytest.raises(UnknownKeyError):
        await early
    assert await late == ["second"]
    assert issuer.jwks_requests == 2


async def test_an_unknown_kid_is_looked_for_in_the_store_first(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """What another worker found costs the provider nothing."""
    store = MemoryKeyStore(timer=clock.monotonic)
    one, other = hire(store=store), hire(store=store)
    await one.verify()
    await other.verify()
    clock.advance(1)
    issuer.rotate(SECOND)
    await one.verify("second")
    issuer.reset()
    assert await other.verify("second") == ["second"]
    assert issuer.requests == ()


@pytest.mark.parametrize(
    ("pause", "kid", "end"), [(0.0, "random", UnknownKeyError), (0.1, "second", list)]
)
async def test_a_refresh_that_came_in_between_is_the_search(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, pause: float, kid: str, end: type
) -> None:
    """One that waited for a refresh which began no earlier, or brought the key, asks no more."""
    worker = hire()
    await worker.verify()
    clock.advance(1)
    issuer.reset()
    issuer.hang(times=1)
    forced = begin(worker.cache.refresh(force=True))
    await issuer.arrived(1)
    issuer.rotate(SECOND)
    clock.advance(pause)
    search = begin(outcomes(worker.verify(kid)))
    await spin()
    issuer.release()
    await forced
    assert await search == {end: 1}
    assert issuer.jwks_requests == 1


# Other workers.


async def test_a_warm_worker_looks_for_newer_keys(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Every minute or so, in the background: a key withdrawn elsewhere is withdrawn here too."""
    store = CountingStore(clock)
    one, other = hire(store=store), hire(store=store)
    await one.verify()
    await other.verify()
    clock.advance(10)
    issuer.rotate(SECOND, keep=False)
    await one.cache.refresh(force=True)
    issuer.reset()
    store.polls = 0
    clock.advance(34.9)
    assert other.at_once == ["first"]
    assert store.polls == 0
    clock.advance(0.1)
    assert other.at_once == ["first"]
    await other.landed()
    assert store.polls == 1
    assert other.at_once == ["second"]
    assert issuer.requests == ()


@pytest.mark.parametrize(("uniform", "interval"), [(min, 45.0), (max, 75.0)])
async def test_looks_into_the_store_are_a_minute_apart(
    hire: Hire, clock: FakeClock, uniform: Callable[[float, float], float], interval: float
) -> None:
    """Give or take a quarter, and counted from the last call of any kind."""
    store = CountingStore(clock)
    worker = hire(store=store, uniform=uniform)
    await worker.verify()
    clock.advance(30)
    with pytest.raises(UnknownKeyError):
        await worker.verify("random")
    store.polls = 0
    for polls in (1, 2, 3):
        clock.advance(interval - 0.1)
        assert worker.at_once == ["first"]
        clock.advance(0.1)
        assert worker.at_once == ["first"]
        await worker.landed()
        assert store.polls == polls


# Callers come and go.


async def test_a_cancelled_caller_cancels_nobody_else(hire: Hire, issuer: FakeIssuer) -> None:
    """The refresh goes on for the others, and even for none."""
    worker = hire()
    issuer.hang(times=1)
    callers = [begin(worker.verify()) for _ in range(3)]
    await issuer.arrived(1)
    callers[0].cancel()
    await asyncio.wait(callers[:1])
    issuer.release()
    assert await callers[1] == await callers[2] == ["first"]
    issuer.hang(times=1)
    issuer.reset()
    forced = begin(worker.cache.refresh(force=True))
    await issuer.arrived(1)
    forced.cancel()
    issuer.rotate(SECOND)
    issuer.release()
    await worker.landed()
    assert worker.at_once == ["first", "second"]


async def test_a_cancelled_search_leaves_room_for_another(hire: Hire, issuer: FakeIssuer) -> None:
    """Who gives up no longer counts among those who joined."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    issuer.hang(times=1)
    searches = [begin(worker.verify("second")) for _ in range(1000)]
    await issuer.arrived(1)
    await spin()
    searches[7].cancel()
    await asyncio.wait(searches[7:8])
    late = begin(worker.verify("second"))
    await spin()
    assert not late.done()
    later = begin(outcomes(worker.verify("second")))
    await spin()
    assert later.done()
    issuer.rotate(SECOND)
    issuer.release()
    assert await late == ["second"]
    assert await later == {UnknownKeyError: 1}
    await asyncio.gather(*searches, return_exceptions=True)


async def test_looks_that_take_long_do_not_hide_that_keys_expired(
    hire: Hire, clock: FakeClock
) -> None:
    """Who joined a look into the store that brought nothing goes on to a refresh."""
    store = CountingStore(clock)
    worker = hire(store=store, cache_ttl=60.0, max_stale=0.0, poll_interval=10.0)
    await worker.verify()
    clock.advance(10)
    store.open.clear()
    assert worker.at_once == ["first"]
    clock.advance(50)
    waiting = [begin(worker.verify()), begin(worker.cache.refresh(force=False))]
    await spin()
    store.open.set()
    await asyncio.gather(*waiting)
    assert worker.cache.status().fresh


async def test_a_look_may_spare_a_refresh(hire: Hire, clock: FakeClock, issuer: FakeIssuer) -> None:
    """What another worker fetched in time is as good as what this one would fetch."""
    store = CountingStore(clock)
    one, other = hire(store=store), hire(store=store)
    await one.verify()
    await other.verify()
    clock.advance(400)
    await one.cache.refresh(force=True)
    clock.advance(501)
    issuer.reset()
    await other.cache.refresh(force=False)
    assert issuer.requests == ()
    assert other.cache.status().age == 501


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
    assert caught.value.retry_after == 28.0
    assert worker.at_once == ["first"]
    clock.advance(28)
    await worker.cache.refresh(force=True)


async def test_a_forced_refresh_respects_a_shared_cool_down(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """It does not wait for this worker's turn, but for the end of the fleet's pause."""
    worker = hire()
    issuer.outage(times=1)
    for _ in range(2):
        with pytest.raises(KeysUnavailableError):
            await worker.cache.refresh(force=True)
    assert issuer.discovery_requests == 1
    clock.advance(5)
    await worker.cache.refresh(force=True)
    assert worker.at_once == ["first"]


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


async def test_another_issuer_is_found_by_one_for_all(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Workers of one store learn of it without asking, and serve nothing stale either."""
    store = MemoryKeyStore(timer=clock.monotonic)
    one, other = hire(store=store), hire(store=store)
    await one.verify()
    await other.verify()
    issuer.announce(issuer="https://other.test")
    clock.advance(901)
    issuer.reset()
    for worker in (one, other):
        with pytest.raises(IssuerMismatchError, match="issuer: "):
            await worker.verify()
    assert issuer.discovery_requests == 1
    assert stale(other) == []


async def test_a_search_meets_another_issuer(hire: Hire, issuer: FakeIssuer) -> None:
    """While the keys are fresh, known kids pass and unknown ones tell what is wrong."""
    worker = hire()
    await worker.verify()
    issuer.announce(issuer="https://other.test")
    for _ in range(2):
        with pytest.raises(IssuerMismatchError):
            await worker.verify("second")
    assert worker.at_once == ["first"]


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


# The end.


async def test_closing_ends_what_is_under_way(hire: Hire, issuer: FakeIssuer) -> None:
    """Who waits is told, nothing can be begun any more, and a second close does nothing."""
    worker = hire()
    issuer.hang()
    waiting = [begin(worker.verify()), begin(worker.cache.refresh(force=True))]
    await issuer.arrived(1)
    await worker.cache.aclose()
    for task in waiting:
        with pytest.raises(RuntimeError, match="closed"):
            await task
    assert not worker.cache.status().refreshing
    await worker.cache.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await worker.verify()


# Loops and processes come and go.


def test_event_loops_may_come_one_after_the_other() -> None:
    """What one loop fetched serves in the next, and the next can fetch as well."""
    with FakeIssuer(keys=[FIRST]) as issuer:
        jwks = JWKS(issuer.discovery_url, issuer=issuer.issuer, allowed_algorithms=["ES256"])
        for _ in range(2):
            assert asyncio.run(jwks.verify_token(issuer.sign()))["sub"] == "alice"
        assert issuer.jwks_requests == 1
        asyncio.run(jwks.refresh(force=True))
        assert issuer.jwks_requests == 2
        asyncio.run(jwks.close())


def test_an_event_loop_may_die_amid_a_refresh() -> None:
    """The next one begins anew, with the lease of the dead one."""

    async def die() -> None:
        begin(jwks.verify_token(issuer.sign()))
        await issuer.arrived(1)

    with FakeIssuer(keys=[FIRST]) as issuer:
        jwks = JWKS(issuer.discovery_url, issuer=issuer.issuer)
        issuer.hang(times=1)
        asyncio.run(die())
        assert not jwks.status().refreshing
        assert asyncio.run(jwks.verify_token(issuer.sign()))["sub"] == "alice"


def test_an_event_loop_may_sleep_amid_a_refresh(clock: FakeClock, issuer: FakeIssuer) -> None:
    """Another loop waits for its lease alone; and what comes late replaces nothing."""

    async def begin_refresh() -> "asyncio.Task[None]":
        refresh = begin(worker.cache.refresh(force=True))
        await issuer.arrived(2)
        return refresh

    async def finish(refresh: "asyncio.Task[None]") -> None:
        await refresh
        await client.aclose()

    client = httpx.AsyncClient(transport=issuer.transport())
    worker = Worker(issuer, client, clock)
    issuer.hang(times=1, on="jwks")
    with asyncio.Runner() as one, asyncio.Runner() as other:
        refresh = one.run(begin_refresh())
        issuer.rotate(SECOND, keep=False)
        clock.advance(3)
        assert other.run(worker.verify("second")) == ["second"]
        issuer.release()
        one.run(finish(refresh))
    assert worker.cache.status().kids == ("second",)


def test_a_refresh_may_be_cancelled_by_others(clock: FakeClock, issuer: FakeIssuer) -> None:
    """Who cancels all tasks of a loop makes the keys unavailable to those who wait for them."""

    async def cancel_all_others() -> None:
        waiting = begin(worker.verify())
        await issuer.arrived(1)
        for task in asyncio.all_tasks() - {asyncio.current_task(), waiting}:
            task.cancel()
        with pytest.raises(KeysUnavailableError):
            await waiting
        assert await worker.verify() == ["first"]
        await client.aclose()

    client = httpx.AsyncClient(transport=issuer.transport())
    worker = Worker(issuer, client, clock)
    issuer.hang(times=1)
    asyncio.run(cancel_all_others())


@pytest.mark.posix
@pytest.mark.parametrize(("moment", "fetches"), [("new", 3), ("used", 2), ("amid", 3)])
async def test_a_process_may_fork(moment: str, fetches: int) -> None:
    """At any moment: child and parent verify, and the child waits for nothing of its parent's."""
    with FakeIssuer(keys=[FIRST]) as issuer:
        if moment == "amid":
            issuer.hang(times=1)
        arguments = (moment, issuer.discovery_url, issuer.issuer, issuer.sign())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FORK, *arguments, stdin=PIPE, stdout=PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        await issuer.arrived(1)
        process.stdin.write(b"go\n")
        assert await process.stdout.readline() == b"child\n"
        issuer.release()
        assert await process.stdout.readline() == b"parent\n"
        await process.communicate()
        assert process.returncode == 0
        assert issuer.jwks_requests == fetches


# A peek from another thread.


async def test_a_peek_changes_nothing(hire: Hire, clock: FakeClock, issuer: FakeIssuer) -> None:
    """It tells, of keys of any age, what `ready` returns, and whether that has more to do."""
    worker = hire(max_stale=100.0)

    def peek() -> tuple[bool, bool]:
        current, is_due = worker.cache.peek(clock.monotonic())
        assert current is None or [key.kid for key in current.key_set.keys] == ["first"]
        return current is not None, is_due

    assert peek() == (False, False)
    await worker.verify()
    assert peek() == (True, False)
    clock.advance(46)  # a look into the store is due
    assert peek() == (True, True)
    assert worker.at_once == ["first"]
    await worker.landed()
    assert peek() == (True, False)
    issuer.outage()
    issuer.reset()
    clock.advance(700)
    assert peek() == (True, True)
    clock.advance(154)
    assert peek() == (False, False), "there is a refresh to wait for"
    assert issuer.requests == ()
    await worker.verify()
    assert peek() == (True, True), "stale, and nobody may refresh"
    clock.advance(99)
    await worker.verify()
    assert peek() == (True, True)
    clock.advance(1)
    assert peek() == (False, False)


async def test_a_peek_at_another_issuer(hire: Hire, clock: FakeClock, issuer: FakeIssuer) -> None:
    """Leaves no stale keys."""
    worker = hire()
    await worker.verify()
    issuer.announce(issuer="https://other.test")
    clock.advance(901)
    with pytest.raises(IssuerMismatchError):
        await worker.verify()
    assert worker.cache.peek(clock.monotonic()) == (None, False)


# A refusal in another thread.


async def test_a_refusal_needs_a_spent_budget(hire: Hire, clock: FakeClock) -> None:
    """It is what a search would come to at once; who may search, or join one, is not refused."""
    worker = hire()

    def refuse(kid: str = "second") -> None:
        worker.cache.raise_if_hopeless(kid, "ES256", clock.monotonic())

    await worker.verify()
    refuse()
    for _ in range(2):
        with pytest.raises(UnknownKeyError):
            await worker.verify("second")
    with pytest.raises(UnknownKeyError):
        refuse()
    refuse("first")  # a key that has come since
    clock.advance(1)
    refuse()


async def test_a_search_under_way_is_joined_by_threads(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Though the budget is spent: it may bring the key."""
    worker = hire()
    await worker.verify()
    with pytest.raises(UnknownKeyError):
        await worker.verify("second")
    issuer.reset()
    issuer.hang(times=1)
    search = begin(worker.verify("second"))
    await issuer.arrived(1)
    worker.cache.raise_if_hopeless("second", "ES256", clock.monotonic())
    issuer.rotate(SECOND)
    issuer.recover()
    issuer.release()
    assert await search == ["second"]
    with pytest.raises(UnknownKeyError):
        worker.cache.raise_if_hopeless("third", "ES256", clock.monotonic())


async def test_a_failed_search_speaks_for_those_after_it(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """While it cools down no key is called unknown, and those at hand are none of it."""
    worker = hire()
    await worker.verify()
    issuer.outage()
    with pytest.raises(KeysUnavailableError):
        await worker.verify("second")
    with pytest.raises(KeysUnavailableError) as caught:
        worker.cache.raise_if_hopeless("second", "ES256", clock.monotonic())
    assert caught.value.retry_after > 0
    worker.cache.raise_if_hopeless("first", "ES256", clock.monotonic())
    clock.advance(caught.value.retry_after)
    worker.cache.raise_if_hopeless("second", "ES256", clock.monotonic())
