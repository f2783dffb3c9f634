"""Attempts to get one document: one after the other, or in parallel to a slow one."""

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any, Final

from auth_jwks._clock import Clock
from auth_jwks._provider.client import FetchError, Reply

__all__ = ["Attempts"]

FIRST_BACKOFF = 0.1
MAX_BACKOFF = 1.0
SLOW_SHARE = 0.25  # of `timeout`: without an answer by then, another attempt is made in parallel


class Attempts:
    """How often and when to try, until `ends_at`: at first once, then `retries` times.

    An attempt that takes long is not cut off: its answer may be lost, or slow to come.
    """

    __slots__ = ("clock", "ends_at", "retries", "timeout", "uniform")

    def __init__(
        self,
        clock: Clock,
        uniform: Callable[[float, float], float],
        retries: int,
        timeout: float,
        ends_at: float,
    ) -> None:
        self.clock: Final = clock
        self.uniform: Final = uniform
        self.retries: Final = retries
        self.timeout: Final = timeout
        self.ends_at: Final = ends_at

    async def first_reply(self, attempt: Callable[[], Coroutine[Any, Any, Reply]]) -> Reply:
        """Return the first reply. Raises the last `FetchError` if there is none."""
        begun: list[asyncio.Task[Reply]] = []
        try:
            return await self._first_reply(attempt, begun)
        finally:
            for each in begun:
                each.cancel()
            # Gathered, not only awaited: asyncio would log what cancelled work raises.
            await asyncio.gather(*begun, return_exceptions=True)

    async def _first_reply(
        self, attempt: Callable[[], Coroutine[Any, Any, Reply]], begun: list[asyncio.Task[Reply]]
    ) -> Reply:
        backoff, left = FIRST_BACKOFF, self.retries
        running = set[asyncio.Task[Reply]]()
        while True:
            begun.append(asyncio.ensure_future(attempt()))
            running.add(begun[-1])
            answer = await self._answer(running, self.timeout * SLOW_SHARE if left else inf)
            if isinstance(answer, Reply):
                return answer
            if answer is not None:
                pause = answer.retry_after or backoff * self.uniform(0.5, 1.0)
                if not answer.transient or not left or self._is_late(pause):
                    raise answer
                backoff = min(MAX_BACKOFF, backoff * 2)
                await self.clock.sleep(pause)
            left -= 1

    async def _answer(
        self, running: set[asyncio.Task[Reply]], seconds: float
    ) -> Reply | FetchError | None:
        """Return the first reply, or a fault if there will be none, or None after that long.

        What has ended is no longer `running`. It waits on where the deadline leaves no time for
        another attempt.
        """
        timers = (
            [] if self._is_late(seconds) else [asyncio.ensure_future(self.clock.sleep(seconds))]
        )
        try:
            while True:
                done, _ = await asyncio.wait(
                    [*running, *timers], return_when=asyncio.FIRST_COMPLETED
                )
                ended = running & done
                running -= ended
                faults = [fault for task in ended if (fault := _fault_of(task))]
                if len(faults) < len(ended):
                    return next(task.result() for task in ended if not task.exception())
                final = [fault for fault in faults if not fault.transient or not running]
                if final or not ended:
                    return next(iter(final), None)
        finally:
            for timer in timers:
                timer.cancel()

    def _is_late(self, pause: float) -> bool:
        return self.clock.monotonic() + pause >= self.ends_at


def _fault_of(task: asyncio.Task[Reply]) -> FetchError | None:
    """Return the fault of an attempt that has ended; raise what is none, as a cancellation."""
    try:
        task.result()
    except FetchError as fault:
        return fault
    return None
