"""The benchmarks: they say what was measured, and what was missed. Nothing here is timed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.command import RESULTS
from benchmarks.page import PAGES, rendered
from benchmarks.report import Row, failed
from tests.environment import unmeasured

ROOT = Path(__file__).parents[1]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the fleet benchmark at its smallest size, piped."""
    command = [sys.executable, "-m", "benchmarks.fleet", "--quick", *map(str, words)]
    return subprocess.run(
        command, cwd=ROOT, env=unmeasured() | {"COLUMNS": "80"}, capture_output=True, check=False,
        encoding="utf-8", timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["cold", "hour"])
def test_fleet_is_measured(tmp_path: Path, name: str) -> None:
    """It prints a table, and writes the same as JSON, with the machine, where it is told to."""
    done = run("--output", tmp_path, "--slack", 60, name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\nEvery target is met.\n")
    result = json.loads((tmp_path / "fleet.json").read_text("utf-8"))
    assert {"cpu", "cores", "python", "libraries", "date"} <= result["machine"].keys()
    for row in result["rows"]:
        assert row["ok"]
        assert row["what"] in done.stdout
        assert row["scenario"] in done.stdout


def test_missed_target_is_told(tmp_path: Path) -> None:
    """No worker is served a minute before it starts: the table says so, and the exit status."""
    done = run("--output", tmp_path, "--slack", -60, "cold")
    assert done.returncode == 1
    assert "MISSED cold start, 2 processes: last one served: " in done.stdout
    result = json.loads((tmp_path / "fleet.json").read_text("utf-8"))
    assert "last one served" in {row["what"] for row in result["rows"] if not row["ok"]}


def test_unknown_scenario_is_refused(tmp_path: Path) -> None:
    """A slip of the keyboard measures nothing."""
    done = run("--output", tmp_path, "could")
    assert done.returncode == 2
    assert "no such scenario: could" in done.stderr


def test_targets_are_kept_or_missed() -> None:
    """A count is held to exactly its target, a time to at most that, a comparison to nothing."""
    kept = [
        Row("a", "count", 1, "exactly", 1),
        Row("a", "time", 1.0, "at most", 1.1, "s"),
        Row("a", "other", 5, "beside", 1),
    ]
    missed = [Row("a", "count", 2, "exactly", 1), Row("a", "time", 1.2, "at most", 1.1, "s")]
    assert failed(kept + missed) == missed
    assert [row.ratio for row in kept[:2]] == [1.0, pytest.approx(1 / 1.1)]


def test_pages_show_what_was_measured() -> None:
    """Their numbers are those of the last run, and of nothing else; no result is left out."""
    texts = [page.read_text("utf-8") for page in PAGES]
    assert [rendered(text) for text in texts] == texts
    measured = {file.stem for file in RESULTS.glob("*.json")}
    assert measured == set(re.findall(r"<!-- (\w+)(?:: .+)? -->\n\w", "".join(texts)))
