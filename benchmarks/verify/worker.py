"""A worker process of the verify benchmark: one peer, told what to do on standard input.

One line of JSON in, one out. Each timed call has a string of its own, as each request does.
"""

import asyncio
import json
import logging
import platform
import sys
import time
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from benchmarks.verify.peers import PEERS, Contender, Peer, Scene

__all__: list[str] = []


class Worker:
    """The verifiers of one peer, one for each algorithm."""

    def __init__(self, peer: Peer, scene: Scene) -> None:
        self.peer = peer
        self.scene = scene
        self.contenders: dict[str, Contender] = {}

    async def trial(self, algorithm: str, good: str, bad: dict[str, str]) -> str | None:
        """Make a verifier; say what is wrong with it, if it doesn't do what it should."""
        try:
            contender = self._contender(algorithm)
            claims = await self._called(contender, good)
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is told
            return f"{type(error).__name__}: {error}".rstrip(": ")
        if self.peer.claims and claims["iss"] != self.scene.issuer:
            return "returns other claims"
        for what, token in bad.items():
            try:
                await self._called(contender, token)
            except Exception:  # noqa: BLE001, S112 - a refusal is what is wanted
                continue
            return f"accepts a token with {what}"
        return None

    async def measure(self, algorithm: str, tokens: Sequence[str], untimed: int) -> float:
        """Verify the tokens in order; return the seconds per call after the untimed ones."""
        contender = self.contenders[algorithm]
        inputs = [contender.prepare(token) for token in tokens]
        run = _awaited if self.peer.asynchronous else _called
        await run(contender.verify, inputs[:untimed])
        began = time.perf_counter()
        await run(contender.verify, inputs[untimed:])
        return (time.perf_counter() - began) / (len(inputs) - untimed)

    async def again(self, algorithm: str, token: str, count: int, untimed: int) -> float:
        """Verify the same token again and again; return the seconds per call."""
        copies = ["".join((token[:1], token[1:])) for _ in range(count + untimed)]
        return await self.measure(algorithm, copies, untimed)

    def introduced(self) -> dict[str, Any]:
        """Say what is measured here, or why it can't be."""
        told = {"python": platform.python_version()}
        try:
            self._contender("RS256")
        except ImportError as error:
            return told | {"missing": str(error)}
        return told | {name: version(name) for name in ("cryptography", self.peer.distribution)}

    def _contender(self, algorithm: str) -> Contender:
        if algorithm not in self.contenders:
            self.contenders[algorithm] = self.peer.make(self.scene, algorithm)
        return self.contenders[algorithm]

    async def _called(self, contender: Contender, token: str) -> Any:
        result = contender.verify(contender.prepare(token))
        return await result if self.peer.asynchronous else result


async def _awaited(verify: Any, inputs: Sequence[Any]) -> None:
    for each in inputs:
        await verify(each)


async def _called(verify: Any, inputs: Sequence[Any]) -> None:
    for each in inputs:
        verify(each)


async def main() -> None:
    """Serve until the standard input ends."""
    warnings.showwarning = _nothing  # a filter would not do: authlib sets one of its own
    logging.disable()
    worker = Worker(PEERS[sys.argv[1]], Scene(**json.loads(sys.argv[2])))
    _answer(worker.introduced())
    while line := sys.stdin.readline():  # blocks: nothing else is to run meanwhile
        command, arguments = json.loads(line)
        _answer(await getattr(worker, command)(**arguments))


def _nothing(*_: object, **__: object) -> None:
    pass


def _answer(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
