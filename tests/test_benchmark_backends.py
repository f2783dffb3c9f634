"""The comparison of backends, in small runs. Nothing here is timed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.environment import unmeasured

ROOT = Path(__file__).parents[1]


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
