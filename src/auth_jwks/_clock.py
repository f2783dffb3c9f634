"""The injected clock, which replaces `time` and `asyncio.sleep`, and three ways to limit a wait.

`settle` waits on the injected clock for a task that must outlive the wait. `within` waits on it
for work that is cancelled when the time is over. `patience` counts real seconds, even in tests:
it guards against code that may never return.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

__all__ = ["SYSTEM_CLOCK", "Clock", "SystemClock", "patience", "settle", "within"]

T = TypeVar("T")

TICK = 0.05  # how often `patience` looks whether the loop runs


class Clock(Protocol):
    """The source of time. `auth_jwks.testing.FakeClock` is one for tests."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back. Intervals are measured with it."""
        ...

    def time(self) -> float:
        """Return seconds since the Unix epoch. Claims hold them (RFC 7519 §2, NumericDate)."""
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
    """Wait for `task` at most that long, and return whether it is done. Never cancels it."""
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
    return task.done()


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`. After that long, cancel it and raise `TimeoutError`."""
    task = asyncio.ensure_future(work)
    try:
        if not await settle(clock, seconds, task):
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()
        # Gathered, not only awaited: asyncio would log what cancelled work raises.
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """Like `asyncio.timeout`, but only time in which the loop runs counts.

    A stretch that blocks the loop counts as one `TICK`, because no answer could have been read
    meanwhile. If the awaited code swallows the cancellation, as `asyncio.wait_for` may before
    Python 3.12, it is cancelled again each `TICK`.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    alarm: asyncio.TimerHandle
    async with asyncio.timeout(None) as limit:

        def tick(left: float) -> None:
            nonlocal alarm
            alarm = loop.call_later(min(left, TICK) if left > 0 else TICK, tick, left - TICK)
            if left > 0:
                return
            if task is None or not limit.expired():
                limit.reschedule(loop.time())
            else:
                task.cancel()
                task.uncancel()

        alarm = loop.call_later(min(seconds, TICK), tick, seconds - TICK)
        try:
            yield
        finally:
            alarm.cancel()
