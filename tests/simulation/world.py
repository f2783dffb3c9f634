"""A world: everything put together, set going, and judged."""

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

from auth_jwks.stores.base import KeyStore
from auth_jwks.stores.file import FileKeyStore
from tests.simulation.budgets import judge_budgets
from tests.simulation.keyring import Keyring
from tests.simulation.loop import Scheduler
from tests.simulation.machine import Machine
from tests.simulation.network import Exchange, HTTPCache
from tests.simulation.oracle import Oracle, Violation
from tests.simulation.plan import Happening, Plan
from tests.simulation.promises import PROMISES, Promises
from tests.simulation.provider import Provider
from tests.simulation.store import SharedStore
from tests.simulation.story import Story
from tests.simulation.traffic import Traffic
from tests.simulation.worker import Surroundings, Worker

__all__ = ["Outcome", "reproducible", "simulate"]

AMID_FETCH = frozenset({"freeze", "asleep", "kill"})
ENDING = 60.0
# A file system in memory, where there is one: to rename a file takes 3 ms on some disks.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - what is in it is our own


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a world."""

    plan: Plan
    violations: dict[str, Violation]
    calls: int
    turns: int
    story: Story = field(repr=False)
    exchanges: tuple[Exchange, ...] = field(repr=False)

    @property
    def worker_days(self) -> float:
        """How much life was lived in it."""
        return len(self.plan.staff) * self.plan.duration / 86_400


def simulate(
    plan: Plan, ring: Keyring, *, wanted: str = "", promises: Promises = PROMISES
) -> Outcome:
    """Make a world and let it run; with `wanted`, only until that promise is broken."""
    with reproducible(plan.seed), ExitStack() as stack:
        directory = ""
        if plan.store == "files":
            directory = stack.enter_context(TemporaryDirectory(dir=MEMORY))
        return _World(plan, ring, promises, directory).run(wanted)


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Give the library's own dice, and its log, to the world."""
    state, logger = random.getstate(), logging.getLogger("auth_jwks")
    was_disabled, logger.disabled = logger.disabled, True
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
        logger.disabled = was_disabled


class _World:
    """The parts of one world, and what happens to them."""

    def __init__(self, plan: Plan, ring: Keyring, promises: Promises, directory: str) -> None:
        self._plan = plan
        self._promises = promises
        self._scheduler = Scheduler()
        self._story = Story()
        self._provider = Provider(ring, max_age=plan.max_age, names_keys=plan.names_keys)
        self._oracle = Oracle(plan, self._provider, self._story, promises)
        self._exchanges: list[Exchange] = []
        self._store = SharedStore(self._scheduler, self._misjudged)
        around = Surroundings(
            plan, self._scheduler, self._provider, ring, self._oracle, self._story,
            self._exchanges, self._store, self._own_store(directory),
            HTTPCache() if plan.http_cache else None,
        )  # fmt: skip
        host = Machine(self._scheduler) if plan.store == "files" else None
        self._workers = {
            staff.name: Worker(staff, host or Machine(self._scheduler, staff.skew), around)
            for staff in plan.staff
        }
        self._traffic = [
            Traffic(plan, worker, self._provider, ring, self._scheduler)
            for worker in self._workers.values()
        ]
        self._active: list[Happening] = []

    def run(self, wanted: str) -> Outcome:
        """Let time pass to the end, or until the wanted violation."""
        for one in self._plan.happenings:
            self._scheduler.at(one.at, partial(self._come, one))
        for traffic in self._traffic:
            traffic.begin()
        broken = self._oracle.violations
        try:
            self._scheduler.run(self._plan.duration, lambda: wanted in broken)
            if wanted not in broken:
                self._end()
        except TimeoutError as fault:
            record = next(iter(self._workers.values())).record
            self._oracle.broken("I6 spin", self._scheduler.now, record, str(fault))
        faults = {name: worker.bury() for name, worker in self._workers.items()}
        for name, said in faults.items():
            if said and wanted not in broken:
                record = self._workers[name].record
                self._oracle.broken("I6 noise", self._scheduler.now, record, "; ".join(said[:3]))
        calls = sum(worker.record.calls for worker in self._workers.values())
        exchanges = tuple(self._exchanges)
        return Outcome(self._plan, broken, calls, self._scheduler.turns, self._story, exchanges)

    def _own_store(self, directory: str) -> Callable[[], KeyStore | None]:
        if not directory:
            return lambda: None
        return lambda: FileKeyStore(directory, timer=self._store.time)

    def _misjudged(self, what: str) -> None:
        """Take note that the store has broken its contract."""
        record = next(iter(self._workers.values())).record
        self._oracle.broken("I8 store", self._scheduler.now, record, what)

    def _end(self) -> None:
        """Let everybody run again, close the verifiers, and judge the whole."""
        for one in list(self._active):
            self._pass(one)
        self._scheduler.run(self._scheduler.now + ENDING)
        for worker in self._workers.values():
            worker.close()
        self._scheduler.run(self._scheduler.now + ENDING)
        workers = list(self._workers.values())
        judge_budgets(self._plan, self._promises, self._oracle, workers, self._exchanges)

    def _come(self, one: Happening) -> None:
        """Let it happen, now or when the worker asks the provider next."""
        if one.kind in AMID_FETCH and one.value:
            self._workers[one.who].armed.append(partial(self._happen, one))
        else:
            self._happen(one)

    def _happen(self, one: Happening) -> None:
        now, provider = self._scheduler.now, self._provider
        lasting = f" for {one.seconds:.0f} s" if one.seconds else ""
        detail = f" ({one.value:g})" if one.value else ""
        self._story.tell(now, one.who, f"--- {one.kind}{detail}{lasting}")
        at_once: dict[str, Callable[[], None]] = {
            "rotate": lambda: provider.rotate(now),
            "publish": lambda: provider.add(now),
            "retire": lambda: provider.retire(now),
            "reuse_kid": lambda: provider.reuse_kid(now),
            "odd_member": lambda: provider.add_odd_member(now, int(one.value)),
            "store_flush": self._store.flush,
            "store_clock": lambda: self._store.step(one.value),
            "clock_step": lambda: self._concerned(one)[0].machine.step(one.value),
        }
        if one.kind in at_once:
            at_once[one.kind]()
            return
        self._active.append(one)
        for worker in self._concerned(one):
            if one.kind == "freeze":
                worker.freeze()
            elif one.kind == "asleep":
                worker.record.stopped_at = now
                worker.machine.suspend()
            elif one.kind == "kill":
                worker.kill()
        self._look_around()
        self._scheduler.at(now + one.seconds, lambda: self._pass(one))

    def _pass(self, one: Happening) -> None:
        """Let something that lasts come to its end."""
        if one not in self._active:
            return
        self._active.remove(one)
        self._story.tell(self._scheduler.now, one.who, f"--- {one.kind} is over")
        for worker in self._concerned(one):
            kinds = {other.kind for other in self._active if other.who in {"", worker.staff.name}}
            if one.kind == "freeze" and "freeze" not in kinds:
                worker.process.thaw()
            elif one.kind == "asleep" and "asleep" not in kinds:
                worker.machine.wake()
            elif one.kind == "kill":
                worker.rise()
        self._look_around()

    def _concerned(self, one: Happening) -> list[Worker]:
        return [self._workers[one.who]] if one.who else list(self._workers.values())

    def _look_around(self) -> None:
        """Work out which ways are open, from what lasts."""
        outage = next((one for one in self._active if one.kind == "outage"), None)
        self._provider.outage = 0 if outage is None else int(outage.value)
        self._provider.retry_after = outage.seconds * 2 if outage and outage.value == 503 else 0.0
        for name, worker in self._workers.items():
            mine = [one for one in self._active if one.who in {"", name}]
            self._set_ways(worker, mine)

    def _set_ways(self, worker: Worker, mine: list[Happening]) -> None:
        now, record, kinds = self._scheduler.now, worker.record, {one.kind for one in mine}
        way = worker.way
        way.state = next(
            (state for state in ("unreachable", "no_route", "other_issuer") if state in kinds), "up"
        )
        way.extra = sum(one.value for one in mine if one.kind == "slow")
        is_open = way.state == "up" and not way.extra and not self._provider.outage
        record.way_since = _since(record.way_since, now, is_open=is_open)
        if way.state == "other_issuer":
            record.misled_until = inf
        elif record.misled_until == inf:
            record.misled_until = now
        faults = ("refuse", "lose", "slow", "hang")
        named = {"refuse": "store_refuses", "lose": "store_loses", "slow": "store_slow",
                 "hang": "store_hangs"}  # fmt: skip
        fault = next((fault for fault in faults if named[fault] in kinds), "")
        worker.store_way.fault = fault  # type: ignore[assignment]
        record.store_since = _since(record.store_since, now, is_open=not fault)


def _since(before: float, now: float, *, is_open: bool) -> float:
    """Return since when a way is open, infinity if it is not."""
    if not is_open:
        return inf
    return now if before == inf else before
