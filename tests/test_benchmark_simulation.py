"""The simulated fleets: rules that hold at any size, by the real code. Nothing here is timed."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.simulation.fleet import cold_start, killed_holder, warm
from benchmarks.simulation.store import Costs
from tests.environment import unmeasured

ROOT = Path(__file__).parents[1]
FLEETS = ROOT / "benchmarks" / "results" / "fleet.json"
COSTS = Costs()
STEP = 0.4  # the longest pause between two polls


def run(output: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program at its smallest size, piped."""
    command = [sys.executable, "-m", "benchmarks.simulation", "--quick", "--output", str(output)]
    return subprocess.run(
        [*command, *words], cwd=ROOT, env=unmeasured() | {"COLUMNS": "80"}, capture_output=True,
        check=False, encoding="utf-8", timeout=120,
    )  # fmt: skip


def test_fleets_are_simulated_and_checked(tmp_path: Path) -> None:
    """Small ones are compared with real ones; a simulation that is off is told, and the status."""
    content = json.loads(FLEETS.read_text("utf-8"))
    for row in content["rows"]:
        if row["what"] == "last one served" and "10 processes" in row["scenario"]:
            row["measured"] *= 10
    (tmp_path / "slow.json").write_text(json.dumps(content), "utf-8")
    done = run(tmp_path, "--fleet", str(tmp_path / "slow.json"))
    assert done.returncode == 1, done.stderr
    assert "MISSED 10 workers, beside real ones: last one served, off by" in done.stdout
    assert "µs more, the way to the store" in done.stdout
    rows = json.loads((tmp_path / "simulation.json").read_text("utf-8"))["rows"]
    counts = {row["scenario"]: row["measured"] for row in rows if "requests" in row["what"]}
    assert len(counts) == 5
    assert {count for name, count in counts.items() if "killed" not in name} == {1}
    for row in rows:
        assert row["scenario"] in done.stdout
        assert row["what"] in done.stdout


@pytest.mark.parametrize("number", [1, 2, 30, 300])
def test_fleet_of_any_size_fetches_once(number: int) -> None:
    """Whoever comes first fetches; the last is served one poll after the commit at most."""
    seen = cold_start(COSTS, number)
    assert (seen.fetches, seen.unserved) == (1, 0)
    assert 2 * COSTS.provider < seen.last < 2 * COSTS.provider + STEP + 0.1
    assert 2 <= seen.calls <= 7


def test_killed_holder_costs_two_fetches() -> None:
    """The lease lapses three seconds after its renewal, and one of the others takes it over."""
    seen = killed_holder(COSTS, 30)
    assert (seen.fetches, seen.unserved) == (2, 0)
    waited = 1.0 + 3.0 - 0.85  # renewed after a second, of which most was before they began
    assert waited < seen.last < waited + 2 * COSTS.provider + 2 * STEP + 0.1


def test_fleet_beyond_the_store_goes_on_alone() -> None:
    """A store that can't answer within the limits is left alone, and nobody stays without keys."""
    slow = replace(COSTS, call=0.01)
    seen = cold_start(slow, 300)
    assert seen.fetches > 100
    assert seen.unserved == 0
    assert seen.worst == pytest.approx(1.0, abs=0.05)
    assert cold_start(slow, 300, spread=10.0).fetches == 1, "within ten seconds it can"


def test_warm_hour_costs_few_calls() -> None:
    """A look a minute and a refresh per lifetime, for the fleet one fetch per lifetime."""
    seen = warm(COSTS, 5, 3600.0, 5.0)
    assert 4 <= seen.fetches <= 6
    assert seen.calls <= 75
    assert seen.unserved == 0


def test_simulation_repeats_itself() -> None:
    """The same seed is the same fleet."""
    assert cold_start(COSTS, 50, seed=7) == cold_start(COSTS, 50, seed=7)
    assert cold_start(COSTS, 50, seed=7) != cold_start(COSTS, 50, seed=8)
