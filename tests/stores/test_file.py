"""`FileKeyStore` keeps the contract of a store in files, between real processes."""

import asyncio
import hashlib
import inspect
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auth_jwks.stores._boot import BOOTTIME, boot, since_boot
from auth_jwks.stores._directory import Directory
from auth_jwks.stores.base import (
    Answer,
    Busy,
    Cause,
    Cooling,
    Granted,
    KeyStore,
    Lease,
    LeaseRequest,
    Newer,
    StoreUnavailable,
    Unchanged,
)
from auth_jwks.stores.file import FileKeyStore

KEY = "key"
MIB = 1024 * 1024
DAY = 86_400
PROGRAM = Path(__file__).with_name("file_worker.py")


class Timer:
    """The store's clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return its time."""
        return self.now


class Worker:
    """A process with a store of its own, which does as it is told."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", str(PROGRAM), str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, *command: object) -> None:
        """Give a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, command)) + "\n")
        self._process.stdin.flush()

    def told(self) -> Any:
        """Return the next answer."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def ask(self, *command: object) -> Any:
        """Give a command and return its answer."""
        self.send(*command)
        return self.told()

    def stop(self, number: signal.Signals) -> None:
        """Send a signal that kills or freezes it, and wait until it does."""
        self._process.send_signal(number)
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        """End the freeze."""
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill it, frozen or not."""
        self._process.kill()
        self._process.communicate(timeout=10)


Hire = Callable[[int], list[Worker]]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory of this user's own."""
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def timer() -> Timer:
    """Return the clock of both handles."""
    return Timer()


@pytest.fixture
def store(directory: Path, timer: Timer) -> FileKeyStore:
    """Return one handle."""
    return FileKeyStore(directory, timer=timer)


@pytest.fixture
def other(directory: Path, timer: Timer) -> FileKeyStore:
    """Return another handle of the same directory."""
    return FileKeyStore(directory, timer=timer)


@pytest.fixture
def hire(directory: Path) -> Generator[Hire]:
    """Return what starts worker processes, which are ended with the test."""
    staff: list[Worker] = []

    def start(number: int) -> list[Worker]:
        new = [Worker(directory) for _ in range(number)]
        staff.extend(new)
        assert [worker.told() for worker in new] == ["ready"] * number
        return new

    yield start
    for worker in staff:
        worker.end()


def wish(holder: str = "one", cause: Cause = "age", ttl: float = 3) -> LeaseRequest:
    """Return a wish for a lease, under that name."""
    return LeaseRequest(holder, ttl, cause)


async def granted(store: KeyStore, lease: LeaseRequest, known: int = 0) -> Lease:
    """Poll for a lease that must be granted."""
    answer = await store.poll(KEY, known=known, lease=lease)
    assert isinstance(answer, Granted)
    return answer.lease


async def stored(store: KeyStore, payload: bytes = b"keys") -> int:
    """Store a document; return its version."""
    version = await store.commit(await granted(store, wish("setup")), payload, ttl=1000, window=30)
    assert version is not None
    return version


async def newer(store: KeyStore, known: int) -> Newer:
    """Return the next document, which must come soon."""
    async with asyncio.timeout(30):
        while True:
            answer = await store.poll(KEY, known=known, lease=None)
            if isinstance(answer, Newer):
                return answer
            await asyncio.sleep(0)


def record_of(directory: Path) -> Path:
    """Return the file of the one record there."""
    (path,) = (path for path in directory.iterdir() if not path.suffix)
    return path


def number_of(path: Path) -> tuple[int, int]:
    """Return what changes with each write."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def descriptors() -> int:
    """Return how many files this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


def suffixes(directory: Path) -> list[str]:
    """Return what kinds of files are there."""
    return sorted(path.suffix for path in directory.iterdir())


def empty(directory: Path) -> None:
    """Take away what is in it."""
    for file in directory.iterdir():
        file.unlink()


def remove(directory: Path) -> None:
    """Take it away, and what is in it."""
    directory.rename(directory.with_name("elsewhere"))


def open_to_all(directory: Path) -> None:
    """Let everybody write there."""
    directory.chmod(0o777)


def calls(store: KeyStore, lease: Lease) -> list[Callable[[], Any]]:
    """Return each call of a store that needs its directory."""
    return [
        lambda: store.poll(KEY, known=0, lease=None),
        lambda: store.poll(KEY, known=0, lease=wish("two")),
        lambda: store.commit(lease, b"keys", ttl=1000, window=30),
        lambda: store.fail(lease, retry_after=1),
    ]


@contextmanager
def limited(kind: int, limit: int) -> Iterator[None]:
    """Have this process live with less."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


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
    assert await store.commit(lease, b"late", ttl=1000, window=30) is None
    await store.fail(lease, retry_after=300)
    assert await store.poll(KEY, known=0, lease=wish("three")) == Busy(3)


async def test_holders_behind_one_handle_exclude_each_other(
    store: FileKeyStore, other: FileKeyStore, timer: Timer
) -> None:
    """Two verifiers share it; the late commit of one does not give up the lease of the other."""
    late = await granted(store, wish("one"))
    assert await store.poll(KEY, known=0, lease=wish("two")) == Busy(3)
    timer.now += 3
    lease = await granted(store, wish("two"))
    assert await store.commit(late, b"late", ttl=1000, window=30) is None
    assert await other.poll(KEY, known=0, lease=wish("three")) == Busy(3)
    assert await store.commit(lease, b"keys", ttl=1000, window=30) == lease.fence


async def test_failure_cools_the_other_handle(
    store: FileKeyStore, other: FileKeyStore, timer: Timer
) -> None:
    """Closing the store does not undo it."""
    lease = await granted(store, wish())
    await store.fail(lease, retry_after=5, mismatch=True)
    await store.aclose()
    expected = Cooling(5, "mismatch")
    assert await other.poll(KEY, known=0, lease=wish("two")) == expected
    timer.now += 5
    assert (await granted(other, wish("two"))).failures == 1


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
    before = descriptors()
    async with store as entered:
        assert entered is store
        lease = await granted(store, wish("one"))
        assert repr(store) == f"FileKeyStore('{directory}', leases=1)"
    assert repr(store) == f"FileKeyStore('{directory}', leases=0)"
    assert (await granted(other, wish("two"))).fence == lease.fence + 1
    assert isinstance(await store.poll(KEY, known=0, lease=wish("three")), Busy)
    await other.aclose()
    assert descriptors() == before


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
    before = descriptors()
    version = await stored(store)
    assert (descriptors(), repr(store)) == (before, f"FileKeyStore('{directory}', leases=0)")
    lease = await granted(store, wish(), known=version)
    assert descriptors() == before + 1
    await store.fail(lease, retry_after=1)
    assert descriptors() == before


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


@pytest.mark.parametrize("raw", [b"", b"garbage", b"{}\n", b"\x80\x04N.", b"x" * 2 * MIB], ids=len)
async def test_garbage_is_absent(store: FileKeyStore, directory: Path, raw: bytes) -> None:
    """It is replaced by the next lease, whose fence is above what the caller knows."""
    version = await stored(store)
    record_of(directory).write_bytes(raw)
    assert await store.poll(KEY, known=0, lease=None) == Unchanged()
    assert (await granted(store, wish(), known=version)).fence > version


async def test_record_of_another_boot_is_absent(store: FileKeyStore, directory: Path) -> None:
    """Its clock began anew."""
    await stored(store)
    path = record_of(directory)
    path.write_bytes(path.read_bytes().replace(boot().encode(), b"yesterday"))
    assert await store.poll(KEY, known=0, lease=None) == Unchanged()


async def test_removed_holder_file_leaves_the_lease(
    store: FileKeyStore, other: FileKeyStore, directory: Path
) -> None:
    """Who sweeps the directory ends no lease that still may be in use."""
    await granted(store, wish())
    record_of(directory).with_suffix(".held").unlink()
    assert await other.poll(KEY, known=0, lease=wish("two")) == Busy(3)


async def test_full_disk_is_told_and_reads_go_on(
    store: FileKeyStore, other: FileKeyStore, directory: Path
) -> None:
    """The document stays whole, nothing half-written stays, and the lease goes on."""
    version = await stored(store)
    lease = await granted(store, wish(), known=version)
    with limited(resource.RLIMIT_FSIZE, 2000):
        with pytest.raises(StoreUnavailable, match=r"^efbig$"):
            await store.commit(lease, b"x" * 10_000, ttl=1000, window=30)
        answer = await other.poll(KEY, known=0, lease=wish("two"))
    assert isinstance(answer, Newer)
    assert answer.payload == b"keys"
    assert suffixes(directory) == ["", ".held", ".lock"]
    assert await store.commit(lease, b"x" * 10_000, ttl=1000, window=30) == lease.fence


async def test_want_of_descriptors_is_told(store: FileKeyStore) -> None:
    """Every call says so; when there are some again, all is well."""
    lease = await granted(store, wish())
    lowest = os.dup(0)
    os.close(lowest)
    with limited(resource.RLIMIT_NOFILE, lowest):
        for call in calls(store, lease):
            with pytest.raises(StoreUnavailable, match=r"^emfile$"):
                await call()
    with limited(resource.RLIMIT_NOFILE, lowest + 1):
        for call in calls(store, lease):
            with pytest.raises(StoreUnavailable, match=r"^emfile$"):
                await call()
    assert await store.commit(lease, b"keys", ttl=1000, window=30) == lease.fence


async def test_removed_directory_is_told(store: FileKeyStore, directory: Path) -> None:
    """Every call says so; when it is there again, the store shares anew."""
    lease = await granted(store, wish())
    remove(directory)
    for call in calls(store, lease):
        with pytest.raises(StoreUnavailable, match=r"^enoent$"):
            await call()
    FileKeyStore(directory)
    await granted(store, wish())


async def test_directory_opened_to_others_is_no_longer_used(
    store: FileKeyStore, directory: Path
) -> None:
    """It was safe when the store was made."""
    lease = await granted(store, wish())
    open_to_all(directory)
    for call in calls(store, lease):
        with pytest.raises(StoreUnavailable, match=r"^unsafe directory$"):
            await call()


async def test_what_cannot_be_replaced_is_told(store: FileKeyStore, directory: Path) -> None:
    """A directory in the place of a record."""
    await stored(store)
    path = record_of(directory)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreUnavailable, match=r"^eisdir$"):
        await granted(store, wish())


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), 0.8])
def test_timeout_is_a_time(directory: Path, timeout: float) -> None:
    """Above zero, and at most a quarter of a lease, so that a holder can renew it."""
    with pytest.raises(ValueError, match=r"timeout: expected"):
        FileKeyStore(directory, timeout=timeout)


def test_unsafe_directory_is_refused(directory: Path) -> None:
    """At construction."""
    directory.chmod(0o777)
    with pytest.raises(ValueError, match="directory: "):
        FileKeyStore(directory)


def test_time_is_since_the_boot() -> None:
    """All processes of this host count it alike, and wherever there is no such clock another."""
    assert time.monotonic() - 1 < since_boot(None) <= time.monotonic() <= since_boot() + 1
    assert since_boot() <= since_boot()
    began = time.process_time()
    assert began <= since_boot(time.CLOCK_PROCESS_CPUTIME_ID) <= time.process_time()
    assert inspect.signature(FileKeyStore).parameters["timer"].default is since_boot


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such clock")
def test_time_counts_while_the_machine_sleeps() -> None:
    """On Linux; elsewhere the age of a key set stands still meanwhile."""
    assert time.CLOCK_BOOTTIME == BOOTTIME
    assert time.clock_gettime(time.CLOCK_BOOTTIME) == pytest.approx(since_boot(), abs=1)


async def test_formats_are_apart(store: FileKeyStore, directory: Path) -> None:
    """Workers of two releases don't overwrite each other's records while both run."""
    await stored(store)
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    assert record_of(directory).name == f"2-{digest}"
    (directory / digest).write_bytes(b"of another format")
    assert isinstance(await store.poll(KEY, known=0, lease=None), Newer)


def test_boot_has_a_name(directory: Path) -> None:
    """One that stays; where the system has none, it is about when it was."""
    assert boot() == boot()
    assert abs(int(boot(str(directory / "none"))) * 600 - time.time() + time.monotonic()) < 700


def test_one_of_four_processes_is_granted(hire: Hire) -> None:
    """They ask at the same time."""
    staff = hire(4)
    for turn in range(10):
        for number, worker in enumerate(staff):
            worker.send("poll", f"{turn}-{number}", 60)
        answers = [worker.told()[0] for worker in staff]
        assert sorted(answers) == ["Busy", "Busy", "Busy", "Granted"]
        staff[answers.index("Granted")].ask("aclose")


def test_one_of_four_threads_is_granted(directory: Path) -> None:
    """A store may be shared by event loops side by side."""
    store = FileKeyStore(directory)

    def ask(name: str) -> Answer:
        return asyncio.run(store.poll(KEY, known=0, lease=wish(name, ttl=60)))

    with ThreadPoolExecutor(4) as threads:
        for turn in range(10):
            answers = threads.map(ask, [f"{turn}-{number}" for number in range(4)])
            assert sorted(type(answer).__name__ for answer in answers) == ["Busy"] * 3 + ["Granted"]
            asyncio.run(store.aclose())


def test_killed_holder_is_found_out_at_once(hire: Hire) -> None:
    """The next poll gets the lease, with a greater fence, and the next in turn waits."""
    holder, second, third = hire(3)
    fence = holder.ask("poll", "one", 60)[1]
    assert second.ask("poll", "two", 60) == ["Busy"]
    holder.stop(signal.SIGKILL)
    answer, greater = second.ask("poll", "two", 60)
    assert (answer, greater > fence) == ("Granted", True)
    assert third.ask("poll", "three", 60) == ["Busy"]
    assert second.ask("commit", "keys") == greater
    assert third.ask("poll", "three", 60) == ["Newer"]


async def test_frozen_holder_loses_its_lease_in_time(hire: Hire, directory: Path) -> None:
    """Not before; then its late commit is refused, and harms nobody."""
    (holder,) = hire(1)
    store = FileKeyStore(directory)
    holder.ask("poll", "one", 1)
    holder.stop(signal.SIGSTOP)
    frozen: Answer = await store.poll(KEY, known=0, lease=wish("two", ttl=60))
    assert isinstance(frozen, Busy)
    while isinstance(frozen, Busy):
        await asyncio.sleep(0.02)
        frozen = await store.poll(KEY, known=0, lease=wish("two", ttl=60))
    assert isinstance(frozen, Granted)
    holder.go_on()
    assert holder.ask("commit", "late") is None
    assert isinstance(await store.poll(KEY, known=0, lease=wish("three")), Busy)
    assert await store.commit(frozen.lease, b"keys", ttl=10, window=1) == frozen.lease.fence
    await store.aclose()


def test_child_does_not_keep_the_lease_of_a_dead_parent(hire: Hire) -> None:
    """It has a copy of all that the parent had open."""
    holder, other = hire(2)
    holder.ask("poll", "one", 60)
    child = holder.ask("fork")
    try:
        assert other.ask("poll", "two", 60) == ["Busy"]
        holder.stop(signal.SIGKILL)
        assert other.ask("poll", "two", 60)[0] == "Granted"
    finally:
        os.kill(child, signal.SIGKILL)


def test_child_does_not_end_the_lease_of_its_parent(hire: Hire) -> None:
    """Nor does it hold it: it asks like any other worker, and dies."""
    (holder,) = hire(1)
    fence = holder.ask("poll", "one", 60)[1]
    assert holder.ask("fork_poll", "child", 60) == ["Busy"]
    assert holder.ask("fork_poll", "other", 60) == ["Busy"]
    assert holder.ask("commit", "keys") == fence


def test_child_holds_a_lease_of_its_own(hire: Hire) -> None:
    """A store made before a fork works in both; a child that takes over a name holds its lease."""
    (parent,) = hire(1)
    fence = parent.ask("poll", "one", 60)[1]
    assert parent.ask("fork_poll", "one", 60) == ["Granted", fence]
    answer, greater = parent.ask("poll", "two", 60)
    assert (answer, greater > fence) == ("Granted", True)


async def test_no_reader_ever_sees_a_torn_record(hire: Hire, directory: Path) -> None:
    """A writer is killed at any point, again and again; each document is whole, and rises."""
    (worker,) = hire(1)
    store = FileKeyStore(directory)
    known = seen = 0
    for _ in range(20):
        pid = worker.ask("churn")
        try:
            for _ in range(5):
                answer = await newer(store, known)
                known, seen = answer.version, seen + 1
                assert answer.payload == answer.payload[:1] * 100_000
        finally:
            os.kill(pid, signal.SIGKILL)
    assert seen == 100
    lease = await granted(store, wish(), known=known + DAY)
    assert await store.commit(lease, b"keys", ttl=1000, window=30) == lease.fence
    assert suffixes(directory) == ["", ".held", ".lock"]
