"""Virtual time: event loops that a scheduler turns one after the other, and nobody sleeps."""

import asyncio
import heapq
from asyncio.events import _get_running_loop, _set_running_loop
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any, NoReturn, Protocol

__all__ = ["Host", "Scheduler", "SimLoop"]

RESOLUTION = 1e-7
MOMENT = 1e-6
PATIENCE = 200_000  # callbacks without time passing: somebody spins


class Host(Protocol):
    """What a loop lives on: a process of some machine."""

    def monotonic(self) -> float:
        """Return the machine's monotonic time."""
        ...

    @property
    def is_stopped(self) -> bool:
        """Whether it is frozen, asleep or dead."""
        ...


class _Timer(asyncio.TimerHandle):
    """A callback of one loop, due at a time of that loop."""

    def run(self) -> None:
        """Call it, unless it was cancelled."""
        if not self._cancelled:
            self._run()


class Scheduler:
    """One time for all loops: the earliest event of any loop comes next."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._runnable: deque[SimLoop] = deque()

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Have something done at that time, or now if it has passed."""
        self._count += 1
        heapq.heappush(self._heap, (max(when, self.now), self._count, action))

    def wake(self, loop: "SimLoop") -> None:
        """Let a loop have a turn."""
        self._runnable.append(loop)

    def run(self, until: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Let time pass."""
        while not is_over():
            self._settle()
            if not self._heap or self._heap[0][0] > until:
                self.now = until
                return
            self.now, _, action = heapq.heappop(self._heap)
            action()

    def _settle(self) -> None:
        """Turn the loops, one after the other, until none has anything to do now."""
        spun = 0
        while self._runnable:
            spun += self._runnable.popleft().turn()
            if spun > PATIENCE:
                raise TimeoutError(f"somebody spins at {self.now:.3f}")
        self.turns += spun


class SimLoop(asyncio.BaseEventLoop):
    """The part of an event loop that asyncio's own tasks, locks and timeouts need."""

    def __init__(self, scheduler: Scheduler, host: Host) -> None:
        self._scheduler = scheduler
        self._host = host
        self._queue: deque[_Timer] = deque()
        self._late: list[_Timer] = []
        self._is_queued = False
        self._crowd = 50
        self._tasks: list[asyncio.Task[Any]] = []
        self.faults: list[str] = []
        super().__init__()

    def __repr__(self) -> str:
        return f"SimLoop(time={self.time():.3f}, queued={len(self._queue)})"

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks that are not done, oldest first."""
        return [task for task in self._tasks if not task.done()]

    def time(self) -> float:
        """Return the monotonic time of the machine."""
        return self._host.monotonic()

    def is_running(self) -> bool:
        """Whether one of its callbacks runs."""
        return _get_running_loop() is self

    def get_debug(self) -> bool:
        """Return False: tracebacks of each handle would cost more than the rest."""
        return False

    def set_debug(self, enabled: bool) -> None:  # noqa: FBT001 - asyncio's
        """Do nothing, whatever the environment says."""

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Have a callback run in the next turns."""
        handle = _Timer(0.0, callback, args, self, context)
        if not self.is_closed():
            self._queue.append(handle)
            self._queue_up()
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:  # fmt: skip
        """Have a callback run after so many seconds of this loop."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:  # fmt: skip
        """Have a callback run at a time of this loop."""
        handle = _Timer(when, callback, args, self, context)
        self._schedule(handle)
        return handle

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """Begin a task, and keep it among those that must end with the loop."""
        task: asyncio.Task[Any] = super().create_task(coro, **options)
        self._tasks.append(task)
        if len(self._tasks) > self._crowd:
            self._tasks = self.tasks
            self._crowd = 2 * len(self._tasks) + 50
        return task

    def run_in_executor(self, *_args: object, **_options: object) -> NoReturn:
        """Refuse: there are no threads in here."""
        raise RuntimeError("no executor in a simulation")

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Take note of what asyncio would have logged."""
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")

    def turn(self) -> int:
        """Run what is queued now, as asyncio does in one iteration; return how much it was."""
        self._is_queued = False
        count = len(self._queue)
        _set_running_loop(self)
        try:
            for _ in range(count):
                if self._host.is_stopped or not self._queue:  # it may stop, or close, amid this
                    break
                self._queue.popleft().run()
        finally:
            _set_running_loop(None)
        self._queue_up()
        return count

    def resume(self) -> None:
        """Go on after a stop: what arrived comes first, then the timers that are late."""
        late, self._late = sorted(self._late, key=asyncio.TimerHandle.when), []
        for handle in late:
            self._fall_due(handle)
        self._queue_up()

    def close(self) -> None:
        """Drop what is queued; timers to come find it closed."""
        self._queue.clear()
        self._late.clear()
        self._closed = True  # asyncio's own flag; its `close` refuses a loop that may be stepped

    def bury(self) -> None:
        """End what was left behind here as a collector of garbage would: without a running loop."""
        running = _get_running_loop()
        _set_running_loop(None)
        try:
            for task in self.tasks:
                _bury(task)
        finally:
            _set_running_loop(running)
        self.close()

    def _queue_up(self) -> None:
        if self._queue and not self._is_queued and not self._host.is_stopped:
            self._is_queued = True
            self._scheduler.wake(self)

    def _schedule(self, handle: _Timer) -> None:
        left = handle.when() - self.time()
        # What is not due yet takes time, however little: rounding must not let anybody spin.
        self._scheduler.at(
            self._scheduler.now + (max(left, MOMENT) if left > 0 else 0.0),
            partial(self._fall_due, handle),
        )

    def _fall_due(self, handle: _Timer) -> None:
        if handle.cancelled() or self.is_closed():
            return
        if self._host.is_stopped:
            self._late.append(handle)
        elif self.time() + RESOLUTION < handle.when():  # the machine slept meanwhile
            self._schedule(handle)
        else:
            self._queue.append(handle)
            self._queue_up()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it where it is; it is skipped when it falls due."""


def _bury(task: asyncio.Task[Any]) -> None:
    """Close a coroutine that may await in its `finally`, as often as it takes."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as gather does
    coroutine = task.get_coro()
    for _ in range(10):
        try:
            with suppress(asyncio.CancelledError):
                coroutine.close()
        except RuntimeError:
            continue
        return
