"""All lines of the contract at random: the workers act in any order, at once or late.

A Hypothesis state machine compares every answer of a store with the rules of the gate.
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

from auth_jwks.stores.base import (
    LEASE,
    REPAIR_INTERVAL,
    Busy,
    Cause,
    Cooling,
    Granted,
    KeyStore,
    Lease,
    Newer,
)
from auth_jwks.stores.gate import MICRO
from auth_jwks.testing._calls import CAUSES, KEY, LONG, close, granted, requested
from auth_jwks.testing._model import Call, Committed, Failed, Model, Polled
from auth_jwks.testing._suite import Suite, declares
from auth_jwks.testing.rig import StoreRig

__all__ = ["Interleavings"]

WORKERS = 3
FAR = 2**52  # microseconds: in the year 2112

workers = st.integers(0, WORKERS - 1)
some_workers = st.lists(workers, min_size=1, max_size=2)
causes: st.SearchStrategy[Cause] = st.sampled_from(CAUSES)
payloads = st.binary(max_size=20)


class Worker:
    """One handle on the store, and the state of its worker: the version it knows and its lease."""

    def __init__(self, store: KeyStore, name: int) -> None:
        self.store = store
        self._holders = (f"{name}.{number}" for number in count())
        self.forget()

    def forget(self) -> None:
        """Forget everything, as a restarted process does, and take a new name."""
        self.known, self.began = 0, 0
        self.holder = next(self._holders)
        self.lease: Lease | None = None

    def done(self) -> None:
        """Discard the lease."""
        self.lease = None


class Fleet(RuleBasedStateMachine):
    """Three workers over one store."""

    rig: ClassVar[StoreRig]
    runner: ClassVar[asyncio.Runner]
    stores: ClassVar[list[KeyStore]]
    keys: ClassVar[Iterator[int]]

    @initialize()
    def begin(self) -> None:
        """Use a new key. A first fence tells the store's time."""
        self.key = f"{KEY}.{next(self.keys)}"
        self.crew = [Worker(store, name) for name, store in enumerate(self.stores)]
        self.short = self.rig.short
        lease = self.run(granted(self.stores[0], key=f"{self.key}.time"))
        self.model = Model(lease.fence, self.short)
        self.last = "", 0

    @rule(
        index=workers,
        cause=st.none() | causes,
        known=st.sampled_from(("seen", "none", "far")),
        short=st.booleans(),
        lost=st.booleans(),
    )
    def poll(self, index: int, cause: Cause | None, known: str, *, short: bool, lost: bool) -> None:
        """Let a worker poll, perhaps with a `known` far too high, or with a lost reply."""
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
            self.model.see(self.run(self.report_failure(worker, short=short, mismatch=mismatch)))
            worker.done()

    @rule(causes=st.tuples(*[st.none() | causes] * WORKERS), payload=payloads)
    def race(self, causes: tuple[Cause | None, ...], payload: bytes) -> None:
        """Let all workers act at once: those with a lease commit or fail, the others poll."""

        async def act(worker: Worker, cause: Cause | None) -> Call:
            if worker.lease is None:
                return await self.ask(worker, cause, worker.known)
            if cause is None:
                return await self.report_failure(worker)
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
        """Let a worker refresh, perhaps several times."""
        for _ in range(again):
            self.poll(index, cause, "seen", short=False, lost=False)
            self.commit(index, b"refreshed", short=False, brief=False)

    @rule(index=workers, other=workers, taken=st.booleans(), commits=st.booleans())
    def stall(self, index: int, other: int, *, taken: bool, commits: bool) -> None:
        """Let a worker resume after its lease has expired, perhaps with a newer one granted."""
        self.poll(index, "age", "seen", short=True, lost=False)
        self.pass_time()
        if taken:
            self.poll(other, "age", "seen", short=False, lost=index == other)
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
        """Let a worker fail; after the cool-down, let another one succeed and then poll again."""
        self.poll(index, "age", "seen", short=False, lost=False)
        self.fail(index, short=True, mismatch=mismatch)
        self.pass_time()
        self.refresh(other, "age", 2)

    @rule(failing=some_workers, other=workers, first=causes, then=causes)
    def despair(self, failing: list[int], other: int, first: Cause, then: Cause) -> None:
        """Let one or two workers fail, with a long cool-down, in which one of the three polls."""
        for index in failing:
            self.poll(index, first, "seen", short=False, lost=False)
            self.fail(index, short=False, mismatch=False)
        self.poll(other, then, "seen", short=False, lost=False)

    @precondition(lambda self: declares(self.rig, "pass_time"))
    @rule(index=workers, other=workers, cause=causes, commits=st.booleans())
    def linger(self, index: int, other: int, cause: Cause, *, commits: bool) -> None:
        """Let a worker renew its lease for long, another one poll, and the first one finish."""
        self.poll(index, "age", "seen", short=False, lost=False)
        self.wait(LEASE * 1.1)
        self.poll(index, "age", "seen", short=False, lost=False)
        self.poll(other, cause, "seen", short=False, lost=False)
        if commits:
            self.commit(index, b"slow", short=False, brief=False)
        else:
            self.fail(index, short=False, mismatch=False)
        self.poll(other, cause, "seen", short=False, lost=False)

    @rule(index=workers)
    def restart(self, index: int) -> None:
        """Kill a worker and start another one in its place."""
        self.crew[index].forget()

    @rule()
    def pass_time(self) -> None:
        """Let all short leases, cool-downs, windows and documents expire."""
        self.wait(self.short * 1.1)

    @precondition(lambda self: declares(self.rig, "wipe"))
    @rule()
    def wipe(self) -> None:
        """Lose everything stored, which takes a moment."""
        self.pass_time()
        self.run(self.rig.wipe())
        self.model.wipe()

    def wait(self, seconds: float) -> None:
        """Let time pass, for the store and the model."""
        self.run(self.rig.pass_time(seconds))
        self.model.pass_time(seconds)

    async def ask(
        self, worker: Worker, cause: Cause | None, known: int, *,
        short: bool = False, lost: bool = False,
    ) -> Polled:  # fmt: skip
        """Poll, and let the worker see the answer unless it is lost."""
        ttl = self.short if short else LONG
        request = None if cause is None else requested(worker.holder, ttl=ttl, cause=cause)
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
                assert 0 < retry_after <= (REPAIR_INTERVAL if cause == "repair" else LONG)
            case _:
                pass
        return Polled(known, request, answer)

    def check_fence(self, holder: str, lease: Lease) -> None:
        """A new lease has a higher fence than any before, whatever happened to the store."""
        again = (holder, lease.fence) == self.last
        assert again or lease.fence > self.last[1], "fences do not increase"
        self.last = holder, lease.fence

    async def put(
        self, worker: Worker, payload: bytes, *, short: bool = False, brief: bool = False
    ) -> Committed:
        """Commit a result under the worker's lease. `brief` means that the budget refills soon."""
        lease = worker.lease
        assert lease is not None
        ttl, window = self.short if short else LONG, self.short if brief else LONG
        version = await worker.store.commit(lease, payload, ttl=ttl, window=window)
        worker.known = max(worker.known, version or 0)
        took = (self.model.now - worker.began) / MICRO
        return Committed(lease, payload, took, ttl, window, version)

    async def report_failure(
        self, worker: Worker, *, short: bool = False, mismatch: bool = False
    ) -> Failed:
        """Report that the fetch failed."""
        lease, cooldown = worker.lease, self.short if short else LONG
        assert lease is not None
        await worker.store.fail(lease, retry_after=cooldown, mismatch=mismatch)
        return Failed(lease, cooldown, mismatch)

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Run a call to a store."""
        return self.runner.run(call)


class Interleavings(Suite):
    """Three workers act at random, in `examples` sequences: a slow store may set fewer."""

    examples: ClassVar[int] = 50

    def test_interleavings(self) -> None:
        """The rules allow each answer, in some order in which the calls can have been made."""
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
