"""One simulated Redis: it answers one call after the other, each at what a call costs Valkey.

Its rules are the library's, by `MemoryKeyStore`; workers reach it by the real `RedisKeyStore`.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import Any

from auth_jwks._background_loop import run_at_once
from auth_jwks.stores.base import Answer, Busy, Cooling, Granted, Lease, LeaseRequest, Newer
from auth_jwks.stores.gate import MICRO, microseconds
from auth_jwks.stores.memory import MemoryKeyStore
from tests.simulation.loop import Scheduler
from tests.simulation.machine import Process
from tests.simulation.network import exchange

__all__ = ["LATENCY", "Client", "Costs", "Server"]

IDLE = 5.0  # after its last call a connection is closed
AHEAD = 5_000.0
LATENCY = 0.25  # seconds per request at the provider


@dataclass(frozen=True, slots=True)
class Costs:
    """What things take, in seconds: the store a call, and a connection more; others below.

    `network` is one way to the store, and `provider` is a request to the provider.
    """

    call: float = 36e-6
    connection: float = 36e-6
    network: float = 500e-6
    provider: float = LATENCY


class Server:
    """A server and its load: calls, and by second how busy it was."""

    def __init__(self, scheduler: Scheduler, costs: Costs) -> None:
        self.costs = costs
        self.calls = 0
        self.busy: defaultdict[int, float] = defaultdict(float)
        self._scheduler = scheduler
        self._free = 0.0
        self._rules = MemoryKeyStore(timer=lambda: AHEAD + self._free)

    def __repr__(self) -> str:
        return f"Server(calls={self.calls})"

    @property
    def worst_second(self) -> float:
        """How busy it was in its worst second, as a share of that."""
        return max(self.busy.values(), default=0.0)

    def forget(self) -> None:
        """Count from zero."""
        self.calls = 0
        self.busy.clear()

    @property
    def wait(self) -> float:
        """Until when the call that has arrived last is answered, in seconds from now."""
        return self._free - self._scheduler.now

    def answer(self, words: tuple[Any, ...], *, connects: bool) -> list[bytes]:
        """Answer a call that has arrived, after those before it."""
        now, costs = self._scheduler.now, self.costs
        work = costs.call + connects * costs.connection
        self._free = max(now, self._free) + work
        self.calls += 1
        self.busy[int(self._free)] += work
        return run_at_once(self._reply(*words))

    async def _reply(self, key: str, verb: str, *arguments: Any) -> list[bytes]:
        match verb, arguments:
            case "poll", (known, holder, ttl, cause):
                wish = LeaseRequest(holder, int(ttl) / MICRO, cause) if holder else None
                return _told(await self._rules.poll(key, known=int(known), lease=wish))
            case "commit", (holder, fence, took, ttl, window, payload):
                began = AHEAD + self._free - int(took) / MICRO
                lease = Lease(key, holder, int(fence), 0.0, began, 0)
                life, search = int(ttl) / MICRO, int(window) / MICRO
                stored = await self._rules.commit(lease, payload, ttl=life, window=search)
                return [b"stored" if stored else b"superseded"]
            case "fail", (holder, fence, rest, mismatch):
                lease = Lease(key, holder, int(fence), 0.0, 0.0, 0)
                is_other, seconds = mismatch == "1", int(rest) / MICRO
                await self._rules.fail(lease, retry_after=seconds, mismatch=is_other)
                return [b"ok"]
        raise ValueError(verb)


def _told(answer: Answer) -> list[bytes]:
    """Return what the script says to a poll."""
    match answer:
        case Newer():
            times = microseconds(answer.age), microseconds(answer.ttl_left)
            return [b"newer", *(b"%d" % n for n in (answer.version, *times)), answer.payload]
        case Granted(lease):
            return [b"granted", b"%d" % lease.fence, b"%d" % lease.failures]
        case Busy(left):
            return [b"busy", b"%d" % microseconds(left)]
        case Cooling(left, reason):
            return [b"cooling", b"%d" % microseconds(left), reason.encode()]
    return [b"unchanged"]


class Client:
    """What one worker's `RedisKeyStore` is given: a connection that takes time, and may be late."""

    def __init__(self, process: Process, server: Server) -> None:
        self._process = process
        self._server = server
        self._until = -IDLE

    async def execute_command(self, *words: Any, **_options: Any) -> list[bytes]:
        """Run the script: EVALSHA, its hash, 2, two names, and the arguments."""
        scheduler, network = self._process.scheduler, self._server.costs.network
        connects = self._until <= scheduler.now
        call = partial(self._server.answer, (words[3], *words[5:]), connects=connects)
        self._until = scheduler.now  # so it stays if the answer comes too late
        out = network * (3 if connects else 1)  # a connection takes a round trip
        reply = await exchange(self._process, out, lambda: self._server.wait + network, call)
        self._until = scheduler.now + IDLE
        return reply

    async def aclose(self) -> None:
        """Do nothing: whoever passed it keeps it."""
