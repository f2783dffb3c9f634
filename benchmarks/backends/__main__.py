"""What each backend costs, beside what a user would put together instead; see README.md.

The exit status is 1 if a target is missed.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from benchmarks.command import command
from benchmarks.fleet.crew import LATENCY, Arena, Process, arena, released
from benchmarks.report import Row, Rule, failed, machine, printed, saved

TITLE = "Backends, and what a user would put together instead"
OURS = ("memory", "file", "redis", "sealed")
OTHERS = ("hishel", "cashews")
EACH = 2
SHORT = 2.0  # seconds of life, where refreshes are watched
EARLIEST = 0.75  # the share of its life after which a key set may be refreshed
NOISE = 2  # fetches in half a minute for unknown keys
REMEMBERED = 5.0  # seconds after a fetch in which `Cashews` accepts no newer key
HOUR = 3600
FETCH, TARGET = "a fetch", "the stores'"  # what a comparison is with


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: processes, tokens a round, and seconds of traffic."""

    processes: int
    tokens: int
    steady: float
    noise: float


FULL, QUICK = Size(4, 1000, 5.0, 2.0), Size(2, 50, 0.5, 0.1)


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing to compare: its name, its unit, and what the number is held to or beside."""

    name: str
    unit: str
    rule: Rule
    limit: Callable[[int], float] | None = None
    """The target by the number of stores that share nothing; None: beside the first backend."""
    reference: str = ""
    """What the limit is of where it is no target; empty: the first backend."""


def measures(size: Size) -> dict[str, Measure]:
    """Return what is measured of each backend, in the order of the table."""
    refreshes = int(size.steady / (SHORT * EARLIEST)) + 1
    start = f"cold start of {size.processes} processes with {EACH} verifiers"
    rotation = f"rotation, {size.processes * EACH} warm verifiers"
    traffic = f"{size.steady:g} s of traffic, keys live {SHORT:g} s"
    noise = f"{size.noise:g} s of made-up key ids"
    return {
        "failures": Measure("wrong answers", "", "exactly", lambda _: 0, TARGET),
        "cold_requests": Measure(f"{start}: requests", "", "exactly", lambda n: n, TARGET),
        "cold_last": Measure(f"{start}: last one served", "s", "beside", lambda _: LATENCY, FETCH),
        "seen": Measure("warm verify, a token seen before", "µs", "beside"),
        "new": Measure("warm verify, a new token", "µs", "beside"),
        "refresh_requests": Measure(
            f"{traffic}: requests", "", "at most", lambda n: refreshes * n, TARGET
        ),
        "refresh_slowest": Measure(
            f"{traffic}: slowest verification", "s", "beside", lambda _: LATENCY, FETCH
        ),
        "rotation_requests": Measure(f"{rotation}: requests", "", "exactly", lambda n: n, TARGET),
        "rotation_last": Measure(
            f"{rotation}: last one with the new key", "s", "beside", lambda _: LATENCY, FETCH
        ),
        "noise_requests": Measure(f"{noise}: requests", "", "at most", lambda n: NOISE * n, TARGET),
        "noise_cost": Measure(f"{noise}: CPU time a rejection", "µs", "beside"),
        "noise_rate": Measure(f"{noise}: rejections a second", "", "beside"),
    }


async def measured(name: str, size: Size) -> dict[str, float]:
    """Measure one backend; the keys are those of `measures`."""
    with arena() as ground, TemporaryDirectory() as folder:
        # The alternatives take the life of the keys from here, as HTTP has it.
        ground.issuer.cache(f"max-age={15 * 60}")
        async with crew(ground, name, folder, size, 900) as workers:
            cold = await _start(ground, workers)
            warm = await _warm(ground, workers[0], size)
            if name == "cashews":
                await asyncio.sleep(REMEMBERED)
            ground.issuer.rotate()
            rotation = await _start(ground, workers)
            noise = await _noise(ground, workers, size)
    with arena() as ground, TemporaryDirectory() as folder:
        ground.issuer.cache(f"max-age={SHORT:.0f}")
        async with crew(ground, name, folder, size, SHORT) as workers:
            refresh = await _refreshes(ground, workers, Path(folder), size)
    failures = sum(each.pop("failures") for each in (cold, rotation, noise, refresh))
    return {
        "failures": failures, **refresh, **warm, **noise,
        **{f"cold_{key}": value for key, value in cold.items()},
        **{f"rotation_{key}": value for key, value in rotation.items()},
    }  # fmt: skip


def crew(
    ground: Arena, name: str, folder: str, size: Size, cache_ttl: float
) -> AbstractAsyncContextManager[list[Process]]:
    """Start the worker processes over that backend."""
    settings = {
        "name": name, "url": ground.url, "folder": folder + "/keys", "verifiers": EACH,
        "source": {"jwks_uri": ground.issuer.jwks_uri, "issuer": ground.issuer.issuer},
        "cache_ttl": cache_ttl,
    }  # fmt: skip
    return ground.hired(size.processes, settings, "-m", "benchmarks.backends.worker")


async def _start(ground: Arena, workers: list[Process]) -> dict[str, float]:
    ground.forget()
    token = ground.issuer.sign(exp=time.time() + HOUR)
    served = [each for worker in await released(workers, token) for each in worker["served"]]
    return {
        "requests": ground.fetches[1],
        "last": max(seconds for _, seconds in served),
        "failures": sum(outcome != "alice" for outcome, _ in served),
    }


async def _warm(ground: Arena, worker: Process, size: Size) -> dict[str, float]:
    end = time.time() + HOUR
    tokens = [ground.issuer.sign(jti=f"{n}", exp=end) for n in range(size.tokens)]
    new = await worker.do("warm", tokens)
    seen = await worker.do("warm", [tokens[-1]] * size.tokens)
    return {"new": 1e6 * new, "seen": 1e6 * seen}


async def _noise(ground: Arena, workers: list[Process], size: Size) -> dict[str, float]:
    ground.forget()
    token = ground.issuer.sign(exp=time.time() + HOUR)
    for worker in workers:
        await worker.begin("noise", token, size.noise)
    told = [await worker.end() for worker in workers]
    outcomes: Counter[str] = sum((Counter(each["outcomes"]) for each in told), Counter())
    number = outcomes.total()
    return {
        "failures": outcomes["alice"],
        "noise_requests": ground.fetches[1],
        "noise_cost": 1e6 * sum(each["cpu"] for each in told) / number,
        "noise_rate": number / size.noise,
    }


async def _refreshes(
    ground: Arena, workers: list[Process], folder: Path, size: Size
) -> dict[str, float]:
    end = time.time() + HOUR
    tokens = [ground.issuer.sign(jti=f"{n}", exp=end) for n in range(size.tokens)]
    file = folder / "tokens.json"
    file.write_text(json.dumps(tokens), "utf-8")
    await released(workers, tokens[0])
    ground.forget()
    for worker in workers:
        await worker.begin("steady", str(file), size.steady)
    told = [await worker.end() for worker in workers]
    outcomes: Counter[str] = sum((Counter(each["outcomes"]) for each in told), Counter())
    return {
        "refresh_requests": ground.fetches[1],
        "refresh_slowest": max(each["slowest"] for each in told),
        "failures": outcomes.total() - outcomes["alice"],
    }


def compared(seen: dict[str, dict[str, float]], size: Size) -> list[Row]:
    """Return the rows of the table, by measure; the alternatives have no target."""
    rows = []
    first, *_ = seen.values()
    for key, measure in measures(size).items():
        for name, numbers in seen.items():
            alone = size.processes if name == "memory" else 1
            limit = first[key] if measure.limit is None else measure.limit(alone)
            rule: Rule = measure.rule if name in OURS else "beside"
            reference = measure.reference or next(iter(seen))
            row = Row(measure.name, name, numbers[key], rule, limit, measure.unit)
            rows.append(replace(row, reference=reference) if rule == "beside" else row)
    return rows


def better(rows: Sequence[Row]) -> list[str]:
    """Say where an alternative beats the sealed store."""
    ours = {row.scenario: row.measured for row in rows if row.what == "sealed"}
    return [
        f"{row.what} is ahead of sealed: {row.scenario}: "
        f"{row.measured:.3g} against {ours[row.scenario]:.3g} {row.unit}".rstrip()
        for row in rows
        if row.what in OTHERS and row.scenario in ours
        if (row.measured > ours[row.scenario]) == row.scenario.endswith("a second")
        if row.measured != ours[row.scenario]
    ]


def options() -> argparse.Namespace:
    """Read the command line."""
    names = [*OURS, *OTHERS]
    parser = command("backends", __doc__, "smallest sizes")
    parser.add_argument("names", nargs="*", metavar="backend", help=f"of {', '.join(names)}")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - {*names}:
        parser.error(f"no such backend: {', '.join(unknown)}")
    chosen.names = chosen.names or names
    return chosen


async def _all(names: Sequence[str], size: Size) -> dict[str, dict[str, float]]:
    seen, console = {}, Console(stderr=True)
    for name in names:
        seen[name] = await measured(name, size)
        console.print(f"measured: {name}", style="dim")
    return seen


def main() -> bool:
    """Measure, print and save; return whether every target is met."""
    chosen = options()
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    size = QUICK if chosen.quick else FULL
    where, console = machine(*OTHERS), Console()
    rows = compared(asyncio.run(_all(chosen.names, size)), size)
    printed(TITLE, rows, where, console)
    for line in better(rows):
        console.print(line, soft_wrap=True)
    saved(
        chosen.output, "backends", rows, where,
        quick=chosen.quick, latency_per_request=LATENCY,
        processes=size.processes, verifiers_each=EACH,
    )  # fmt: skip
    return not failed(rows)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
