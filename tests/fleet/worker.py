"""A worker process: one verifier over a store, told what to do by lines on its standard input.

Each command is answered by one line of JSON, in the order of its end.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

import jwt

from auth_jwks import JWKS, FileKeyStore, RedisKeyStore
from auth_jwks.events import DocumentRejected, Event, KeysRefreshed, StaleServed, StoreFailed


class Worker:
    """The verifier, and what happened to it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        where = settings["store"]
        self.store: RedisKeyStore | FileKeyStore = (
            RedisKeyStore(where, integrity_key=settings.get("seal"))
            if "://" in where
            else FileKeyStore(where)
        )
        self.jwks = JWKS(store=self.store, observer=self.note, **settings["jwks"])
        self.events: Counter[str] = Counter()
        self.rejected: list[str] = []

    def note(self, event: Event) -> None:
        """Count what happened, by kind and origin."""
        name = type(event).__name__
        match event:
            case KeysRefreshed():
                self.events[f"{name} {event.origin}"] += 1
            case StoreFailed():
                self.events[f"{name} {event.reason}"] += 1
            case StaleServed() | DocumentRejected():
                self.events[name] += 1
            case _:
                self.events[name] += 1

    async def carry_out(self, command: str, *words: str) -> object:
        """Return the answer to a command."""
        match command:
            case "verify":
                return await self.verify(*words)
            case "refresh":
                return await self.refresh(force=bool(words))
            case "flood":
                return await self.flood(words[0], int(words[1]))
            case "events":
                return dict(self.events)
            case _:
                raise ValueError(command)

    async def verify(self, token: str) -> tuple[str, float]:
        """Return the subject, or the class of what was raised, and how long it took."""
        began = time.monotonic()
        try:
            outcome = str((await self.jwks.verify_token(token))["sub"])
        except jwt.InvalidTokenError as error:
            outcome = type(error).__name__
        return outcome, time.monotonic() - began

    async def refresh(self, *, force: bool) -> str:
        """Return what came of it."""
        try:
            await self.jwks.refresh(force=force)
        except jwt.InvalidTokenError as error:
            return type(error).__name__
        return "ok"

    async def flood(self, token: str, count: int) -> dict[str, int]:
        """Verify as many tokens with a made-up `kid` each; return the outcomes."""
        _, payload, signature = token.split(".")
        outcomes: Counter[str] = Counter()
        for number in range(count):
            header = jwt.utils.base64url_encode(
                json.dumps({"alg": "ES256", "kid": f"made up {number}"}).encode()
            )
            outcome, _ = await self.verify(f"{header.decode()}.{payload}.{signature}")
            outcomes[outcome] += 1
        return outcomes


async def main() -> None:
    """Serve until the standard input ends."""
    worker = Worker(json.loads(sys.argv[1]))
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    answer("ready")
    while line := await lines.readline():
        number, *command = line.decode().split()
        answer(number, await worker.carry_out(*command))
    await worker.jwks.close()
    await worker.store.aclose()


def answer(*words: object) -> None:
    """Say it on the standard output."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
