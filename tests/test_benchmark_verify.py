"""The verify benchmark: who was measured, and who was not. Nothing here is timed."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_verifiers_are_compared(tmp_path: Path) -> None:
    """It prints ratios and targets, writes the same as JSON, and names who is not installed."""
    variables = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    command = [sys.executable, "-m", "benchmarks.verify", "--quick", "--output", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=variables | {"COLUMNS": "80"}, capture_output=True, check=False,
        encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert done.returncode in {0, 1}, done.stderr
    assert not done.stderr
    assert done.returncode == ("MISSED" in done.stdout)
    result = json.loads((tmp_path / "verify.json").read_text("utf-8"))
    assert {"cpu", "cores", "python", "libraries", "date"} <= result["machine"].keys()
    assert {"auth-jwks", "bare cryptography", "PyJWT", "PyJWKClient"} <= {
        *result["machine"]["libraries"]
    }
    for mode in ("seen before", "seen first"):
        for size in ("0.9 KiB", "4 KiB"):
            assert f"{mode}, {size}: time as a multiple of auth-jwks's" in done.stdout
        kept = {row["what"] for row in result["rows"] if row["scenario"].startswith(mode)}
        assert {"auth-jwks", "bare cryptography", "PyJWT", "PyJWKClient"} <= kept
    # Of the others the ratios are printed, and those with a target kept.
    compared = [row["scenario"] for row in result["rows"] if row["rule"] == "beside"]
    assert {*compared} == {"seen before, RS256, 0.9 KiB", "seen first, RS256, 0.9 KiB"}
    assert all(name in done.stdout for name in ("RS256", "ES256", "EdDSA", "PS256"))
    assert any(row["rule"] == "at most" for row in result["rows"])
    absent = "auth-jwks 0.4.0: not measured on Python "
    assert any(note.startswith(absent) for note in result["settings"]["notes"])
    assert absent in done.stdout
