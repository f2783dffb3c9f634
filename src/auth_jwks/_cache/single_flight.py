"""Single flight: each refresh runs in a task of its own, one at a time, for all its waiters."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from auth_jwks._clock import Clock, settle

__all__ = ["Flight", "FlightCancelledError", "SingleFlight", "Slot"]

T = TypeVar("T")

Slot = Literal["upkeep", "search", "forced"]


class FlightCancelledError(Exception):
    """The task of a flight was cancelled, but not by `aclose`, so it has no result."""


@dataclass(eq=False, slots=True)
class Flight(Generic[T]):
    """One refresh. It runs on when a caller stops waiting."""

    task: asyncio.Task[T]
    began: float
    joiners: int = 0


@dataclass(eq=False, slots=True)
class _LoopState(Generic[T]):
    """The state of one process and one event loop."""

    loop: asyncio.AbstractEventLoop
    pid: int = field(default_factory=os.getpid)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    tasks: set[asyncio.Task[T]] = field(default_factory=set)
    latest: dict[Slot, Flight[T]] = field(default_factory=dict)


class SingleFlight(Generic[T]):
    """The flights of this process and loop. Those of another process are dropped, not awaited."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[asyncio.AbstractEventLoop, _LoopState[T]] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"SingleFlight(busy={self.busy!r})"

    @property
    def busy(self) -> bool:
        """Whether any flight of this process is running."""
        return any(state.pid == os.getpid() and state.tasks for state in self._states.values())

    def under_way(self, slot: Slot) -> Flight[T] | None:
        """Return the running flight, which may be joined, if there is one."""
        if not self._states:  # the common case skips the look-up of process and loop
            return None
        flight = self._here().latest.get(slot)
        return None if flight is None or flight.task.done() else flight

    def start(self, slot: Slot, work: Callable[[], Coroutine[Any, Any, T]]) -> Flight[T]:
        """Start `work` in its own task. All flights of this process and loop take one lock."""
        here = self._here()
        task = here.loop.create_task(_locked(here.lock, work))
        here.tasks.add(task)
        task.add_done_callback(here.tasks.discard)
        here.latest[slot] = flight = Flight(task, self._clock.monotonic())
        return flight

    async def wait(self, flight: Flight[T], seconds: float | None) -> T | None:
        """Return the flight's result, or None if that takes longer than `seconds`.

        Raises `FlightCancelledError`, or `RuntimeError` if it was cancelled by `aclose`.
        """
        if seconds is None:
            await asyncio.wait((flight.task,))
        elif not await settle(self._clock, seconds, flight.task):
            return None
        if not flight.task.cancelled():
            return flight.task.result()
        if self._closed:
            raise RuntimeError("the verifier is closed")
        raise FlightCancelledError("the refresh was cancelled")

    async def aclose(self) -> None:
        """Cancel the flights of this loop. `start` raises `RuntimeError` until `reopen`."""
        idle = self._closed or not self._states
        tasks = () if idle else tuple(self._here().tasks)
        self._closed = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
            living = {one: its for one, its in self._states.items() if not one.is_closed()}
            self._states = {**living, loop: state}
        return state


async def _locked(lock: asyncio.Lock, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    async with lock:
        return await work()
