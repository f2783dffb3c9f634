"""Requests per second of a FastAPI service, without and with a token check; see README.md."""

import asyncio
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from auth_jwks.testing import FakeIssuer
from benchmarks.command import OLD, command
from benchmarks.fleet.crew import Process
from benchmarks.report import Row, failed, grid, machine, printed, saved

TITLE = "Requests per second of a FastAPI service"
HERE = Path(__file__).parent
HOUR = 3600
CONNECTIONS = 8
BARE, UNCHECKED, THEIRS = "bare", "header read", "auth-jwks 0.4.0, by hand"
OURS = {"JWTBearer": "dependency", "JWTAuthMiddleware": "middleware"}
ORDER = (BARE, UNCHECKED, *OURS, THEIRS)
SAME, NEW, BAD = "same token again", "a new token per request", "a forged token"
HEAD = ("", "rate", "p50", "p99", "requests/s", "p50 ms", "p99 ms")
MEASURES = ("requests_per_second", "p50", "p99")
Told = dict[str, dict[str, list[dict[str, float]]]]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is asked; `tokens` are taken in turn, more than a cache holds."""

    rounds: int
    requests: int
    tokens: int


FULL = Size(rounds=6, requests=1000, tokens=3000)
QUICK = Size(rounds=1, requests=100, tokens=100)


async def measured(size: Size, *, old: bool) -> tuple[Told, dict[str, Any]]:
    """Return what each round told, by case and service, and what the services run on."""
    told: Told = defaultdict(lambda: defaultdict(list))
    with FakeIssuer() as issuer, TemporaryDirectory() as folder:
        files = _written(issuer, Path(folder), size.tokens)
        async with AsyncExitStack() as stack:
            load = await stack.enter_async_context(_started(sys.executable, "load.py"))
            seen = {}
            for name, python, kind in _services(old=old):
                words = (kind, issuer.discovery_url, issuer.issuer, issuer.sign())
                service = await stack.enter_async_context(_started(python, "app.py", *words))
                seen[name] = await service.end()
            for turn in range(size.rounds):
                # Nobody is always the one after the slowest.
                names = [*seen] if turn % 2 else [*reversed(seen)]
                for case, name in product(files, names):
                    refuses = case == BAD and name not in {BARE, UNCHECKED}
                    answer = await load.do(
                        seen[name]["port"], CONNECTIONS, size.requests,
                        401 if refuses else 200, str(files[case]),
                    )  # fmt: skip
                    told[case][name].append(answer)
    return told, seen


def _services(*, old: bool) -> list[tuple[str, str, str]]:
    """Return the name of each service, the interpreter that runs it, and its kind."""
    services = {BARE: "bare", UNCHECKED: "unchecked", **OURS}
    ours = [(name, sys.executable, kind) for name, kind in services.items()]
    return [*ours, (THEIRS, str(OLD), "by hand")] if old else ours


def _written(issuer: FakeIssuer, folder: Path, number: int) -> dict[str, Path]:
    exp = time.time() + HOUR
    tokens = {
        SAME: [issuer.sign(exp=exp)],
        NEW: [issuer.sign(jti=f"{n}", exp=exp) for n in range(number)],
        BAD: [issuer.forge(exp=exp)],
    }
    files = {case: folder / f"{case}.json" for case in tokens}
    for case, file in files.items():
        file.write_text(json.dumps(tokens[case]), "utf-8")
    return files


@asynccontextmanager
async def _started(python: str, program: str, *words: str) -> AsyncIterator[Process]:
    pipe = asyncio.subprocess.PIPE
    process = Process(
        await asyncio.create_subprocess_exec(
            python, "-P", str(HERE / program), *words, stdin=pipe, stdout=pipe
        )
    )
    try:
        yield process
    finally:
        await process.kill()


def rows_of(told: Told) -> list[Row]:
    """Return the rates beside those of the bare service; every answer must be the right one."""
    rows = []
    for case, services in told.items():
        bare = middle(services[BARE])["requests_per_second"]
        for name in sorted(services, key=ORDER.index):
            rate = middle(services[name])["requests_per_second"]
            rows.append(Row(case, name, rate, "beside", bare, "/s", "no token", case != BAD))
    wrong = sum(
        each["wrong"] for services in told.values() for all_ in services.values() for each in all_
    )
    return [*rows, Row("answers", "of another status", wrong, "exactly", 0)]


def middle(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each measure over the rounds."""
    return {measure: median(each[measure] for each in rounds) for measure in MEASURES}


def tables(told: Told, console: Console) -> None:
    """Print one table for each case: multiples of the bare service first."""
    for case, services in told.items():
        bare = middle(services[BARE])
        lines = []
        for name in sorted(services, key=ORDER.index):
            seen = middle(services[name])
            multiples = (f"{seen[measure] / bare[measure]:.2f}x" for measure in MEASURES)
            times = (f"{1e3 * seen[measure]:.2f}" for measure in ("p50", "p99"))
            lines.append((name, *multiples, f"{seen['requests_per_second']:,.0f}", *times))
        grid(f"{case}, {CONNECTIONS} connections", HEAD, lines, console)


def main() -> bool:
    """Measure, print and save; return whether every answer was right."""
    chosen = command("web", __doc__, "few requests, without auth-jwks 0.4.0").parse_args()
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    where, console = machine(), Console()
    old = OLD.exists() and not chosen.quick
    told, services = asyncio.run(measured(QUICK if chosen.quick else FULL, old=old))
    rows = rows_of(told)
    console.print(TITLE, style="bold")
    tables(told, console)
    printed("Beside the bare service", rows, where, console)
    saved(chosen.output, "web", rows, where, quick=chosen.quick, services=services)
    return not failed(rows)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
