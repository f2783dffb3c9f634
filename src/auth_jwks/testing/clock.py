"""A clock that stands still until a test advances it."""

import asyncio
import contextlib
import threading

__all__ = ["FakeClock"]

_MAX_TURNS = 10_000
_RESOLUTION = 1e-9


class FakeClock:
    """Virtual time: `advance` moves it, and wakes the sleepers that are due."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._monotonic = 1_000.0
        self.set_time(start)
        # Reentrant: dropping the last reference to a sleeper may run its `finally` in here.
        self._lock = threading.RLock()
        self._due: dict[asyncio.Future[None], float] = {}

    def __repr__(self) -> str:
        return f"FakeClock(time={self.time()}, sleeping={self.sleeping})"

    @property
    def sleeping(self) -> int:
        """How many sleepers wait, on event loops that are not closed."""
        with self._lock:
            return sum(_waits(alarm) for alarm in self._due)

    def monotonic(self) -> float:
        """Return the seconds that `advance` has counted, from an arbitrary start."""
        return self._monotonic

    def time(self) -> float:
        """Return the wall clock, in seconds since the Unix epoch."""
        return self._wall + (self._monotonic - self._set_at)

    def set_time(self, epoch: float) -> None:
        """Step the wall clock alone, as an administrator or NTP does. No sleeper wakes."""
        self._wall, self._set_at = epoch, self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks forward, and wake the sleepers that are due, in order of due time."""
        if not seconds >= 0:
            message = f"can't advance by {seconds} seconds; set_time steps the wall clock"
            raise ValueError(message)
        with self._lock:
            self._monotonic += seconds
            alarms = self._pop_due()
        for alarm in alarms:
            _wake(alarm)

    async def sleep(self, seconds: float, /) -> None:
        """Wait until the clock has been advanced that far. Zero or less yields to the loop once."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        alarm = asyncio.get_running_loop().create_future()
        with self._lock:
            self._due[alarm] = self._monotonic + seconds
        try:
            await alarm
        finally:
            with self._lock:
                self._due.pop(alarm, None)

    async def until_sleeping(self, count: int = 1) -> None:
        """Let other tasks run until that many sleep, or raise `TimeoutError` if they never do."""
        for _ in range(_MAX_TURNS):
            if self.sleeping >= count:
                return
            await asyncio.sleep(0)
        message = f"{self.sleeping} of {count} sleepers after {_MAX_TURNS} turns of the event loop"
        raise TimeoutError(message)

    def _pop_due(self) -> list[asyncio.Future[None]]:
        # As in asyncio's own loop, a rounding error must not keep a due sleeper asleep.
        horizon = self._monotonic + _RESOLUTION
        self._due = {alarm: due for alarm, due in self._due.items() if _waits(alarm)}
        popped = [alarm for alarm, due in self._due.items() if due <= horizon]
        popped.sort(key=self._due.__getitem__)
        for alarm in popped:
            del self._due[alarm]
        return popped


def _waits(alarm: asyncio.Future[None]) -> bool:
    return not alarm.done() and not alarm.get_loop().is_closed()


def _wake(alarm: asyncio.Future[None]) -> None:
    loop = alarm.get_loop()
    if loop is _running_loop():
        _set(alarm)
        return
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(_set, alarm)


def _set(alarm: asyncio.Future[None]) -> None:
    if not alarm.done():
        alarm.set_result(None)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
