"""Cold starts: what the provider and the store see, and who is served when."""

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from benchmarks.fleet.crew import LATENCY, arena, released
from benchmarks.report import Row

__all__ = ["EXTRA", "FULL", "PROVIDER", "QUICK", "Start", "cold_starts", "most_polls"]

PROVIDER = 2 * LATENCY  # the discovery document, then the keys
EXTRA = 0.6
PAUSES = (0.025, 0.05, 0.1, 0.2)  # at least, between the polls of a cold worker
LAST_PAUSE = 0.25
MOST_ALONE = 400
WITHOUT_STORE, SHARED = "requests without a store", "with a store"


@dataclass(frozen=True, slots=True)
class Start:
    """So many processes with so many verifiers each; `shared`: one store for all of a process.

    `floor`: the same start is measured with a GET in place of each verifier.
    """

    processes: int
    verifiers: int = 1
    shared: bool = False
    floor: bool = False

    @property
    def number(self) -> int:
        """How many verifiers start."""
        return self.processes * self.verifiers

    @property
    def without_store(self) -> bool:
        """Whether these can do without a store: more would wait for their own CPU for too long."""
        return not self.shared and self.number <= MOST_ALONE

    @property
    def name(self) -> str:
        """What it is called in the table."""
        if self.verifiers == 1:
            return (
                f"cold start, {self.processes} {'processes' if self.processes > 1 else 'process'}"
            )
        stores = "that share a store" if self.shared else "with a store each"
        return f"cold start, {self.processes} x {self.verifiers} verifiers {stores}"


FULL = (
    *map(Start, (1, 10, 40)), Start(100, floor=True), Start(1, 1000, shared=True), Start(1, 1000),
)  # fmt: skip
QUICK = (Start(2, floor=True), Start(1, 20, shared=True))


@dataclass(slots=True)
class Seen:
    """What one cold start came to."""

    fetches: tuple[int, int]
    calls: int
    cpu: float
    most: float  # the CPU time of the worker that had most of it: who fetched
    others: float  # the CPU time of all but the workers
    last: float
    outcomes: list[str] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """How many verifications failed."""
        return sum(outcome != "alice" for outcome in self.outcomes)


async def cold_starts(starts: Sequence[Start], slack: float) -> AsyncIterator[Row]:
    """Measure each start with a shared store, and all but the largest without one, to compare."""
    for start in starts:
        seen = await _measured(start, slack, store=True)
        for row in _rows(start, seen, slack):
            yield row
        if start.floor:
            for row in _floor(start, seen, await _measured(start, slack, store=True, bare=True)):
                yield row
        if start.without_store:
            alone = await _measured(start, slack, store=False)
            for row in _beside(start, seen, alone):
                yield row


async def _measured(start: Start, slack: float, *, store: bool, bare: bool = False) -> Seen:
    with arena() as ground:
        settings = ground.settings(
            start.verifiers, store=store, shared=start.shared, bare=bare, slack=slack
        )
        async with ground.hired(start.processes, settings) as crew:
            ground.forget()
            token, before = ground.issuer.sign(), ground.cpu
            told = await released(crew, token)
            others = ground.cpu - before
            served = [each for worker in told for each in worker["served"]]
            return Seen(
                ground.fetches,
                ground.calls,
                sum(worker["cpu"] for worker in told),
                max(worker["cpu"] for worker in told),
                others,
                max(seconds for _, seconds in served),
                [outcome for outcome, _ in served],
            )


def _rows(start: Start, seen: Seen, slack: float) -> list[Row]:
    name, number = start.name, start.number
    most = most_polls(PROVIDER + EXTRA) + 1 / number
    return [
        Row(name, "discovery requests", seen.fetches[0], "exactly", 1),
        Row(name, "key set requests", seen.fetches[1], "exactly", 1),
        Row(name, "failed verifications", seen.refused, "exactly", 0),
        Row(name, "last one served", seen.last, "at most", PROVIDER + EXTRA + slack, "s"),
        Row(name, "store calls a verifier", seen.calls / number, "at most", most),
        Row(name, "CPU time a verifier", 1e3 * seen.cpu / number, "beside", 1e3 * seen.last, "ms"),
    ]


def _floor(start: Start, seen: Seen, bare: Seen) -> list[Row]:
    """Say how long the cores are busy, and what a start takes whose workers only make a GET."""
    cores = os.cpu_count() or 1
    busy = (seen.cpu + seen.others) / cores
    least = PROVIDER + bare.last
    ms = 1e3 / start.number
    return [
        Row(start.name, "CPU time of all / cores", busy, "beside", seen.last, "s"),
        Row(start.name, "provider, and a GET each", least, "beside", seen.last, "s"),
        Row(start.name, "CPU time of such a GET", ms * bare.cpu, "beside", ms * seen.cpu, "ms"),
        Row(start.name, "CPU time of who fetches", 1e3 * seen.most, "beside", ms * seen.cpu, "ms"),
    ]


def _beside(start: Start, seen: Seen, alone: Seen) -> list[Row]:
    requests, last = sum(alone.fetches), alone.last
    return [
        Row(start.name, WITHOUT_STORE, requests, "beside", sum(seen.fetches), "", SHARED),
        Row(start.name, "last one without a store", last, "beside", seen.last, "s", SHARED),
    ]


def most_polls(seconds: float) -> int:
    """Return how many polls a cold worker makes at most in that time, the first included."""
    polls, at = 1, 0.0
    while True:
        at += PAUSES[polls - 1] if polls <= len(PAUSES) else LAST_PAUSE
        if at > seconds:
            return polls
        polls += 1
