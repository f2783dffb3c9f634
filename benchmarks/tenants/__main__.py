"""What a thousand verifiers in one process cost, one for each tenant; see README.md.

The exit status is 1 if an answer is wrong.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from auth_jwks.testing import FakeIssuer
from benchmarks.command import OLD, command
from benchmarks.report import Row, failed, grid, machine, printed, saved

TITLE = "A thousand tenants in a process"
PROGRAM = Path(__file__).with_name("worker.py")
OURS, CLIENT, THEIRS = "auth-jwks", "PyJWKClient", "auth-jwks 0.4.0"
STAGES = {"made": "made", "with keys": "keys fetched, and a token verified"}

Told = dict[str, dict[str, Any]]


def tenants(issuer: FakeIssuer, number: int) -> list[dict[str, str]]:
    """Return so many tenants, each with an issuer, a key set and a token of its own."""
    until = int(time.time()) + 3600
    names = [f"https://login.test/tenant-{each}" for each in range(number + 1)]
    return [
        {
            "issuer": name,
            "jwks_uri": f"{issuer.jwks_uri}?tenant={each}",
            "token": issuer.sign(iss=name, aud="api", exp=until),
        }
        for each, name in enumerate(names)
    ]


def measured(number: int, *, old: bool) -> tuple[Told, int]:
    """Return what each library told from a process of its own, and how often ours fetched."""
    told: Told = {}
    fetches = 0
    pythons = {OURS: sys.executable, CLIENT: sys.executable} | ({THEIRS: str(OLD)} if old else {})
    with FakeIssuer() as issuer:
        asked = tenants(issuer, number)
        for name, python in pythons.items():
            issuer.reset()
            told[name] = _told(python, {"name": name.partition(" ")[0], "tenants": asked})
            fetches = fetches or issuer.jwks_requests
    return told, fetches


def _told(python: str, asked: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603 - ours
        [python, "-P", str(PROGRAM)], input=json.dumps(asked), stdout=subprocess.PIPE, check=True,
        encoding="utf-8",
    )  # fmt: skip
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def rows_of(told: Told, fetches: int, number: int) -> list[Row]:
    """Hold the answers to what is right, and what ours took to the others."""
    name = f"{number:,} tenants, with keys"
    mine = told[OURS]["with keys"]
    wrong = sum(each["wrong"] for each in told.values())
    rows = [
        Row(name, "wrong answers", wrong, "exactly", 0),
        Row(name, "key set requests", fetches, "exactly", number + 1),
    ]
    for other in (each for each in told if each != OURS):
        theirs = told[other]["with keys"]
        for what, key, unit in (("memory", "kib", "KiB"), ("CPU time", "cpu_ms", "ms")):
            rows.append(Row(name, f"{what}, {other}", mine[key], "beside", theirs[key], unit))
    return rows


def table(told: Told, number: int, console: Console) -> None:
    """Print memory and time of both stages."""
    lines = [
        (f"{name}: {words}", *(f"{each[stage][key]:.2f}" for key in ("kib", "ms", "cpu_ms")))
        for stage, words in STAGES.items()
        for name, each in told.items()
    ]
    grid(f"Each of {number:,}", ("", "KiB", "ms", "ms of CPU"), lines, console)


def main() -> bool:
    """Measure, print and save; return whether every target is met."""
    chosen = command("tenants", __doc__, "ten tenants, without auth-jwks 0.4.0").parse_args()
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    where, console = machine(), Console()
    number = 10 if chosen.quick else 1000
    told, fetches = measured(number, old=OLD.exists() and not chosen.quick)
    rows = rows_of(told, fetches, number)
    console.print(TITLE, style="bold")
    table(told, number, console)
    printed("Beside others", rows, where, console)
    saved(chosen.output, "tenants", rows, where, quick=chosen.quick, told=told)
    return not failed(rows)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
