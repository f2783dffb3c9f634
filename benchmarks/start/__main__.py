"""How soon a fresh interpreter has the library, and its first verified token; see README.md.

The exit status is 1 if something is imported before it is needed.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console

from benchmarks.command import OLD, command, interpreter
from benchmarks.fleet.crew import Arena, arena
from benchmarks.report import Row, failed, grid, machine, printed, saved

TITLE = "A quick start"
PROGRAM = Path(__file__).with_name("worker.py")
OPTIONAL = (
    "redis", "starlette", "fastapi", "prometheus_client", "opentelemetry", "rich", "hypothesis",
    "pytest",
)  # fmt: skip

BASE, OURS, THEIRS = "asyncio, httpx, PyJWT", "auth_jwks", "auth-jwks 0.4.0"
STORE, REDIS = "auth_jwks with RedisKeyStore", "redis.asyncio"
FOUNDATION = "import asyncio; import httpx; import jwt"
VERIFIER = "from auth_jwks import JWKS"  # the root imports its names when they are asked for
FOUNDATION_OF_STORE = f"{FOUNDATION}; import redis.asyncio; {VERIFIER}, RedisKeyStore"
CONSTRUCTION_OF_STORE = "RedisKeyStore('redis://127.0.0.1', integrity_key=bytes(32))"
BEYOND, MADE, MANY = f"{OURS} beyond {BASE}", "RedisKeyStore beyond redis-py", "1000 verifiers"
STEPS = ("construction", "first token", "since the interpreter")
OF_ONE = ("a verifier", "KiB of a verifier")
SLOWEST = 12
# Targets, in milliseconds if nothing else is said.
IMPORT, STORE_MADE, VERIFIER_MADE, VERIFIER_KIB, FIRST_TOKEN = 12, 1, 0.5, 30, 1.05


@dataclass(frozen=True, slots=True)
class Case:
    """A program to run in fresh interpreters."""

    name: str
    python: str
    words: tuple[str, ...]

    def run(self, *flags: str) -> subprocess.CompletedProcess[str]:
        """Run it once."""
        command = [self.python, "-P", *flags, str(PROGRAM), *self.words]
        return subprocess.run(command, capture_output=True, check=True, encoding="utf-8")  # noqa: S603 - ours


def cases(ground: Arena, *, old: bool) -> Iterator[Case]:
    """Yield what is compared."""
    issuer, lean = ground.issuer, interpreter("bench-start")
    verify = ("verify", issuer.discovery_url, issuer.issuer, issuer.sign())
    for name, statements in {
        BASE: FOUNDATION, OURS: VERIFIER,
        STORE: "from auth_jwks import RedisKeyStore", REDIS: "import redis.asyncio",
    }.items():  # fmt: skip
        yield Case(f"import {name}", lean, ("import", "", statements))
    yield Case(BEYOND, lean, ("import", FOUNDATION, VERIFIER))
    yield Case(MADE, lean, ("import", FOUNDATION_OF_STORE, CONSTRUCTION_OF_STORE))
    yield Case(MANY, lean, ("many", "1000"))
    yield Case(OURS, lean, (*verify, ""))
    yield Case(STORE, lean, (*verify, ground.url))
    if old:
        yield Case(f"import {THEIRS}", str(OLD), ("import", "", VERIFIER))
        yield Case(THEIRS, str(OLD), (*verify, ""))


def measured(rounds: int, *, old: bool) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each step of each case; the cases take turns."""
    took: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with arena() as ground:
        ground.issuer.recover()
        for number in range(rounds + 1):
            for case in cases(ground, old=old):
                ground.admin.flushall()
                answer = json.loads(case.run().stdout)
                for step in {"import", *STEPS, *OF_ONE} & {*answer}:
                    if number:  # the first compiles the modules
                        took[case.name][step].append(answer[step])
    return took


def added() -> tuple[list[str], dict[str, float]]:
    """Return what importing `JWKS` loads beyond its foundation, and the slowest by their own µs.

    Python's own clock for imports slows them down; compare its numbers with each other only.
    """
    ours = Case("", sys.executable, ("import", FOUNDATION, VERIFIER))
    extra = {*json.loads(ours.run().stdout)["modules"]}
    least: dict[str, float] = {}
    for _ in range(3):
        for line in ours.run("-X", "importtime").stderr.splitlines():
            own, _, name = (part.strip() for part in line.split("|"))
            if name in extra:
                least[name] = min(least.get(name, 1e9), float(own.removeprefix("import time:")))
    order = sorted(least, key=least.__getitem__, reverse=True)
    return sorted(extra), {name: least[name] for name in order}


def rows_of(took: dict[str, dict[str, list[float]]], extra: Sequence[str]) -> list[Row]:
    """Hold what was measured to what was promised, or to its counterpart."""
    ms = {
        (name, step): 1e3 * median(all_) for name, steps in took.items()
        for step, all_ in steps.items()
    }  # fmt: skip
    early = {name.partition(".")[0] for name in extra} & {*OPTIONAL}
    importing = "import"
    mine = ms[f"import {OURS}", importing]
    rows = [
        Row(importing, "optional packages loaded", len(early), "exactly", 0),
        Row(importing, f"beside {BASE}", mine, "beside", ms[f"import {BASE}", importing], "ms"),
    ]
    if THEIRS in took:
        theirs = ms[f"import {THEIRS}", importing]
        rows.append(Row(importing, f"beside {THEIRS}", mine, "beside", theirs, "ms"))
        rows += [
            Row(f"{step}, beside {THEIRS}", name, ms[name, step], "beside", ms[THEIRS, step], "ms")
            for step in STEPS
            for name in (OURS, STORE)
        ]
        rows += targets(took)
    return rows


def targets(took: dict[str, dict[str, list[float]]]) -> list[Row]:
    """Hold what was measured to its targets: the least of each, as the machine adds to the rest."""
    least = {
        name: {step: min(all_) for step, all_ in steps.items()} for name, steps in took.items()
    }
    beyond, made = (1e3 * least[name]["import"] for name in (BEYOND, MADE))
    each, size = (least[MANY][step] for step in OF_ONE)
    ratio = least[OURS][STEPS[-1]] / least[THEIRS][STEPS[-1]]
    return [
        Row("import", f"beyond {BASE}", beyond, "at most", IMPORT, "ms"),
        Row("construction", MADE, made, "at most", STORE_MADE, "ms"),
        Row(MANY, "time of each", 1e3 * each, "at most", VERIFIER_MADE, "ms"),
        Row(MANY, "memory of each", size, "at most", VERIFIER_KIB, "KiB"),
        Row(f"first token {STEPS[-1]}", f"x {THEIRS}", ratio, "at most", FIRST_TOKEN, "x"),
    ]


def tables(took: dict[str, dict[str, list[float]]], own: dict[str, float], out: Console) -> None:
    """Print the times of each case, and which modules cost most."""
    base = median(took[f"import {BASE}"]["import"])
    lines = [
        (f"{name}: {step}", f"{median(all_) / base:.2f}x",
         *(f"{1e3 * each:,.1f}" for each in (median(all_), min(all_), max(all_))))
        for name, steps in took.items()
        for step, all_ in steps.items()
        if step != OF_ONE[1]
    ]  # fmt: skip
    head = ("", f"x {BASE}", "median ms", "least ms", "most ms")
    grid("Fresh interpreters", head, lines, out)
    total = sum(own.values())
    modules = [
        (name, f"{took_ / total:.0%}", f"{took_:,.0f}")
        for name, took_ in [*own.items()][:SLOWEST]
    ]  # fmt: skip
    title = f"Slowest of {len(own)} added modules"
    grid(title, ("", "of all", "own µs"), modules, out)


def main() -> bool:
    """Measure, print and save; return whether every target is met."""
    chosen = command("start", __doc__, "one round, without auth-jwks 0.4.0").parse_args()
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    where, console = machine(), Console()
    old = OLD.exists() and not chosen.quick
    took = measured(1 if chosen.quick else 12, old=old)
    extra, own = added()
    rows = rows_of(took, extra)
    console.print(TITLE, style="bold")
    tables(took, own, console)
    printed("Beside others", rows, where, console)
    saved(chosen.output, "start", rows, where, quick=chosen.quick, modules_added=len(extra))
    return not failed(rows)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
