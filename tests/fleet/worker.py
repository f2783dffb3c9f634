"""Worker processes: each one verifier over a store, told what to do by lines on its socket.

The program imports what they need, and forks one for each socket that its standard input hands it.
A worker's first line is its settings; each command is answered by one line of JSON.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import jwt

from auth_jwks import JWKS, FileKeyStore, RedisKeyStore
from auth_jwks.events import Event, KeysRefreshed, StoreFailed

Command = Callable[..., Awaitable[object]]


class PutAhead:
    """The machine's clocks, but for spans that a test does not care to wait for."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def monotonic(self) -> float:
        """Return real seconds, and those that were skipped."""
        return time.monotonic() + self.skipped

    time = staticmethod(time.time)
    sleep = staticmethod(asyncio.sleep)


class Log(logging.Handler):
    """What operators are told."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(f"{record.levelname} {record.getMessage()}")


class Worker:
    """The verifier, and what happened to it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.log = Log()
        logging.getLogger("auth_jwks").addHandler(self.log)
        self.clock = PutAhead()
        where, timeout = settings["store"], settings["timeout"]
        self.store: RedisKeyStore | FileKeyStore = (
            RedisKeyStore(where, integrity_key=settings["seal"], timeout=timeout, clock=self.clock)
            if "://" in where
            else FileKeyStore(where, timeout=timeout)
        )
        self.jwks = JWKS(store=self.store, observer=self.note, clock=self.clock, **settings["jwks"])
        self.events: Counter[str] = Counter()

    def note(self, event: Event) -> None:
        """Count what happened, by kind and origin."""
        name = type(event).__name__
        match event:
            case KeysRefreshed():
                self.events[f"{name} {event.origin}"] += 1
            case StoreFailed():
                self.events[f"{name} {event.reason}"] += 1
            case _:
                self.events[name] += 1

    async def carry_out(self, command: str, *words: str) -> object:
        """Return the answer to a command."""
        commands: dict[str, Command] = {
            "verify": self.verify,
            "burst": self.burst,
            "flood": self.flood,
            "refresh": self.refresh,
            "settle": self.settle,
            "skip": self.skip,
            "events": self.told,
            "log": self.logged,
        }
        return await commands[command](*words)

    async def verify(self, token: str) -> tuple[str, float]:
        """Return the subject, or the class of what was raised, and how long it took."""
        began = time.monotonic()
        try:
            outcome = str((await self.jwks.verify_token(token))["sub"])
        except jwt.InvalidTokenError as error:
            outcome = type(error).__name__
        return outcome, time.monotonic() - began

    async def burst(self, token: str, count: str) -> list[tuple[str, float]]:
        """Verify a token that often at once."""
        return await asyncio.gather(*(self.verify(token) for _ in range(int(count))))

    async def flood(self, token: str, count: str) -> dict[str, int]:
        """Verify as many tokens with a made-up `kid` each; return the outcomes."""
        _, payload, signature = token.split(".")
        outcomes: Counter[str] = Counter()
        for number in range(int(count)):
            header = jwt.utils.base64url_encode(
                json.dumps({"alg": "ES256", "kid": f"made up {number}"}).encode()
            )
            outcome, _ = await self.verify(f"{header.decode()}.{payload}.{signature}")
            outcomes[outcome] += 1
        return outcomes

    async def refresh(self, *words: str) -> str:
        """Return what came of it."""
        try:
            await self.jwks.refresh(force="force" in words)
        except jwt.InvalidTokenError as error:
            return type(error).__name__
        return "ok"

    async def settle(self) -> None:
        """Wait until no refresh is under way."""
        async with asyncio.timeout(60):
            while self.jwks.status().refreshing:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.01)

    async def skip(self, seconds: str) -> None:
        """Put the clock ahead."""
        self.clock.skipped += float(seconds)

    async def told(self) -> dict[str, int]:
        """Return the events so far."""
        return self.events

    async def logged(self) -> list[str]:
        """Return the warnings and errors so far."""
        return self.log.lines


async def serve(line: socket.socket) -> None:
    """Carry out commands until there are no more."""
    reader, writer = await asyncio.open_connection(sock=line)

    def answer(*words: object) -> None:
        writer.write(json.dumps(words).encode() + b"\n")

    worker = Worker(json.loads(await reader.readline()))
    answer("ready", os.getpid())
    while command := await reader.readline():
        number, *words = command.decode().split()
        answer(number, await worker.carry_out(*words))
    await worker.jwks.close()
    await worker.store.aclose()
    writer.close()


def main() -> None:
    """Fork workers until the standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with socket.socket(fileno=0) as orders:
        while handed := socket.recv_fds(orders, 1, 1)[1]:
            with socket.socket(fileno=handed[0]) as line:
                if os.fork() == 0:
                    orders.close()
                    asyncio.run(serve(line))
                    return


if __name__ == "__main__":
    main()
