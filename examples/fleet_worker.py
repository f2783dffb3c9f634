"""A worker of the fleet demo: one verifier over the shared store, in a process of its own.

The first line of its standard input holds its settings, and each further line a command. Each line
of its standard output is a report. All are JSON. The worker exits when its standard input ends.
"""

import asyncio
import json
import logging
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack

import httpx

from auth_jwks import JWKS, RedisKeyStore
from auth_jwks.events import Event, KeysRefreshed
from examples.demo import AUDIENCE, ForwardClock, outcome_of


class Worker:
    """The verifier, and its reports."""

    def __init__(self, name: str, discovery_url: str, issuer: str, store: str, seal: str) -> None:
        self._ahead = 0.0
        self._clock = ForwardClock()
        # Longer than the defaults: eight processes at once on a small machine are slow.
        self._store = RedisKeyStore(
            store, integrity_key=seal, timeout=0.75, connect_timeout=1.5, clock=self._clock
        )
        # The provider tells the workers apart by it.
        self._client = httpx.AsyncClient(headers={"User-Agent": name})
        # An attempt is one request: the demo counts them.
        self._jwks = JWKS(
            discovery_url, AUDIENCE, issuer=issuer, store=self._store, http_client=self._client,
            observer=self._note, clock=self._clock, retries=0,
        )  # fmt: skip

    async def open(self, stack: AsyncExitStack) -> None:
        """Close everything this worker opened when `stack` is closed."""
        for part in (self._client, self._store, self._jwks):
            await stack.enter_async_context(part)

    async def verify(self, tokens: list[str], ahead: float) -> None:
        """Verify all tokens at once, with clocks that are `ahead` seconds ahead."""
        self._clock.advance(ahead - self._ahead)
        self._ahead = ahead
        began = time.perf_counter()
        outcomes = await asyncio.gather(*(outcome_of(self._jwks, token) for token in tokens))
        report("served", Counter(outcomes), time.perf_counter() - began)
        while self._jwks.status().refreshing:  # noqa: ASYNC110 - there is nothing to await
            await asyncio.sleep(0.01)
        report("settled", self._state())

    def _state(self) -> str:
        status = self._jwks.status()
        if not status.kids:
            return "no keys"
        return "fresh" if status.fresh else "stale"

    def _note(self, event: Event) -> None:
        if isinstance(event, KeysRefreshed):
            report("keys", event.origin)


def report(*words: object) -> None:
    """Write a report to the standard output."""
    print(json.dumps(words), flush=True)


async def main() -> None:
    """Start each command as it arrives, until the standard input ends."""
    lines = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    settings = await lines.readline()
    if not settings:
        return
    worker = Worker(**json.loads(settings))
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as commands:
        await worker.open(stack)
        report("settled", "ready")
        command = None
        while line := await lines.readline():
            command = commands.create_task(worker.verify(**json.loads(line)))
        if command is not None:
            command.cancel()


if __name__ == "__main__":
    # Eight logs would only hide the output of the demo.
    logging.getLogger("auth_jwks").addHandler(logging.NullHandler())
    asyncio.run(main())
