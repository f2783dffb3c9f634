"""Processes and threads that share a directory: some are killed, frozen or forked."""

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from auth_jwks.stores.base import Answer, Busy, Granted, KeyStore, Newer
from auth_jwks.stores.file import FileKeyStore
from tests.stores.file.leasing import KEY, granted, suffixes, wish
from tests.stores.file.processes import Hire

DAY = 86_400


async def newer(store: KeyStore, known: int) -> Newer:
    """Return the next document, which must come soon."""
    async with asyncio.timeout(30):
        while True:
            answer = await store.poll(KEY, known=known, lease=None)
            if isinstance(answer, Newer):
                return answer
            await asyncio.sleep(0)


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
    """Not before; then its late commit harms nobody, and is refused once another's is there."""
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
    known = holder.ask("commit", "late")
    assert 0 < known < frozen.lease.fence
    assert isinstance(await store.poll(KEY, known=known, lease=wish("three")), Busy)
    assert await store.commit(frozen.lease, b"keys", ttl=10, window=1) == frozen.lease.fence
    assert holder.ask("commit", "late") is None
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
