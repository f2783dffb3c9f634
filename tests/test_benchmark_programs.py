"""The benchmarks of one worker: they say what was measured. Nothing here is timed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.environment import unmeasured

ROOT = Path(__file__).parents[1]


def result(folder: Path, name: str) -> tuple[str, Any]:
    """Run a benchmark at its smallest size, piped; return what it printed and what it saved.

    Everything measured is in both, with the machine, and a missed target is the exit status.
    """
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--output", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=unmeasured() | {"COLUMNS": "80"}, capture_output=True, check=False,
        encoding="utf-8", timeout=120,
    )  # fmt: skip
    saved = json.loads((folder / f"{name}.json").read_text("utf-8"))
    rows = saved["rows"]
    assert done.returncode == (0 if all(row["ok"] for row in rows) else 1), done.stderr
    assert {"cpu", "cores", "python", "libraries", "date"} <= saved["machine"].keys()
    assert all(row["what"] in done.stdout and row["scenario"] in done.stdout for row in rows)
    return done.stdout, saved


def held(saved: Any) -> dict[str, float]:
    """Return the counts that are held to an exact number, by what they are of."""
    return {row["what"]: row["measured"] for row in saved["rows"] if row["rule"] == "exactly"}


def test_refresh_tells_of_every_phase(tmp_path: Path) -> None:
    """Each phase has percentiles for both kinds of token, and the first is the steady one."""
    printed, saved = result(tmp_path, "refresh")
    phases = saved["settings"]["phases_us"]
    assert next(iter(phases)) == "steady"
    assert {"refresh under way", "rotations", "store frozen", "store stopped"} <= phases.keys()
    for phase, kinds in phases.items():
        assert phase in printed
        for kind in ("seen before", "first seen"):
            calls = kinds[kind]
            assert 0 < calls["p50"] <= calls["p99"] <= calls["p99.9"] <= calls["worst"]


def test_start_imports_nothing_optional(tmp_path: Path) -> None:
    """What an extra brings is not loaded before it is asked for."""
    printed, saved = result(tmp_path, "start")
    assert held(saved) == {"optional packages loaded": 0}
    assert "import auth_jwks" in printed
    assert "auth_jwks._verifier" in saved["settings"]["modules_added"]


def test_web_answers_are_right(tmp_path: Path) -> None:
    """Good tokens are let in and forged ones are not, by every service that checks them."""
    printed, saved = result(tmp_path, "web")
    assert held(saved) == {"of another status": 0}
    assert "a forged token, 8 connections" in printed
    services = saved["settings"]["services"]
    assert services.keys() == {"bare", "header read", "JWTBearer", "JWTAuthMiddleware"}


def test_middleware_answers_are_right(tmp_path: Path) -> None:
    """Behind every middleware the same requests get the answer of the bare application."""
    printed, saved = result(tmp_path, "middleware")
    assert held(saved) == {"of another status": 0}
    took = saved["settings"]["told"]["auth_jwks"]["took"]
    assert took.keys() == {
        "bare application", "JWKS.verify_token", "SyncJWKS.verify_token", "CfaAuthMiddleware",
        "JWTAuthMiddleware",
    }  # fmt: skip
    assert all(name in printed for name in took)
    frameworks = saved["settings"]["told"]["frameworks"]
    assert frameworks["wrong"] == 0
    for name, less in frameworks["faces"].items():
        assert name in printed
        assert frameworks["took"].keys() >= {name, *less}


def test_observers_count_everything(tmp_path: Path) -> None:
    """Each kind of observer is measured, in both modes, and no verification is lost."""
    printed, saved = result(tmp_path, "observers")
    assert held(saved) == {"that were not counted": 0}
    told = saved["settings"]["told"]
    assert told.keys() == {"one process", "multiprocess mode"}
    for mode, each in told.items():
        for kind in ("seen before", "seen first"):
            assert [*each["took"][kind]] == ["no observer", "Prometheus", "OpenTelemetry", "both"]
            assert f"{mode}, {kind}: both" in printed


def test_threads_are_counted(tmp_path: Path) -> None:
    """Good tokens are let in and those of made-up keys are not, by both, in every round."""
    printed, saved = result(tmp_path, "threads")
    assert held(saved) == {"rounds with a wrong one": 0}
    took = saved["settings"]["told"]["took"]
    assert took.keys() == {"SyncJWKS", "PyJWKClient"}
    for kinds in took.values():
        assert [*kinds] == [
            "seen before", "seen first", "seen first, 8 threads", "made-up kid",
            "made-up kid, 8 threads",
        ]  # fmt: skip
        assert all(kind in printed for kind in kinds)
