"""What `MemoryKeyStore` promises beside the contract of a store, for which see `test_contract`."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from auth_jwks.stores import (
    Busy,
    Cause,
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
    """Return a wish for a lease, under that name."""
    return LeaseRequest(holder, ttl, cause)


async def granted(store: KeyStore, lease: LeaseRequest, known: int = 0) -> Lease:
    """Poll for a lease that must be granted."""
    answer = await store.poll(KEY, known=known, lease=lease)
    assert isinstance(answer, Granted)
    return answer.lease


async def stored(store: KeyStore, payload: bytes = b"keys", ttl: float = 1000) -> int:
    """Store a document; return its version."""
    lease = await granted(store, wish("setup"))
    version = await store.commit(lease, payload, ttl=ttl, window=30)
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
    assert at_once(store.commit(lease, b"", ttl=1, window=1)) == lease.fence
    at_once(store.fail(lease, retry_after=1))
    at_once(store.aclose())


async def test_h_cancelled_holder_blocks_no_longer_than_its_lease() -> None:
    """A caller that is cancelled amid its fetch leaves a lease, which lapses."""
    clock = FakeClock()
    store = MemoryKeyStore(timer=clock.monotonic)

    async def fetch() -> None:
        lease = await granted(store, wish("one"))
        await clock.sleep(2)
        await store.commit(lease, b"", ttl=10, window=30)

    holder = asyncio.create_task(fetch())
    await clock.until_sleeping()
    holder.cancel()
    clock.advance(2)
    assert await store.poll(KEY, known=0, lease=wish("two")) == Busy(1)
    clock.advance(1)
    await granted(store, wish("two"))


@pytest.mark.posix
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
    store = MemoryKeyStore()
    async with store as entered:
        assert entered is store
        await stored(store)
    assert await store.poll(KEY, known=0, lease=None) == Unchanged()


async def test_state_is_told_without_keys(store: MemoryKeyStore) -> None:
    """The representation counts."""
    await stored(store, b"secret")
    assert repr(store) == "MemoryKeyStore(keys=1)"


async def test_lease_and_wish_do_not_show_their_holder(store: MemoryKeyStore) -> None:
    """Whoever knows the holder has the lease; it is in no representation."""
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
    second = await store.poll("cooling", known=0, lease=wish("second"))
    assert isinstance(second, Granted)
    await store.fail(second.lease, retry_after=60)
    await store.commit(leases["stored"], b"keys", ttl=1000, window=30)
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
