"""One worker: the real verifier in a process of its own, whose answers the oracle judges."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from auth_jwks import JWKS
from auth_jwks.events import Event, KeysRefreshed, RefreshFailed, StoreFailed, UnknownKey
from auth_jwks.stores.base import KeyStore
from tests.simulation.keyring import ISSUER, Credential, Keyring
from tests.simulation.loop import Scheduler, SimLoop
from tests.simulation.machine import Machine, MachineClock, Process
from tests.simulation.network import Exchange, HTTPCache, Way, Web
from tests.simulation.oracle import Call, Oracle, Record
from tests.simulation.plan import Plan, Staff
from tests.simulation.provider import DISCOVERY_URL, JWKS_URL, Provider
from tests.simulation.store import Seal, SharedStore, StoreView, StoreWay
from tests.simulation.story import Story

__all__ = ["Surroundings", "Worker"]

BACKLOG = 5


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all workers of a world share."""

    plan: Plan
    scheduler: Scheduler
    provider: Provider
    ring: Keyring
    oracle: Oracle
    story: Story
    exchanges: list[Exchange]
    store: SharedStore
    own_store: Callable[[], KeyStore | None]
    cache: HTTPCache | None


class Worker:
    """A seat in the fleet: when its process dies, another one takes it.

    What is `armed` happens when it asks the provider next.
    """

    def __init__(self, staff: Staff, machine: Machine, around: Surroundings) -> None:
        self.staff = staff
        self.machine = machine
        self.way = Way(staff.latency)
        self.store_way = StoreWay(staff.store_latency)
        self._around = around
        self._rng = Random(f"{around.plan.seed} {staff.name}")  # noqa: S311 - no secret
        self.armed: list[Callable[[], None]] = []
        self._dead: list[Process] = []
        self._is_busy = False
        self._loop: SimLoop | None = None
        self._begin()
        self.record = Record(staff, self.process)
        around.oracle.enlist(self.record)

    def __repr__(self) -> str:
        return f"Worker({self.staff.name!r})"

    @property
    def now(self) -> float:
        """The time of the world."""
        return self._around.scheduler.now

    def tell(self, what: str) -> None:
        """Add to the story."""
        self._around.story.tell(self.now, self.staff.name, what)

    def ask(self, token: str, credential: Credential | None) -> None:
        """Present a token; one that comes to a process that does not run is lost."""
        if self.process.is_stopped:
            return
        if self._loop is not None:
            self._start(self._loop, token, credential)
        elif self._is_busy:
            self._backlog.append((token, credential))
        else:
            self._is_busy = True
            loop = self._new_loop()
            task = self._start(loop, token, credential)
            task.add_done_callback(lambda _task: self._end(loop))

    def freeze(self) -> None:
        """Stop, for a while."""
        self.record.stopped_at = self.now
        self.process.freeze()

    def kill(self) -> None:
        """Die, as by SIGKILL."""
        self.process.kill()
        self._view.die()
        self._dead.append(self.process)

    def rise(self) -> None:
        """Begin anew, as a process that knows nothing."""
        if self.process.is_dead:
            self._begin()
            self.record.restart(self.process)

    def close(self) -> None:
        """Close the verifier."""
        loop = self._loop or self._new_loop()
        task = loop.create_task(self._jwks.close())
        task.add_done_callback(lambda _task: self.process.close_loop(loop))

    def bury(self) -> list[str]:
        """Put away all processes; return what asyncio had to say about the last."""
        for process in (*self._dead, self.process):
            process.bury()
        return self.process.faults

    def _begin(self) -> None:
        around, plan = self._around, self._around.plan
        self.process = Process(self.machine, around.scheduler)
        self._is_busy = False
        self._backlog: deque[tuple[str, Credential | None]] = deque(maxlen=BACKLOG)
        self._web = Web(
            self.staff.name, self.process, around.provider, self.way, around.ring,
            around.exchanges, around.cache, self.armed,
        )  # fmt: skip
        seal = Seal(self.staff.seal, self.machine) if self.staff.seal else None
        self._view = StoreView(
            self.process, self.store_way, around.store, around.own_store(),
            lambda: self._web.fetched, self._rng, seal,
        )  # fmt: skip
        self._jwks = JWKS(
            DISCOVERY_URL if plan.discovers else None,
            jwks_uri=None if plan.discovers else JWKS_URL,
            issuer=ISSUER, allowed_algorithms={"ES256", "Ed25519"}, cache_ttl=plan.cache_ttl,
            max_stale=plan.max_stale, store=None if plan.store == "own" else self._view,
            token_cache_size=self.staff.token_cache, http_client=self._web,
            observer=partial(self._observe, self.process), clock=MachineClock(self.machine),
        )  # fmt: skip
        self._loop = None if self.staff.loop_per_call else self._new_loop()

    def _start(
        self, loop: SimLoop, token: str, credential: Credential | None
    ) -> asyncio.Task[None]:
        call = self._around.oracle.begin(self.record, credential, self.now)
        task = loop.create_task(self._verify(call, token, self.record, self.process))
        if self._rng.random() < self.staff.impatience:
            loop.call_later(self._rng.expovariate(4.0), task.cancel)
        return task

    async def _verify(self, call: Call, token: str, record: Record, process: Process) -> None:
        try:
            await self._jwks.verify_token(token)
        except asyncio.CancelledError:
            return
        except Exception as fault:  # noqa: BLE001 - the oracle judges it
            call.fault = fault
        if process.is_dead:
            return
        call.ended = self.now
        if call.fault is None:
            self._take_note(record, call)
        if call.credential is not None:
            answer = "accepted" if call.fault is None else f"{type(call.fault).__name__}"
            waited = f" after {call.ended - call.began:.2f} s" if call.ended > call.began else ""
            self.tell(f"{call.credential}: {answer}{waited}")
        self._around.oracle.judge(record, call)

    def _take_note(self, record: Record, call: Call) -> None:
        """Take note of keys that are in use, and are told of once the store has them."""
        holds = record.held is not None and call.credential in record.held.keys
        if holds and not (self._web.fetched > record.fetched and self._is_younger(record)):
            return
        edition = self._around.provider.edition(self._mark())
        if edition is not None:
            record.held, record.fetched = edition, self._web.fetched

    def _is_younger(self, record: Record) -> bool:
        """Tell whether it says that its keys are younger than what it has told of."""
        age = self._jwks.status().age
        return age is not None and self.now - age > record.fetched + 0.001

    def _mark(self) -> str:
        """Return the mark of the current set."""
        return next((kid for kid in self._jwks.status().kids if kid and " " in kid), "")

    def _end(self, loop: SimLoop) -> None:
        """End a loop that was made for one call, as `asyncio.run` does."""
        if self.staff.is_abrupt:
            self.process.drop_loop(loop)
        elif not self._has_ended(loop):
            return
        self._is_busy = False
        if self._backlog:
            self.ask(*self._backlog.popleft())

    def _has_ended(self, loop: SimLoop) -> bool:
        left = loop.tasks
        for task in left:
            task.cancel()
        if left:
            left[0].add_done_callback(lambda _task: self._end(loop))
            return False
        self.process.close_loop(loop)
        return True

    def _new_loop(self) -> SimLoop:
        return self.process.new_loop(is_eager=self.staff.is_eager)

    def _observe(self, process: Process, event: Event) -> None:
        try:
            self._judge(process, event)
        except Exception as fault:  # the library would keep it to itself
            process.faults.append(f"the oracle: {fault!r}")
            raise

    def _judge(self, process: Process, event: Event) -> None:
        around, record = self._around, self.record
        if isinstance(event, UnknownKey) or process.is_dead:
            return
        if isinstance(event, KeysRefreshed):
            mark = self._mark()
            edition = around.provider.edition(mark)
            is_own = event.origin == "provider"
            fetched = self._web.fetched if is_own else self._view.seen_fetched
            self.tell(f"has {mark} from the {event.origin}")
            around.oracle.adopt(record, event, edition, fetched, self.now)
            return
        if isinstance(event, RefreshFailed | StoreFailed):
            self.tell(f"{type(event).__name__}: {event.kind}, {event.reason}")
        around.oracle.observe(record, event, self.now)
