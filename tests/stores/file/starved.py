"""A program in which a file store wants for room or for descriptors.

Limits are those of a process. In one of its own nothing else opens, closes or writes a file.
"""

import asyncio
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from auth_jwks.stores.base import Newer, StoreUnavailable
from auth_jwks.stores.file import FileKeyStore
from tests.stores.file.leasing import KEY, Timer, calls, granted, stored, suffixes, wish


@contextmanager
def limited(kind: int, limit: int) -> Iterator[None]:
    """Have this process live with less."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


async def room(directory: Path) -> None:
    """Commit more than may be written, and read from another handle."""
    timer = Timer()
    store, other = (FileKeyStore(directory, timer=timer) for _ in range(2))
    version = await stored(store)
    lease = await granted(store, wish(), known=version)
    with limited(resource.RLIMIT_FSIZE, 2000):
        with pytest.raises(StoreUnavailable, match=r"\(efbig\)$"):
            await store.commit(lease, b"x" * 10_000, ttl=1000, window=30)
        answer = await other.poll(KEY, known=0, lease=wish("two"))
    assert isinstance(answer, Newer)
    assert answer.payload == b"keys"
    assert suffixes(directory) == ["", ".held", ".lock"]
    assert await store.commit(lease, b"x" * 10_000, ttl=1000, window=30) == lease.fence


async def descriptors(directory: Path) -> None:
    """Make each call with no descriptor left, then with one."""
    store = FileKeyStore(directory, timer=Timer())
    lease = await granted(store, wish())
    lowest = os.dup(0)
    os.close(lowest)
    for left in (0, 1):
        with limited(resource.RLIMIT_NOFILE, lowest + left):
            for call in calls(store, lease):
                with pytest.raises(StoreUnavailable, match=r"\(emfile\)$"):
                    await call()
    assert await store.commit(lease, b"keys", ttl=1000, window=30) == lease.fence


WANTS = {"room": room, "descriptors": descriptors}

if __name__ == "__main__":
    asyncio.run(WANTS[sys.argv[1]](Path(sys.argv[2])))
