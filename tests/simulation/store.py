"""The store between the workers: the real rules under the store's own time, and every fault."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from math import inf
from random import Random
from typing import Any, Literal, TypeVar

from auth_jwks._background_loop import run_at_once
from auth_jwks._clock import patience
from auth_jwks.stores._breaker import Breaker
from auth_jwks.stores._sealed import BrokenSealError, Sealer
from auth_jwks.stores.base import (
    Answer,
    Granted,
    KeyStore,
    Lease,
    LeaseRequest,
    Newer,
    StoreUnavailable,
)
from auth_jwks.stores.memory import MemoryKeyStore
from tests.simulation.ledger import Ledger
from tests.simulation.loop import Scheduler
from tests.simulation.machine import Machine, Process
from tests.simulation.network import exchange

__all__ = ["Seal", "SharedStore", "StoreView", "StoreWay"]

T = TypeVar("T")
Fault = Literal["", "refuse", "lose", "slow", "hang"]
CALL = 0.25  # seconds that a call may take, as of Redis


class SharedStore:
    """A store as a server has it: with a clock of its own, which may be stepped, and be flushed.

    A set that is stored grows no older while the clock is set back.
    """

    def __init__(self, scheduler: Scheduler, broken: Callable[[str], None]) -> None:
        self.ledger = Ledger(broken)
        self._scheduler = scheduler
        self._ahead = 5_000.0
        self._fetched: dict[int, tuple[float, float]] = {}
        self.flush()

    def __repr__(self) -> str:
        return f"SharedStore({self.core!r})"

    def time(self) -> float:
        """Return the store's time."""
        return self._scheduler.now + self._ahead

    def step(self, seconds: float) -> None:
        """Step the store's clock; not to before its beginning."""
        before, self._ahead = self._ahead, max(10.0, self._ahead + seconds)
        self.ledger.step(self._ahead - before)

    def note(self, version: int, truth: float) -> None:
        """Take note of when the provider gave the set that is stored under a version."""
        self._fetched[version] = truth, self._ahead

    def fetched(self, version: int) -> float:
        """Return when it did, as far as the store can know."""
        truth, ahead = self._fetched.get(version, (-inf, self._ahead))
        return min(self._scheduler.now, truth + max(0.0, ahead - self._ahead))

    def flush(self) -> None:
        """Forget everything."""
        self.core: KeyStore = MemoryKeyStore(timer=self.time)
        self.ledger.forget()


@dataclass(slots=True)
class StoreWay:
    """How a worker reaches the store at the moment, and when it called."""

    latency: float
    fault: Fault = ""
    calls: list[float] = field(default_factory=list)


class Seal:
    """The seal of one worker: what it stores is signed, what it finds must be."""

    def __init__(self, key: str, machine: Machine) -> None:
        self._sealer = Sealer([key.encode()])
        self._machine = machine

    def __repr__(self) -> str:
        return f"Seal({self._sealer!r})"

    def sealed(self, lease: Lease, payload: bytes, took: float, ttl: float) -> bytes:
        """Return the document, sealed."""
        fetched = self._machine.time() - took
        return self._sealer.seal(
            payload, name=lease.key, version=lease.fence,
            fetched_at=fetched, expires_at=fetched + ttl,
        )  # fmt: skip

    def opened(self, key: str, found: Newer) -> Newer:
        """Return what was found without its seal, or with what is wrong about it."""
        now, version = self._machine.time(), found.version
        try:
            inside = self._sealer.opened(found.payload, name=key, version=version, now=now)
        except BrokenSealError as broken:
            return replace(found, payload=b"", fault=str(broken))
        return replace(found, payload=inside.document, age=max(found.age, inside.age))


class StoreView:
    """A store as one worker sees it, with a breaker in front as the one for Redis has."""

    def __init__(
        self, process: Process, way: StoreWay, shared: SharedStore, own: KeyStore | None,
        truth: Callable[[], float], rng: Random, seal: Seal | None = None,
    ) -> None:  # fmt: skip
        self._seal = seal
        self.seen_fetched = -inf
        self._process = process
        self._way = way
        self._shared = shared
        self._own = own
        self._truth = truth
        self._rng = rng
        self._breaker = Breaker()
        self._holders: set[str] = set()

    def __repr__(self) -> str:
        return f"StoreView({self._way.fault or 'up'})"

    async def poll(self, key: str, **options: Any) -> Answer:
        """Ask the store; a lease is counted in the worker's own time."""
        began = self._process.monotonic()
        known, request = options["known"], options["lease"]
        answer = await self._call(
            lambda: self._core.poll(key, **options),
            lambda answer: self._note_answer(known, request, answer),
        )
        if isinstance(answer, Granted):
            return Granted(replace(answer.lease, started=began))
        if isinstance(answer, Newer):
            self.seen_fetched = self._shared.fetched(answer.version)
            return answer if self._seal is None else self._seal.opened(key, answer)
        return answer

    async def commit(self, lease: Lease, payload: bytes, **options: Any) -> int | None:
        """Commit a document, as old as the worker says."""
        took = self._process.monotonic() - lease.started
        truth, sent = self._truth(), self._now
        if self._seal is not None:
            payload = self._seal.sealed(lease, payload, took, options["ttl"])

        def commit() -> Coroutine[Any, Any, int | None]:
            dated = replace(lease, started=self._core_time() - took)
            return self._core.commit(dated, payload, **options)

        def note(version: int | None) -> None:
            on_its_way = self._now - sent  # an age is as exact as the call was quick
            self._note_commit(lease, version, truth + on_its_way, took, **options)

        return await self._call(commit, note)

    async def fail(self, lease: Lease, **options: Any) -> None:
        """Tell the store of a failure."""
        await self._call(
            lambda: self._core.fail(lease, **options),
            lambda _none: self._ledger.failed(lease, options["retry_after"], self._now),
        )

    async def aclose(self) -> None:
        """Give up what is held."""
        if self._own is not None:
            await self._own.aclose()

    def die(self) -> None:
        """Release what the kernel would, when the process is gone."""
        run_at_once(self.aclose())
        if self._own is not None:
            self._ledger.release(self._holders)

    @property
    def _ledger(self) -> Ledger:
        return self._shared.ledger

    @property
    def _now(self) -> float:
        return self._process.scheduler.now

    @property
    def _core(self) -> KeyStore:
        return self._shared.core if self._own is None else self._own

    def _core_time(self) -> float:
        return self._shared.time()

    def _note_answer(self, known: int, request: LeaseRequest | None, answer: Answer) -> None:
        if request is not None:
            self._holders.add(request.holder)
        self._ledger.polled(known, request, answer, self._now, self._core_time())

    def _note_commit(
        self, lease: Lease, version: int | None, truth: float, took: float, *, ttl: float,
        window: float,
    ) -> None:  # fmt: skip
        if version is not None:
            self._shared.note(version, truth)
        now = self._now
        self._ledger.committed(
            lease, version, now, self._core_time(),
            fetched=truth, expires=now - took + ttl, window=window,
        )  # fmt: skip

    async def _call(
        self, work: Callable[[], Coroutine[Any, Any, T]],
        note: Callable[[T], None] = lambda _result: None,
    ) -> T:  # fmt: skip
        now = self._process.monotonic()
        if not self._breaker.admits(now):
            raise StoreUnavailable("left alone")
        self._breaker = self._breaker.during_call()
        self._way.calls.append(self._process.scheduler.now)
        try:
            async with patience(CALL):
                result = await self._sent(work, note)
        except TimeoutError:
            self._broken(slow=True)
            raise StoreUnavailable("timeout") from None
        except StoreUnavailable:
            self._broken(slow=False)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            self._breaker = self._breaker.after_cancellation()
            raise
        self._breaker = self._breaker.after_answer()
        return result

    async def _sent(
        self, work: Callable[[], Coroutine[Any, Any, T]], note: Callable[[T], None]
    ) -> T:
        fault, latency = self._way.fault, self._way.latency
        out = {"hang": inf, "slow": self._rng.uniform(0.1, 0.5)}.get(fault, latency)

        def act() -> T:
            if self._own is not None and self._process.is_dead:
                raise StoreUnavailable("its own process is gone")
            if fault == "refuse":
                raise StoreUnavailable("refused")
            result = run_at_once(work())
            note(result)
            if fault == "lose":
                raise StoreUnavailable("reset")
            return result

        return await exchange(self._process, out, latency, act)

    def _broken(self, *, slow: bool) -> None:
        now = self._process.monotonic()
        self._breaker = self._breaker.after_fault(now, self._rng.uniform, slow=slow)
