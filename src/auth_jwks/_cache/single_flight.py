"""Single flight: each refresh runs in its own task, one at a time; any caller may wait for it."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, Generic, Literal, TypeVar, get_args

from auth_jwks._cache.observers import during
from auth_jwks._clock import Clock, LoopWatch, settle
from auth_jwks.events import Observer

__all__ = ["Flight", "FlightCancelledError", "SingleFlight", "Slot"]

T = TypeVar("T")

Slot = Literal["upkeep", "search", "forced"]


# Another object in each process that Python has forked. To ask for the process id takes longer.
_process = [object()]
with suppress(AttributeError):  # Windows has no fork
    os.register_at_fork(after_in_child=lambda: _process.__setitem__(0, object()))


class FlightCancelledError(Exception):
    """The task of a flight was cancelled, and not by a caller, so it has no result."""


class Flight(Generic[T]):
    """One refresh. A caller that stops waiting does not cancel it for the others."""

    __slots__ = ("began", "closed", "joiners", "task", "waiting", "watch")

    def __init__(self, task: asyncio.Task[T], began: float, watch: LoopWatch) -> None:
        self.task = task
        self.began = began
        self.watch = watch
        self.joiners = 0
        self.closed = False  # cancelled by `aclose`
        self.waiting: dict[asyncio.Future[None], None] = {}

    @property
    def began_running(self) -> float:
        """When the flight began, less the time for which the event loop stood still since."""
        return self.began + self.watch.stalled

    def land(self, _task: asyncio.Task[T]) -> None:
        """Wake the callers that wait for the end of the flight."""
        self.watch.close()
        for future in self.waiting:
            if not future.done():
                future.set_result(None)


class _LoopState(Generic[T]):
    """The state of one process and one event loop."""

    __slots__ = ("flights", "latest", "lock", "loop", "pid", "process")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pid = os.getpid()
        self.process = _process[0]
        self.lock = asyncio.Lock()
        self.flights: set[Flight[T]] = set()
        self.latest: dict[Slot, Flight[T]] = {}

    def is_lost(self, slot: Slot) -> bool:
        """Return whether the loop has ended before its latest flight in that slot did."""
        flight = self.latest.get(slot)
        if flight is None or not self.loop.is_closed():
            return False
        return not flight.task.done() or flight.task.cancelled()


class SingleFlight(Generic[T]):
    """The flights of this process and loop. Those of another process are dropped, not awaited.

    The observer is told when each begins and ends.
    """

    def __init__(self, clock: Clock, observer: Observer | None = None) -> None:
        self._clock = clock
        self._observer = observer
        self._states: dict[asyncio.AbstractEventLoop, _LoopState[T]] = {}
        self._lost: list[Slot] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"SingleFlight(busy={self.busy!r})"

    @property
    def busy(self) -> bool:
        """Whether any flight of this process is running."""
        for state in self._states.values():  # noqa: SIM110 - a generator takes four times as long
            if state.flights and state.pid == os.getpid():
                return True
        return False

    def under_way(self, slot: Slot) -> Flight[T] | None:
        """Return the running flight, which may be joined, if there is one."""
        # The common case skips the look-up of process and loop.
        for state in self._states.values():
            if state.flights or self._closed:
                break
        else:
            return None
        flight = self._here().latest.get(slot)
        return None if flight is None or flight.task.done() else flight

    def is_running_here(self, slot: Slot) -> bool:
        """Return whether a flight of this process runs in this event loop, as quickly as can be.

        A child that runs its parent's loop anew finds the parent's flight there, which is lost.
        """
        state = self._states.get(asyncio.get_running_loop())
        if state is None or self._closed or state.process is not _process[0]:
            return False
        flight = state.latest.get(slot)
        return flight is not None and not flight.task.done()

    def lost(self, slot: Slot) -> int:
        """Return how many flights died with their event loop since this was asked last."""
        self._here()
        count = self._lost.count(slot)
        self._lost = [other for other in self._lost if other != slot]
        return count

    def start(self, slot: Slot, work: Callable[[], Coroutine[Any, Any, T]]) -> Flight[T]:
        """Start `work` in its own task. All flights of this process and loop take one lock.

        Its context is empty: it works for all callers, not for the request that started it.
        """
        here = self._here()
        began = self._clock.monotonic()  # an eager task may have ended before it is returned
        task = here.loop.create_task(self._locked(here.lock, work), context=Context())
        here.latest[slot] = flight = Flight(task, began, LoopWatch(here.loop))
        here.flights.add(flight)
        task.add_done_callback(lambda _: here.flights.discard(flight))
        task.add_done_callback(flight.land)
        return flight

    async def wait(self, flight: Flight[T], seconds: float | None) -> T | None:
        """Return the flight's result, or None if that takes longer than `seconds`.

        Raises `FlightCancelledError`, or `RuntimeError` if it was cancelled by `aclose`.
        """
        if not flight.task.done() and not await self._landed(flight, seconds):
            return None
        if not flight.task.cancelled():
            return flight.task.result()
        if flight.closed:
            raise RuntimeError("the verifier is closed")
        raise FlightCancelledError("the refresh was cancelled")

    async def join(self, flight: Flight[T], seconds: float) -> T | None:
        """Wait like `wait_running`, as one of the `joiners`."""
        flight.joiners += 1
        try:
            return await self.wait_running(flight, seconds)
        finally:
            flight.joiners -= 1

    async def wait_running(self, flight: Flight[T], seconds: float) -> T | None:
        """Wait like `wait`, but only time in which the event loop ran counts."""
        ends = self._clock.monotonic() + seconds - flight.watch.stalled
        while (result := await self.wait(flight, seconds)) is None:
            # While the loop stood still nobody could be answered; a timer may be cancelled, too.
            seconds = ends + flight.watch.stalled - self._clock.monotonic()
            if seconds <= 0:
                break
        return result

    async def _locked(self, lock: asyncio.Lock, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with lock:
            with during(self._observer, "refresh"):
                return await work()

    async def _landed(self, flight: Flight[T], seconds: float | None) -> bool:
        # A future for each caller: to stop waiting for the task itself takes the longer, the more
        # callers wait for it.
        landed = asyncio.get_running_loop().create_future()
        flight.waiting[landed] = None
        try:
            if seconds is not None:
                return await settle(self._clock, seconds, landed)
            await landed
        finally:
            flight.waiting.pop(landed, None)
        return True

    async def aclose(self) -> None:
        """Cancel the flights of this loop. `start` raises `RuntimeError` until `reopen`."""
        idle = self._closed or not self._states
        flights = () if idle else tuple(self._here().flights)
        self._closed = True
        for flight in flights:
            flight.closed = flight.task.cancel()
        await asyncio.gather(*(flight.task for flight in flights), return_exceptions=True)

    def reopen(self) -> None:
        """Let flights start again after `aclose`."""
        self._closed = False

    def _here(self) -> _LoopState[T]:
        if self._closed:
            raise RuntimeError("the verifier is closed")
        loop = asyncio.get_running_loop()
        state = self._states.get(loop)
        if state is None or state.pid != os.getpid():
            state = _LoopState(loop)
            self._states = {**self._living(), loop: state}
        return state

    def _living(self) -> dict[asyncio.AbstractEventLoop, _LoopState[T]]:
        """Return the states of loops that are not closed; record what was lost with the others."""
        here = [state for state in self._states.values() if state.pid == os.getpid()]
        slots: tuple[Slot, ...] = get_args(Slot)
        for state in here:
            self._lost.extend(slot for slot in slots if state.is_lost(slot))
        return {loop: state for loop, state in self._states.items() if not loop.is_closed()}
