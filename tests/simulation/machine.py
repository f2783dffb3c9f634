"""Machines with clocks of their own, and the processes on them."""

import asyncio
from dataclasses import dataclass, field

from tests.simulation.loop import Scheduler, SimLoop

__all__ = ["EPOCH", "Machine", "MachineClock", "Process"]

EPOCH = 1_800_000_000.0
BILLIONTH = 1e-9


@dataclass(eq=False)
class Machine:
    """A computer: its monotonic clock stands still while it sleeps, its wall clock may be wrong."""

    scheduler: Scheduler
    skew: float = 0.0
    slept: float = 0.0
    asleep_since: float | None = None
    last_step: float = -1e18
    last_wake: float = -1e18
    processes: list["Process"] = field(default_factory=list)

    def monotonic(self) -> float:
        """Return seconds that do not count while it sleeps."""
        now = self.scheduler.now if self.asleep_since is None else self.asleep_since
        return 1_000.0 + now - self.slept

    def time(self) -> float:
        """Return seconds since the epoch, as far as this machine knows."""
        return EPOCH + self.scheduler.now + self.skew

    def step(self, seconds: float) -> None:
        """Step the wall clock."""
        self.skew += seconds
        self.last_step = self.scheduler.now

    def suspend(self) -> None:
        """Fall asleep."""
        if self.asleep_since is None:
            self.asleep_since = self.scheduler.now
            for process in self.processes:
                process.note_pause()

    def wake(self) -> None:
        """Wake up: time has passed that the monotonic clock knows nothing of."""
        if self.asleep_since is not None:
            self.slept += self.scheduler.now - self.asleep_since
            self.asleep_since = None
            self.last_wake = self.scheduler.now
            for process in self.processes:
                process.resume()

    def is_in_the_dark(self, since: float) -> bool:
        """Tell whether no clock of it knows what has passed: it slept, and was set meanwhile."""
        return min(self.last_wake, self.last_step) >= since


class MachineClock:
    """The clock that the library is given: no two readings are the same."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._readings = 0
        self.time = machine.time

    def __repr__(self) -> str:
        return f"MachineClock({self.monotonic():.3f})"

    def monotonic(self) -> float:
        """Return seconds, of which code takes some billionths."""
        self._readings += 1
        return self._machine.monotonic() + self._readings * BILLIONTH

    async def sleep(self, seconds: float, /) -> None:
        """Return after that many seconds."""
        await asyncio.sleep(seconds)


class Process:
    """One worker's process: it may freeze, sleep with its machine, and die."""

    def __init__(self, machine: Machine, scheduler: Scheduler) -> None:
        self.machine = machine
        self.monotonic = machine.monotonic
        self.scheduler = scheduler
        self.is_frozen = False
        self.is_dead = False
        self.faults: list[str] = []
        self._loops: dict[SimLoop, None] = {}
        self._paused = 0.0
        self._paused_since: float | None = None
        self.runs_since = scheduler.now
        machine.processes.append(self)

    @property
    def is_stopped(self) -> bool:
        """Whether it is frozen, asleep or dead."""
        return self.is_frozen or self.is_dead or self.machine.asleep_since is not None

    @property
    def paused(self) -> float:
        """For how long it has not run so far."""
        running = self._paused_since is None
        return self._paused + (0.0 if running else self.scheduler.now - (self._paused_since or 0))

    def new_loop(self, *, is_eager: bool = False) -> SimLoop:
        """Open an event loop; in an eager one tasks begin at once, where Python can."""
        loop = SimLoop(self.scheduler, self)
        if is_eager:
            loop.set_task_factory(getattr(asyncio, "eager_task_factory", None))
        self._loops[loop] = None
        return loop

    def close_loop(self, loop: SimLoop) -> None:
        """Close one that has come to its end."""
        self.faults += loop.faults
        if loop.tasks:
            self.faults.append(f"tasks left: {len(loop.tasks)}")
        loop.close()
        self._loops.pop(loop, None)

    def drop_loop(self, loop: SimLoop) -> None:
        """Close one without a word to its tasks, as who never heard of `asyncio.run` does."""
        self._loops.pop(loop, None)
        loop.bury()

    def freeze(self) -> None:
        """Stop, as by SIGSTOP."""
        self.is_frozen = True
        self.note_pause()

    def thaw(self) -> None:
        """Go on."""
        self.is_frozen = False
        self.resume()

    def kill(self) -> None:
        """Stop for ever."""
        self.is_dead = True

    def note_pause(self) -> None:
        """Take note that it runs no more."""
        if self._paused_since is None:
            self._paused_since = self.scheduler.now

    def resume(self) -> None:
        """Turn the loops again, if nothing else keeps it from running."""
        if self.is_stopped:
            return
        if self._paused_since is not None:
            self._paused += self.scheduler.now - self._paused_since
            self._paused_since = None
            self.runs_since = self.scheduler.now
        for loop in list(self._loops):
            loop.resume()

    def bury(self) -> None:
        """Put away what is left of it."""
        for loop in list(self._loops):
            self.faults += loop.faults
            loop.bury()
        self._loops.clear()
