"""What metrics add to the verification of a token; see README.md.

The exit status is 1 if a target is missed.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from auth_jwks.testing import FakeIssuer
from benchmarks.command import command
from benchmarks.report import Row, failed, grid, machine, printed, saved

TITLE = "Observers, beside none"
PROGRAM = Path(__file__).with_name("worker.py")
HOUR = 3600
LIBRARIES = ("opentelemetry-sdk", "prometheus-client")
LIMIT = 5  # µs, of a token seen before
NONE = "no observer"
BEFORE, FIRST = "seen before", "seen first"
ONE, SEVERAL = "one process", "multiprocess mode"

Told = dict[str, dict[str, Any]]


def measured(rounds: int, number: int) -> Told:
    """Return what the worker told of each mode of prometheus_client."""
    told: Told = {}
    with FakeIssuer() as issuer, TemporaryDirectory() as folder:
        until = int(time.time()) + HOUR
        asked = {
            "url": issuer.discovery_url, "issuer": issuer.issuer, "rounds": rounds,
            "tokens": [issuer.sign(jti=str(each), exp=until) for each in range(number)],
        }  # fmt: skip
        for mode, extra in {ONE: {}, SEVERAL: {"PROMETHEUS_MULTIPROC_DIR": folder}}.items():
            done = subprocess.run(  # noqa: S603 - ours
                [sys.executable, "-P", str(PROGRAM)], input=json.dumps(asked), check=True,
                capture_output=True, encoding="utf-8", env=os.environ | extra,
            )  # fmt: skip
            told[mode] = json.loads(done.stdout)
    return told


def least(told: Told, mode: str, kind: str, name: str) -> float:
    """Return the µs per token of the quickest round: a busy machine only adds."""
    rounds: list[float] = told[mode]["took"][kind][name]
    return 1e6 * min(rounds)


def rows_of(told: Told) -> list[Row]:
    """Hold a token seen before to what was promised, and show the rest beside no observer."""
    names = [name for name in told[ONE]["took"][BEFORE] if name != NONE]
    held = [
        Row(f"{BEFORE}, in all: {mode}", name, least(told, mode, BEFORE, name), "at most", LIMIT,
            "µs")
        for mode in told
        for name in names
    ]  # fmt: skip
    beside = [
        Row(f"{kind}, beside {NONE}: {mode}", name, least(told, mode, kind, name), "beside",
            least(told, mode, kind, NONE), "µs", NONE)
        for kind in (BEFORE, FIRST)
        for mode in told
        for name in names
    ]  # fmt: skip
    lost = sum(each["lost"] for each in told.values())
    return [*held, *beside, Row("verifications", "that were not counted", lost, "exactly", 0)]


def table(told: Told, console: Console) -> None:
    """Print the time of each, and what it adds."""
    lines = [
        (f"{mode}, {kind}: {name}", f"{least(told, mode, kind, name):.2f}",
         f"{least(told, mode, kind, name) - least(told, mode, kind, NONE):.2f}")
        for mode in told
        for kind in (BEFORE, FIRST)
        for name in told[mode]["took"][kind]
    ]  # fmt: skip
    grid(f"Python {told[ONE]['python']}", ("", "least µs", "added µs"), lines, console)


def main() -> bool:
    """Measure, print and save; return whether every target is met."""
    chosen = command("observers", __doc__, "few calls").parse_args()
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    where, console = machine(*LIBRARIES), Console()
    rounds, number = (1, 20) if chosen.quick else (30, 500)
    told = measured(rounds, number)
    rows = rows_of(told)
    console.print(TITLE, style="bold")
    table(told, console)
    printed("Beside targets and others", rows, where, console)
    saved(chosen.output, "observers", rows, where, quick=chosen.quick, rounds=rounds)
    return not failed(rows)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
