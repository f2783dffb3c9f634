"""Time, injected: what the library reads and waits on instead of `time` and `asyncio.sleep`."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

__all__ = ["SYSTEM_CLOCK", "Clock", "SystemClock", "patience", "settle", "within"]

T = TypeVar("T")

SLICE = 0.05


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


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """Raise `TimeoutError` after so many seconds of a loop that turns, as `asyncio.timeout` does.

    While the loop is busy with its own work no answer can be taken, so that is nobody's delay: a
    stretch in which it did not turn counts as one slice. A cancellation that what waits has lost,
    as `asyncio.wait_for` may before Python 3.12, is repeated.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    alarm: asyncio.TimerHandle
    async with asyncio.timeout(None) as limit:

        def tick(left: float) -> None:
            nonlocal alarm
            alarm = loop.call_later(min(left, SLICE) if left > 0 else SLICE, tick, left - SLICE)
            if left > 0:
                return
            if task is None or not limit.expired():
                limit.reschedule(loop.time())
            else:
                task.cancel()
                task.uncancel()

        alarm = loop.call_later(min(seconds, SLICE), tick, seconds - SLICE)
        try:
            yield
        finally:
            alarm.cancel()
