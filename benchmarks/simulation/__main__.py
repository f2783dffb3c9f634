"""Ten thousand workers under virtual time, with the library's own code; see README.md.

The exit status is 1 if a target is missed.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.command import RESULTS, command
from benchmarks.report import failed, machine, printed, saved
from benchmarks.simulation.costs import measured
from benchmarks.simulation.fleet import Seen, collect_nothing
from benchmarks.simulation.rows import Plan, checks, plans, told
from benchmarks.simulation.store import Costs

TITLE = "Ten thousand workers, under virtual time"
SIZES = (100, 1_000, 10_000)
JOBS = 2  # each of them needs up to 0.7 GB


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = command("simulation", __doc__, "200 workers")
    parser.add_argument("--fleet", type=Path, default=RESULTS / "fleet.json", help="real fleets")
    return parser.parse_args()


def main() -> bool:
    """Simulate, print and save; return whether every target is met."""
    chosen = options()
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    where, console = machine(), Console()
    call, connection = measured(*((500, 20) if chosen.quick else (4_000, 200)))
    costs = Costs(call, connection)
    sizes = (20, 200) if chosen.quick else SIZES
    seen = simulated(plans(costs, sizes), Console(stderr=True))
    rows = [*told(seen, sizes[-1]), *checks(costs, real(chosen.fleet))]
    printed(TITLE, rows, where, console)
    console.print(
        f"a store call takes {1e6 * call:.0f} µs, a connection {1e6 * connection:.0f} µs more, the "
        f"way to the store {1e3 * costs.network:g} ms",
        style="dim", soft_wrap=True,
    )  # fmt: skip
    saved(
        chosen.output, "simulation", rows, where,
        quick=chosen.quick, call=call, connection=connection, network=costs.network,
    )  # fmt: skip
    return not failed(rows)


def simulated(plans: Mapping[str, Plan], console: Console) -> dict[str, Seen]:
    """Run simulations side by side, each in a process of its own, whose memory ends with it."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(JOBS, spawn, collect_nothing, max_tasks_per_child=1) as pool:
        begun = {name: pool.submit(plan) for name, plan in plans.items()}
        seen = {}
        for name, each in begun.items():
            seen[name] = each.result()
            console.print(f"simulated: {name}", style="dim")
        return seen


def real(file: Path) -> dict[tuple[str, str], float]:
    """Return what the fleet benchmark measured."""
    content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return {(row["scenario"], row["what"]): row["measured"] for row in content["rows"]}


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
