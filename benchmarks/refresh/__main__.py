"""What a verify notices of refreshes, rotations and outages, at full speed; see README.md.

The exit status is 1 if a target is missed.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from auth_jwks.testing import FakeIssuer, SigningKey
from benchmarks.command import command
from benchmarks.fleet.crew import Arena, Process, arena
from benchmarks.refresh.worker import FIRST, SEEN
from benchmarks.report import Row, Rule, failed, grid, machine, printed, saved

TITLE = "What a verify notices of a refresh"
PROGRAM = Path(__file__).with_name("worker.py")
HOUR = 3600
SEEN_TOKENS = 50
SOFT_WAIT = 0.5
STORE_TIMEOUT = 0.25
TWICE = 2.0
HARDLY = 1.1  # times the steady ones
KEYS = 256  # as many as a set may have
TURN_LIMIT = 2  # ms
LARGE_ROUNDS = 10

STEADY, REFRESHING, ROTATING = "steady", "refresh under way", "rotations"
LATE, STALE = "provider silent, keys fresh", "provider silent, keys expired"
FROZEN, STOPPED = "store frozen", "store stopped"
WARM = (REFRESHING, ROTATING, LATE)  # the phases in which nobody needs to wait
TIMES = ("p50", "p99", "p99.9", "worst")
HEAD = ("", *TIMES, *(f"{name} µs" for name in TIMES), "calls", "waited")

Told = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True, slots=True)
class Size:
    """How long each phase lasts, in seconds; `latency` is the provider's, per document.

    `tokens` are taken in turn: more than the worker's cache holds, so each is always a new one.
    """

    cache_ttl: float
    latency: float
    rounds: int
    steady: float
    refreshing: float
    rotations: int
    outage: float
    tokens: int


FULL = Size(2.0, 0.05, rounds=6, steady=2.0, refreshing=4.0, rotations=6, outage=6.0, tokens=3000)
QUICK = Size(1.0, 0.01, rounds=1, steady=0.2, refreshing=1.2, rotations=1, outage=0.8, tokens=1200)


async def measured(size: Size, console: Console) -> tuple[Told, list[float], float]:
    """Return the percentiles by phase, the waits of each new key's first token, the longest turn.

    That is the turn of the loop while a large key set is parsed, in the quickest of the rounds.
    """
    with arena() as ground, TemporaryDirectory() as folder:
        issuer = ground.issuer
        issuer.recover()
        issuer.slow(size.latency)
        issuer.rotate(SigningKey.generate("RS256"), keep=False)
        file = Path(folder) / "tokens.json"
        file.write_text(json.dumps(_tokens(issuer, size.tokens)), "utf-8")
        async with _hired(ground, file, size) as worker:
            for _ in range(size.rounds):
                await worker.do("steady", STEADY, size.steady)
                await worker.do("refreshing", REFRESHING, size.refreshing)
            console.print(f"measured: {REFRESHING}", style="dim")
            waits = [await _rotation(worker, issuer, size) for _ in range(size.rotations)]
            console.print(f"measured: {ROTATING}", style="dim")
            await _silence(worker, issuer, size)
            console.print(f"measured: {STALE}", style="dim")
            await worker.do("lapse", 0.3)
            store = ground.admin.info("server")["process_id"]
            os.kill(store, signal.SIGSTOP)
            await worker.do("verify", FROZEN, size.outage)
            os.kill(store, signal.SIGKILL)
            await worker.do("verify", STOPPED, size.outage)
            console.print(f"measured: {STOPPED}", style="dim")
            turn = min([await _large(worker, issuer) for _ in range(LARGE_ROUNDS)])
            return await worker.do("told"), waits, turn


async def _large(worker: Process, issuer: FakeIssuer) -> float:
    """Let a verifier fetch a set of as many keys as it may have; the first call publishes them."""
    issuer.recover()
    for number in range(len(issuer.keys), KEYS):
        issuer.publish(replace(issuer.signing_key, kid=f"key {number}"))
    return float(await worker.do("large", issuer.sign(exp=time.time() + HOUR)))


async def _rotation(worker: Process, issuer: FakeIssuer, size: Size) -> float:
    issuer.rotate()
    token = issuer.sign(exp=time.time() + HOUR)
    return float(await worker.do("rotated", ROTATING, 0.75 * size.cache_ttl, token))


async def _silence(worker: Process, issuer: FakeIssuer, size: Size) -> None:
    """Let the provider take requests and not answer: once the keys want it, once they need it."""
    left = await worker.do("lapse", 0.75)
    issuer.hang()
    await worker.do("verify", LATE, left * 0.9)
    issuer.recover()
    issuer.slow(size.latency)
    issuer.release()
    left = await worker.do("lapse", 0.3)
    issuer.hang()
    await worker.do("idle", left)
    await worker.do("verify", STALE, size.outage)
    issuer.recover()
    issuer.slow(size.latency)
    issuer.release()


def _tokens(issuer: FakeIssuer, number: int) -> dict[str, list[str]]:
    exp = time.time() + HOUR
    tokens = [issuer.sign(jti=f"{n}", exp=exp) for n in range(number + SEEN_TOKENS)]
    return {"seen": tokens[number:], "first": tokens[:number]}


@asynccontextmanager
async def _hired(ground: Arena, tokens: Path, size: Size) -> AsyncIterator[Process]:
    jwks = {
        "discovery_url": ground.issuer.discovery_url,
        "issuer": ground.issuer.issuer,
        "timeout": 0.9,
    }
    settings = {"url": ground.url, "tokens": str(tokens), "cache_ttl": size.cache_ttl, "jwks": jwks}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.refresh.worker", json.dumps(settings),
        cwd=PROGRAM.parents[2], stdin=pipe, stdout=pipe, limit=2**22,
    )  # fmt: skip
    worker = Process(process)
    try:
        await worker.end()
        yield worker
    finally:
        ground.issuer.release()
        await worker.kill()


def targets(told: Told, waits: list[float], turn: float, size: Size) -> list[Row]:
    """Hold what was measured to what was promised."""
    steady, busy = (told[phase][SEEN]["p50"] for phase in (STEADY, REFRESHING))
    name = f"{REFRESHING}, tokens {SEEN}"
    rows = [Row(name, "p50 / steady", busy / steady, "at most", HARDLY)]
    for kind in (SEEN, FIRST):
        steady = told[STEADY][kind]["p99.9"]
        for phase in WARM:
            calls = told[phase][kind]
            name, number = f"{phase}, tokens {kind}", f"{calls['calls']:,.0f}"
            rows.append(Row(name, f"waited, of {number}", calls["waited"], "exactly", 0))
            # Too short for a percentile like that: the time from the refresh point to the end.
            rule: Rule = "beside" if phase == LATE else "at most"
            rows.append(Row(name, "p99.9 / steady", calls["p99.9"] / steady, rule, TWICE))
        for phase in (STALE, FROZEN, STOPPED):
            limit = SOFT_WAIT + (0 if phase == STALE else STORE_TIMEOUT) + size.latency
            worst = told[phase][kind]["worst"] / 1e6
            rows.append(Row(f"{phase}, tokens {kind}", "worst", worst, "at most", limit, "s"))
    # One fetch that was under way may have to end before the one that brings the key.
    limit = 4 * size.latency + 2 * STORE_TIMEOUT
    rows.append(Row(ROTATING, "first token of a key waits", max(waits), "at most", limit, "s"))
    rows.append(
        Row(
            f"{KEYS} keys parsed",
            "longest turn of the loop",
            1e3 * turn,
            "at most",
            TURN_LIMIT,
            "ms",
        )
    )
    return rows + [
        Row(f"slowest of a thousand, tokens {kind}", phase, told[phase][kind]["p99.9"], "beside",
            told[STEADY][kind]["p99.9"], "µs", STEADY)
        for kind in (SEEN, FIRST)
        for phase in (STEADY, *WARM)
    ]  # fmt: skip


def cells(phase: str, calls: dict[str, float], steady: dict[str, float]) -> tuple[str, ...]:
    """Return a line of the table: times as multiples of the steady ones, then in microseconds."""
    multiples = (f"{calls[name] / steady[name]:,.2f}x" for name in TIMES)
    times = (f"{calls[name]:,.{1 if calls[name] < 100 else 0}f}" for name in TIMES)
    return phase, *multiples, *times, f"{calls['calls']:,.0f}", f"{calls['waited']:.0f}"


def tables(told: Told, console: Console) -> None:
    """Print the percentiles, one table for each kind of call."""
    for kind, steady in told[STEADY].items():
        lines = [cells(phase, kinds[kind], steady) for phase, kinds in told.items()]
        grid(f"tokens {kind}" if kind in {SEEN, FIRST} else kind, HEAD, lines, console)


def main() -> bool:
    """Measure, print and save; return whether every target is met."""
    chosen = command("refresh", __doc__, "shortest phases").parse_args()
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    size = QUICK if chosen.quick else FULL
    where, console = machine(), Console()
    told, waits, turn = asyncio.run(measured(size, Console(stderr=True)))
    rows = targets(told, waits, turn, size)
    console.print(TITLE, style="bold")
    tables(told, console)
    printed("Targets", rows, where, console)
    saved(chosen.output, "refresh", rows, where, quick=chosen.quick, size=asdict(size))
    return not failed(rows)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
