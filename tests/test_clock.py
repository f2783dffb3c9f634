"""Waiting on an injected clock: for a task without harming it, and for work within a deadline."""

import asyncio
import gc
import time
from contextlib import suppress

import pytest

from auth_jwks._clock import SYSTEM_CLOCK, Clock, SystemClock, patience, settle, uptime, within
from auth_jwks.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


async def _after(clock: Clock, seconds: float, noted: list[str]) -> str:
    try:
        await clock.sleep(seconds)
    except asyncio.CancelledError:
        noted.append("cancelled")
        raise
    noted.append("done")
    return "result"


async def test_system_clock_is_the_machines() -> None:
    """The default clock reads the machine's two clocks, and sleeps for real."""
    clock: Clock = SYSTEM_CLOCK
    assert time.monotonic() <= clock.monotonic() <= time.monotonic()
    assert time.time() <= clock.time() <= time.time()
    began = time.monotonic()
    await clock.sleep(0.01)
    assert time.monotonic() - began >= 0.009


def test_system_clock_tells_what_it_is() -> None:
    """The state of a clock is its name."""
    assert repr(SystemClock()) == "SystemClock()"


async def test_settle_returns_when_the_task_is_done(clock: FakeClock) -> None:
    """A task that ends in time is told as done, and no timer is left behind."""
    task = asyncio.create_task(_after(clock, 2, []))
    settled = asyncio.create_task(settle(clock, 5, task))
    await clock.until_sleeping(2)
    clock.advance(2)
    assert await settled
    assert task.done()
    await _drain()
    assert clock.sleeping == 0


async def test_settle_never_cancels_the_task(clock: FakeClock) -> None:
    """When time is up the task goes on."""
    task = asyncio.create_task(_after(clock, 8, []))
    settled = asyncio.create_task(settle(clock, 5, task))
    await clock.until_sleeping(2)
    clock.advance(5)
    assert not await settled
    clock.advance(3)
    assert await task == "result"


async def test_cancelled_wait_leaves_the_task_alone(clock: FakeClock) -> None:
    """Whoever gives up waiting cancels the timer and nothing else."""
    task = asyncio.create_task(_after(clock, 8, []))
    settled = asyncio.create_task(settle(clock, 5, task))
    await clock.until_sleeping(2)
    settled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settled
    await _drain()
    assert clock.sleeping == 1
    clock.advance(8)
    assert await task == "result"


async def test_settle_does_not_raise_what_the_task_raised(clock: FakeClock) -> None:
    """A failed task is a done one; its fault is the caller's to look at."""
    task = asyncio.create_task(_fault())
    assert await settle(clock, 5, task)
    assert isinstance(task.exception(), LookupError)


async def test_within_returns_what_the_work_returns(clock: FakeClock) -> None:
    """Work that ends before the deadline is as if awaited."""
    work = asyncio.create_task(within(clock, 5, _after(clock, 2, [])))
    await clock.until_sleeping(2)
    clock.advance(2)
    assert await work == "result"
    await _drain()
    assert clock.sleeping == 0


async def test_within_raises_what_the_work_raises(clock: FakeClock) -> None:
    """A fault of the work is the caller's."""
    with pytest.raises(LookupError, match="of the work"):
        await within(clock, 5, _fault())


async def test_deadline_cancels_the_work(clock: FakeClock) -> None:
    """Past the deadline the work is cancelled, and has ended when `TimeoutError` is raised."""
    noted: list[str] = []
    work = asyncio.create_task(within(clock, 5, _after(clock, 8, noted)))
    await clock.until_sleeping(2)
    clock.advance(4.75)
    await _drain()
    assert not work.done()
    clock.advance(0.25)
    with pytest.raises(TimeoutError):
        await work
    assert noted == ["cancelled"]


async def test_cancelled_caller_cancels_its_work(clock: FakeClock) -> None:
    """Work within a deadline belongs to its caller, and ends with it."""
    noted: list[str] = []
    work = asyncio.create_task(within(clock, 5, _after(clock, 8, noted)))
    await clock.until_sleeping(2)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert noted == ["cancelled"]
    await _drain()
    assert clock.sleeping == 0


def test_fault_of_cancelled_work_goes_unmentioned(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What late work raises on its way out reaches neither the caller nor asyncio's log."""
    assert asyncio.run(_overdue(clock))
    gc.collect()
    assert caplog.messages == []


async def _fault() -> None:
    raise LookupError("of the work")


async def _overdue(clock: FakeClock) -> bool:
    work = asyncio.create_task(within(clock, 5, _fault_on_cancel(clock)))
    await clock.until_sleeping(2)
    clock.advance(5)
    try:
        await work
    except TimeoutError:
        return True
    return False


async def _fault_on_cancel(clock: Clock) -> None:
    try:
        await clock.sleep(8)
    finally:
        raise LookupError("of the work")


async def _drain() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_patience_ends() -> None:
    """As `asyncio.timeout` does, for what is never answered."""
    with pytest.raises(TimeoutError):
        async with patience(0.06):
            await asyncio.Event().wait()


async def test_patience_ends_what_loses_a_cancellation() -> None:
    """It is cancelled again, until it ends; whoever cancels it from outside is not heard less."""

    async def stubborn() -> None:
        async with patience(0.01):
            for _ in range(2):
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await stubborn()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_patience_is_not_for_a_busy_loop() -> None:
    """An answer that could not be taken while the loop did other work is not late."""
    loop = asyncio.get_running_loop()
    answer = loop.create_future()

    def work() -> None:
        time.sleep(0.09)
        loop.call_soon(answer.set_result, "in time")

    async with patience(0.08):
        loop.call_soon(work)
        assert await answer == "in time"


async def test_patience_lets_a_cancellation_through() -> None:
    """It is no timeout."""

    async def wait() -> None:
        async with patience(5):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class System:
    """What the `time` module of some system has."""

    CLOCK_MONOTONIC = 4

    def clock_gettime(self, number: int) -> float:
        """Return the number of the clock that was asked."""
        return float(number)

    def monotonic(self) -> float:
        """Return the time of a clock that stands still while the machine sleeps, or does not."""
        return -1.0


class Linux(System):
    """With a clock that counts on."""

    CLOCK_BOOTTIME = 7


@pytest.mark.parametrize(
    ("system", "platform", "asked"),
    [(Linux(), "linux", 7), (System(), "darwin", 4), (System(), "win32", -1)],
)
def test_the_clock_for_intervals_counts_while_the_machine_sleeps(
    system: System, platform: str, asked: int
) -> None:
    """Wherever there is such a clock, the age of keys is told by it."""
    assert uptime(system, platform)() == asked


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="there is no such clock here")
def test_the_systems_clock_is_the_one_since_the_boot() -> None:
    """On Linux the other one stands still in a virtual machine that is paused."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= SYSTEM_CLOCK.monotonic() <= time.clock_gettime(time.CLOCK_BOOTTIME)
