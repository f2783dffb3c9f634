"""A worker process of the fleet benchmark: some verifiers, told what to do on standard input.

One line of JSON in, `[command, arguments...]`, one line of JSON out. Instants are those of the
machine's monotonic clock, which all its processes share.
"""

import asyncio
import json
import logging
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import jwt
from redis.asyncio import Redis

from auth_jwks import JWKS, KeyStore, RedisKeyStore
from auth_jwks.events import Event, KeysRefreshed, StoreFailed

__all__ = ["SEAL", "Verifier", "Worker", "outcome", "renamed", "serve"]

SEAL = "a key of the benchmark's own, 32 bytes or more"


class Verifier(Protocol):
    """What is used of a `JWKS`."""

    async def verify_token(self, token: str, /) -> dict[str, Any]:
        """Return the claims, or raise `jwt.InvalidTokenError`."""
        ...

    async def close(self) -> None:
        """Close what it opened itself."""
        ...


class Get:
    """In place of a verifier: a connection to the store and one GET, the least there is."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url)

    async def verify_token(self, _: str, /) -> dict[str, Any]:
        """Ask for what is not there."""
        return {"sub": await self._redis.get("nothing") or "alice"}

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()


class Worker:
    """The verifiers of this process, and what happened to them."""

    def __init__(
        self,
        verifiers: Sequence[Verifier],
        stores: Sequence[KeyStore] = (),
        events: Counter[str] | None = None,
    ) -> None:
        self.verifiers = verifiers
        self.stores = stores
        self.events = Counter[str]() if events is None else events

    async def carry_out(self, command: str, *words: Any) -> object:
        """Return the answer to a command."""
        match command:
            case "start":
                return await self.start(*words)
            case "steady":
                return await self.steady(*words)
            case "flood":
                return await self.flood(*words)
            case "events":
                return dict(self.events)
            case _:
                raise ValueError(command)

    async def start(self, token: str, at: float) -> dict[str, Any]:
        """Verify with all verifiers at that instant; return who was served, when, at what cost."""
        await asyncio.sleep(at - time.monotonic())
        cpu = time.process_time()
        served = await asyncio.gather(*(self._served(each, token, at) for each in self.verifiers))
        return {"served": served, "cpu": time.process_time() - cpu}

    async def steady(self, file: str, seconds: float) -> dict[str, Any]:
        """Verify a token every ten milliseconds; return the outcomes, and the longest it took."""
        tokens = json.loads(await asyncio.to_thread(Path(file).read_text))
        until, slowest = time.monotonic() + seconds, 0.0
        outcomes: Counter[str] = Counter()
        while (began := time.monotonic()) < until:
            told = await outcome(self.verifiers[0], tokens[outcomes.total() % len(tokens)])
            outcomes[told] += 1
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.01)
        return {"outcomes": outcomes, "slowest": slowest}

    async def flood(self, token: str, count: int, seconds: float) -> dict[str, Any]:
        """Verify tokens with a made-up `kid` each, a hundred at a time, spread over `seconds`."""
        began, cpu = time.monotonic(), 0.0
        outcomes: Counter[str] = Counter()
        for first in range(0, count, 100):
            await asyncio.sleep(began + seconds * first / count - time.monotonic())
            tokens = [renamed(token, first + n) for n in range(min(100, count - first))]
            before = time.process_time()
            for each in tokens:
                outcomes[await outcome(self.verifiers[0], each)] += 1
            cpu += time.process_time() - before
        return {"outcomes": outcomes, "cpu": cpu}

    async def close(self) -> None:
        """Close everything."""
        for verifier in self.verifiers:
            await verifier.close()
        for store in self.stores:
            await store.aclose()

    async def _served(self, verifier: Verifier, token: str, at: float) -> tuple[str, float]:
        return await outcome(verifier, token), time.monotonic() - at


async def outcome(verifier: Verifier, token: str) -> str:
    """Return the subject, or the class of what was raised."""
    try:
        return str((await verifier.verify_token(token))["sub"])
    except jwt.InvalidTokenError as error:
        return type(error).__name__


def renamed(token: str, number: int) -> str:
    """Return the token under another `kid`, its signature as it was."""
    _, rest = token.split(".", 1)
    header = json.dumps({"alg": "ES256", "kid": f"made up {number}"}).encode()
    return f"{jwt.utils.base64url_encode(header).decode()}.{rest}"


async def serve(worker: Worker) -> None:
    """Carry out commands until the standard input ends."""
    logging.disable(logging.WARNING)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    lines = asyncio.StreamReader(limit=2**22)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    _answer("ready")
    while line := await lines.readline():
        _answer(await worker.carry_out(*json.loads(line)))
    await worker.close()


async def main() -> None:
    """Serve as the settings on the command line say."""
    await serve(hired(**json.loads(sys.argv[1])))


def hired(
    *, url: str | None, shared: bool, bare: bool, verifiers: int, jwks: dict[str, Any],
    limits: dict[str, Any],
) -> Worker:  # fmt: skip
    """Return a worker with so many verifiers; `shared`: with one store; `bare`: with a GET each."""
    if bare:
        return Worker([Get(url or "") for _ in range(verifiers)])
    events: Counter[str] = Counter()

    def note(event: Event) -> None:
        if isinstance(event, StoreFailed):
            events["store failed"] += 1
        elif isinstance(event, KeysRefreshed):
            events[event.origin] += 1

    number = 0 if url is None else 1 if shared else verifiers
    stores = [RedisKeyStore(url or "", integrity_key=SEAL, **limits) for _ in range(number)]
    made = [
        JWKS(
            store=stores[n % number] if number else None, observer=note,
            allowed_algorithms=["ES256"], **jwks,
        )
        for n in range(verifiers)
    ]  # fmt: skip
    return Worker(made, stores, events)


def _answer(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
