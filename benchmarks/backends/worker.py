"""A worker process of the comparison of backends: `fleet.worker`, with one backend of several."""

import asyncio
import json
import sys
import time
from collections import Counter
from importlib import import_module
from typing import Any

from auth_jwks import JWKS, FileKeyStore, KeyStore, MemoryKeyStore, RedisKeyStore
from benchmarks.fleet.worker import SEAL, Verifier, Worker, outcome, renamed, serve

ROUNDS = 5
BATCH = 50


class Backend(Worker):
    """The verifiers of one process, which share what the backend keeps there."""

    async def carry_out(self, command: str, *words: Any) -> object:
        """Return the answer to a command."""
        match command:
            case "warm":
                return await self.warm(*words)
            case "noise":
                return await self.noise(*words)
            case _:
                return await super().carry_out(command, *words)

    async def warm(self, tokens: list[str]) -> float:
        """Verify the tokens in several rounds, one by one; return seconds a token, at best."""
        size = len(tokens) // ROUNDS
        rounds = [tokens[n * size : (n + 1) * size] for n in range(ROUNDS)]
        verify = self.verifiers[0].verify_token
        best = []
        for batch in rounds:
            began = time.perf_counter()
            for token in batch:
                await verify(token)
            best.append((time.perf_counter() - began) / size)
        return min(best)

    async def noise(self, token: str, seconds: float) -> dict[str, Any]:
        """Verify tokens with a made-up `kid` each, one by one, for that long."""
        outcomes: Counter[str] = Counter()
        spent, until = 0.0, time.monotonic() + seconds
        while time.monotonic() < until:
            batch = [renamed(token, outcomes.total() + n) for n in range(BATCH)]
            for each in batch:
                began = time.process_time()
                outcomes[await outcome(self.verifiers[0], each)] += 1
                spent += time.process_time() - began
                if time.monotonic() >= until:
                    break
        return {"outcomes": outcomes, "cpu": spent}


def backend(
    name: str, url: str, folder: str, verifiers: int, source: dict[str, Any], cache_ttl: float
) -> Backend:
    """Return the verifiers over the backend of that name."""
    store = _store(name, url, folder)
    if store is None:
        shared: Verifier = import_module("benchmarks.backends.diy").ALTERNATIVES[name](
            url, **source, ttl=cache_ttl
        )
        return Backend([shared] * verifiers)
    made = [
        JWKS(store=store, allowed_algorithms=["ES256"], cache_ttl=cache_ttl, **source)
        for _ in range(verifiers)
    ]
    return Backend(made, [store])


def _store(name: str, url: str, folder: str) -> KeyStore | None:
    match name:
        case "memory":
            return MemoryKeyStore()
        case "file":
            return FileKeyStore(folder)
        case "redis":
            return RedisKeyStore(url)
        case "sealed":
            return RedisKeyStore(url, integrity_key=SEAL)
        case _:
            return None


async def main() -> None:
    """Serve as the settings on the command line say."""
    await serve(backend(**json.loads(sys.argv[1])))


if __name__ == "__main__":
    asyncio.run(main())
