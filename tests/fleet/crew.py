"""Workers in processes of their own, as a test sees them."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from auth_jwks.testing import FakeIssuer
from tests.environment import unmeasured

__all__ = [
    "COLD",
    "LEASE",
    "SEAL",
    "SHARED",
    "SLACK",
    "WARM",
    "ForkServer",
    "Hire",
    "Process",
    "asked",
    "asked_since",
    "commanded",
    "hired",
    "until",
    "verified",
]

SEAL = "a key of the tests' own, 32 bytes or more"
LEASE = 3.0
CALL = 0.75  # as long as a call of the store may take, so that a busy machine fails no test
# What is promised, in seconds, and some for a busy machine.
SLACK = 2.5
WARM = 0.5 + CALL + SLACK  # the wait for a refresh while old keys serve, and a call of the store
COLD = 2 * 1.0 + SLACK  # two calls that have to connect, before a worker goes on by itself
SHARED = LEASE + 1 + SLACK  # a lease that nobody has, and a fetch
PROGRAM = Path(__file__).with_name("worker.py")

Hire = Callable[..., Awaitable[list["Process"]]]


class Process:
    """One worker; commands are carried out one after the other."""

    def __init__(
        self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._pid = pid
        self._reader = reader
        self._writer = writer
        self._numbers = count()

    async def do(self, *words: object) -> Any:
        """Give a command and return the answer."""
        await self.begin(*words)
        return await self.end()

    async def begin(self, *words: object) -> None:
        """Give a command."""
        line = " ".join(map(str, (next(self._numbers), *words)))
        self._writer.write(f"{line}\n".encode())
        await self._writer.drain()

    async def end(self) -> Any:
        """Return the answer to the command given last."""
        return await _answer(self._reader)

    async def verify(self, token: str) -> str:
        """Return the subject, or what was raised."""
        outcome: str = (await self.do("verify", token))[0]
        return outcome

    def freeze(self) -> None:
        """Stop it as a paused container is."""
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self._pid, signal.SIGCONT)

    async def kill(self) -> None:
        """End it as a crash does."""
        if not self._reader.at_eof():
            os.kill(self._pid, signal.SIGKILL)
        # Its socket ends when it is gone.
        with suppress(ConnectionError):
            await self._reader.read()
        self._writer.close()


async def _answer(reader: asyncio.StreamReader) -> Any:
    async with asyncio.timeout(30):
        line = await reader.readline()
    assert line, "the worker is gone"
    return json.loads(line)[-1]


class ForkServer:
    """What starts workers: to fork one takes a small part of the time that imports take."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM)], stdin=theirs.fileno(), env=unmeasured()
            )

    async def fork(self, settings: dict[str, Any]) -> Process:
        """Start a worker, and return it when it is ready."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._orders, [b"f"], [theirs.fileno()])
        reader, writer = await asyncio.open_connection(sock=ours)
        writer.write(json.dumps(settings).encode() + b"\n")
        return Process(await _answer(reader), reader, writer)

    def close(self) -> None:
        """Start no more."""
        self._orders.close()
        self._process.wait(timeout=60)


async def hired(
    server: ForkServer, number: int, issuer: FakeIssuer, store: str, **settings: Any
) -> list[Process]:
    """Start workers, and return them when all are ready."""
    jwks = {"discovery_url": issuer.discovery_url, "issuer": issuer.issuer, "retries": 0}
    jwks |= {"allowed_algorithms": ["ES256"], **settings.pop("jwks", {})}
    settings = {"store": store, "jwks": jwks, "seal": SEAL, "timeout": CALL, **settings}
    return await asyncio.gather(*(server.fork(settings) for _ in range(number)))


async def commanded(crew: list[Process], *words: object) -> list[Any]:
    """Give one command to all at once, and return their answers."""
    return list(await asyncio.gather(*(process.do(*words) for process in crew)))


async def verified(crew: list[Process], token: str, *, within: float) -> None:
    """Give all a token at once, which each of them is to accept within so many seconds."""
    outcomes = await commanded(crew, "verify", token)
    assert [outcome for outcome, _ in outcomes] == ["alice"] * len(crew)
    assert [seconds for _, seconds in outcomes if seconds >= within] == []


def asked(issuer: FakeIssuer) -> tuple[int, int]:
    """Return how often the provider was asked for its discovery document, and for the keys."""
    return issuer.discovery_requests, issuer.jwks_requests


def asked_since(issuer: FakeIssuer) -> tuple[int, int]:
    """Return how often it was asked since the last time, and count anew."""
    counts = asked(issuer)
    issuer.reset()
    return counts


async def until(holds: Callable[[], object], *, within: float = 15) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.02)
