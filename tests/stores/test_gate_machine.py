"""The gate under faults: three workers, every cause, crash, lapse, lost and late messages.

One simulated fleet, driven at random by Hypothesis and, in small steps of time, exhaustively as
far as a bound on the states allows. Each step checks what must hold from records of its own: who
holds a lease, which fence was the highest, when the unscheduled leases were, in which order sets
were fetched. Times are multiples of 1/4 s, which floats hold exactly.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import inf

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from auth_jwks.stores.base import (
    LEASE,
    REPAIR_INTERVAL,
    Answer,
    Busy,
    Cause,
    Cooling,
    Granted,
    Lease,
    LeaseRequest,
    Newer,
)
from auth_jwks.stores.gate import EMPTY, Gate, Record, committed, failed, microseconds, polled

# A lease is shorter than the time after which it is overtaken, so that few renewals lead there.
TTL, COOLDOWN, WINDOW = 2.0, 3.0, 4.0
LIMIT = 2
SEARCHES = ("unknown_kid", "forced")
DAY = microseconds(86_400)
FORGED = b"forged"
STATES = 4_000
# Before the first commit a store takes the longest window there is; the model has one only.
BLANK = replace(EMPTY, window=microseconds(WINDOW))

Step = tuple[str, Callable[[], "Fleet"]]


@dataclass(frozen=True, slots=True)
class Worker:
    """What one worker has seen, holds and is about to do; sets are numbered as fetched.

    `holder` is its name in all its leases, None until it asks for the first.
    """

    alive: bool = True
    known: int = 0
    held: int = 0
    holder: str | None = None
    lease: Lease | None = None
    fetching: int = 0


@dataclass(frozen=True, slots=True)
class Leased:
    """Who has the lease, since when, and until when it may think so."""

    holder: str = ""
    since: float = 0.0
    until: float = 0.0


NOBODY = Leased()


@dataclass(frozen=True, slots=True)
class Fleet:
    """The store, its workers, and what must be remembered to judge the next step.

    `late` is a commit still on its way; `blamed` names the holders that have failed in a row, each
    once for all its failures between those of others.
    """

    record: Record = BLANK
    now: float = 1000.0
    set_back: float = 0.0
    workers: tuple[Worker, ...] = (Worker(), Worker(), Worker())
    fetches: int = 0
    names: int = 0
    late: tuple[Lease, int] | None = None
    highest: int = 0
    leased: Leased = NOBODY
    blamed: tuple[str, ...] = ()
    unscheduled: tuple[float, ...] = ()
    repaired: float = -inf
    faults: frozenset[str] = frozenset()

    @property
    def time(self) -> int:
        """The store's clock."""
        return microseconds(self.now - self.set_back)

    @property
    def stored(self) -> int:
        """The version that readers may see."""
        record = self.record
        seen = record.expires > self.time and 0 < record.version <= self.time + DAY
        return record.version if seen else 0

    @property
    def gate(self) -> Gate | None:
        """The lease or cool-down that there is, None if the gate is open."""
        gate = self.record.gate
        if gate is None or not gate.renewed <= self.time < gate.renewed + gate.ttl:
            return None
        return gate

    @property
    def recent(self) -> list[float]:
        """When the searches and forced refreshes of the last window began."""
        return [at for at in self.unscheduled if self.now - at < WINDOW]

    def is_live(self, lease: Lease) -> bool:
        """Tell whether this lease has the gate."""
        gate = self.gate
        return (
            gate is not None
            and gate.failed is None
            and (gate.holder, gate.fence) == (lease.holder, lease.fence)
        )

    def with_worker(self, index: int, worker: Worker) -> "Fleet":
        """Return the fleet with that worker in its place."""
        workers = (*self.workers[:index], worker, *self.workers[index + 1 :])
        return replace(self, workers=workers)


def number(record: Record) -> int:
    """Return which fetch brought the stored set, 0 for none or a forged one."""
    return int(record.payload) if record.payload not in (b"", FORGED) else 0


def ask(
    fleet: Fleet, index: int, cause: Cause, *, ttl: float = TTL, lost: bool = False
) -> tuple[Fleet, Answer]:
    """Let a worker poll for a lease, or renew its own; the reply may get lost."""
    worker = fleet.workers[index]
    if worker.holder is None:
        worker = replace(worker, holder=f"{fleet.names}")
        fleet = replace(fleet, names=fleet.names + 1)
    request = LeaseRequest(worker.holder or "", ttl, cause)
    record, answer = polled(fleet.record, fleet.time, "key", worker.known, request, started=0.0)
    judge_answer(fleet, worker, request, answer)
    if isinstance(answer, Granted):
        fleet = judge_lease(fleet, worker, request, answer.lease)
    fleet = replace(fleet, record=record)
    if isinstance(answer, Newer) and not lost:
        assert answer.version == fleet.stored
        held = max(worker.held, number(fleet.record))
        worker = replace(worker, known=answer.version, held=held)
    if isinstance(answer, Granted) and worker.lease is None and not lost:
        fleet = replace(fleet, fetches=fleet.fetches + 1)
        worker = replace(worker, lease=answer.lease, fetching=fleet.fetches)
    return fleet.with_worker(index, worker), answer


def poll(fleet: Fleet, index: int, cause: Cause, *, ttl: float = TTL, lost: bool = False) -> Fleet:
    """Return the fleet after a poll."""
    return ask(fleet, index, cause, ttl=ttl, lost=lost)[0]


def may_pass(fleet: Fleet, gate: Gate, request: LeaseRequest) -> bool:
    """Tell whether a closed gate lets a request through."""
    is_search = request.cause in SEARCHES
    if is_search and len(fleet.recent) == LIMIT:
        return False
    if request.cause == "repair" and fleet.now - fleet.repaired < REPAIR_INTERVAL:
        return False
    if gate.failed is None:
        return is_search and fleet.time - gate.granted >= microseconds(LEASE)
    if gate.holder != request.holder:
        return is_search or len(fleet.blamed) < 2
    return request.cause == "forced" and not fleet.recent


def expected(fleet: Fleet, worker: Worker, request: LeaseRequest) -> tuple[type, float]:
    """Return how a poll must be answered, and for how long it is put off."""
    if fleet.stored > worker.known:
        return Newer, 0.0
    gate = fleet.gate
    if gate is not None and gate.failed is None and gate.holder == request.holder:
        return Granted, 0.0
    if gate is not None and not may_pass(fleet, gate, request):
        return Cooling if gate.failed else Busy, gate.left(fleet.time) / 1e6
    if request.cause in SEARCHES and len(fleet.recent) == LIMIT:
        return Cooling, fleet.recent[0] + WINDOW - fleet.now
    if request.cause == "repair" and fleet.now - fleet.repaired < REPAIR_INTERVAL:
        return Cooling, fleet.repaired + REPAIR_INTERVAL - fleet.now
    return Granted, 0.0


def judge_answer(fleet: Fleet, worker: Worker, request: LeaseRequest, answer: Answer) -> None:
    """Check the answer; what was unscheduled before a step of the clock is not known here."""
    kind, seconds = expected(fleet, worker, request)
    if "clock" in fleet.faults and kind is not Newer and request.cause != "age":
        assert isinstance(answer, Granted | Cooling | Busy)
        return
    put_off = answer.retry_after if isinstance(answer, Busy | Cooling) else 0.0
    assert (type(answer), put_off) == (kind, seconds)


def judge_lease(fleet: Fleet, worker: Worker, request: LeaseRequest, lease: Lease) -> Fleet:
    """Check that the lease could be given, and take note of it."""
    until = fleet.now + request.ttl
    if fleet.is_live(lease):
        return replace(fleet, leased=replace(fleet.leased, until=until))
    is_search = request.cause in SEARCHES
    overtaken = is_search and fleet.now - fleet.leased.since >= LEASE
    assert fleet.leased.until <= fleet.now or overtaken, "two live leases"
    assert lease.fence > max(worker.known, fleet.stored)
    if "flush" not in fleet.faults or fleet.faults.isdisjoint(("clock", "forgery")):
        assert lease.fence > fleet.highest, "fences do not increase"
    fleet = replace(
        fleet,
        leased=Leased(request.holder, fleet.now, until),
        highest=max(lease.fence, fleet.highest),
    )
    if is_search:
        assert len(fleet.recent) < LIMIT, "three unscheduled leases in a window"
        return replace(fleet, unscheduled=(*fleet.recent, fleet.now))
    if request.cause == "repair":
        assert fleet.now - fleet.repaired >= REPAIR_INTERVAL, "two repairs in five minutes"
        return replace(fleet, repaired=fleet.now)
    return fleet


def store(fleet: Fleet, lease: Lease, fetch: int) -> tuple[Fleet, int | None]:
    """Carry out a commit, which may be late, and check what it replaces."""
    payload = b"%d" % fetch
    record, version = committed(
        fleet.record, fleet.time, lease, payload, took=0, ttl=inf, window=WINDOW
    )
    mine = fleet.is_live(lease)
    succeeds = lease.fence > fleet.stored and (mine or lease.fence <= fleet.time)
    assert version == (lease.fence if succeeds else None)
    if version is None:
        assert record == fleet.record, "a superseded commit left a trace"
        return fleet, None
    # A store that lost all, its clock included, can't know what an old fence stands for.
    if not {"flush", "clock"} <= fleet.faults:
        assert fleet.stored == 0 or number(fleet.record) <= fetch, "an older set over a newer one"
    assert (record.payload, record.failures) == (payload, 0)
    assert record.gate == (None if mine else fleet.gate), "a late commit changed a foreign gate"
    leased = NOBODY if mine else fleet.leased
    return replace(fleet, record=record, leased=leased, blamed=()), version


def commit(fleet: Fleet, index: int, *, lost: bool = False, late: bool = False) -> Fleet:
    """Let a worker commit what it fetched; reply or request may be lost or late."""
    worker = fleet.workers[index]
    assert worker.lease is not None
    held = max(worker.held, worker.fetching)
    done = replace(worker, lease=None, held=held)
    if late:
        fleet = replace(fleet, late=(worker.lease, worker.fetching))
        return fleet.with_worker(index, done)
    fleet, version = store(fleet, worker.lease, worker.fetching)
    if version is not None and not lost:
        done = replace(done, known=max(worker.known, version))
    return fleet.with_worker(index, done)


def refresh(fleet: Fleet, index: int, cause: Cause) -> Fleet:
    """Let a worker ask, and commit at once if it may."""
    fleet = poll(fleet, index, cause)
    return fleet if fleet.workers[index].lease is None else commit(fleet, index)


def deliver(fleet: Fleet) -> Fleet:
    """Let the late commit arrive."""
    assert fleet.late is not None
    return store(replace(fleet, late=None), *fleet.late)[0]


def fail(fleet: Fleet, index: int, cooldown: float = COOLDOWN) -> Fleet:
    """Let a worker tell that its fetch failed."""
    worker = fleet.workers[index]
    assert worker.lease is not None
    record = failed(fleet.record, fleet.time, worker.lease, cooldown)
    if fleet.is_live(worker.lease):
        holder = worker.lease.holder
        blamed = fleet.blamed if fleet.blamed[-1:] == (holder,) else (*fleet.blamed, holder)
        assert record.failures == len(blamed), "one host counted twice"
        fleet = replace(fleet, leased=NOBODY, blamed=blamed)
    else:
        assert record == fleet.record, "a late failure changed a foreign gate"
    fleet = replace(fleet, record=record)
    return fleet.with_worker(index, replace(worker, lease=None))


def crash(fleet: Fleet, index: int) -> Fleet:
    """Let a worker die."""
    return fleet.with_worker(index, Worker(alive=False))


def fetch_alone(fleet: Fleet, index: int) -> Fleet:
    """Let a worker that can't reach the store fetch by itself."""
    held = fleet.fetches + 1
    worker = replace(fleet.workers[index], held=held)
    return replace(fleet, fetches=held).with_worker(index, worker)


def tick(fleet: Fleet, seconds: float = 1.0) -> Fleet:
    """Let time pass."""
    return replace(fleet, now=fleet.now + seconds)


def upset(fleet: Fleet, fault: str) -> Fleet:
    """Let something happen to the store after which leases and budgets start anew."""
    return replace(
        fleet, leased=NOBODY, unscheduled=(), repaired=-inf, faults=fleet.faults | {fault}
    )


def flush(fleet: Fleet) -> Fleet:
    """Let the store lose everything, which takes a moment."""
    return replace(upset(tick(fleet), "flush"), record=BLANK, blamed=())


def set_clock_back(fleet: Fleet, seconds: float = 9.0) -> Fleet:
    """Step the store's clock."""
    return replace(upset(fleet, "clock"), set_back=fleet.set_back + seconds)


def forge(fleet: Fleet, ahead: int = 1) -> Fleet:
    """Let somebody write a document of a higher version, which nobody can use."""
    version = max(fleet.record.version, fleet.time) + ahead
    record = replace(fleet.record, version=version, payload=FORGED, expires=microseconds(inf))
    return replace(fleet, record=record, faults=fleet.faults | {"forgery"})


def check_lone_survivor(fleet: Fleet, index: int, longest: float = max(TTL, COOLDOWN)) -> None:
    """A worker without keys, all others dead, gets keys or a lease when the gate opens."""
    waited = 0.0
    for _ in range(4):
        fleet, answer = ask(fleet, index, "age")
        if isinstance(answer, Granted) or fleet.workers[index].held:
            return
        if isinstance(answer, Busy | Cooling):
            waited += answer.retry_after
            fleet = tick(fleet, answer.retry_after)
            assert waited <= longest
    raise AssertionError("a lone worker is never served")


def cold(fleet: Fleet) -> Iterator[int]:
    """Name the living workers that have no keys and fetch none."""
    for index, worker in enumerate(fleet.workers):
        if worker.alive and not worker.held and worker.lease is None:
            yield index


causes = st.sampled_from(["age", "unknown_kid", "forced", "repair"])
quarters = st.integers(1, 24).map(lambda count: count / 4)


class Faults(RuleBasedStateMachine):
    """The fleet, driven at random."""

    @initialize()
    def begin(self) -> None:
        """Start with an empty store."""
        self.fleet = Fleet()

    @rule(index=st.integers(0, 2), cause=causes, ttl=quarters, lost=st.booleans())
    def poll(self, index: int, cause: Cause, ttl: float, *, lost: bool) -> None:
        """Let a worker ask, or start another in its place if it died."""
        if not self.fleet.workers[index].alive:
            self.fleet = self.fleet.with_worker(index, Worker())
        self.fleet = poll(self.fleet, index, cause, ttl=ttl, lost=lost)

    @rule(index=st.integers(0, 2), cause=causes, again=st.integers(1, 3))
    def refresh(self, index: int, cause: Cause, again: int) -> None:
        """Let a worker do what is asked of it, perhaps over and over."""
        for _ in range(again):
            self.fleet = refresh(self.fleet, index, cause)

    @rule(index=st.integers(0, 2), lost=st.booleans(), late=st.booleans())
    def commit(self, index: int, *, lost: bool, late: bool) -> None:
        """Let a worker commit, however late that is."""
        if self.fleet.workers[index].lease is not None:
            self.fleet = commit(self.fleet, index, lost=lost, late=late)

    @rule()
    def deliver(self) -> None:
        """Let the late commit arrive."""
        if self.fleet.late is not None:
            self.fleet = deliver(self.fleet)

    @rule(index=st.integers(0, 2), cooldown=quarters)
    def fail(self, index: int, cooldown: float) -> None:
        """Let a worker fail, however late that is."""
        if self.fleet.workers[index].lease is not None:
            self.fleet = fail(self.fleet, index, cooldown)

    @rule(index=st.integers(0, 2), alone=st.booleans())
    def leave(self, index: int, *, alone: bool) -> None:
        """Let a worker die, or fetch by itself."""
        self.fleet = (fetch_alone if alone else crash)(self.fleet, index)

    @rule(seconds=quarters)
    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.fleet = tick(self.fleet, seconds)

    @rule(fault=st.sampled_from([flush, forge, set_clock_back]))
    def upset(self, fault: type) -> None:
        """Let something happen to the store."""
        self.fleet = fault(self.fleet)

    @rule(seconds=quarters, ahead=st.sampled_from([1, 1_000_000, 60_000_000]))
    def upset_further(self, seconds: float, ahead: int) -> None:
        """Let the clock go back by little, and a version be forged that is far ahead."""
        self.fleet = forge(set_clock_back(self.fleet, seconds), ahead)

    @invariant()
    def survivors_are_served(self) -> None:
        """Whoever is left alone gets keys."""
        for index in cold(self.fleet):
            check_lone_survivor(self.fleet, index, longest=6)


@pytest.mark.hypothesis
def test_gate_keeps_its_promises_at_random() -> None:
    """No sequence of polls, commits, failures, faults and times breaks a promise."""
    run_state_machine_as_test(Faults, settings=settings(max_examples=150))


def successors(fleet: Fleet, faults: frozenset[str]) -> Iterator[Fleet]:
    """Return what may happen next; each of the faults happens once."""
    yield tick(fleet)
    for fault, happen in (*worker_steps(fleet), *store_steps(fleet)):
        if not fault:
            yield happen()
        elif fault in faults - fleet.faults:
            after = happen()
            yield replace(after, faults=after.faults | {fault})


def store_steps(fleet: Fleet) -> Iterator[Step]:
    """Return what may happen to the store, each with the fault it takes."""
    if fleet.late is not None:
        yield "", partial(deliver, fleet)
    yield "flush", partial(flush, fleet)
    yield "clock", partial(set_clock_back, fleet)
    yield "forgery", partial(forge, fleet)


def worker_steps(fleet: Fleet) -> Iterator[Step]:
    """Return what each worker may do, of several alike only one."""
    for index, worker in enumerate(fleet.workers):
        if not worker.alive or worker in fleet.workers[:index]:
            continue
        yield "crash", partial(crash, fleet, index)
        yield "", partial(poll, fleet, index, "age")
        if worker.lease is None:
            yield "", partial(poll, fleet, index, "unknown_kid")
            yield "", partial(poll, fleet, index, "forced")
            yield "", partial(refresh, fleet, index, "unknown_kid")
            yield "loss", partial(poll, fleet, index, "unknown_kid", lost=True)
            yield "partition", partial(fetch_alone, fleet, index)
        else:
            yield "", partial(commit, fleet, index)
            yield "", partial(fail, fleet, index)
            yield "loss", partial(commit, fleet, index, lost=True)
            yield "delay", partial(commit, fleet, index, late=True)


def shape(fleet: Fleet) -> tuple[object, ...]:
    """Return what tells two states apart, but for the date, names and who is who."""
    micros, record, gate = fleet.time, fleet.record, fleet.gate
    holder = None if gate is None else gate.holder
    flying = [(one.lease, one.fetching) for one in fleet.workers if one.lease is not None]
    flying += [fleet.late] if fleet.late is not None else []
    versions = sorted(
        {0, micros, record.version, record.issued, fleet.highest, gate.fence if gate else 0}
        | {one.known for one in fleet.workers}
        | {lease.fence for lease, _ in flying}
    )
    sets = sorted(
        {0, number(record)} | {one.held for one in fleet.workers} | {fetch for _, fetch in flying}
    )

    def rank(version: int) -> int:
        return versions.index(version) if version <= micros else version - micros + DAY

    def lot(lease: Lease | None, fetch: int) -> tuple[object, ...]:
        if lease is None:
            return ()
        return rank(lease.fence), sets.index(fetch), fleet.is_live(lease)

    def age(began: float, now: float, most: float) -> float:
        return min(now - began, most)

    closed = None if gate is None else (
        gate.left(micros), gate.failed, rank(gate.fence),
        age(gate.granted, micros, microseconds(LEASE)),
    )  # fmt: skip
    leased = fleet.leased if fleet.leased.until > fleet.now else NOBODY
    workers = sorted(
        (one.alive, rank(one.known), sets.index(one.held), one.holder == holder,
         (one.holder,) == fleet.blamed[-1:], lot(one.lease, one.fetching))
        for one in fleet.workers
    )  # fmt: skip
    return (
        rank(record.version), record.payload == FORGED, sets.index(number(record)),
        rank(record.issued), rank(fleet.highest), closed, record.window,
        tuple(fleet.time - at for at in record.unscheduled if 0 <= fleet.time - at < record.window),
        tuple(fleet.now - at for at in fleet.recent),
        max(0.0, leased.until - fleet.now), age(leased.since, fleet.now, LEASE),
        fleet.faults, min(len(fleet.blamed), 2), tuple(workers),
        lot(*fleet.late) if fleet.late is not None else None,
    )  # fmt: skip


@pytest.mark.full  # of all tests without a server, the slowest
@pytest.mark.parametrize(
    "faults",
    [
        {"crash"},
        {"loss", "delay"},
        {"crash", "flush"},
        {"delay", "flush"},
        {"crash", "clock"},
        {"flush", "clock"},
        {"delay", "forgery"},
        {"partition", "delay"},
        {"flush", "clock", "forgery", "crash", "loss", "delay", "partition"},
    ],
    ids=lambda faults: "+".join(sorted(faults)),
)
def test_gate_keeps_its_promises_in_every_order(faults: set[str]) -> None:
    """Breadth first through all interleavings, no state breaks a promise."""
    explore(Fleet(), faults)


@pytest.mark.full
@pytest.mark.parametrize(
    "faults",
    [{"crash"}, {"loss", "delay"}, {"delay", "flush"}, {"clock", "crash"}],
    ids=lambda faults: "+".join(sorted(faults)),
)
def test_gate_keeps_its_promises_while_a_holder_takes_long(faults: set[str]) -> None:
    """From the moment at which it may be overtaken, others failing and committing beside it."""
    fleet = poll(Fleet(), 0, "age")
    for _ in range(int(LEASE)):
        fleet = poll(tick(fleet), 0, "age")
    assert [worker.lease is not None for worker in fleet.workers] == [True, False, False]
    explore(fleet, faults)


def explore(start: Fleet, faults: set[str]) -> None:
    """Try what may happen, breadth first, as far as the bound allows."""
    seen, queue = {shape(start)}, deque([start])
    while queue and len(seen) < STATES:
        for fleet in successors(queue.popleft(), frozenset(faults)):
            known = shape(fleet)
            if known in seen:
                continue
            seen.add(known)
            queue.append(fleet)
            for index in cold(fleet):
                check_lone_survivor(fleet, index)
