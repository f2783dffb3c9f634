"""What a middleware costs a request beyond the verification of its token; see README.md.

The exit status is 1 if a target is missed.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from auth_jwks.testing import FakeIssuer
from benchmarks.command import OLD, command
from benchmarks.report import Row, failed, grid, machine, printed, saved

TITLE = "A middleware, beyond the verification"
PROGRAM = Path(__file__).with_name("worker.py")
HOUR = 3600
LIBRARIES = ("django", "djangorestframework", "fastapi", "mcp", "starlette")
LIMIT = 5  # µs
FACES = "benchmarks.middleware.faces"
OURS, THEIRS = "auth_jwks", "auth-jwks 0.4.0"
BARE, VERIFY, SYNC = "bare application", "JWKS.verify_token", "SyncJWKS.verify_token"
FRAMEWORKS = "frameworks"
GUARD, ACCESS = "JWTAuthMiddleware", "CfaAuthMiddleware"

Told = dict[str, dict[str, Any]]


def measured(rounds: int, number: int, *, old: bool) -> Told:
    """Return what the worker of each version told."""
    pythons = {OURS: sys.executable} | ({THEIRS: str(OLD)} if old else {})
    told: Told = {}
    with FakeIssuer() as issuer:
        token = issuer.sign(aud="api", scope="read write", exp=int(time.time()) + HOUR)
        words = (issuer.discovery_url, issuer.issuer, token, str(rounds), str(number))
        programs = {name: [python, "-P", str(PROGRAM)] for name, python in pythons.items()}
        programs[FRAMEWORKS] = [sys.executable, "-m", FACES]
        for name, program in programs.items():
            done = subprocess.run(  # noqa: S603 - ours
                [*program, *words], capture_output=True, check=True, encoding="utf-8"
            )
            told[name] = json.loads(done.stdout)
    return told


def extra(took: Mapping[str, list[float]], name: str) -> float:
    """Return the µs of a request behind that middleware, less the bare one and the verification."""
    rounds = zip(took[name], took[BARE], took[VERIFY], strict=True)
    return 1e6 * median(whole - bare - verify for whole, bare, verify in rounds)


def in_frameworks(answer: Mapping[str, Any]) -> dict[str, float]:
    """Return the µs of each integration, less those of its stand-in and of the verification."""
    least = {name: 1e6 * min(rounds) for name, rounds in answer["took"].items()}
    return {
        name: least[name] - sum(least[each] for each in less)
        for name, less in answer["faces"].items()
    }


def rows_of(told: Told) -> list[Row]:
    """Hold what was measured to what was promised, or to its counterpart."""
    took = told[OURS]["took"]
    rows = [
        Row("beyond the verification", name, extra(took, name), "at most", LIMIT, "µs")
        for name in (GUARD, ACCESS)
    ]
    rows += [
        Row("beyond the verification", name, took_more, "at most", LIMIT, "µs")
        for name, took_more in in_frameworks(told[FRAMEWORKS]).items()
    ]
    rows.append(
        Row("SyncJWKS, beside JWKS", "token seen before", _middle(took[SYNC]), "beside",
            _middle(took[VERIFY]), "µs", "JWKS")
    )  # fmt: skip
    if THEIRS in told:
        theirs = told[THEIRS]["took"]
        rows += [
            Row(f"beside {THEIRS}", f"{ACCESS}, beyond", extra(took, ACCESS), "beside",
                extra(theirs, ACCESS), "µs", THEIRS),
            Row(f"beside {THEIRS}", f"{ACCESS}, whole request", _middle(took[ACCESS]), "beside",
                _middle(theirs[ACCESS]), "µs", THEIRS),
        ]  # fmt: skip
    wrong = sum(each["wrong"] for each in told.values())
    return [*rows, Row("answers", "of another status", wrong, "exactly", 0)]


def _middle(rounds: list[float]) -> float:
    return 1e6 * median(rounds)


def tables(told: Told, console: Console) -> None:
    """Print what each call took, as a multiple of the bare application first."""
    for version, answer in told.items():
        took = answer["took"]
        if version == FRAMEWORKS:
            continue
        lines = [
            (name, f"{_middle(all_) / _middle(took[BARE]):.2f}x",
             *(f"{1e6 * each:.2f}" for each in (median(all_), min(all_), max(all_))))
            for name, all_ in took.items()
        ]  # fmt: skip
        head = ("", f"x {BARE}", "median µs", "least µs", "most µs")
        grid(f"{version}, Python {answer['python']}", head, lines, console)


def main() -> bool:
    """Measure, print and save; return whether every target is met."""
    chosen = command("middleware", __doc__, "few calls, without auth-jwks 0.4.0").parse_args()
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    where, console = machine(*LIBRARIES), Console()
    old = OLD.exists() and not chosen.quick
    rounds, number = (1, 100) if chosen.quick else (20, 2000)
    told = measured(rounds, number, old=old)
    rows = rows_of(told)
    console.print(TITLE, style="bold")
    tables(told, console)
    printed("Beside targets and others", rows, where, console)
    saved(
        chosen.output, "middleware", rows, where,
        quick=chosen.quick, rounds=rounds, calls=number,
    )  # fmt: skip
    return not failed(rows)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
