"""The injected clock, which replaces `time` and `asyncio.sleep`, and three ways to limit a wait.

`settle` waits on the injected clock for a task that must outlive the wait. `within` waits on it
for work that is cancelled when the time is over. `patience` counts real seconds, even in tests:
it guards against code that may never return.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

__all__ = [
    "SYSTEM_CLOCK",
    "Clock",
    "LoopWatch",
    "SystemClock",
    "patience",
    "runs",
    "settle",
    "within",
]

T = TypeVar("T")

TICK = 0.05  # how often `patience` checks whether the loop runs
WATCH_TICK = 0.25  # how often a `LoopWatch` does
STALL = 1.0  # an event loop that is later than this stood still, and was not only busy


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


def uptime(system: Any = time, platform: str = sys.platform) -> Callable[[], float]:
    """Return the clock that counts while the machine sleeps, as the age of a key set does.

    Linux has one of its own, macOS keeps it under a name that means another clock elsewhere, and
    Windows counts so anyway.
    """
    if hasattr(system, "CLOCK_BOOTTIME"):
        return partial(system.clock_gettime, system.CLOCK_BOOTTIME)
    if platform == "darwin":
        return partial(system.clock_gettime, system.CLOCK_MONOTONIC)
    clock: Callable[[], float] = system.monotonic
    return clock


class SystemClock:
    """The machine's own clocks."""

    monotonic = staticmethod(uptime())
    time = staticmethod(time.time)
    sleep = staticmethod(asyncio.sleep)

    def __repr__(self) -> str:
        return "SystemClock()"


SYSTEM_CLOCK = SystemClock()


class LoopWatch:
    """Counts the seconds for which an event loop stood still: its process was frozen, say.

    It is to be made in the loop, and closed. What came due meanwhile is nobody's failure.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.stalled = 0.0
        self._loop = loop
        self._due = loop.time() + WATCH_TICK
        self._timer = loop.call_at(self._due, self._look)

    def close(self) -> None:
        """Stop counting."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        if now - self._due > STALL:
            self.stalled += now - self._due
        self._due = now + WATCH_TICK
        self._timer = self._loop.call_at(self._due, self._look)


def runs(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether this is the event loop that runs in this thread.

    If not, a coroutine of that loop is being discarded, perhaps while another loop runs. A fault in
    it then counts as nobody's failure.
    """
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def settle(clock: Clock, seconds: float, task: asyncio.Future[Any]) -> bool:
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
