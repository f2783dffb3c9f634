"""A worker process of the hour benchmark: one verifier, told what to do on standard input.

One line of JSON in, one out. What is timed: the verification, with a turn of the loop for each
batch, and the CPU time of the refreshes that are under way between batches.
"""

import asyncio
import json
import logging
import platform
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.hour.peers import ATTENDANTS, HOUR, Clerk
from benchmarks.verify.peers import OURS, PEERS, Scene

__all__: list[str] = []

BATCH = 50


@dataclass(slots=True)
class Spent:
    """What the verifications took, in seconds, and which of them ended as they must not."""

    cpu: float = 0.0
    wall: float = 0.0
    refused: int = 0
    let_in: int = 0
    remade: int = 0


class Worker:
    """The verifier of one library."""

    def __init__(self, name: str, scene: Scene) -> None:
        self.name = name
        self.peer = PEERS[name]
        self.scene = scene
        self.tokens: list[str] = []
        self.good = 0
        self.halves: list[list[int]] = []
        self.spent = Spent()
        self.clerk: Clerk | None = None

    def introduced(self) -> dict[str, Any]:
        """Say what is measured here, or why it can't be."""
        told = {"python": platform.python_version()}
        try:
            self.clerk = ATTENDANTS[self.name].make(self.scene)
        except ImportError as error:
            return told | {"missing": str(error)}
        return told | {self.peer.distribution: version(self.peer.distribution)}

    async def begin(self, file: str) -> None:
        """Read an hour, make a verifier, and have it fetch its keys by a token that isn't timed."""
        hour = json.loads(await asyncio.to_thread(Path(file).read_text, "utf-8"))
        self.tokens, self.good, self.halves = hour["tokens"], hour["good"], hour["halves"]
        self.spent = Spent()
        await self._made(self.tokens[self.halves[0][0]])

    async def half(self, number: int) -> dict[str, Any]:
        """Verify what comes in that half; return what it took since the hour began."""
        calls = sum(map(len, self.halves))
        numbers = self.halves[number]
        for first in range(0, len(numbers), BATCH):
            batch = numbers[first : first + BATCH]
            good = [each for each in batch if each < self.good]
            if lost := await self._batch(batch, {*good}):
                self.spent.refused += len(await self._renewed(lost))
            if self.clerk:
                cpu = time.process_time()
                await self.clerk.passed(HOUR * len(batch) / calls)
                self.spent.cpu += time.process_time() - cpu
        return asdict(self.spent)

    async def _batch(self, numbers: list[int], good: set[int]) -> list[int]:
        """Return the good tokens that were refused, and count the others that were let in."""
        accepted = await self._timed(numbers)
        outcomes = [*zip(numbers, accepted, strict=True)]
        self.spent.let_in += sum(let_in for each, let_in in outcomes if each not in good)
        return [each for each, let_in in outcomes if each in good and not let_in]

    async def _renewed(self, lost: list[int]) -> list[int]:
        """Make the verifier anew, on nobody's bill; return the good tokens it refuses still."""
        if self.name == OURS:
            return lost
        self.spent.remade += 1
        await self._made(self.tokens[lost[0]])
        return await self._batch(lost, {*lost})

    async def _made(self, token: str) -> None:
        if self.clerk:
            await self.clerk.close()
        self.clerk = ATTENDANTS[self.name].make(self.scene)
        await self._called([token])

    async def _timed(self, numbers: Iterable[int]) -> list[bool]:
        # Each call has a string of its own, as each request does.
        tokens = [
            "".join((token[:1], token[1:])) for token in map(self.tokens.__getitem__, numbers)
        ]
        cpu, wall = time.process_time(), time.perf_counter()
        accepted = await self._called(tokens)
        await asyncio.sleep(0)
        self.spent.cpu += time.process_time() - cpu
        self.spent.wall += time.perf_counter() - wall
        return accepted

    async def _called(self, tokens: list[str]) -> list[bool]:
        if not self.clerk:
            return []
        verify, accepted = self.clerk.verify, []
        asynchronous = self.peer.asynchronous
        for token in tokens:
            try:
                claims = await verify(token) if asynchronous else verify(token)
                accepted.append(claims["iss"] == self.scene.issuer)
            except Exception:  # noqa: BLE001 - a refusal, of whatever class a library raises
                accepted.append(False)
        return accepted


async def main() -> None:
    """Serve until the standard input ends."""
    warnings.showwarning = _silent  # a filter would not do: authlib sets one of its own
    logging.disable()
    worker = Worker(sys.argv[1], Scene(**json.loads(sys.argv[2])))
    _answer(worker.introduced())
    while line := sys.stdin.readline():  # blocks: nothing else is to run meanwhile
        command, arguments = json.loads(line)
        _answer(await getattr(worker, command)(**arguments))


def _silent(*_: object, **__: object) -> None:
    pass


def _answer(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
