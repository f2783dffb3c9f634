"""What the tests of a key cache call with: a store that counts, work in the background."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

from auth_jwks import MemoryKeyStore
from auth_jwks.events import StaleServed
from auth_jwks.stores import Answer, LeaseRequest
from auth_jwks.testing import FakeClock
from tests.cache.worker import Worker

T = TypeVar("T")


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
