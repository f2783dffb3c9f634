"""Workers in processes of their own, as a test sees them."""

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

from auth_jwks.testing import FakeIssuer

__all__ = [
    "COLD",
    "LEASE",
    "SEAL",
    "SHARED",
    "SLACK",
    "WARM",
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

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = count()

    async def do(self, *words: object) -> Any:
        """Give a command and return the answer."""
        await self.begin(*words)
        return await self.end()

    async def begin(self, *words: object) -> None:
        """Give a command."""
        assert self._process.stdin is not None
        line = " ".join(map(str, (next(self._numbers), *words)))
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def end(self) -> Any:
        """Return the answer to the command given last."""
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            line = await self._process.stdout.readline()
        assert line, "the worker is gone"
        return json.loads(line)[-1]

    async def verify(self, token: str) -> str:
        """Return the subject, or what was raised."""
        outcome: str = (await self.do("verify", token))[0]
        return outcome

    def freeze(self) -> None:
        """Stop it as a paused container is."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it as a crash does."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        # Whatever it still had to say.
        if self._process.stdout is not None:
            await self._process.stdout.read()


async def hired(number: int, issuer: FakeIssuer, store: str, **settings: Any) -> list[Process]:
    """Start workers, and return them when all are ready."""
    jwks = {"discovery_url": issuer.discovery_url, "issuer": issuer.issuer, "retries": 0}
    jwks |= {"allowed_algorithms": ["ES256"], **settings.pop("jwks", {})}
    config = json.dumps({"store": store, "jwks": jwks, "seal": SEAL, "timeout": CALL, **settings})
    crew = [
        Process(
            await asyncio.create_subprocess_exec(
                sys.executable, str(PROGRAM), config,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )
        )
        for _ in range(number)
    ]  # fmt: skip
    for process in crew:
        await process.end()
    return crew


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
