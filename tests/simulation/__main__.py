"""Run random worlds for as long as told: `python -m tests.simulation --minutes 10`."""

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count

from tests.simulation.draw import draw
from tests.simulation.keyring import Keyring
from tests.simulation.shrink import script, shrunk
from tests.simulation.world import simulate

__all__ = ["main"]


@dataclass(frozen=True, slots=True)
class Report:
    """What one seed came to: the broken promises by name, each in a line."""

    seed: int
    worker_days: float
    broken: dict[str, str]


@dataclass(slots=True)
class Tally:
    """What all seeds came to."""

    worlds: int = 0
    worker_days: float = 0.0
    seeds: dict[str, list[int]] = field(default_factory=dict)

    def add(self, report: Report) -> list[str]:
        """Count a world; return the names of what was broken for the first time."""
        self.worlds += 1
        self.worker_days += report.worker_days
        fresh = [name for name in report.broken if name not in self.seeds]
        for name in report.broken:
            self.seeds.setdefault(name, []).append(report.seed)
        return fresh


def main() -> int:
    """Run worlds, tell what was broken, and what each kind shrinks to."""
    options = _options()
    began, tally = time.monotonic(), Tally()
    for report in _reports(options.seed, began + 60 * options.minutes, options.jobs):
        for name in tally.add(report):
            say(f"[{tally.worlds} worlds] seed {report.seed}: {report.broken[name]}")
    took = time.monotonic() - began
    speed = tally.worker_days / took
    say(f"{tally.worlds} worlds, {tally.worker_days:.0f} worker-days, {speed:.1f} a second")
    for name, seeds in sorted(tally.seeds.items()):
        say(f"  {name}: {len(seeds)} worlds, seeds {seeds[:8]}")
    if options.shrink:
        for name, seeds in sorted(tally.seeds.items()):
            _tell_small_story(name, seeds[0])
    return 1 if tally.seeds else 0


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to look")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    parser.add_argument(
        "--shrink", action=argparse.BooleanOptionalAction, default=True,
        help="show the smallest story of each broken promise",
    )  # fmt: skip
    return parser.parse_args()


def _reports(first: int, deadline: float, jobs: int) -> Iterator[Report]:
    """Run one seed after the other until the time is over."""
    seeds = count(first)
    with ExitStack() as stack:
        results: Iterator[Report]
        if jobs == 1:
            results = map(_report, seeds)
        else:
            pool = stack.enter_context(ProcessPoolExecutor(jobs))
            results = _batched(pool, seeds, 4 * jobs)
        for report in results:
            yield report
            if time.monotonic() > deadline:
                return


def _batched(pool: ProcessPoolExecutor, seeds: Iterator[int], size: int) -> Iterator[Report]:
    while True:
        yield from pool.map(_report, [next(seeds) for _ in range(size)])


@lru_cache(maxsize=1)
def _ring() -> Keyring:
    return Keyring()


def _report(seed: int) -> Report:
    outcome = simulate(draw(seed), _ring())
    broken = {name: str(violation) for name, violation in outcome.violations.items()}
    return Report(seed, outcome.worker_days, broken)


def _tell_small_story(name: str, seed: int) -> None:
    plan, violation = shrunk(draw(seed), name, _ring())
    say(f"\n=== {name}: seed {seed} shrinks to\n{script(plan)}\n")
    say(f"{violation}\n")
    say("\n".join(violation.story))


if __name__ == "__main__":
    sys.exit(main())
