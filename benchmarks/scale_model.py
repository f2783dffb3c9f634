"""Virtual time for many workers and one store under the real rules of the gate; no I/O, no wait.

Workers are generators that yield what they do next: wait so many seconds, compute, or call the
store, which serves one call after the other. A call whose answer comes too late has failed.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field
from heapq import heappop, heappush, heapreplace
from itertools import count

from auth_jwks.stores.base import Answer, Granted, Lease, LeaseRequest
from auth_jwks.stores.gate import EMPTY, Record, committed, microseconds, polled

__all__ = ["LEASE", "Call", "Costs", "Fleet", "Seen", "Steps", "Work"]

LEASE = 3.0
KEPT, WINDOW = 87_300.0, 30.0
IDLE = 5.0  # after its last call a connection is closed
BIRTH = 1e6  # when a simulation begins, by the store's clock


@dataclass(frozen=True, slots=True)
class Costs:
    """What things take, in seconds.

    `service` and `connect` are the store's work, `network` is one way, `timeout` is for a call and
    `connect_timeout` for one that connects. A worker computes `first`
    once, `worker` for each call and for its token, and `fetch` for a fetch. `cores` are shared by
    all workers; 0: each has its own.
    """

    provider: float
    service: float
    connect: float
    network: float
    worker: float
    first: float = 0.0
    fetch: float = 0.0
    cores: int = 0
    timeout: float = 0.25
    connect_timeout: float = 1.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the store: a poll, or with `lease` a commit."""

    known: int = 0
    wish: LeaseRequest | None = None
    lease: Lease | None = None
    took: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker computes, in seconds; a call has its own before it."""

    seconds: float


Steps = Generator[float | Call | Work, Answer | None, None]


@dataclass(slots=True)
class Seen:
    """What a simulation came to, in virtual seconds; `busy` and `opened` are by second."""

    fetches: int = 0
    calls: int = 0
    alone: int = 0
    unserved: int = 0
    served: list[float] = field(default_factory=list)
    busy: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    opened: Counter[int] = field(default_factory=Counter)

    @property
    def last(self) -> float:
        """How long the last worker waited for its keys."""
        return max(self.served, default=0.0)

    @property
    def utilisation(self) -> float:
        """How busy the store was in its worst second, as a share of it."""
        return max(self.busy.values(), default=0.0)

    @property
    def connections(self) -> int:
        """How many connections were open at most."""
        most = now = 0
        for second in sorted(self.opened):
            now += self.opened[second]
            most = max(most, now)
        return most


@dataclass(slots=True)
class Line:
    """A worker, and until when its connection is open."""

    steps: Steps
    closes: float = -1.0


class Fleet:
    """One simulation: `add` workers, then `run`."""

    def __init__(self, costs: Costs, seed: int = 0) -> None:
        self.costs = costs
        self.seen = Seen()
        self.now = 0.0
        self.uniform = random.Random(seed).uniform  # noqa: S311 - a simulation keeps no secret
        self._record = EMPTY
        self._free = 0.0
        self._cores = [0.0] * costs.cores
        self._order = count()
        self._due: list[tuple[float, int, Line, Answer | Call | None]] = []

    def add(self, steps: Steps, at: float = 0.0) -> None:
        """Let a worker begin at that time."""
        self._later(at, Line(steps))

    def publish(self) -> int:
        """Put a key set into the store, fetched just now; return its version."""
        now, wish = BIRTH + self.now, LeaseRequest("the first", LEASE, "age")
        self._record, answer = self._polled(now, 0, wish)
        if not isinstance(answer, Granted):
            raise TypeError(answer)
        self._commit(now, answer.lease, 0.0)
        return self._record.version

    def run(self) -> Seen:
        """Let time pass until nothing more happens."""
        while self._due:
            self.now, _, line, what = heappop(self._due)
            if isinstance(what, Call):
                self._serve(line, what)
                continue
            try:
                step = line.steps.send(what)
            except StopIteration:
                continue
            if isinstance(step, Call):
                ready = self._computed(self.costs.worker)
                self._later(ready + self.costs.network, line, step)
            elif isinstance(step, Work):
                self._later(self._computed(step.seconds), line)
            else:
                self._later(self.now + step, line)
        return self.seen

    def _later(self, at: float, line: Line, what: Answer | Call | None = None) -> None:
        heappush(self._due, (at, next(self._order), line, what))

    def _computed(self, seconds: float) -> float:
        """Return when a worker that begins to compute now is done."""
        if not self._cores:
            return self.now + seconds
        done = max(self.now, self._cores[0]) + seconds
        heapreplace(self._cores, done)
        return done

    def _serve(self, line: Line, call: Call) -> None:
        """Answer a call that has arrived, after those before it."""
        costs, connected = self.costs, line.closes > self.now
        work = costs.service + (0.0 if connected else costs.connect)
        done = self._free = max(self.now, self._free) + work
        self.seen.calls += 1
        self.seen.busy[int(done)] += work
        self._connect(line, done + IDLE, connected=connected)
        answer = self._answer(BIRTH + done, call)
        back, sent = done + costs.network, self.now - costs.network
        deadline = sent + (costs.timeout if connected else costs.connect_timeout)
        if back <= deadline:
            self._later(back, line, answer)
        else:
            self._drop(line, deadline)
            self._later(deadline, line)

    def _connect(self, line: Line, until: float, *, connected: bool) -> None:
        self.seen.opened[int(line.closes if connected else self.now)] += 1
        self.seen.opened[int(until)] -= 1
        line.closes = until

    def _drop(self, line: Line, at: float) -> None:
        """Close the connection of a call that had no answer in time."""
        self.seen.opened[int(line.closes)] += 1
        self.seen.opened[int(at)] -= 1
        line.closes = at

    def _answer(self, now: float, call: Call) -> Answer | None:
        if call.lease is not None:
            self._commit(now, call.lease, call.took)
            return None
        self._record, answer = self._polled(now, call.known, call.wish)
        return answer

    def _polled(self, now: float, known: int, wish: LeaseRequest | None) -> tuple[Record, Answer]:
        return polled(self._record, microseconds(now), "keys", known, wish, started=0.0)

    def _commit(self, now: float, lease: Lease, took: float) -> None:
        self._record, _ = committed(
            self._record, microseconds(now), lease, b"keys", took=took, ttl=KEPT, window=WINDOW
        )
