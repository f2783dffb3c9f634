"""What `SyncJWKS` costs in a process of threads, beside PyJWT's own client; see README.md.

The exit status is 1 if a target is missed.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from auth_jwks.testing import FakeIssuer
from benchmarks.command import command
from benchmarks.report import Row, failed, grid, machine, printed, saved

TITLE = "Threads"
PROGRAM = Path(__file__).with_name("worker.py")
HOUR = 3600
LIMIT = 10  # µs
HARDLY = 1.1  # times what the same costs on an event loop
SEARCHES = 2  # in the 30 s that the made-up key ids take at most
VERIFIERS = 3  # of ours, each of which fetches once in any case
OURS, THEIRS, LOOP = "SyncJWKS", "PyJWKClient", "JWKS"
KNOWN = ("seen before", "seen first", "seen first, 8 threads")
MADE_UP = ("made-up kid", "made-up kid, 8 threads")

Told = dict[str, Any]


def measured(rounds: int, number: int) -> Told:
    """Return what the worker told, and how often ours fetched the key set again."""
    with ExitStack() as stack:
        issuers = {name: stack.enter_context(FakeIssuer()) for name in (OURS, THEIRS)}
        until = int(time.time()) + HOUR
        sources = {
            name: {
                "jwks_uri": issuer.jwks_uri,
                "issuer": issuer.issuer,
                "tokens": [
                    issuer.sign(jti=str(each), exp=until)
                    for each in range((rounds + 1) * 2 * number + 1)
                ],
            }
            for name, issuer in issuers.items()
        }
        asked = {"sources": sources, "rounds": rounds, "number": number}
        done = subprocess.run(  # noqa: S603 - ours
            [sys.executable, "-P", str(PROGRAM)], input=json.dumps(asked), capture_output=True,
            check=True, encoding="utf-8",
        )  # fmt: skip
        fetches = issuers[OURS].jwks_requests - VERIFIERS
    answer: Told = json.loads(done.stdout)
    return answer | {"fetches": fetches}


def microseconds(told: Told, name: str, kind: str, clock: str) -> float:
    """Return the median of the rounds."""
    seconds: list[float] = [each[clock] for each in told["took"][name][kind]]
    return 1e6 * median(seconds)


def rows_of(told: Told) -> list[Row]:
    """Hold what was measured to what was promised, or to its counterpart."""
    return [
        *(
            Row(f"beside {THEIRS}", kind, microseconds(told, OURS, kind, "wall"), "beside",
                microseconds(told, THEIRS, kind, "wall"), "µs", THEIRS)
            for kind in KNOWN + MADE_UP
        ),
        *(
            Row("made-up key ids: CPU time", kind, microseconds(told, OURS, kind, "cpu"),
                "at most", LIMIT, "µs")
            for kind in MADE_UP
        ),
        Row(f"beside {LOOP}", "seen before", min(told["loop"][OURS]) / min(told["loop"][LOOP]),
            "at most", HARDLY, "x"),
        Row("made-up key ids: fetches", "of the key set", told["fetches"], "at most", SEARCHES),
        Row("answers", "rounds with a wrong one", told["wrong"], "exactly", 0),
    ]  # fmt: skip


def table(told: Told, console: Console) -> None:
    """Print both times of every kind and verifier."""
    lines = [
        (f"{name}: {kind}", *(f"{microseconds(told, name, kind, clock):.2f}"
                              for clock in ("wall", "cpu")))
        for kind in KNOWN + MADE_UP
        for name in (OURS, THEIRS)
    ]  # fmt: skip
    grid(f"Python {told['python']}", ("", "µs per token", "µs of CPU"), lines, console)


def main() -> bool:
    """Measure, print and save; return whether every target is met."""
    chosen = command("threads", __doc__, "few calls").parse_args()
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    where, console = machine(), Console()
    rounds, number = (1, 16) if chosen.quick else (20, 400)
    told = measured(rounds, number)
    rows = rows_of(told)
    console.print(TITLE, style="bold")
    table(told, console)
    printed("Beside targets and others", rows, where, console)
    saved(chosen.output, "threads", rows, where, quick=chosen.quick, rounds=rounds)
    return not failed(rows)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
