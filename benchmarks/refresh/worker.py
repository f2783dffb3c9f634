"""The worker process of the refresh benchmark: it verifies at full speed and times every call.

One line of JSON in, `[command, arguments...]`, one line of JSON out.
"""

import asyncio
import json
import logging
import sys
import time
from array import array
from collections import defaultdict
from collections.abc import Coroutine, Generator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from types import coroutine
from typing import Any

from auth_jwks import JWKS, RedisKeyStore

__all__ = ["FIRST", "SEEN", "TURN"]

SEAL = "a key of the benchmark's own, 32 bytes or more"
SEEN, FIRST, TURN = "seen before", "first seen", "turn of the loop"
SEEN_PER_BATCH = 4  # and one that is first seen, before the loop has its turn
PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


@dataclass(slots=True)
class Calls:
    """How long each call took, in nanoseconds, and how many of them had to wait for anything."""

    took: "array[int]" = field(default_factory=lambda: array("q"))
    waited: int = 0

    def told(self) -> dict[str, float]:
        """Return the percentiles in microseconds."""
        ordered = sorted(self.took)
        ranks = {name: int(share * len(ordered)) for name, share in PERCENTILES.items()}
        times = {name: ordered[rank] / 1e3 for name, rank in ranks.items()}
        return {
            "calls": len(ordered), "waited": self.waited, **times, "worst": ordered[-1] / 1e3,
        }  # fmt: skip


class Worker:
    """Two verifiers, whose keys last long or a moment, and what their calls took by phase."""

    def __init__(self, *, url: str, tokens: str, cache_ttl: float, jwks: dict[str, Any]) -> None:
        content = json.loads(Path(tokens).read_text("utf-8"))
        self.seen, self.first = cycle(content["seen"]), cycle(content["first"])
        self.store = RedisKeyStore(url, integrity_key=SEAL)
        self.calm_store = RedisKeyStore(url, integrity_key=SEAL, prefix="calm")
        self.calm = JWKS(store=self.calm_store, **jwks)
        self.busy = JWKS(store=self.store, cache_ttl=cache_ttl, **jwks)
        self.cache_ttl, self.jwks = cache_ttl, jwks
        self.phases: dict[str, dict[str, Calls]] = defaultdict(lambda: defaultdict(Calls))

    async def carry_out(self, command: str, *words: Any) -> object:
        """Return the answer to a command."""
        match command:
            case "steady":
                await self.verify(self.calm, *words)
            case "refreshing":
                await self.verify(self.busy, *words, under_way=True)
            case "verify":
                await self.verify(self.busy, *words)
            case "idle":
                await asyncio.sleep(*words)
            case "rotated":
                return await self.rotated(*words)
            case "lapse":
                return await self.lapse(*words)
            case "large":
                return await self.large(*words)
            case "told":
                return self.told()
            case _:
                raise ValueError(command)
        return None

    def told(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return the percentiles by phase and kind."""
        return {
            phase: {kind: calls.told() for kind, calls in kinds.items() if calls.took}
            for phase, kinds in self.phases.items()
        }

    async def verify(
        self, jwks: JWKS, phase: str, seconds: float, *, under_way: bool = False
    ) -> None:
        """Verify back to back; with `under_way` note only what falls into a refresh."""
        kinds, unused = self.phases[phase], defaultdict[str, Calls](Calls)
        until, before = time.perf_counter() + seconds, False
        while time.perf_counter() < until:
            busy = jwks.status().refreshing
            # The batch after a refresh is the first to meet the new keys.
            noted = kinds if busy or before or not under_way else unused
            for _ in range(SEEN_PER_BATCH):
                await _timed(noted[SEEN], jwks, next(self.seen))
            await _timed(noted[FIRST], jwks, next(self.first))
            began = time.perf_counter_ns()
            await asyncio.sleep(0)
            noted[TURN].took.append(time.perf_counter_ns() - began)
            before = busy

    async def rotated(self, phase: str, seconds: float, token: str) -> float:
        """Go on verifying while a token of a new key comes; return how long that one waited."""
        await self.verify(self.busy, phase, seconds / 4)
        began = time.perf_counter()
        served = asyncio.create_task(self._served(token, began))
        await self.verify(self.busy, phase, seconds * 3 / 4)
        return await served

    async def lapse(self, share: float) -> float:
        """Get new keys, then idle for that share of their life; return the seconds left of it."""
        while (left := self._left()) < 0.8:
            await self.busy.verify_token(next(self.seen))
            await asyncio.sleep(0.005)
        await asyncio.sleep((left - 1 + share) * self.cache_ttl)
        return self._left() * self.cache_ttl

    async def large(self, token: str) -> float:
        """Fetch the keys with a new verifier; return the seconds of the loop's longest turn."""
        async with JWKS(**self.jwks) as jwks:
            served, longest = asyncio.create_task(jwks.verify_token(token)), 0.0
            while not served.done():
                began = time.perf_counter()
                await asyncio.sleep(0)
                longest = max(longest, time.perf_counter() - began)
            await served
        return longest

    def _left(self) -> float:
        """Return the share of the keys' life that is to come."""
        return (self.busy.status().expires_in or 0.0) / self.cache_ttl

    async def warm(self) -> None:
        """Fetch the keys, and run everything once."""
        await self.verify(self.calm, "warm", 0.1)
        await self.verify(self.busy, "warm", 0.1)
        del self.phases["warm"]

    async def close(self) -> None:
        """Close everything."""
        for part in (self.calm, self.busy, self.store, self.calm_store):
            await part.aclose()

    async def _served(self, token: str, began: float) -> float:
        await self.busy.verify_token(token)
        return time.perf_counter() - began


async def _timed(calls: Calls, jwks: JWKS, token: str) -> None:
    began = time.perf_counter_ns()
    await _watched(calls, jwks.verify_token(token))
    calls.took.append(time.perf_counter_ns() - began)


@coroutine
def _watched(calls: Calls, work: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Await `work`, and count it if it gives way to the loop: a call that does not, never waits."""
    try:
        future = work.send(None)
    except StopIteration as done:
        return done.value
    calls.waited += 1
    yield future
    return (yield from work.__await__())


async def main() -> None:
    """Serve until the standard input ends."""
    logging.disable(logging.WARNING)
    worker = Worker(**json.loads(sys.argv[1]))
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await worker.warm()
    _answer("ready")
    while line := await lines.readline():
        _answer(await worker.carry_out(*json.loads(line)))
    await worker.close()


def _answer(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
