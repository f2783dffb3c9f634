"""Which fleets are simulated, and what is told of them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from statistics import mean

from benchmarks.report import Row, Rule
from benchmarks.simulation.fleet import Seen, cold_start, killed_holder, warm
from benchmarks.simulation.store import LATENCY, Costs

__all__ = ["Plan", "checks", "plans", "told"]

PROVIDER = 2 * LATENCY  # the discovery document, then the keys
SPREAD = 5.0
QUARTER, EVERY = 900.0, 20.0
HOUR, CALLS_AN_HOUR = 3600.0, 75
LOOPBACK = 50e-6  # seconds one way, where the real fleets were measured
SEEDS = range(5)
TOLERANCE = 20.0  # per cent
REQUESTS, SERVED, CALLS = "requests for the keys", "last one served", "store calls a worker"

Plan = Callable[[], Seen]
Told = Mapping[tuple[str, str], float]


def plans(costs: Costs, sizes: tuple[int, ...]) -> dict[str, Plan]:
    """Return what takes long to simulate, longest first: the largest fleet, and smaller starts."""
    most = sizes[-1]
    spread = partial(cold_start, costs, most, spread=SPREAD)
    return {
        _kill(most): partial(killed_holder, costs, most - 1),
        _minutes(most): partial(warm, costs, most, QUARTER, EVERY),
        _start(most): partial(cold_start, costs, most),
        _start(most, f"within {SPREAD:.0f} s"): spread,
        **{_start(size): partial(cold_start, costs, size) for size in sizes[-2::-1]},
    }


def told(seen: Mapping[str, Seen], most: int) -> Iterator[Row]:
    """Return what each fleet came to; what is compared with nothing is only printed."""
    for name, fleet in seen.items():
        fetches, limit = 2 if name == _kill(most) else 1, CALLS_AN_HOUR * QUARTER / HOUR
        yield Row(name, REQUESTS, fleet.fetches, "exactly", fetches)
        yield Row(name, "workers not served", fleet.unserved, "exactly", 0)
        if name == _minutes(most):
            yield Row(name, CALLS, fleet.calls, "at most", limit)
        else:
            yield Row(name, CALLS, fleet.calls, "beside", 1, reference="least")
            yield Row(name, SERVED, fleet.last, "beside", PROVIDER, "s", "provider alone")
        busy = 100 * fleet.worst
        yield Row(name, "store busy, worst second", busy, "beside", 100, "%", "all of it")


def checks(costs: Costs, real: Told) -> Iterator[Row]:
    """Compare small fleets with the same ones in reality, of which a hundred share two cores.

    What one real process took is what the provider takes here, two requests of it.
    """
    alone = real["cold start, 1 process", "last one served"]
    costs = replace(costs, network=LOOPBACK, provider=alone / 2)
    fleets: dict[int, Rule] = {10: "at most", 100: "beside"}
    for number, rule in fleets.items():
        place = f"cold start, {number} processes"
        runs = [cold_start(costs, number, seed=seed) for seed in SEEDS]
        # A server that is new is told the script with one call more.
        calls = real[place, "store calls a verifier"] - 1 / number
        pairs = {
            CALLS: (mean(run.calls for run in runs), calls, ""),
            SERVED: (mean(run.last for run in runs), real[place, "last one served"], "s"),
        }
        for what, (simulated, measured, unit) in pairs.items():
            name = f"{number} workers, beside real ones"
            yield Row(name, what, simulated, "beside", measured, unit, "real", kept=False)
            off = 100 * abs(simulated / measured - 1)
            yield Row(name, f"{what}, off by", off, rule, TOLERANCE, "%", kept=False)


def _start(number: int, when: str = "at one instant") -> str:
    return f"{number:,} workers start {when}"


def _kill(number: int) -> str:
    return f"{number:,} workers start, and the one that fetches is killed"


def _minutes(number: int) -> str:
    return f"{number:,} warm workers, {QUARTER / 60:.0f} minutes, a token every {EVERY:.0f} s"
