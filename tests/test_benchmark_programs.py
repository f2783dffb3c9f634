"""The benchmarks of one worker: they say what was measured. Nothing here is timed."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.environment import unmeasured

ROOT = Path(__file__).parents[1]


def result(folder: Path, name: str, *, alone: bool = True) -> tuple[str, Any]:
    """Run a benchmark at its smallest size, piped; return what it printed and what it saved.

    Everything saved is printed, with the machine, and a missed target is the exit status. If it is
    not `alone`, the program that runs all runs it.
    """
    words = [f"benchmarks.{name}"] if alone else ["benchmarks", name]
    command = [sys.executable, "-m", *words, "--quick", "--output", str(folder)]
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
    printed, _ = result(tmp_path, "refresh")
    tables = printed.partition("\nTargets\n")[0]
    for phase in ("steady", "refresh under way", "rotations", "store frozen", "store stopped"):
        lines = [line for line in tables.splitlines() if line.strip().startswith(phase)]
        times = [[float(each.replace(",", "")) for each in line.split()[-6:-2]] for line in lines]
        assert len(times) == 3  # tokens of both kinds, and turns of the loop
        assert all(0 < p50 <= p99 <= p999 <= worst for p50, p99, p999, worst in times)


def test_start_imports_nothing_optional(tmp_path: Path) -> None:
    """What an extra brings is not loaded before it is asked for."""
    printed, saved = result(tmp_path, "start")
    assert held(saved) == {"optional packages loaded": 0}
    assert "import auth_jwks" in printed
    assert saved["settings"]["modules_added"] > 0


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
    for name in (
        "bare application", "JWKS.verify_token", "SyncJWKS.verify_token", "CfaAuthMiddleware",
        "JWTAuthMiddleware",
    ):  # fmt: skip
        assert re.search(rf"^ *{name} +[\d.,]+x ", printed, re.MULTILINE)
    beyond = [row["what"] for row in saved["rows"] if row["scenario"] == "beyond the verification"]
    assert beyond[:2] == ["JWTAuthMiddleware", "CfaAuthMiddleware"]
    assert {name.partition(":")[0] for name in beyond[2:]} == {
        "Starlette", "FastAPI", "MCP", "Django", "DRF",
    }  # fmt: skip


def test_observers_count_everything(tmp_path: Path) -> None:
    """Each kind of observer is measured, in both modes, and no verification is lost."""
    printed, saved = result(tmp_path, "observers")
    assert held(saved) == {"that were not counted": 0}
    for mode in ("one process", "multiprocess mode"):
        for kind in ("seen before", "seen first"):
            for name in ("no observer", "Prometheus", "OpenTelemetry", "both"):
                assert f"{mode}, {kind}: {name}" in printed


def test_threads_are_counted(tmp_path: Path) -> None:
    """Good tokens are let in and those of made-up keys are not, by both, in every round."""
    printed, saved = result(tmp_path, "threads", alone=False)
    assert held(saved) == {"rounds with a wrong one": 0}
    for name in ("SyncJWKS", "PyJWKClient"):
        for kind in (
            "seen before", "seen first", "seen first, 8 threads", "made-up kid",
            "made-up kid, 8 threads",
        ):  # fmt: skip
            assert f"{name}: {kind}" in printed
    name, seconds, status = printed.splitlines()[-2].split()
    assert (name, status) == ("threads", "0" if all(row["ok"] for row in saved["rows"]) else "1")
    assert int(seconds) >= 0
