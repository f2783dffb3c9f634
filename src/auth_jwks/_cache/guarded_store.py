"""The store as one worker sees it: its calls are limited in time and never raise.

While the store is down, a gate in this worker's memory takes its place.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf
from typing import Any, Literal, TypeVar

from auth_jwks._cache.freshness import STORELESS_INTERVAL, Policy
from auth_jwks._cache.observers import during
from auth_jwks._cache.store_watch import StoreWatch
from auth_jwks._clock import Clock, patience, runs
from auth_jwks.events import Observer, StoreFault
from auth_jwks.stores.base import (
    Answer,
    Busy,
    Cause,
    Cooling,
    Granted,
    KeyStore,
    Lease,
    LeaseRequest,
    StoreUnavailable,
)
from auth_jwks.stores.gate import microseconds
from auth_jwks.stores.memory import MemoryKeyStore

__all__ = ["GuardedStore", "Held"]

T = TypeVar("T")


class Held:
    """A lease, and the store that granted it. After a renewal it may be another lease."""

    __slots__ = ("lease", "store")

    def __init__(self, store: KeyStore, lease: Lease) -> None:
        self.store = store
        self.lease = lease

    def renew(self, lease: Lease) -> None:
        """Hold that lease now. The work under it began under the first one."""
        self.lease = replace(lease, started=self.lease.started)


class GuardedStore:
    """One key of a store, as one worker sees it.

    Stores limit their own calls. The policy's `store_patience`, in real seconds, is for a store
    that does not.
    """

    def __init__(
        self,
        store: KeyStore,
        key: str,
        *,
        name: str,
        deadline: float,
        policy: Policy,
        clock: Clock,
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer
        self.watch = StoreWatch(store, name, clock, observer)
        self._known = 0
        self._store = store
        self._stand_in = MemoryKeyStore(timer=clock.monotonic)
        self._key = key
        self._name = name
        self._deadline = deadline
        self._policy = policy
        self._clock = clock
        self._storeless_until = -inf
        self._holder: tuple[int, asyncio.AbstractEventLoop, str] | None = None
        self._leased = 0, -inf

    def __repr__(self) -> str:
        return f"GuardedStore({self._name!r}, known={self.known})"

    @property
    def known(self) -> int:
        """The highest version seen in the store, usable or not; 0 for none."""
        return self._known

    def see(self, version: int) -> None:
        """Record a version that the store holds."""
        self._known = version

    async def ask(
        self, cause: Cause | None, *, attempts: int, is_urgent: bool = False
    ) -> tuple[KeyStore, Answer]:
        """Poll, for a lease unless `cause` is None, and return the store that answered.

        While the store is down, this worker's own gate answers in its place. If it `is_urgent`,
        because tokens wait for keys, the failures of others don't block it: it becomes a search.
        """
        request = None
        if cause is not None:
            request = LeaseRequest(self._lease_holder(), self._policy.lease, cause)
        for _ in range(attempts):
            answer = await self._poll(self._store, request)
            if request is not None and cause == "age" and is_urgent and _others_failed(answer):
                request = replace(request, cause="unknown_kid")
                found = await self._poll(self._store, request)
                answer = answer if isinstance(found, Cooling) else found
            if answer is not None:
                return self._store, self._without_overdue(answer)
        now = self._clock.monotonic()
        if cause == "age" and now < self._storeless_until:
            return self._stand_in, Cooling(self._storeless_until - now, "budget")
        return self._stand_in, await self._answer_here(request)

    async def look(self) -> Answer | None:
        """Ask for a newer document only."""
        return await self._poll(self._store, None)

    @asynccontextmanager
    async def renewing(self, held: Held) -> AsyncIterator[None]:
        """Keep the lease alive while a fetch runs. The fetch has a deadline of its own."""
        done = asyncio.Event()
        renewal = asyncio.ensure_future(self._renew(held, done))
        self.watch.holds_lease = held.store is self._store
        try:
            yield
        finally:
            self.watch.holds_lease = False
            # A store may swallow the cancellation: `asyncio.wait_for` before Python 3.12 does.
            done.set()
            renewal.cancel()
            await asyncio.wait((renewal,))

    async def commit(self, held: Held, payload: bytes, *, ttl: float, window: float) -> int | None:
        """Share a document. Return its version, None if another lease superseded this one.

        The version is 0 if the document is not in the store.
        """

        def call() -> Coroutine[Any, Any, int | None]:
            return held.store.commit(held.lease, payload, ttl=ttl, window=window)

        version: int | None
        if held.store is self._store:
            version = await self._guarded("commit", call, 0)
            self._known = version or self._known
            if version is None:
                self.watch.lease("superseded")
            self.watch.tell()
            return version
        version = await call()
        # While the store is down each worker fetches for itself, but no more often than this,
        # however short-lived the keys; half their total life at most.
        self._storeless_until = self._clock.monotonic() + min(STORELESS_INTERVAL, ttl / 2)
        return None if version is None else 0

    async def fail(self, held: Held, *, retry_after: float, mismatch: bool) -> None:
        """Share a failure."""

        def call() -> Coroutine[Any, Any, None]:
            return held.store.fail(held.lease, retry_after=retry_after, mismatch=mismatch)

        if held.store is self._store:
            await self._guarded("fail", call, None)
        else:
            await call()
        self.watch.tell()

    def _without_overdue(self, answer: Answer) -> Answer:
        """Return the answer, but `Busy` for a lease of ours that is older than a refresh may be.

        Each refresh under it died with its event loop. It is left to expire, so that others may
        refresh.
        """
        self.watch.polled(answer)
        if not isinstance(answer, Granted):
            return answer
        now, lease = self._clock.monotonic(), answer.lease
        fence, since = self._leased
        if lease.fence != fence:
            self._leased = lease.fence, now
            self.watch.lease("granted")
        elif now - since > self._deadline:
            self._holder = None
            return Busy(lease.ttl)
        return answer

    def _lease_holder(self) -> str:
        """Return the name of this worker, so that a lost reply loses nothing.

        Another process is another holder, and so is a second event loop while the first one lives.
        """
        here = asyncio.get_running_loop()
        if self._holder is not None:
            pid, loop, name = self._holder
            if pid == os.getpid() and (loop is here or loop.is_closed()):
                return name
        name = os.urandom(16).hex()
        self._holder = os.getpid(), here, name
        return name

    async def _renew(self, held: Held, done: asyncio.Event) -> None:
        request = LeaseRequest(held.lease.holder, held.lease.ttl, "age")
        answer: Answer | None = None
        while not done.is_set() and (answer is None or isinstance(answer, Granted)):
            await self._clock.sleep(request.ttl / 3)
            answer = await self._poll(held.store, request)
            is_ours = isinstance(answer, Granted) and answer.lease.fence == held.lease.fence
            if answer is not None and not is_ours and held.store is self._store:
                self.watch.lease("lost")
            if isinstance(answer, Granted):
                # With another fence, if the lease had expired. The old fence no longer counts.
                held.renew(answer.lease)

    async def _answer_here(self, request: LeaseRequest | None) -> Answer:
        """Ask this worker's own gate for a lease. It has times of its own, and no documents."""
        known = microseconds(self._clock.monotonic())
        return await self._stand_in.poll(self._key, known=known, lease=request)

    async def _poll(self, store: KeyStore, request: LeaseRequest | None) -> Answer | None:
        if store is not self._store:
            return await self._answer_here(request)

        def call() -> Coroutine[Any, Any, Answer]:
            return store.poll(self._key, known=self.known, lease=request)

        answer: Answer | None = await self._guarded("poll", call, None)
        if answer is not None:
            self.watch.answered()
        return answer

    async def _guarded(
        self,
        operation: Literal["poll", "commit", "fail"],
        call: Callable[[], Coroutine[Any, Any, T]],
        default: T,
    ) -> T:
        """Return the store's answer, or `default` if it fails or breaks its contract."""
        kind: StoreFault
        opened = None
        loop = asyncio.get_running_loop()
        try:
            with during(self._observer, operation):
                async with patience(self._policy.store_patience):
                    return await call()
        except StoreUnavailable as fault:
            kind, reason = "resting" if fault.resting else "unavailable", str(fault)
            opened = fault.resting or fault.opened
        except TimeoutError as fault:
            kind, reason = "timeout", type(fault).__name__
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # This task was not cancelled: the store cancelled its own work.
            kind, reason = "cancelled", "CancelledError"
        except Exception as fault:  # noqa: BLE001 - stores are written by others
            kind, reason = "unexpected", type(fault).__name__
        if not runs(loop):
            raise GeneratorExit
        self.watch.failed(operation, kind, reason, opened=opened)
        return default


def _others_failed(answer: Answer | None) -> bool:
    return isinstance(answer, Cooling) and answer.reason != "budget"
