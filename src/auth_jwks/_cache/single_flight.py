"""Single flight: each refresh runs in a task of its own, one at a time, whoever waits for it."""

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
    """The task of a flight was cancelled, and not by a caller, so it has no result."""


@dataclass(eq=False, slots=True)
class Flight(Generic[T]):
    """One refresh; a caller that stops waiting cancels it for nobody."""

    task: asyncio.Task[T]
    began: float
    joiners: int = 0


@dataclass(eq=False, slots=True)
class _Home(Generic[T]):
    """What belongs to one process and one event loop."""

    loop: asyncio.AbstractEventLoop
    pid: int = field(default_factory=os.getpid)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    tasks: set[asyncio.Task[T]] = field(default_factory=set)
    latest: dict[Slot, Flight[T]] = field(default_factory=dict)


class SingleFlight(Generic[T]):
    """The flights of this process and loop; those of another are dropped, not awaited."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._homes: dict[asyncio.AbstractEventLoop, _Home[T]] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"SingleFlight(busy={self.busy!r})"

    @property
    def busy(self) -> bool:
        """Whether anything is under way, as far as this process knows."""
        return any(home.pid == os.getpid() and home.tasks for home in self._homes.values())

    def under_way(self, slot: Slot) -> Flight[T] | None:
        """Return the flight that may be joined, if there is one."""
        if not self._homes:  # the common case costs no look at the process and loop
            return None
        flight = self._here().latest.get(slot)
        return None if flight is None or flight.task.done() else flight

    def start(self, slot: Slot, work: Callable[[], Coroutine[Any, Any, T]]) -> Flight[T]:
        """Begin `work` in its own task, behind the lock that all flights of this process take."""
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
        """Cancel what is under way in this loop; to begin anything now raises `RuntimeError`."""
        idle = self._closed or not self._homes
        tasks = () if idle else tuple(self._here().tasks)
        self._closed = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _here(self) -> _Home[T]:
        if self._closed:
            raise RuntimeError("the verifier is closed")
        loop = asyncio.get_running_loop()
        home = self._homes.get(loop)
        if home is None or home.pid != os.getpid():
            home = _Home(loop)
            living = {one: its for one, its in self._homes.items() if not one.is_closed()}
            self._homes = {**living, loop: home}
        return home


async def _locked(lock: asyncio.Lock, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    async with lock:
        return await work()
