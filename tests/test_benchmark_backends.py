"""The comparison of backends and the simulated fleet: small runs, and rules that hold at any size.

Nothing here is timed: what a benchmark takes, `make bench` says.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale import per_worker, points
from benchmarks.scale_model import Costs
from benchmarks.scale_workers import cold_start, killed_holder, warm
from tests.environment import unmeasured

ROOT = Path(__file__).parents[1]
COSTS = Costs(provider=0.5, service=30e-6, connect=40e-6, network=0.5e-3, worker=0.4e-3)
STEP = 0.4  # the longest pause between two polls


def measured(output: Path, program: str, *words: str) -> tuple[str, list[dict[str, Any]]]:
    """Run a program at its smallest size, piped; return what it printed, and its rows."""
    command = [sys.executable, "-m", f"benchmarks.{program}", "--quick", "--output", str(output)]
    done = subprocess.run(
        [*command, *words], cwd=ROOT, env=unmeasured() | {"COLUMNS": "80"}, capture_output=True,
        check=False, encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert done.returncode in {0, 1}, done.stderr
    rows = json.loads((output / f"{program}.json").read_text("utf-8"))["rows"]
    for row in rows:
        assert row["scenario"] in done.stdout
        assert row["what"] in done.stdout
    return done.stdout, rows


def test_backends_are_compared(tmp_path: Path) -> None:
    """Each measure has a row for each backend; a shared one fetches once at a time."""
    _, rows = measured(tmp_path, "backends", "memory", "sealed")
    assert [row["what"] for row in rows] == ["memory", "sealed"] * (len(rows) // 2)
    counts = {
        (row["scenario"].partition(" ")[0].rstrip(","), row["what"]): row["measured"]
        for row in rows
        if row["rule"] == "exactly"
    }
    assert counts == {
        ("wrong", "memory"): 0, ("wrong", "sealed"): 0, ("cold", "memory"): 2,
        ("cold", "sealed"): 1, ("rotation", "memory"): 2, ("rotation", "sealed"): 1,
    }  # fmt: skip


def test_unknown_backend_is_refused(tmp_path: Path) -> None:
    """A slip of the keyboard measures nothing."""
    command = [sys.executable, "-m", "benchmarks.backends", "--output", str(tmp_path), "reddis"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, check=False, encoding="utf-8", timeout=60
    )
    assert done.returncode == 2
    assert "no such backend: reddis" in done.stderr


def test_scale_is_simulated_and_checked(tmp_path: Path) -> None:
    """Every measured point is compared with the simulation, before a larger fleet is predicted."""
    told, rows = measured(tmp_path, "scale")
    assert "µs of Valkey" in told
    checks = [row for row in rows if row["what"].endswith(", off by")]
    assert {row["rule"] for row in checks} == {"at most"}
    assert any("10 x 100 verifiers" in row["scenario"] for row in checks)
    assert any("200 workers start" in row["scenario"] for row in rows)


def test_simulation_that_is_off_is_missed(tmp_path: Path) -> None:
    """A fleet that waited much longer than the simulated one is told, and the status is 1."""
    content = json.loads((ROOT / "benchmarks" / "results" / "fleet.json").read_text("utf-8"))
    for row in content["rows"]:
        if row["what"] == "last one served":
            row["measured"] *= 10
    (tmp_path / "slow.json").write_text(json.dumps(content), "utf-8")
    told, _ = measured(tmp_path, "scale", "--fleet", str(tmp_path / "slow.json"))
    assert "MISSED check: cold start, 1 process: last one served, off by" in told


@pytest.mark.parametrize("number", [1, 2, 30, 1000])
def test_fleet_of_any_size_fetches_once(number: int) -> None:
    """Whoever comes first fetches; the last is served one poll after the commit at most."""
    seen = cold_start(COSTS, number)
    assert (seen.fetches, seen.alone, seen.unserved, len(seen.served)) == (1, 0, 0, number)
    assert COSTS.provider < seen.last < COSTS.provider + STEP + 0.1
    assert seen.connections == number
    assert 2 <= seen.calls / number <= 7


def test_killed_holder_costs_two_fetches() -> None:
    """The lease lapses three seconds after its renewal, and one of the others takes it over."""
    seen = killed_holder(COSTS, 50, lead=0.5)
    assert (seen.fetches, seen.alone, len(seen.served)) == (2, 0, 50)
    waited = 1.0 + 3.0 - 0.5  # renewed after one second, of which half was before they began
    assert waited + COSTS.provider < seen.last < waited + COSTS.provider + 2 * STEP + 0.1


def test_slow_fetch_renews_its_lease() -> None:
    """A fetch that takes longer than the lease is nobody else's turn."""
    seen = cold_start(replace(COSTS, provider=8.0), 20)
    assert (seen.fetches, len(seen.served)) == (1, 20)


def test_fleet_beyond_the_store_goes_on_alone() -> None:
    """A store that can't answer within the limits is left alone, and nobody stays without keys."""
    seen = cold_start(replace(COSTS, service=0.01), 1000)
    assert seen.alone > 500
    assert seen.fetches >= seen.alone
    assert (seen.unserved, len(seen.served)) == (0, 1000)
    assert seen.utilisation == pytest.approx(1.0, abs=0.05)


def test_start_that_is_spread_out_fits_the_store() -> None:
    """The same fleet over half a minute fetches once."""
    seen = cold_start(replace(COSTS, service=0.01), 1000, spread=30.0)
    assert (seen.fetches, seen.alone) == (1, 0)


def test_warm_hour_costs_few_calls() -> None:
    """A look a minute and a refresh per lifetime, for the fleet one fetch per lifetime."""
    seen = warm(COSTS, 50, 3600.0, every=5.0)
    assert 4 <= seen.fetches <= 6
    assert seen.calls / 50 <= 75
    assert (seen.alone, seen.served) == (0, [])


def test_shared_cores_make_workers_wait() -> None:
    """A thousand workers on two cores are served later than on a thousand."""
    apart = cold_start(replace(COSTS, first=0.01), 1000)
    together = cold_start(replace(COSTS, first=0.01, cores=2), 1000)
    assert (apart.fetches, together.fetches) == (1, 1)
    assert together.last > 1000 * 0.01 / 2 > apart.last


def test_simulation_repeats_itself() -> None:
    """The same seed is the same fleet."""
    assert cold_start(COSTS, 100, seed=7).served == cold_start(COSTS, 100, seed=7).served
    assert cold_start(COSTS, 100, seed=7).served != cold_start(COSTS, 100, seed=8).served


def test_costs_come_from_the_measured_points() -> None:
    """What a worker alone and many in one process computed tells a fetch from a call."""
    names = ("store calls a verifier", "last one served", "CPU time a verifier")
    told = {
        "cold start, 1 process": dict(zip(names, (3.0, 0.5, 64.0), strict=True)),
        "cold start, 11 processes": dict(zip(names, (4.0, 0.9, 154 / 11), strict=True)),
        "cold start, 10 x 100 verifiers with a store each": dict(
            zip(names, (4.0, 1.0, 5.0), strict=True)
        ),
        "cold start, 1 x 1000 verifiers with a store each": dict(
            zip(names, (4.0, 2.0, 5.0), strict=True)
        ),
        "an hour": {"store calls": 60.0},
    }
    cold = points(told)
    assert [point.number for point in cold] == [1, 11, 1000]
    assert per_worker(cold) == pytest.approx((0.001, 0.004, 0.056))
