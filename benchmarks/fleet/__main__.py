"""What a fleet costs its provider and its store, from real processes; see README.md.

The exit status is 1 if a target is missed.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial

from rich.console import Console

from benchmarks.command import command
from benchmarks.fleet import faults
from benchmarks.fleet.crew import LATENCY
from benchmarks.fleet.start import FULL, QUICK, cold_starts
from benchmarks.report import Row, failed, machine, printed, saved

TITLE = "One key set for a fleet, over Valkey"

Scenario = Callable[[], AsyncIterator[Row]]


def scenarios(*, quick: bool, slack: float) -> dict[str, list[Scenario]]:
    """Return what can be measured, by name; `slack` seconds are added to each limit on time."""
    starts, workers, seconds = (QUICK, 2, 3.0) if quick else (FULL, 4, 6.0)
    survivors, tokens, spread = (2, 20_000, 0.0) if quick else (19, 240_000, 65.0)
    return {
        "cold": [partial(cold_starts, starts, slack)],
        "kill": [partial(faults.killed_holder, survivors, slack)],
        "store": [
            partial(faults.broken_store, how, workers, seconds, slack)
            for how in ("frozen", "stopped")
        ],
        "flood": [partial(faults.flood, workers, tokens, spread, slack)],
        "hour": [faults.hour],
    }


async def measured(chosen: list[Scenario], console: Console) -> list[Row]:
    """Run the scenarios one after the other."""
    rows: list[Row] = []
    for scenario in chosen:
        async for row in scenario():
            if not rows or rows[-1].scenario != row.scenario:
                console.print(f"measured: {row.scenario}", style="dim")
            rows.append(row)
    return rows


def options() -> argparse.Namespace:
    """Read the command line."""
    names = [*scenarios(quick=True, slack=0.0)]
    parser = command("fleet", __doc__, "smallest sizes")
    parser.add_argument("names", nargs="*", metavar="scenario", help=f"of {', '.join(names)}")
    parser.add_argument("--slack", type=float, default=0.0, help="seconds added to limits on time")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - {*names}:
        parser.error(f"no such scenario: {', '.join(unknown)}")
    chosen.names = chosen.names or names
    return chosen


def main() -> bool:
    """Measure, print and save; return whether every target is met."""
    chosen = options()
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    available = scenarios(quick=chosen.quick, slack=chosen.slack)
    where, console = machine(), Console()
    work = [scenario for name in chosen.names for scenario in available[name]]
    rows = asyncio.run(measured(work, Console(stderr=True)))
    printed(TITLE, rows, where, console)
    saved(
        chosen.output, "fleet", rows, where,
        quick=chosen.quick, slack=chosen.slack, latency_per_request=LATENCY,
    )  # fmt: skip
    return not failed(rows)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
