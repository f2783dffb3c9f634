"""The fake clock: virtual time, and who wakes when."""

import asyncio
import threading

import pytest

from auth_jwks.testing import FakeClock


async def _note(clock: FakeClock, seconds: float, woken: list[float]) -> None:
    await clock.sleep(seconds)
    woken.append(seconds)


def test_time_stands_still_until_advanced() -> None:
    """Both clocks move by exactly what `advance` says."""
    clock = FakeClock(start=100.0)
    began = clock.monotonic()
    assert clock.time() == 100.0
    clock.advance(2.5)
    assert (clock.time(), clock.monotonic() - began) == (102.5, 2.5)


def test_clocks_cannot_be_mistaken_for_each_other() -> None:
    """The monotonic clock is far from the wall clock, so that a mix-up shows."""
    clock = FakeClock()
    assert clock.time() - clock.monotonic() > 1_000_000_000


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_time_never_goes_back(seconds: float) -> None:
    """`advance` refuses what is no way forward."""
    with pytest.raises(ValueError, match="can't advance"):
        FakeClock().advance(seconds)


async def test_set_time_steps_the_wall_clock_alone() -> None:
    """A clock jump moves no interval and wakes nobody."""
    clock = FakeClock()
    began = clock.monotonic()
    woken: list[float] = []
    task = asyncio.create_task(_note(clock, 1, woken))
    await clock.until_sleeping()
    clock.set_time(5.0)
    await asyncio.sleep(0)
    assert (clock.time(), clock.monotonic(), woken) == (5.0, began, [])
    clock.advance(1)
    await task
    assert clock.time() == 6.0


async def test_sleeper_wakes_when_due_and_not_before() -> None:
    """A sleep ends once the clock was advanced that far, in however many steps."""
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(10))
    await clock.until_sleeping()
    clock.advance(9.5)
    await asyncio.sleep(0)
    assert not task.done()
    clock.advance(0.5)
    await task
    assert clock.sleeping == 0


async def test_rounding_keeps_nobody_asleep() -> None:
    """Steps that add up to the delay but for floating-point error wake the sleeper."""
    clock = FakeClock()
    delay = 0.9
    task = asyncio.create_task(clock.sleep(delay))
    await clock.until_sleeping()
    began = clock.monotonic()
    for _ in range(3):
        clock.advance(0.3)
    assert clock.monotonic() < began + delay
    await asyncio.sleep(0)
    assert task.done()


@pytest.mark.parametrize("seconds", [0, -1])
async def test_sleeping_no_time_yields_once(seconds: float) -> None:
    """A sleep of zero or less lets the others run, and ends by itself."""
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(seconds))
    await asyncio.sleep(0)
    assert not task.done()
    assert clock.sleeping == 0
    await asyncio.sleep(0)
    assert task.done()


async def test_sleepers_wake_in_order_of_due_time() -> None:
    """One `advance` wakes the earliest first, and equals in the order they fell asleep."""
    clock = FakeClock()
    woken: list[float] = []
    tasks = [asyncio.create_task(_note(clock, seconds, woken)) for seconds in (3, 1, 2.0, 2, 9)]
    await clock.until_sleeping(5)
    clock.advance(5)
    await asyncio.gather(*tasks[:4])
    assert [str(seconds) for seconds in woken] == ["1", "2.0", "2", "3"]
    assert clock.sleeping == 1
    clock.advance(5)
    await tasks[4]


async def test_cancelled_sleeper_counts_no_more() -> None:
    """Cancelling a sleep takes it out at once, and a later `advance` passes over it."""
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(1))
    await clock.until_sleeping()
    task.cancel()
    assert clock.sleeping == 0
    clock.advance(1)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_until_sleeping_waits_for_the_last_one() -> None:
    """`until_sleeping` lets other tasks run until so many sleep."""
    clock = FakeClock()

    async def late() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        await clock.sleep(1)

    tasks = [asyncio.create_task(clock.sleep(1)), asyncio.create_task(late())]
    await clock.until_sleeping(2)
    assert clock.sleeping == 2
    clock.advance(1)
    await asyncio.gather(*tasks)


async def test_until_sleeping_gives_up() -> None:
    """A test that waits for a sleeper that never comes fails, and says how many there were."""
    with pytest.raises(TimeoutError, match="0 of 1 sleep"):
        await FakeClock().until_sleeping()


def test_one_loop_after_the_other() -> None:
    """A sleeper left behind on a closed loop is dropped, and the next loop goes on undisturbed."""
    clock = FakeClock()
    first = asyncio.new_event_loop()
    left_behind = first.create_task(clock.sleep(5))
    first.run_until_complete(clock.until_sleeping())
    first.close()
    assert clock.sleeping == 0

    async def second() -> None:
        task = asyncio.create_task(clock.sleep(5))
        await clock.until_sleeping()
        assert clock.sleeping == 1
        clock.advance(5)
        await task

    asyncio.run(second())
    assert not left_behind.done()


def test_advance_between_two_runs_of_a_loop() -> None:
    """A sleeper on a loop that stands still wakes when the loop runs again."""
    clock = FakeClock()
    with asyncio.Runner() as runner:
        task = runner.get_loop().create_task(clock.sleep(5))
        runner.run(clock.until_sleeping())
        clock.advance(5)
        assert clock.sleeping == 0
        runner.get_loop().run_until_complete(task)


def test_sleeper_cancelled_while_it_wakes() -> None:
    """A cancellation that comes after `advance`, and before the loop runs, counts in silence."""
    clock = FakeClock()
    complaints: list[dict[str, object]] = []
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        task = runner.get_loop().create_task(clock.sleep(5))
        runner.run(clock.until_sleeping())
        clock.advance(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            runner.get_loop().run_until_complete(task)
    assert complaints == []


def test_advance_wakes_a_loop_of_another_thread() -> None:
    """A loop that runs, and waits, in another thread is woken."""
    clock = FakeClock()
    asleep = threading.Event()

    async def sleep() -> None:
        asyncio.get_running_loop().call_soon(asleep.set)
        await clock.sleep(5)

    thread = threading.Thread(target=asyncio.run, args=(sleep(),), daemon=True)
    thread.start()
    assert asleep.wait(60)
    clock.advance(5)
    thread.join(60)
    assert not thread.is_alive()


async def test_repr_tells_the_state() -> None:
    """`repr` shows the time and how many sleep."""
    clock = FakeClock(start=7.0)
    task = asyncio.create_task(clock.sleep(1))
    await clock.until_sleeping()
    assert repr(clock) == "FakeClock(time=7.0, sleeping=1)"
    clock.advance(1)
    await task
