"""The workers of the fleet demo, as the demo sees them: processes and their reports."""

import asyncio
import json
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[1]
TIMEOUT = 120.0  # eight workers start slowly on a busy machine
BUSY = {"starts", "waits", "refreshes"}


class Worker:
    """One process. Its counts are those of the current scene."""

    def __init__(self, name: str, process: Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("process: expected one with pipes for stdin and stdout")
        self.name = name
        self.state = "starts"
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self.begin()

    def begin(self) -> None:
        """Count from zero again."""
        self.fetched = self.stored = 0
        self._waited = self._asked = 0.0
        self.outcomes: Counter[str] = Counter()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    @property
    def waited(self) -> float:
        """Seconds that its slowest token has taken, so far if it is still under way."""
        waiting = time.perf_counter() - self._asked if self.state == "waits" else 0.0
        return max(self._waited, waiting)

    async def start(self, settings: dict[str, str]) -> None:
        """Send its settings; return when it is ready."""
        await self._tell({"name": self.name, **settings})
        if not self.alive:
            raise RuntimeError(f"{self.name} did not start: {self.state}")

    async def verify(self, tokens: list[str], ahead: float) -> None:
        """Let it verify the tokens. Return when it has, and none of its refreshes is under way."""
        self.state, self._asked = "waits", time.perf_counter()
        await self._tell({"tokens": tokens, "ahead": ahead})

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()

    async def dismiss(self) -> None:
        """Close its standard input, at which a worker exits; kill it if it does not."""
        self._stdin.close()
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _tell(self, message: Mapping[str, object]) -> None:
        self._stdin.write(json.dumps(message).encode() + b"\n")
        async with asyncio.timeout(TIMEOUT):
            await self._stdin.drain()
            while self.state in BUSY:
                await self._listen()

    async def _listen(self) -> None:
        line = await self._stdout.readline()
        if line:
            self._note(json.loads(line))
        else:
            status = await self._process.wait()
            self.state = "killed" if status == -signal.SIGKILL else f"ended ({status})"

    def _note(self, words: list[object]) -> None:
        match words:
            case ["keys", "provider"]:
                self.fetched += 1
            case ["keys", "store"]:
                self.stored += 1
            case ["served", dict(outcomes), float(seconds)]:
                # Replaced, not changed: the table may be drawn from it right now.
                self.outcomes = self.outcomes + Counter(outcomes)
                self.state = "refreshes"
                self._waited = max(self._waited, seconds)
            case ["settled", str(state)]:
                self.state = state
            case _:
                raise ValueError(words)


class Crew:
    """All workers, and how many there have been. Leaving the context ends those still running."""

    def __init__(self, **settings: str) -> None:
        self.workers: list[Worker] = []
        self._settings = settings
        self.hired = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(worker.dismiss() for worker in self.workers))

    def begin(self) -> None:
        """Remove the workers that have ended, and count from zero again."""
        self.workers = [worker for worker in self.workers if worker.alive]
        for worker in self.workers:
            worker.begin()

    async def hire(self, number: int) -> list[Worker]:
        """Start workers, and return them when all are ready."""
        hired = [await self._start() for _ in range(number)]
        await asyncio.gather(*(worker.start(self._settings) for worker in hired))
        return hired

    async def _start(self) -> Worker:
        # In its own process group: Ctrl-C reaches only the demo, which then ends all workers.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "examples.fleet_worker",
            cwd=ROOT, stdin=PIPE, stdout=PIPE, process_group=0,
        )  # fmt: skip
        self.hired += 1
        worker = Worker(f"worker {self.hired}", process)
        self.workers.append(worker)
        return worker
