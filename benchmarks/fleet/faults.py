"""What a killed holder, a broken store, a flood and an hour of traffic cost the fleet."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from auth_jwks import JWKS, RedisKeyStore
from auth_jwks.stores.base import UNSCHEDULED_WINDOW
from auth_jwks.testing import FakeClock
from benchmarks.fleet.crew import Arena, Process, arena, released
from benchmarks.fleet.start import EXTRA, PROVIDER, most_polls
from benchmarks.fleet.worker import SEAL
from benchmarks.report import Row

__all__ = ["broken_store", "flood", "hour", "killed_holder"]

LEASE = 3.0
SOFT_WAIT = 0.5
TIMEOUT = 0.25
CONNECT_TIMEOUT = 1.0
REJECTION = 10.0  # µs
HOUR = 3600


async def killed_holder(number: int, slack: float) -> AsyncIterator[Row]:
    """Kill the worker that fetches, while the others wait for it."""
    name = f"kill -9 of the holder, {number} survivors"
    with arena() as ground:
        async with ground.hired(number + 1, ground.settings(slack=slack)) as crew:
            holder, *others = crew
            ground.forget()
            ground.issuer.hang(times=1, on="jwks")
            token = ground.issuer.sign()
            await holder.begin("start", token, time.monotonic())
            await ground.issuer.arrived(2, within=10)
            waiting = asyncio.create_task(released(others, token))
            # They begin half a second from now, and have asked the store before it dies.
            await asyncio.sleep(1.0 + 0.005 * number)
            await holder.kill()
            served = [each for worker in await waiting for each in worker["served"]]
        last, limit = max(seconds for _, seconds in served), LEASE + PROVIDER + 1
        yield Row(name, "discovery requests", ground.fetches[0], "exactly", 2)
        yield Row(name, "key set requests", ground.fetches[1], "exactly", 2)
        failed = sum(outcome != "alice" for outcome, _ in served)
        yield Row(name, "failed verifications", failed, "exactly", 0)
        yield Row(name, "last survivor served", last, "at most", limit + slack, "s")


async def broken_store(how: str, number: int, seconds: float, slack: float) -> AsyncIterator[Row]:
    """Freeze or stop the store while workers verify, whose keys expire every two seconds."""
    name = f"store {how}, {number} warm workers"
    with arena() as ground, TemporaryDirectory() as folder:
        file = Path(folder) / "tokens.json"
        tokens = [ground.issuer.sign(jti=f"{n}", exp=time.time() + HOUR) for n in range(1000)]
        file.write_text(json.dumps(tokens), "utf-8")
        async with ground.hired(number + 1, ground.settings(slack=slack, cache_ttl=2)) as [
            cold,
            *crew,
        ]:
            await released(crew, tokens[0])
            for worker in crew:
                await worker.begin("steady", str(file), seconds)
            await asyncio.sleep(seconds / 4)
            (ground.freeze if how == "frozen" else ground.stop)()
            told = [await worker.end() for worker in crew]
            began = await released([cold], tokens[0])
            events = [await worker.do("events") for worker in crew]
    for row in _steady_rows(name, told, slack):
        yield row
    noticed = sum("store failed" in each for each in events)
    yield Row(name, "workers that noticed", noticed, "exactly", number)
    [(outcome, took)] = began[0]["served"]
    yield Row(name, "cold worker, failures", outcome != "alice", "exactly", 0)
    limit = 2 * CONNECT_TIMEOUT + PROVIDER + EXTRA
    yield Row(name, "cold worker, served", took, "at most", limit + slack, "s")


def _steady_rows(name: str, told: list[dict[str, Any]], slack: float) -> list[Row]:
    outcomes: Counter[str] = sum((Counter(each["outcomes"]) for each in told), Counter())
    good, slowest = outcomes.pop("alice", 0), max(each["slowest"] for each in told)
    limit = SOFT_WAIT + TIMEOUT + slack
    return [
        Row(
            name,
            f"failed verifications of {good + outcomes.total():,}",
            outcomes.total(),
            "exactly",
            0,
        ),
        Row(name, "slowest verification", slowest, "at most", limit, "s"),
    ]


async def flood(number: int, tokens: int, seconds: float, slack: float) -> AsyncIterator[Row]:
    """Send tokens with a made-up `kid` each, evenly to all workers."""
    name = f"{tokens:,} made-up kids, {number} workers"
    with arena() as ground:
        async with ground.hired(number, ground.settings(slack=slack)) as crew:
            token = ground.issuer.sign(exp=time.time() + HOUR)
            await released(crew, token)
            ground.forget()
            began = time.monotonic()
            told = await _flooded(crew, token, tokens // number, seconds)
            took = time.monotonic() - began
            calls, fetches = ground.calls, ground.fetches[1]
            after = [each for worker in await released(crew, token) for each in worker["served"]]
    outcomes: Counter[str] = sum((Counter(each["outcomes"]) for each in told), Counter())
    cost = 1e6 * sum(each["cpu"] for each in told) / tokens
    windows = 1 + took // UNSCHEDULED_WINDOW
    yield Row(
        name, "tokens not refused as unknown", tokens - outcomes["UnknownKeyError"], "exactly", 0
    )
    yield Row(name, f"key set requests in {took:.0f} s", fetches, "at most", 2 * windows)
    # Two searches at once and one a second, and the waits for whoever fetches.
    most = 2 + took + 2 * windows * most_polls(PROVIDER)
    yield Row(name, "store calls a worker", calls / number, "at most", most)
    yield Row(name, "store calls, beside tokens", calls, "beside", tokens)
    yield Row(name, "CPU time a rejection", cost, "at most", REJECTION + 1e6 * slack, "µs")
    failed = sum(outcome != "alice" for outcome, _ in after)
    yield Row(name, "failed verifications after it", failed, "exactly", 0)


async def _flooded(
    crew: list[Process], token: str, count: int, seconds: float
) -> list[dict[str, Any]]:
    for worker in crew:
        await worker.begin("flood", token, count, seconds)
    return [await worker.end() for worker in crew]


async def hour() -> AsyncIterator[Row]:
    """Verify a new token every five seconds of an hour, on a virtual clock."""
    name = "an hour of a warm worker, cache_ttl=900"
    clock = FakeClock()
    with arena() as ground:
        ground.issuer.recover()
        async with (
            RedisKeyStore(ground.url, integrity_key=SEAL) as store,
            JWKS(
                ground.issuer.discovery_url, issuer=ground.issuer.issuer, store=store, clock=clock,
                allowed_algorithms=["ES256"],
            ) as worker,
        ):  # fmt: skip
            await worker.verify_token(ground.issuer.sign(exp=clock.time() + 60))
            ground.forget()
            for number in range(HOUR // 5):
                await _five_seconds(ground, worker, clock, number)
        yield Row(name, "store calls", ground.calls, "at most", 75)
        # Refreshed at three quarters of its life at the earliest.
        yield Row(name, "key set requests", ground.fetches[1], "at most", HOUR / 900 / 0.75 + 1)


async def _five_seconds(ground: Arena, worker: JWKS, clock: FakeClock, number: int) -> None:
    clock.advance(5)
    now = clock.time()
    await worker.verify_token(ground.issuer.sign(iat=now, exp=now + 60, jti=f"{number}"))
    while worker.status().refreshing:  # noqa: ASYNC110 - nobody else awaits it
        await asyncio.sleep(0)
