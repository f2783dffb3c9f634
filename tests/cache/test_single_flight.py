"""Refreshes under way: single, shared, cancelled for nobody; across loops, forks and close."""

import asyncio
import gc
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from auth_jwks._cache.single_flight import Flight, FlightCancelledError, SingleFlight
from auth_jwks.testing import FakeClock

Work = Callable[[], Coroutine[None, None, str]]


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def flights(clock: FakeClock) -> SingleFlight[str]:
    """Return flights of which none is under way."""
    return SingleFlight(clock)


def lasting(clock: FakeClock, seconds: float, noted: list[str], name: str = "it") -> Work:
    """Return work that takes that long, and notes when it begins and ends."""

    async def work() -> str:
        noted.append(f"{name} began")
        await clock.sleep(seconds)
        noted.append(f"{name} ended")
        return name

    return work


async def broken() -> str:
    """Fail."""
    raise LookupError("of the work")


async def test_nothing_is_under_way_at_first(flights: SingleFlight[str]) -> None:
    """Before the first flight there is none to join."""
    assert flights.under_way("upkeep") is None
    assert not flights.busy


def test_to_look_for_a_flight_needs_no_loop(flights: SingleFlight[str]) -> None:
    """As long as nothing was started, nobody asks which loop this is."""
    assert flights.under_way("upkeep") is None


async def test_flight_can_be_joined_until_it_ends(
    clock: FakeClock, flights: SingleFlight[str]
) -> None:
    """A flight is found under its own slot while it lasts, with the time it began."""
    began = clock.monotonic()
    flight = flights.start("upkeep", lasting(clock, 2, []))
    await clock.until_sleeping()
    assert flights.under_way("upkeep") is flight
    assert flights.under_way("search") is None
    assert (flight.began, flights.busy) == (began, True)
    clock.advance(2)
    assert await flights.wait(flight, None) == "it"
    assert flights.under_way("upkeep") is None
    await asyncio.sleep(0)
    assert not flights.busy


async def test_all_who_wait_get_the_same_result(
    clock: FakeClock, flights: SingleFlight[str]
) -> None:
    """One flight serves any number of callers."""
    noted: list[str] = []
    flight = flights.start("upkeep", lasting(clock, 2, noted))
    waiting = [asyncio.create_task(flights.wait(flight, None)) for _ in range(10)]
    await clock.until_sleeping()
    clock.advance(2)
    assert await asyncio.gather(*waiting) == ["it"] * 10
    assert noted == ["it began", "it ended"]


async def test_wait_ends_before_the_flight(clock: FakeClock, flights: SingleFlight[str]) -> None:
    """A bounded wait returns None when its time is up; the flight goes on."""
    flight = flights.start("upkeep", lasting(clock, 2, []))
    waiting = asyncio.create_task(flights.wait(flight, 0.5))
    await clock.until_sleeping(2)
    clock.advance(0.5)
    assert await waiting is None
    assert flights.under_way("upkeep") is flight
    clock.advance(1.5)
    assert await flights.wait(flight, 0.5) == "it"


async def test_cancelled_caller_cancels_nobody_else(
    clock: FakeClock, flights: SingleFlight[str]
) -> None:
    """A caller that gives up leaves the flight, and those who wait for it, alone."""
    flight = flights.start("upkeep", lasting(clock, 2, []))
    patient = asyncio.create_task(flights.wait(flight, None))
    hasty = asyncio.create_task(flights.wait(flight, None))
    await clock.until_sleeping()
    hasty.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hasty
    clock.advance(2)
    assert await patient == "it"


async def test_fault_of_the_work_is_raised_to_who_waits(flights: SingleFlight[str]) -> None:
    """What the work raises, each caller gets."""
    flight = flights.start("upkeep", broken)
    for _ in range(2):
        with pytest.raises(LookupError, match="of the work"):
            await flights.wait(flight, None)


async def test_one_flight_at_a_time_whatever_its_slot(
    clock: FakeClock, flights: SingleFlight[str]
) -> None:
    """SingleFlight queue for one lock, so that refreshes of a process never overlap."""
    noted: list[str] = []
    flights.start("upkeep", lasting(clock, 2, noted, "first"))
    second = flights.start("search", lasting(clock, 2, noted, "second"))
    third = flights.start("forced", lasting(clock, 2, noted, "third"))
    for _ in range(3):
        await clock.until_sleeping()
        clock.advance(2)
        await asyncio.sleep(0)
    assert await flights.wait(third, None) == "third"
    assert second.task.done()
    order = ["first", "second", "third"]
    assert noted == [f"{name} {what}" for name in order for what in ("began", "ended")]


async def test_failed_flight_lets_the_next_one_go(flights: SingleFlight[str]) -> None:
    """The lock is given back by work that fails."""
    failed = flights.start("upkeep", broken)
    following = flights.start("search", _nothing)
    assert await flights.wait(following, None) == "nothing"
    with pytest.raises(LookupError):
        await flights.wait(failed, None)


async def test_latest_flight_of_a_slot_is_the_one_to_join(
    clock: FakeClock, flights: SingleFlight[str]
) -> None:
    """Who starts a flight where one is under way replaces it, for those who come later."""
    first = flights.start("forced", lasting(clock, 1, [], "first"))
    second = flights.start("forced", lasting(clock, 1, [], "second"))
    assert flights.under_way("forced") is second
    for _ in range(2):
        await clock.until_sleeping()
        clock.advance(1)
        await asyncio.sleep(0)
    assert await flights.wait(second, None) == "second"
    assert await flights.wait(first, None) == "first"


async def test_close_cancels_what_is_under_way(
    clock: FakeClock, flights: SingleFlight[str]
) -> None:
    """After close nothing runs on, and what waited for the lock never begins."""
    noted: list[str] = []
    running = flights.start("upkeep", lasting(clock, 2, noted, "first"))
    queued = flights.start("search", lasting(clock, 2, noted, "second"))
    waiting = [asyncio.create_task(flights.wait(one, None)) for one in (running, queued)]
    await clock.until_sleeping()
    await flights.aclose()
    assert running.task.done()
    assert queued.task.done()
    for one in waiting:
        with pytest.raises(RuntimeError, match="closed"):
            await one
    assert (noted, flights.busy, clock.sleeping) == (["first began"], False, 0)


async def test_closed_flights_refuse_to_begin(clock: FakeClock, flights: SingleFlight[str]) -> None:
    """Use after close is a `RuntimeError`."""
    flight = flights.start("upkeep", _nothing)
    await flights.wait(flight, None)
    await flights.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        flights.start("upkeep", lasting(clock, 2, []))
    with pytest.raises(RuntimeError, match="closed"):
        flights.under_way("upkeep")


async def test_close_may_be_repeated_and_may_come_first(flights: SingleFlight[str]) -> None:
    """To close what was never used, or is closed, does nothing; it stays closed."""
    await flights.aclose()
    await flights.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        flights.start("upkeep", _nothing)


async def test_closed_flights_may_be_reopened(flights: SingleFlight[str]) -> None:
    """Then flights begin again."""
    await flights.aclose()
    flights.reopen()
    assert flights.under_way("upkeep") is None
    assert await flights.wait(flights.start("upkeep", _nothing), None) is not None
    await flights.aclose()


async def test_state_is_told(clock: FakeClock, flights: SingleFlight[str]) -> None:
    """The representation says whether anything is under way."""
    assert repr(flights) == "SingleFlight(busy=False)"
    flights.start("upkeep", lasting(clock, 2, []))
    assert repr(flights) == "SingleFlight(busy=True)"
    await flights.aclose()


async def test_cancelled_flight_has_no_result(clock: FakeClock, flights: SingleFlight[str]) -> None:
    """Who waits for a flight that somebody else cancelled may ask again."""
    flight = flights.start("upkeep", lasting(clock, 2, []))
    waiting = asyncio.create_task(flights.wait(flight, None))
    await clock.until_sleeping()
    flight.task.cancel()
    with pytest.raises(FlightCancelledError):
        await waiting
    assert flights.under_way("upkeep") is None


def test_each_loop_has_its_own_flights(clock: FakeClock, flights: SingleFlight[str]) -> None:
    """A loop beside the first sees no flight of it, and takes none from it."""
    first = asyncio.new_event_loop()
    flight = first.run_until_complete(_begin(clock, flights))
    assert asyncio.run(_look_and_fly(flights)) == (None, "nothing")
    assert flights.busy
    assert first.run_until_complete(_look(flights)) is flight
    clock.advance(2)
    assert first.run_until_complete(flights.wait(flight, None)) == "it"
    first.close()


async def test_a_caller_that_was_cancelled_a_moment_ago_is_no_obstacle(
    clock: FakeClock, flights: SingleFlight[str]
) -> None:
    """The flight may end between its cancellation and its last step."""
    flight = flights.start("upkeep", lasting(clock, 2, []))
    await clock.until_sleeping()
    leaving = asyncio.get_running_loop().create_future()
    leaving.cancel()
    flight.waiting[leaving] = None
    clock.advance(2)
    assert await flights.wait(flight, None) == "it"


def test_close_leaves_the_flights_of_another_loop(
    clock: FakeClock, flights: SingleFlight[str]
) -> None:
    """Nobody can await what runs in another loop; there nothing new may begin."""
    first = asyncio.new_event_loop()
    flight = first.run_until_complete(_begin(clock, flights))
    asyncio.run(flights.aclose())
    with pytest.raises(RuntimeError, match="closed"):
        first.run_until_complete(_look(flights))
    clock.advance(2)
    assert first.run_until_complete(flights.wait(flight, None)) == "it"
    first.close()


def test_loops_may_follow_each_other(flights: SingleFlight[str]) -> None:
    """One loop after the other, each has its own lock and tasks; a closed one is let go."""
    loops = []
    for _ in range(3):
        loop = asyncio.new_event_loop()
        loops.append(weakref.ref(loop))
        assert loop.run_until_complete(_look_and_fly(flights)) == (None, "nothing")
        loop.close()
        del loop
    gc.collect()
    assert [loop() is None for loop in loops] == [True, True, False]


@pytest.mark.posix
def test_flights_of_the_parent_are_dropped_in_a_fork() -> None:
    """A forked worker sees no flight and starts its own; the parent's goes on."""
    # A process of its own: to fork is safe only where no other thread runs.
    script = [sys.executable, "-W", "error", str(Path(__file__))]
    told = subprocess.run(script, check=True, capture_output=True, timeout=60)
    assert json.loads(told.stdout) == {
        "child": {
            "busy": False, "here": False, "same loop": [None, "nothing"],
            "own loop": [None, "nothing"],
        },
        "parent": {"busy": True, "here": True, "brought": "it"},
    }  # fmt: skip


async def _nothing() -> str:
    return "nothing"


async def _begin(clock: FakeClock, flights: SingleFlight[str]) -> Flight[str]:
    flight = flights.start("upkeep", lasting(clock, 2, []))
    await clock.until_sleeping()
    return flight


async def _is_here(flights: SingleFlight[str]) -> bool:
    return flights.is_running_here("upkeep")


async def _look(flights: SingleFlight[str]) -> Flight[str] | None:
    return flights.under_way("upkeep")


async def _look_and_fly(flights: SingleFlight[str]) -> tuple[Flight[str] | None, str | None]:
    found = await _look(flights)
    return found, await flights.wait(flights.start("upkeep", _nothing), None)


def _child(flights: SingleFlight[str], loop: asyncio.AbstractEventLoop) -> dict[str, object]:
    busy, here = flights.busy, loop.run_until_complete(_is_here(flights))
    same = loop.run_until_complete(_look_and_fly(flights))
    own = asyncio.run(_look_and_fly(flights))
    return {"busy": busy, "here": here, "same loop": same, "own loop": own}


def _forking() -> dict[str, object]:
    clock = FakeClock()
    flights: SingleFlight[str] = SingleFlight(clock)
    loop = asyncio.new_event_loop()
    flight = loop.run_until_complete(_begin(clock, flights))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, json.dumps(_child(flights, loop)).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    busy, here = flights.busy, loop.run_until_complete(_is_here(flights))
    clock.advance(2)
    brought = loop.run_until_complete(flights.wait(flight, None))
    loop.close()
    child = json.loads(os.read(reader, 1000))
    return {"child": child, "parent": {"busy": busy, "here": here, "brought": brought}}


if __name__ == "__main__":
    print(json.dumps(_forking()))  # noqa: T201 - the answer to the test
