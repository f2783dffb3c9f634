"""Time, injected: what the library reads and waits on instead of `time` and `asyncio.sleep`."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

__all__ = ["SYSTEM_CLOCK", "Clock", "SystemClock", "settle", "within"]

T = TypeVar("T")


class Clock(Protocol):
    """Where time comes from; `auth_jwks.testing.FakeClock` is the one for tests."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back: for intervals."""
        ...

    def time(self) -> float:
        """Return seconds since the Unix epoch: for claims (RFC 7519 §2, NumericDate)."""
        ...

    async def sleep(self, seconds: float, /) -> None:
        """Return after that many seconds."""
        ...


class SystemClock:
    """The machine's own clocks."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
    sleep = staticmethod(asyncio.sleep)

    def __repr__(self) -> str:
        return "SystemClock()"


SYSTEM_CLOCK = SystemClock()


async def settle(clock: Clock, seconds: float, task: asyncio.Task[Any]) -> bool:
    """Wait for `task` at most that long, without ever cancelling it; tell whether it is done."""
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
    return task.done()


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; past the deadline cancel it and raise `TimeoutError`."""
    task = asyncio.ensure_future(work)
    try:
        if not await settle(clock, seconds, task):
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()
        # Gathered, not only awaited: asyncio would log what late work raises on its way out.
        await asyncio.gather(task, return_exceptions=True)
