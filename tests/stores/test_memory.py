"""`MemoryKeyStore` keeps the contract of a store, line by line; two verifiers share one object."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks.stores import (
    Answer,
    Busy,
    Cause,
    Cooling,
    Granted,
    KeyStore,
    Lease,
    LeaseRequest,
    MemoryKeyStore,
    Newer,
    Unchanged,
)
from auth_jwks.testing import FakeClock

T = TypeVar("T")

KEY = "key"
MIB = 1024 * 1024
DAY = 86_400


class Timer:
    """The store's clock, which the tests also set back."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return its time."""
        return self.now


@pytest.fixture
def timer() -> Timer:
    """Return the store's clock."""
    return Timer()


@pytest.fixture
def store(timer: Timer) -> MemoryKeyStore:
    """Return a store that several verifiers share."""
    return MemoryKeyStore(timer=timer)


def wish(holder: str = "one", cause: Cause = "age", ttl: float = 3) -> LeaseRequest:
    """Return a wish for a lease, under a token of that name."""
    return LeaseRequest(holder, ttl, cause)


async def granted(store: KeyStore, lease: LeaseRequest, known: int = 0) -> Lease:
    """Poll for a lease that must be granted."""
    answer = await store.poll(KEY, known=known, lease=lease)
    assert isinstance(answer, Granted)
    return answer.lease


async def stored(store: KeyStore, payload: bytes = b"keys", ttl: float = 1000) -> int:
    """Store a document; return its version."""
    lease = await granted(store, wish("setup"))
    version = await store.commit(lease, payload, ttl=ttl, cooldown=30)
    assert version is not None
    return version


def at_once(call: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns that may not wait for anything."""
    try:
        call.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")


def test_a_no_call_ever_waits(store: MemoryKeyStore) -> None:
    """Every call is done without giving the event loop a turn, so none can be interrupted."""
    lease = at_once(granted(store, wish()))
    assert at_once(store.commit(lease, b"", ttl=1, cooldown=1)) == lease.fence
    at_once(store.fail(lease, retry_after=1))
    at_once(store.aclose())


@pytest.mark.parametrize("payload", [b"", b"\x00", bytes(range(256)), b"x" * MIB], ids=len)
async def test_b_payload_is_opaque(store: MemoryKeyStore, payload: bytes) -> None:
    """Any bytes come back exactly, up to a mebibyte."""
    version = await stored(store, payload)
    expected = Newer(version, payload, age=0, ttl_left=1000)
    assert await store.poll(KEY, known=0, lease=None) == expected


@given(payload=st.binary(max_size=200))
def test_b_payload_round_trips(payload: bytes) -> None:
    """Whatever the bytes are."""
    store = MemoryKeyStore()
    at_once(stored(store, payload))
    answer = at_once(store.poll(KEY, known=0, lease=None))
    assert isinstance(answer, Newer)
    assert answer.payload == payload


async def test_b_version_is_an_integer_in_range(store: MemoryKeyStore, timer: Timer) -> None:
    """Above zero, and at most a day ahead of the store's time in microseconds."""
    version = await stored(store)
    assert type(version) is int
    assert 0 < version <= (timer.now + DAY) * 1e6


@pytest.mark.parametrize(("ahead", "ignored"), [(0, False), (1, True)])
async def test_b_known_too_far_ahead_is_ignored(
    store: MemoryKeyStore, timer: Timer, ahead: int, *, ignored: bool
) -> None:
    """More than a day ahead of the store's time, `known` counts as nothing known."""
    await stored(store)
    known = int(timer.now + DAY) * 1_000_000 + ahead
    answer = await store.poll(KEY, known=known, lease=None)
    assert isinstance(answer, Newer if ignored else Unchanged)


async def test_b_version_too_far_ahead_counts_as_absent(
    store: MemoryKeyStore, timer: Timer
) -> None:
    """After the clock was set back by days, the workers share anew."""
    timer.now += 3 * DAY
    await stored(store, b"of the future")
    timer.now -= 2 * DAY
    assert await store.poll(KEY, known=0, lease=None) == Unchanged()
    await stored(store, b"of today")
    answer = await store.poll(KEY, known=0, lease=None)
    assert isinstance(answer, Newer)
    assert answer.payload == b"of today"


async def test_c_newer_document_wins_over_a_lease(store: MemoryKeyStore) -> None:
    """The second verifier gets what the first has fetched, not a lease to fetch it again."""
    version = await stored(store)
    answer = await store.poll(KEY, known=version - 1, lease=wish("two"))
    assert isinstance(answer, Newer)


@pytest.mark.parametrize("beyond", [0, 1])
async def test_c_what_is_known_costs_no_payload(store: MemoryKeyStore, beyond: int) -> None:
    """A version seen, or below one seen, is `Unchanged`; whoever wants a lease gets it."""
    version = await stored(store)
    assert await store.poll(KEY, known=version + beyond, lease=None) == Unchanged()
    lease = await granted(store, wish("two"), known=version + beyond)
    assert lease.fence > version + beyond


async def test_c_expired_document_is_absent(store: MemoryKeyStore, timer: Timer) -> None:
    """`ttl` counts from when the fetch began; at its end the document is gone."""
    lease = await granted(store, wish())
    timer.now += 2
    await store.commit(lease, b"keys", ttl=10, cooldown=30)
    timer.now += 7.75
    answer = await store.poll(KEY, known=0, lease=None)
    assert isinstance(answer, Newer)
    assert (answer.age, answer.ttl_left) == (9.75, 0.25)
    timer.now += 0.25
    assert await store.poll(KEY, known=0, lease=None) == Unchanged()
    assert isinstance(await store.poll(KEY, known=0, lease=wish()), Granted)


async def test_c_keys_are_apart(store: MemoryKeyStore) -> None:
    """What happens under one key is nothing to another."""
    version = await stored(store)
    await granted(store, wish("two"), known=version)
    assert await store.poll("other", known=0, lease=None) == Unchanged()
    answer = await store.poll("other", known=0, lease=wish("three"))
    assert isinstance(answer, Granted)
    assert answer.lease.key == "other"


async def test_d_one_lease_at_a_time(store: MemoryKeyStore, timer: Timer) -> None:
    """Of two verifiers one fetches, and the other is told for how long at most."""
    await granted(store, wish("one"))
    timer.now += 1
    assert await store.poll(KEY, known=0, lease=wish("two")) == Busy(2)
    assert await store.poll(KEY, known=0, lease=None) == Unchanged()


async def test_d_lease_lapses_without_its_holder(store: MemoryKeyStore, timer: Timer) -> None:
    """A holder that died blocks nobody for longer than the lease."""
    await granted(store, wish("one"))
    timer.now += 3
    await granted(store, wish("two"))


async def test_d_lost_reply_loses_nothing(store: MemoryKeyStore, timer: Timer) -> None:
    """The same token again gets the same fence, and the time from now on."""
    lost = await granted(store, wish("one", "unknown_kid"))
    timer.now += 2
    again = await granted(store, wish("one", "unknown_kid"))
    assert (again.fence, again.token, again.ttl) == (lost.fence, "one", 3)
    assert (lost.started, again.started) == (timer.now - 2, timer.now)
    timer.now += 2
    assert await store.poll(KEY, known=0, lease=wish("two")) == Busy(1)
    assert await store.commit(again, b"keys", ttl=10, cooldown=30) == lost.fence


async def test_d_lost_reply_to_a_commit_loses_nothing(store: MemoryKeyStore) -> None:
    """Who does not know that its commit was taken finds its document at the next poll."""
    version = await stored(store, b"keys")
    answer = await store.poll(KEY, known=0, lease=wish("setup"))
    assert isinstance(answer, Newer)
    assert (answer.version, answer.payload) == (version, b"keys")


async def test_d_lease_of_a_clock_set_back_is_void(store: MemoryKeyStore, timer: Timer) -> None:
    """A lease granted in the store's future keeps nobody waiting until then."""
    first = await granted(store, wish("one", ttl=300))
    timer.now -= 100
    second = await granted(store, wish("two"))
    assert second.fence > first.fence


async def test_e_fences_strictly_increase(store: MemoryKeyStore, timer: Timer) -> None:
    """At the same instant, after lapse, failure and commit, and after the clock was set back."""
    fences: list[int] = []
    for turn, step in enumerate((0, 0, 3, -50, 0, 1, 100)):
        timer.now += step
        lease = await granted(store, wish(f"{turn}"), known=max(fences, default=0))
        fences.append(lease.fence)
        if turn % 3:
            await store.commit(lease, b"", ttl=1000, cooldown=30)
        else:
            await store.fail(lease, retry_after=0)
    assert fences == sorted(set(fences))


async def test_e_fences_increase_through_a_flush(store: MemoryKeyStore, timer: Timer) -> None:
    """A store that lost everything counts from its clock, and above what a worker knows."""
    version = await stored(store)
    await store.aclose()
    timer.now -= 50
    lease = await granted(store, wish(), known=version)
    assert lease.fence == version + 1
    await store.aclose()
    timer.now += 51
    assert (await granted(store, wish(), known=0)).fence > lease.fence


async def test_e_fence_is_above_what_is_known(store: MemoryKeyStore, timer: Timer) -> None:
    """A worker that has seen a version of a faster clock commits above it."""
    known = int(timer.now * 1e6) + 5_000_000
    lease = await granted(store, wish(), known=known)
    assert await store.commit(lease, b"", ttl=10, cooldown=30) == lease.fence == known + 1


async def test_f_holder_commits(store: MemoryKeyStore) -> None:
    """The version is the fence; the lease has ended."""
    lease = await granted(store, wish("one"))
    assert await store.commit(lease, b"keys", ttl=10, cooldown=30) == lease.fence
    await granted(store, wish("two"), known=lease.fence)


async def test_f_lapsed_holder_commits_through_an_empty_gate(
    store: MemoryKeyStore, timer: Timer
) -> None:
    """Its work is not lost as long as nobody else came."""
    lease = await granted(store, wish("one"))
    timer.now += 60
    assert await store.commit(lease, b"keys", ttl=100, cooldown=30) == lease.fence
    assert await store.poll(KEY, known=0, lease=None) == Newer(lease.fence, b"keys", 60, 40)


async def test_f_superseded_holder_gets_none(store: MemoryKeyStore, timer: Timer) -> None:
    """Who stalled past its lease does not overwrite newer keys."""
    late = await granted(store, wish("one"))
    timer.now += 3
    lease = await granted(store, wish("two"))
    await store.commit(lease, b"newer", ttl=100, cooldown=30)
    assert await store.commit(late, b"older", ttl=100, cooldown=30) is None
    answer = await store.poll(KEY, known=0, lease=None)
    assert isinstance(answer, Newer)
    assert answer.payload == b"newer"


async def test_f_foreign_gate_is_left_alone(store: MemoryKeyStore, timer: Timer) -> None:
    """A late commit and a late failure change nothing while another holds the lease."""
    late = await granted(store, wish("one"))
    timer.now += 3
    await granted(store, wish("two"))
    assert await store.commit(late, b"older", ttl=100, cooldown=30) is None
    await store.fail(late, retry_after=300)
    assert await store.poll(KEY, known=0, lease=wish("three")) == Busy(3)
    assert await store.poll(KEY, known=0, lease=None) == Unchanged()


async def test_f_fence_ahead_of_the_clock_needs_the_gate(
    store: MemoryKeyStore, timer: Timer
) -> None:
    """When the clock was set back, a lapsed holder's fence proves nothing."""
    timer.now += 100
    await granted(store, wish("setup"))
    timer.now -= 100
    lapsed = await granted(store, wish("one"))
    timer.now += 3
    assert await store.commit(lapsed, b"", ttl=100, cooldown=30) is None
    live = await granted(store, wish("two"))
    assert await store.commit(live, b"", ttl=100, cooldown=30) == live.fence


async def noise(store: KeyStore, timer: Timer, cause: Cause, known: int) -> Answer:
    """Ask for a lease without reason of age, and let it lapse."""
    answer = await store.poll(KEY, known=known, lease=wish(f"{timer.now}", cause, ttl=1))
    timer.now += 1
    return answer


async def test_g_noise_is_bounded_in_any_window(store: MemoryKeyStore, timer: Timer) -> None:
    """Two leases for all but age, whoever asks; the window slides, and begins at no fixed time."""
    lease = await granted(store, wish())
    known = await store.commit(lease, b"", ttl=1000, cooldown=10) or 0
    causes: list[Cause] = ["unknown_kid", "forced", "repair"]
    answers = [await noise(store, timer, causes[second % 3], known) for second in range(60)]
    leased = [second for second, answer in enumerate(answers) if isinstance(answer, Granted)]
    assert leased == [0, 1, 10, 11, 20, 21, 30, 31, 40, 41, 50, 51]


async def test_g_held_back_noise_is_told_until_when(store: MemoryKeyStore, timer: Timer) -> None:
    """The third lease comes when the older of the two is as old as the window."""
    await noise(store, timer, "unknown_kid", 0)
    timer.now += 10
    await noise(store, timer, "forced", 0)
    assert await noise(store, timer, "repair", 0) == Cooling(18, failed=False)
    timer.now += 17
    assert isinstance(await noise(store, timer, "repair", 0), Granted)
    assert await noise(store, timer, "forced", 0) == Cooling(10, failed=False)


async def test_g_age_is_never_held_back_by_noise(store: MemoryKeyStore, timer: Timer) -> None:
    """A set that grew old is refreshed in the midst of a flood; that costs noise nothing."""
    answers = [await noise(store, timer, "unknown_kid", 0) for _ in range(3)]
    ages = [await noise(store, timer, "age", 0) for _ in range(3)]
    assert [type(one) for one in answers + ages] == [Granted, Granted, Cooling] + [Granted] * 3
    timer.now += 24
    assert isinstance(await noise(store, timer, "unknown_kid", 0), Granted)


async def test_g_failure_cools_every_cause(store: MemoryKeyStore, timer: Timer) -> None:
    """Nobody asks the provider again for that long."""
    lease = await granted(store, wish())
    await store.fail(lease, retry_after=5)
    causes: list[Cause] = ["age", "unknown_kid", "forced", "repair"]
    for cause in causes:
        answer = await store.poll(KEY, known=0, lease=wish("two", cause))
        assert answer == Cooling(5, failed=True)
    timer.now += 5
    await granted(store, wish("two"))


async def test_g_cooldown_is_at_most_five_minutes(store: MemoryKeyStore) -> None:
    """A provider's `Retry-After` of an hour is not honoured to its end."""
    await store.fail(await granted(store, wish()), retry_after=3600)
    assert await store.poll(KEY, known=0, lease=wish()) == Cooling(300, failed=True)


async def test_g_mismatch_is_told_with_the_cooldown(store: MemoryKeyStore) -> None:
    """That the provider names another issuer is an answer to all who share the store."""
    await store.fail(await granted(store, wish()), retry_after=5, mismatch=True)
    expected = Cooling(5, failed=True, mismatch=True)
    assert await store.poll(KEY, known=0, lease=wish("two")) == expected


async def test_g_failures_are_counted_and_reset(store: MemoryKeyStore, timer: Timer) -> None:
    """Consecutive failures are the fleet's; a commit ends the row."""
    counts = []
    for turn in range(4):
        lease = await granted(store, wish(f"{turn}"))
        counts.append(lease.failures)
        await store.fail(lease, retry_after=1)
        timer.now += 1
    version = await stored(store)
    lease = await granted(store, wish(), known=version)
    assert ([*counts, lease.failures]) == [0, 1, 2, 3, 0]


async def test_h_cancelled_holder_blocks_no_longer_than_its_lease() -> None:
    """A caller that is cancelled amid its fetch leaves a lease, which lapses."""
    clock = FakeClock()
    store = MemoryKeyStore(timer=clock.monotonic)

    async def fetch() -> None:
        lease = await granted(store, wish("one"))
        await clock.sleep(2)
        await store.commit(lease, b"", ttl=10, cooldown=30)

    holder = asyncio.create_task(fetch())
    await clock.until_sleeping()
    holder.cancel()
    clock.advance(2)
    assert await store.poll(KEY, known=0, lease=wish("two")) == Busy(1)
    clock.advance(1)
    await granted(store, wish("two"))


def test_fork_drops_leases_and_keeps_cooldowns() -> None:
    """The holders live in the parent, which goes on undisturbed; its failures count for both."""
    # A process of its own: to fork is safe only where no other thread runs.
    script = [sys.executable, "-W", "error", str(Path(__file__))]
    told = subprocess.run(script, check=True, capture_output=True, timeout=60)
    both = {"held": "Busy", "cooling": "Cooling", "stored": "Newer"}
    assert json.loads(told.stdout) == {
        "child": both | {"leased": "Granted", "rises": True},
        "parent": both | {"leased": "Busy", "rises": False},
    }


async def test_closed_store_has_forgotten_everything() -> None:
    """A store is a context manager; after it, there is nothing, and it may be used again."""
    async with MemoryKeyStore() as store:
        await stored(store)
    assert await store.poll(KEY, known=0, lease=None) == Unchanged()


async def test_state_is_told_without_keys(store: MemoryKeyStore) -> None:
    """The representation counts."""
    await stored(store, b"secret")
    assert repr(store) == "MemoryKeyStore(keys=1)"


async def test_lease_and_wish_do_not_show_their_token(store: MemoryKeyStore) -> None:
    """The token is what a lease is held by; it is in no representation."""
    request = wish("secret")
    lease = await granted(store, request)
    assert repr(request) == "LeaseRequest(ttl=3, cause='age')"
    assert repr(lease) == f"Lease(key='key', fence={lease.fence}, failures=0)"


async def test_least_recently_used_key_leaves_first(timer: Timer) -> None:
    """Beyond its size the store gives up what was not asked for the longest."""
    store = MemoryKeyStore(maxsize=2, timer=timer)
    for key in ("old", "used", "old", "new"):
        await store.poll(key, known=0, lease=wish(key))
    busy = [await store.poll(key, known=0, lease=wish("other")) for key in ("new", "old", "used")]
    assert [type(one) for one in busy] == [Busy, Busy, Granted]


async def test_idle_record_is_kept_for_a_day_or_the_life_of_its_document(
    store: MemoryKeyStore, timer: Timer
) -> None:
    """What the gate remembers outlives a short document; a long one outlives the day."""
    lease = await granted(store, wish())
    await store.fail(lease, retry_after=1)
    timer.now += DAY - 1
    assert (await granted(store, wish())).failures == 1
    timer.now += DAY
    assert repr(store) == "MemoryKeyStore(keys=0)"
    await stored(store, ttl=3 * DAY)
    timer.now += 2 * DAY
    assert isinstance(await store.poll(KEY, known=0, lease=None), Newer)


async def _views(store: KeyStore, fence: int) -> dict[str, object]:
    leased = await store.poll("leased", known=0, lease=wish("two"))
    held = await store.poll("leased", known=0, lease=wish("three"))
    cooling = await store.poll("cooling", known=0, lease=wish("two"))
    document = await store.poll("stored", known=0, lease=None)
    return {
        "leased": type(leased).__name__,
        "held": type(held).__name__,
        "cooling": type(cooling).__name__,
        "stored": type(document).__name__,
        "rises": isinstance(leased, Granted) and leased.lease.fence > fence,
    }


async def _prepared(store: KeyStore) -> int:
    leases = {}
    for key in ("leased", "cooling", "stored"):
        answer = await store.poll(key, known=0, lease=wish())
        assert isinstance(answer, Granted)
        leases[key] = answer.lease
    await store.fail(leases["cooling"], retry_after=60)
    await store.commit(leases["stored"], b"keys", ttl=1000, cooldown=30)
    return leases["leased"].fence


def _forking() -> dict[str, object]:
    timer = Timer()
    store = MemoryKeyStore(timer=timer)
    fence = at_once(_prepared(store))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, json.dumps(at_once(_views(store, fence))).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    child = json.loads(os.read(reader, 1000))
    return {"child": child, "parent": at_once(_views(store, fence))}


if __name__ == "__main__":
    print(json.dumps(_forking()))  # noqa: T201 - the answer to the test
