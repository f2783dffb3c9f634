"""Workers in processes of their own, as a test sees them."""

import asyncio
import json
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

from auth_jwks.testing import FakeIssuer

__all__ = ["SEAL", "Process", "commanded", "hired"]

SEAL = "a key of the tests' own, 32 bytes or more"
PROGRAM = Path(__file__).with_name("worker.py")


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
    config = json.dumps({"store": store, "jwks": jwks, "seal": SEAL, **settings})
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
