"""Two handles of one directory keep the contract of a store."""

import asyncio
import fcntl
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from auth_jwks.stores._directory import Directory
from auth_jwks.stores.base import Busy, Cooling, Granted, Newer, StoreUnavailable, Unchanged
from auth_jwks.stores.file import FileKeyStore
from tests.stores.file.leasing import (
    KEY,
    MIB,
    Timer,
    granted,
    record_of,
    stored,
    suffixes,
    wish,
)


def number_of(path: Path) -> tuple[int, int]:
    """Return what changes with each write."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def path_of(descriptor: int) -> str:
    """Return the path of what is open under the number, or nothing: it may be a pipe, or closed."""
    try:
        if sys.platform == "darwin":
            return os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError:
        return ""


def opened(directory: Path) -> int:
    """Return how many descriptors of the directory and its files this process has.

    What else is open is not counted: it may be closed, or opened, at any moment.
    """
    paths = (path_of(int(entry.name)) for entry in Path("/dev/fd").iterdir())
    return sum(path.startswith(os.path.realpath(directory)) for path in paths)


def empty(directory: Path) -> None:
    """Take away what is in it."""
    for file in directory.iterdir():
        file.unlink()


@pytest.mark.parametrize("payload", [b"", b"\n", bytes(range(256)), b"x" * MIB], ids=len)
async def test_document_is_shared(
    store: FileKeyStore, other: FileKeyStore, timer: Timer, payload: bytes
) -> None:
    """Any bytes come back exactly, up to a mebibyte, aged since the fetch began."""
    lease = await granted(store, wish())
    timer.now += 2
    assert await store.commit(lease, payload, ttl=1000, window=30) == lease.fence
    timer.now += 3
    expected = Newer(lease.fence, payload, age=5, ttl_left=995)
    assert await other.poll(KEY, known=0, lease=wish("two")) == expected
    assert await other.poll(KEY, known=lease.fence, lease=None) == Unchanged()


async def test_longer_document_is_not_stored(store: FileKeyStore, directory: Path) -> None:
    """It could not be read, and would take the place of one that can."""
    lease = await granted(store, wish())
    with pytest.raises(StoreUnavailable, match="payload above 1 MiB"):
        await store.commit(lease, b"x" * (MIB + 1), ttl=1000, window=30)
    assert record_of(directory).stat().st_size < 1000


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "\0", "\ud800", "k" * 10_000])
async def test_key_is_any_text(store: FileKeyStore, directory: Path, key: str) -> None:
    """The names of the files are made from it and never hold it."""
    await stored(store)
    answer = await store.poll(key, known=0, lease=wish())
    assert isinstance(answer, Granted)
    assert answer.lease.key == key
    assert suffixes(directory) == ["", "", ".held", ".held", ".lock", ".lock"]


async def test_lease_excludes_the_other_handle(
    store: FileKeyStore, other: FileKeyStore, timer: Timer
) -> None:
    """Until it lapses; its own holder renews it under the same fence."""
    lease = await granted(store, wish("one"))
    assert await other.poll(KEY, known=0, lease=wish("two")) == Busy(3)
    assert await other.poll(KEY, known=0, lease=None) == Unchanged()
    timer.now += 2
    assert (await granted(store, wish("one"))).fence == lease.fence
    timer.now += 2
    assert await other.poll(KEY, known=0, lease=wish("two")) == Busy(1)
    timer.now += 1
    assert (await granted(other, wish("two"))).fence > lease.fence
    await store.fail(lease, retry_after=60)
    assert await store.poll(KEY, known=0, lease=wish("three")) == Busy(3)


@pytest.mark.parametrize("name", ["one", "two"])
async def test_holders_behind_one_handle_exclude_each_other(
    store: FileKeyStore, other: FileKeyStore, timer: Timer, name: str
) -> None:
    """Two verifiers share it; a late commit gives up neither the other's lease nor a later one."""
    late = await granted(store, wish("one"))
    assert await store.poll(KEY, known=0, lease=wish("two")) == Busy(3)
    timer.now += 3
    lease = await granted(store, wish(name))
    known = await store.commit(late, b"late", ttl=1000, window=30)
    assert known == late.fence
    assert await other.poll(KEY, known=known, lease=wish("three")) == Busy(3)
    assert await store.commit(lease, b"keys", ttl=1000, window=30) == lease.fence
    assert repr(store).endswith("leases=0)")


@pytest.mark.parametrize("shared", [False, True])
async def test_overtaken_holder_does_not_end_the_lease_after_it(
    store: FileKeyStore, other: FileKeyStore, timer: Timer, *, shared: bool
) -> None:
    """Neither by its commit nor when it closes the store; the lock is that of the new holder."""
    overtaking = store if shared else other
    slow = await granted(store, wish("one"))
    for _ in range(3):
        timer.now += 1
        await granted(store, wish("one"))
    lease = await granted(overtaking, wish("two", "unknown_kid"))
    assert await store.poll(KEY, known=0, lease=wish("one")) == Busy(3)
    await store.fail(slow, retry_after=60)
    known = await store.commit(slow, b"slow", ttl=1000, window=30)
    assert known == slow.fence
    if not shared:
        await store.aclose()
    assert await store.poll(KEY, known=known, lease=wish("three")) == Busy(3)
    assert await overtaking.commit(lease, b"keys", ttl=1000, window=30) == lease.fence


@pytest.mark.parametrize("first", [True, False])
async def test_only_who_overtook_is_found_out_when_it_is_gone(
    store: FileKeyStore, other: FileKeyStore, directory: Path, timer: Timer, *, first: bool
) -> None:
    """The lock of the one before is on another file."""
    await granted(store, wish("one", ttl=10))
    timer.now += 3
    await granted(other, wish("two", "forced"))
    await (store if first else other).aclose()
    answer = await FileKeyStore(directory, timer=timer).poll(KEY, known=0, lease=wish("three"))
    assert isinstance(answer, Busy if first else Granted)


async def test_failure_cools_the_other_handle(
    store: FileKeyStore, other: FileKeyStore, timer: Timer
) -> None:
    """The second of two does, and closing the store does not undo it."""
    await other.fail(await granted(other, wish("two")), retry_after=5)
    lease = await granted(store, wish())
    await store.fail(lease, retry_after=5, mismatch=True)
    await store.aclose()
    expected = Cooling(5, "mismatch")
    assert await other.poll(KEY, known=0, lease=wish("two")) == expected
    timer.now += 5
    assert (await granted(other, wish("two"))).failures == 2


async def test_failure_holds_back_no_search_of_another_handle(
    store: FileKeyStore, other: FileKeyStore
) -> None:
    """Who failed is in the record."""
    await store.fail(await granted(store, wish("one")), retry_after=5)
    for handle in (store, other):
        answer = await handle.poll(KEY, known=0, lease=wish("one", "unknown_kid"))
        assert answer == Cooling(5, "failed")
    assert (await granted(other, wish("two", "unknown_kid"))).failures == 1


async def test_unscheduled_leases_are_counted_together(
    store: FileKeyStore, other: FileKeyStore
) -> None:
    """Two leases for made-up keys, whichever handle asks; a dead holder's counts."""
    for name, handle in (("one", store), ("two", other)):
        async with handle:
            await granted(handle, wish(name, "unknown_kid"))
    answer = await store.poll(KEY, known=0, lease=wish("three", "unknown_kid"))
    assert answer == Cooling(10, "budget")


async def test_closed_store_gives_up_its_leases(
    store: FileKeyStore, other: FileKeyStore, directory: Path
) -> None:
    """Others need not wait for their end; it may be used again."""
    async with store as entered:
        assert entered is store
        lease = await granted(store, wish("one"))
        assert (opened(directory), repr(store)) == (1, f"FileKeyStore('{directory}', leases=1)")
    assert repr(store) == f"FileKeyStore('{directory}', leases=0)"
    assert (await granted(other, wish("two"))).fence == lease.fence + 1
    assert isinstance(await store.poll(KEY, known=0, lease=wish("three")), Busy)
    await other.aclose()
    assert opened(directory) == 0


@pytest.mark.parametrize("lost", [False, True])
async def test_lease_granted_anew_is_claimed_anew(
    store: FileKeyStore, other: FileKeyStore, timer: Timer, directory: Path, *, lost: bool
) -> None:
    """Under the same name, after others had the lease and are done: it is held, not abandoned."""
    first = await granted(store, wish("one"))
    timer.now += 3
    if lost:
        empty(directory)
    late = await granted(other, wish("two"))
    timer.now += 3
    await other.fail(late, retry_after=1)
    again = await granted(store, wish("one"))
    assert again.fence > late.fence > first.fence
    assert await other.poll(KEY, known=0, lease=wish("three")) == Busy(3)


async def test_lost_store_gives_up_its_leases(
    directory: Path, other: FileKeyStore, timer: Timer
) -> None:
    """Whoever forgot to close it blocks nobody."""
    lost = FileKeyStore(directory, timer=timer)
    fence = (await granted(lost, wish("one"))).fence
    del lost
    assert (await granted(other, wish("two"))).fence == fence + 1


async def test_idle_store_holds_no_descriptor(store: FileKeyStore, directory: Path) -> None:
    """Neither after a commit nor after a failure; a holder has one."""
    version = await stored(store)
    assert (opened(directory), repr(store)) == (0, f"FileKeyStore('{directory}', leases=0)")
    lease = await granted(store, wish(), known=version)
    assert opened(directory) == 1
    await store.fail(lease, retry_after=1)
    assert opened(directory) == 0


async def test_poll_that_changes_nothing_writes_nothing(
    store: FileKeyStore, other: FileKeyStore, directory: Path
) -> None:
    """Nor does it wait for the lock, unless it is to find out whether the holder lives."""
    version = await stored(store)
    before = number_of(record_of(directory))
    with Directory(directory) as frozen:
        assert frozen.lock(record_of(directory).name + ".lock")
        assert await other.poll(KEY, known=version, lease=None) == Unchanged()
        assert isinstance(await other.poll(KEY, known=0, lease=wish("two")), Newer)
    assert number_of(record_of(directory)) == before
    lease = await granted(store, wish(), known=version)
    before = number_of(record_of(directory))
    assert isinstance(await other.poll(KEY, known=version, lease=wish("two")), Busy)
    stranger = replace(lease, holder="two")
    assert await other.commit(stranger, b"late", ttl=1000, window=30) is None
    await other.fail(stranger, retry_after=1)
    assert number_of(record_of(directory)) == before


async def test_frozen_lock_is_waited_for_within_the_timeout(directory: Path) -> None:
    """Then the store is unavailable; whoever is cancelled while it waits leaves no lock."""
    store = FileKeyStore(directory, timeout=0.02)
    patient = FileKeyStore(directory, timeout=0.75)
    async with store:
        await granted(store, wish())
    with Directory(directory) as frozen:
        assert frozen.lock(record_of(directory).name + ".lock")
        with pytest.raises(StoreUnavailable, match=r"^locked$"):
            await granted(store, wish())
        cancelled = asyncio.create_task(granted(patient, wish("cancelled")))
        waiting = asyncio.create_task(granted(patient, wish("two")))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert not waiting.done()
    assert (await waiting).holder == "two"
