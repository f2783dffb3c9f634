"""All lines of the contract at random: whatever the workers do, in whatever order, at once or late.

A machine of Hypothesis that holds every answer of a store against the rules of the gate.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, ClassVar

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from auth_jwks.stores.base import Busy, Cause, Cooling, Granted, KeyStore, Lease, Newer
from auth_jwks.stores.gate import MICRO
from auth_jwks.testing._asking import CAUSES, KEY, LONG, close, granted, wish
from auth_jwks.testing._model import Call, Committed, Failed, Model, Polled
from auth_jwks.testing._suite import Suite, declares
from auth_jwks.testing.rig import StoreRig

__all__ = ["Interleavings"]

WORKERS = 3
FAR = 2**52  # microseconds: in the year 2112

workers = st.integers(0, WORKERS - 1)
causes: st.SearchStrategy[Cause] = st.sampled_from(CAUSES)
payloads = st.binary(max_size=20)


class Worker:
    """One handle, and what its worker has seen, holds and is about to do."""

    def __init__(self, store: KeyStore, name: int) -> None:
        self.store = store
        self._holders = (f"{name}.{number}" for number in count())
        self.forget()

    def forget(self) -> None:
        """Know nothing, as a process that was just started."""
        self.known, self.began = 0, 0
        self.done()

    def done(self) -> None:
        """Use up the lease, and the name it was held under."""
        self.holder = next(self._holders)
        self.lease: Lease | None = None


class Fleet(RuleBasedStateMachine):
    """Three workers over one store."""

    rig: ClassVar[StoreRig]
    runner: ClassVar[asyncio.Runner]
    stores: ClassVar[list[KeyStore]]
    keys: ClassVar[Iterator[int]]

    @initialize()
    def begin(self) -> None:
        """Take a new key; its first fence tells the store's time."""
        self.key = f"{KEY}.{next(self.keys)}"
        self.crew = [Worker(store, name) for name, store in enumerate(self.stores)]
        self.short = self.rig.short
        lease = self.run(granted(self.stores[0], key=f"{self.key}.time"))
        self.model = Model(lease.fence, self.short)
        self.highest = 0
        self.holders: set[str] = set()

    @rule(
        index=workers,
        cause=st.none() | causes,
        known=st.sampled_from(("seen", "none", "far")),
        short=st.booleans(),
        lost=st.booleans(),
    )
    def poll(self, index: int, cause: Cause | None, known: str, *, short: bool, lost: bool) -> None:
        """Let a worker ask, perhaps one that was told of too much, or whose reply gets lost."""
        worker = self.crew[index]
        seen = {"seen": worker.known, "none": 0, "far": FAR}[known]
        self.model.see(self.run(self.ask(worker, cause, seen, short=short, lost=lost)))

    @rule(index=workers, payload=payloads, short=st.booleans(), brief=st.booleans())
    def commit(self, index: int, payload: bytes, *, short: bool, brief: bool) -> None:
        """Let a worker commit, in time or late."""
        worker = self.crew[index]
        if worker.lease is not None:
            self.model.see(self.run(self.put(worker, payload, short=short, brief=brief)))
            worker.done()

    @rule(index=workers, short=st.booleans(), mismatch=st.booleans())
    def fail(self, index: int, *, short: bool, mismatch: bool) -> None:
        """Let a worker fail, in time or late."""
        worker = self.crew[index]
        if worker.lease is not None:
            self.model.see(self.run(self.give_up(worker, short=short, mismatch=mismatch)))
            worker.done()

    @rule(causes=st.tuples(*[st.none() | causes] * WORKERS), payload=payloads)
    def race(self, causes: tuple[Cause | None, ...], payload: bytes) -> None:
        """Let all workers act at once: who has a lease commits or fails, the others ask."""

        async def act(worker: Worker, cause: Cause | None) -> Call:
            if worker.lease is None:
                return await self.ask(worker, cause, worker.known)
            if cause is None:
                return await self.give_up(worker)
            return await self.put(worker, payload)

        async def act_at_once() -> list[Call]:
            return await asyncio.gather(*map(act, self.crew, causes))

        calls = self.run(act_at_once())
        self.model.see(*calls)
        for worker, call in zip(self.crew, calls, strict=True):
            if not isinstance(call, Polled):
                worker.done()

    @rule(index=workers, cause=causes, again=st.integers(1, 3))
    def refresh(self, index: int, cause: Cause, again: int) -> None:
        """Let a worker do what is asked of it, perhaps over and over."""
        for _ in range(again):
            self.poll(index, cause, "seen", short=False, lost=False)
            self.commit(index, b"refreshed", short=False, brief=False)

    @rule(index=workers, other=workers, taken=st.booleans(), commits=st.booleans())
    def stall(self, index: int, other: int, *, taken: bool, commits: bool) -> None:
        """Let a worker come back after its lease is over, and perhaps another's."""
        self.poll(index, "age", "seen", short=True, lost=False)
        self.pass_time()
        if taken:
            self.poll(other, "age", "seen", short=False, lost=False)
        if commits:
            self.commit(index, b"late", short=False, brief=False)
        else:
            self.fail(index, short=False, mismatch=False)
        self.poll(other, "age", "seen", short=False, lost=False)

    @rule(index=workers)
    def commit_twice(self, index: int) -> None:
        """Let a worker whose reply was lost commit again."""
        worker = self.crew[index]
        self.poll(index, "age", "seen", short=False, lost=False)
        if worker.lease is not None:
            for payload in (b"once", b"twice"):
                self.model.see(self.run(self.put(worker, payload)))
            worker.done()

    @rule(index=workers, other=workers, mismatch=st.booleans())
    def struggle(self, index: int, other: int, *, mismatch: bool) -> None:
        """Let a worker fail, and another one succeed when that is over, and ask once more."""
        self.poll(index, "age", "seen", short=False, lost=False)
        self.fail(index, short=True, mismatch=mismatch)
        self.pass_time()
        self.refresh(other, "age", 2)

    @rule(index=workers)
    def restart(self, index: int) -> None:
        """Let a worker be killed, and another one start in its place."""
        self.crew[index].forget()

    @rule()
    def pass_time(self) -> None:
        """Let everything end that is short."""
        self.run(self.rig.pass_time(self.short * 1.1))
        self.model.pass_time(self.short * 1.1)

    @precondition(lambda self: declares(self.rig, "wipe"))
    @rule()
    def wipe(self) -> None:
        """Lose everything that is stored, which takes a moment."""
        self.pass_time()
        self.run(self.rig.wipe())
        self.model.wipe()

    async def ask(
        self,
        worker: Worker,
        cause: Cause | None,
        known: int,
        *,
        short: bool = False,
        lost: bool = False,
    ) -> Polled:
        """Poll, and let the worker see the answer unless it is lost."""
        ttl = self.short if short else LONG
        request = None if cause is None else wish(worker.holder, ttl=ttl, cause=cause)
        now = self.model.now
        answer = await worker.store.poll(self.key, known=known, lease=request)
        match answer:
            case Granted(lease):
                self.check_fence(worker.holder, lease)
                if not lost:
                    worker.lease, worker.began = lease, now
            case Newer(version, _, age, ttl_left):
                assert age >= 0 < ttl_left <= LONG
                worker.known = worker.known if lost else version
            case Busy(retry_after) | Cooling(retry_after):
                assert 0 < retry_after <= LONG
            case _:
                pass
        return Polled(known, request, answer)

    def check_fence(self, holder: str, lease: Lease) -> None:
        """A new lease has a higher fence than any before, whatever happened to the store."""
        assert lease.fence > self.highest or holder in self.holders, "fences do not increase"
        assert lease.fence >= self.highest, "fences do not increase"
        self.highest = lease.fence
        self.holders.add(holder)

    async def put(
        self, worker: Worker, payload: bytes, *, short: bool = False, brief: bool = False
    ) -> Committed:
        """Commit what was fetched under the worker's lease; `brief`: the budget comes back soon."""
        lease = worker.lease
        assert lease is not None
        ttl, window = self.short if short else LONG, self.short if brief else LONG
        version = await worker.store.commit(lease, payload, ttl=ttl, window=window)
        worker.known = max(worker.known, version or 0)
        took = (self.model.now - worker.began) / MICRO
        return Committed(lease, payload, took, ttl, window, version)

    async def give_up(
        self, worker: Worker, *, short: bool = False, mismatch: bool = False
    ) -> Failed:
        """Tell that the fetch failed."""
        lease, cooldown = worker.lease, self.short if short else LONG
        assert lease is not None
        await worker.store.fail(lease, retry_after=cooldown, mismatch=mismatch)
        return Failed(lease, cooldown, mismatch)

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Carry out what a store is asked."""
        return self.runner.run(call)


class Interleavings(Suite):
    """Three workers do what they like; `examples` says how often, for a store that is slow."""

    examples: ClassVar[int] = 50

    def test_interleavings(self) -> None:
        """Each answer is one that the rules allow, in an order that there can have been."""
        with asyncio.Runner() as runner:
            stack = AsyncExitStack()
            try:
                self._drive(runner, runner.run(stack.enter_async_context(self.rig())))
            finally:
                runner.run(stack.aclose())

    def _drive(self, runner: asyncio.Runner, rig: StoreRig) -> None:
        stores = [rig.open() for _ in range(WORKERS)]
        names = {"rig": rig, "runner": runner, "stores": stores, "keys": count()}
        limits = settings(
            max_examples=self.examples,
            stateful_step_count=20,
            deadline=None,
            report_multiple_bugs=False,
        )
        try:
            run_state_machine_as_test(type("Here", (Fleet,), names), settings=limits)
        finally:
            runner.run(close(*stores))
