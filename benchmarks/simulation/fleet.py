"""A fleet under virtual time: real verifiers with real stores, each in a process of its own."""

import asyncio
import atexit
import gc
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from auth_jwks import JWKS, RedisKeyStore
from benchmarks.fleet.worker import SEAL
from benchmarks.simulation.store import Client, Costs, Server
from tests.simulation.keyring import ISSUER, Keyring
from tests.simulation.loop import Scheduler
from tests.simulation.machine import Machine, MachineClock, Process
from tests.simulation.network import Exchange, Way, Web
from tests.simulation.provider import DISCOVERY_URL, JWKS_URL, Provider
from tests.simulation.world import reproducible

__all__ = ["Seen", "cold_start", "collect_nothing", "killed_holder", "warm"]

ENOUGH = 25.0  # seconds until everybody has keys, or has given up
NEVER_ANSWERS = -2
HANGS, ANSWERS_AGAIN = 0.2, 0.6  # when the provider does; the holder asks for keys in between
KILLED = 1.35  # after it has renewed its lease once
LEAD = 0.85  # as in the fleet benchmark, where processes take a while to be told
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a simulation came to; `worst` is how busy the store was in its worst second."""

    fetches: int
    calls: float
    last: float
    unserved: int
    worst: float


def collect_nothing() -> None:
    """Keep the collector of garbage from ten thousand workers, until this process has ended."""
    gc.disable()
    atexit.register(gc.freeze)


def cold_start(costs: Costs, number: int, *, spread: float = 0.0, seed: int = 1) -> Seen:
    """Start workers without keys, at once or evenly over so many seconds."""
    with _fleet(costs, seed) as fleet:
        for place in range(number):
            fleet.add(spread * place / number)
        fleet.scheduler.run(spread + ENOUGH)
        return fleet.seen()


def killed_holder(costs: Costs, survivors: int, *, seed: int = 1) -> Seen:
    """Kill the worker that fetches, while all others wait for it."""
    with _fleet(costs, seed) as fleet:
        later = fleet.scheduler.at
        holder = fleet.add(0.0)
        later(HANGS, lambda: fleet.provider_is(NEVER_ANSWERS))
        later(ANSWERS_AGAIN, lambda: fleet.provider_is(0))
        later(KILLED, holder.process.kill)
        for _ in range(survivors):
            fleet.add(LEAD)
        fleet.scheduler.run(ENOUGH)
        return fleet.seen()


def warm(costs: Costs, number: int, seconds: float, every: float) -> Seen:
    """Let workers that have keys verify a token now and then; what their start cost is left out."""
    with _fleet(costs) as fleet:
        for place in range(number):
            fleet.add(MINUTE * place / number, every=every)
        fleet.scheduler.run(MINUTE)
        fleet.forget()
        fleet.scheduler.run(MINUTE + seconds)
        return fleet.seen()


@contextmanager
def _fleet(costs: Costs, seed: int = 1) -> Iterator["_Fleet"]:
    """Yield a world without a worker, the same one for each seed."""
    with reproducible(seed):
        fleet = _Fleet(costs)
        try:
            yield fleet
        finally:
            fleet.bury()


class _Fleet:
    """A provider, a store, and workers."""

    def __init__(self, costs: Costs) -> None:
        self.scheduler = Scheduler()
        self.server = Server(self.scheduler, costs)
        self.ring = Keyring(2)
        self.provider = Provider(self.ring, max_age=0.0, names_keys=True)
        self.log: list[Exchange] = []
        self.workers: list[_Worker] = []

    def add(self, at: float, *, every: float = 0.0) -> "_Worker":
        """Have a worker begin at that time."""
        worker = _Worker(self, f"w{len(self.workers)}", every)
        self.workers.append(worker)
        self.scheduler.at(at, worker.begin)
        return worker

    def provider_is(self, outage: int) -> None:
        """Break the provider, or mend it."""
        self.provider.outage = outage

    def forget(self) -> None:
        """Count from zero."""
        self.server.forget()
        self.log.clear()

    def seen(self) -> Seen:
        """Return what happened since the last `forget`."""
        living = [worker for worker in self.workers if not worker.process.is_dead]
        waits = [worker.waited for worker in living if worker.waited is not None]
        return Seen(
            sum(one.url == JWKS_URL for one in self.log), self.server.calls / len(living),
            max(waits, default=0.0), len(living) - len(waits),
            self.server.worst_second,
        )  # fmt: skip

    def bury(self) -> None:
        """End all processes."""
        for worker in self.workers:
            worker.process.bury()


class _Worker:
    """A process with one verifier; `waited` is for how long its first token did."""

    def __init__(self, fleet: _Fleet, name: str, every: float) -> None:
        machine = Machine(fleet.scheduler)
        clock = MachineClock(machine)
        self.process = Process(machine, fleet.scheduler)
        self.waited: float | None = None
        self._scheduler = fleet.scheduler
        self._every = every
        self._token = fleet.ring.token(fleet.provider.signer, 0)
        way = Way(fleet.server.costs.provider / 2)
        web = Web(name, self.process, fleet.provider, way, fleet.ring, fleet.log, None, [])
        client = Client(self.process, fleet.server)
        store = RedisKeyStore(client, integrity_key=SEAL, clock=clock)
        self._jwks = JWKS(
            DISCOVERY_URL, issuer=ISSUER, allowed_algorithms=["ES256"], store=store,
            http_client=web, clock=clock,
        )  # fmt: skip

    def begin(self) -> None:
        """Verify a token, and then one every so many seconds."""
        self.process.new_loop().create_task(self._work())

    async def _work(self) -> None:
        began = self._scheduler.now
        await self._jwks.verify_token(self._token)
        self.waited = self._scheduler.now - began
        while self._every:
            await asyncio.sleep(random.uniform(0.0, 2 * self._every))  # noqa: S311 - no secret
            await self._jwks.verify_token(self._token)
