"""Fleets too large for one machine, simulated, and checked against measured ones; see README.md.

The exit status is 1 if the simulation is off by more than its tolerance.
"""

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console

from auth_jwks import RedisKeyStore
from auth_jwks.stores.base import LeaseRequest
from benchmarks.command import RESULTS, command
from benchmarks.fleet_crew import LATENCY, arena
from benchmarks.fleet_start import PROVIDER
from benchmarks.fleet_worker import SEAL
from benchmarks.report import Row, chart, failed, machine, printed, saved
from benchmarks.scale_model import LEASE, Costs, Seen
from benchmarks.scale_workers import cold_start, killed_holder, warm

TITLE = "Scale on paper: the gate, simulated"
LOOPBACK = 50e-6  # seconds one way, where the measured points were taken
NETWORK = 500e-6  # likewise, on paper
TOLERANCE = {"store calls a worker": 20.0, "last one served": 30.0}  # per cent
SEEDS = 5
LARGE = (10_000, 100_000)
SPREADS = (0, 1, 2, 5, 10, 20, 40, 80)  # seconds over which a fleet starts
PATIENT = (0.75, 1.5)  # the longest timeouts that a RedisKeyStore takes
LEAD = 0.85  # seconds by which the killed holder of the fleet benchmark is ahead
HOUR, TRAFFIC = 3600.0, 5.0
COLD = re.compile(r"cold start, (\d+)(?: x (\d+) verifiers with a store each| process(?:es)?)$")

Told = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Point:
    """A cold start that was measured; `cpu` is a worker's, in seconds."""

    name: str
    processes: int
    number: int
    calls: float
    last: float
    cpu: float


def points(told: Told) -> list[Point]:
    """Return the cold starts of the fleet benchmark, smallest first."""
    found = []
    for name, values in told.items():
        match = COLD.match(name)
        if match is None:
            continue
        processes, each = int(match[1]), int(match[2] or 1)
        # A few depend on chance; many in one event loop wait for each other, as in no fleet.
        if processes * each == 1 or (processes > 1 and processes * each >= 10):
            found.append(
                Point(
                    name, processes, processes * each, values["store calls a verifier"],
                    values["last one served"], values["CPU time a verifier"] / 1e3,
                )
            )  # fmt: skip
    return sorted(found, key=lambda point: (point.number, -point.processes))


def read(file: Path) -> tuple[Told, int]:
    """Return what the fleet benchmark measured, by scenario, and on how many cores."""
    result: dict[str, Any] = json.loads(file.read_text("utf-8"))
    told: Told = {}
    for row in result["rows"]:
        told.setdefault(row["scenario"], {})[row["what"]] = row["measured"]
    return told, result["machine"]["cores"]


async def store_costs(calls: int, connections: int) -> tuple[float, float]:
    """Return the CPU seconds that Valkey spends on a call, and on a connection."""
    held, wish = LeaseRequest("the holder's", 60.0, "age"), LeaseRequest("others'", LEASE, "age")
    with arena() as ground:
        stores = [RedisKeyStore(ground.url, integrity_key=SEAL) for _ in range(connections)]

        def spent() -> float:
            cpu = ground.admin.info("cpu")
            return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])

        await stores[0].poll("keys", known=0, lease=held)
        before = spent()
        await asyncio.gather(*(store.poll("keys", known=0, lease=wish) for store in stores[1:]))
        connected = spent()
        for _ in range(calls // connections):
            await asyncio.gather(*(store.poll("keys", known=0, lease=wish) for store in stores))
        service = (spent() - connected) / (calls // connections * connections)
        for store in stores:
            await store.aclose()
    return service, max(0.0, (connected - before) / (connections - 1) - service)


def averaged(simulate: Callable[..., Seen], number: int) -> tuple[float, float, Seen]:
    """Return calls a worker and the last wait, as the mean of several simulations, and one."""
    runs = [simulate(seed=seed) for seed in range(SEEDS)]
    return mean(run.calls / number for run in runs), mean(run.last for run in runs), runs[0]


def per_worker(cold: Sequence[Point]) -> tuple[float, float, float]:
    """Return the CPU seconds of a call, of a process's first one on top, and of a fetch.

    In processes of many verifiers the first call of each hardly counts.
    """
    alone, single = cold[0], [point for point in cold if point.processes == point.number][-1]
    many = cold[-1]
    call = many.cpu / (many.calls + 1)
    # Who fetches has more to do than who waits, and a worker that is alone does that.
    others = (single.cpu * single.number - alone.cpu) / max(1, single.number - 1)
    first = max(0.0, others - call * (single.calls + 1))
    return call, first, max(0.0, alone.cpu - first - call * (alone.calls + 1))


def checked(costs: Costs, told: Told, cores: int) -> Iterator[Row]:
    """Compare the simulation with every cold start, the killed holder and the hour."""
    for point in points(told):
        here = replace(
            costs, network=LOOPBACK, cores=min(cores, point.processes),
            first=costs.first * point.processes / point.number,
        )  # fmt: skip
        calls, last, run = averaged(partial(cold_start, here, point.number), point.number)
        name = f"check: {point.name}"
        yield Row(name, "provider fetches", run.fetches, "exactly", 1)
        # A server that is new is told the script with one call more.
        measured = point.calls - 1 / point.number
        yield from _compared(name, "store calls a worker", calls, measured)
        yield from _compared(name, "last one served", last, point.last, "s")
    yield from _checked_faults(replace(costs, network=LOOPBACK), told)


def _checked_faults(costs: Costs, told: Told) -> Iterator[Row]:
    for name, values in told.items():
        if match := re.match(r"kill -9 of the holder, (\d+)", name):
            kill = partial(killed_holder, costs, int(match[1]), LEAD)
            _, last, run = averaged(kill, 1)
            yield Row(f"check: {name}", "provider fetches", run.fetches, "exactly", 2)
            measured = values["last survivor served"]
            yield from _compared(f"check: {name}", "last one served", last, measured, "s")
        if name.startswith("an hour of a warm worker"):
            calls, _, _ = averaged(partial(warm, costs, 1, HOUR, every=TRAFFIC), 1)
            yield from _compared(
                f"check: {name}", "store calls a worker", calls, values["store calls"]
            )


def _compared(name: str, what: str, simulated: float, measured: float, unit: str = "") -> list[Row]:
    off = 100 * abs(simulated / measured - 1)
    return [
        Row(name, what, simulated, "beside", measured, unit),
        Row(name, f"{what}, off by", off, "at most", TOLERANCE[what], "%"),
    ]


def paper(costs: Costs, number: int) -> Iterator[Row]:
    """Predict cold starts, a killed holder and a warm hour of so many workers."""
    patient = replace(costs, timeout=PATIENT[0], connect_timeout=PATIENT[1])
    starts = {"start": (cold_start, 1), "start, the holder is killed": (_killed, 2)}
    for what, (simulate, fewest) in starts.items():
        tried = list(_spread_out(simulate, costs, number, fewest))
        # At once, and over the shortest time in which the gate holds.
        for spread, seen in dict([tried[0], tried[-1]]).items():
            when = f"over {spread} s" if spread else "at once"
            yield from _told(f"{number:,} workers {what}, {when}", seen, number)
    name = f"{number:,} workers start, at once, the store's timeouts are {PATIENT[0]:g} and "
    yield from _told(f"{name}{PATIENT[1]:g} s", cold_start(patient, number), number)
    # The largest fleet is watched through one refresh only, so as not to take minutes.
    seconds = HOUR if number <= LARGE[0] else HOUR / 4
    seen = warm(costs, number, seconds, every=TRAFFIC)
    yield from _told(f"{number:,} warm workers for {seconds / 60:.0f} minutes", seen, number)


def _spread_out(
    simulate: Callable[..., Seen], costs: Costs, number: int, fewest: int
) -> Iterator[tuple[int, Seen]]:
    for spread in SPREADS:
        seen = simulate(costs, number, spread=spread)
        yield spread, seen
        if seen.fetches == fewest:
            return


def _killed(costs: Costs, number: int, *, spread: float) -> Seen:
    return killed_holder(costs, number, LEAD, spread=spread)


def _told(name: str, seen: Seen, number: int) -> list[Row]:
    rows = [
        Row(name, "provider fetches", seen.fetches, "beside", number),
        Row(name, "of them without the store", seen.alone, "beside", 0),
        Row(name, "store calls a worker", seen.calls / number, "beside", 1),
        Row(name, "store, worst second", 100 * seen.utilisation, "beside", 100, "%"),
        Row(name, "connections", seen.connections, "beside", number),
    ]
    if seen.served:
        rows.append(Row(name, "last one served", seen.last, "beside", PROVIDER, "s"))
        rows.append(Row(name, "workers not served", seen.unserved, "beside", 0))
    return rows


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = command("scale", __doc__, "smallest sizes, no picture")
    parser.add_argument(
        "--fleet", type=Path, default=RESULTS / "fleet.json", help="measured points"
    )
    parser.add_argument(
        "--network", type=float, default=NETWORK, help="seconds one way to the store"
    )
    return parser.parse_args()


def main() -> bool:
    """Simulate, print and save; return whether the simulation agrees with what was measured."""
    chosen = options()
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    where, console = machine(), Console()
    told, cores = read(chosen.fleet)
    service, connect = asyncio.run(store_costs(*((500, 20) if chosen.quick else (20_000, 100))))
    call, first, fetch = per_worker(points(told))
    costs = Costs(
        provider=PROVIDER, service=service, connect=connect, network=chosen.network,
        worker=call, first=first, fetch=fetch,
    )  # fmt: skip
    rows = [*checked(costs, told, cores)]
    for number in (200,) if chosen.quick else LARGE:
        rows += paper(costs, number)
    printed(TITLE, rows, where, console)
    console.print(
        f"a store call {1e6 * service:.0f} µs, a connection {1e6 * connect:.0f} µs of Valkey, "
        f"{1e3 * call:.2f} ms of the worker, its first {1e3 * first:.0f} ms more, a fetch "
        f"{1e3 * fetch:.0f} ms; {1e3 * costs.network:g} ms to the store",
        style="dim", soft_wrap=True,
    )  # fmt: skip
    saved(
        chosen.output, "scale", rows, where,
        quick=chosen.quick, latency_per_request=LATENCY, tolerance_per_cent=TOLERANCE,
        service=service, connect=connect, network=chosen.network,
        worker=call, first=first, fetch=fetch,
    )  # fmt: skip
    if not chosen.quick:
        drawn(chosen.output / "scale.png", costs)
    return not failed(rows)


def drawn(file: Path, costs: Costs) -> None:
    """Draw the wait of the last worker as the fleet grows, for several ways to start."""
    numbers = (1, 10, 100, 1_000, 2_000, 5_000, 10_000, 20_000)
    lines = {
        (f"all within {spread} s" if spread else "all at once"): [
            (number, float(cold_start(costs, number, spread=spread).fetches)) for number in numbers
        ]
        for spread in (0, 1, 5)
    }
    chart(file, "Cold start, simulated", lines, ("workers", "fetches at the provider"))


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
