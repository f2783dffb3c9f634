"""What one worker asks of the store: bounded in time, never raising, and with a stand-in."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from math import inf
from typing import Any, Literal, TypeVar

from auth_jwks._clock import Clock, patience
from auth_jwks.events import Observer, StoreFailed, emit
from auth_jwks.stores.base import (
    Answer,
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

__all__ = ["Sharing"]

T = TypeVar("T")

ALONE_APART = 30.0


class Sharing:
    """One key of a store, as one worker sees it; `known` is the highest version it has seen.

    Stores bound their own calls; `patience` is for one that doesn't, and in real seconds.
    """

    def __init__(
        self,
        store: KeyStore,
        key: str,
        *,
        name: str,
        lease: float,
        patience: float,
        clock: Clock,
        observer: Observer | None,
    ) -> None:
        self.known = 0
        self._store = store
        self._alone = MemoryKeyStore(timer=clock.monotonic)
        self._key = key
        self._name = name
        self._lease = lease
        self._patience = patience
        self._clock = clock
        self._observer = observer
        self._alone_until = -inf
        self._holder: tuple[int, asyncio.AbstractEventLoop, str] | None = None

    def __repr__(self) -> str:
        return f"Sharing({self._name!r}, known={self.known})"

    async def ask(self, cause: Cause | None, *, attempts: int) -> tuple[KeyStore, Answer]:
        """Poll, for a lease unless `cause` is None, and tell which store answered.

        While the store is down a gate of this worker's own stands in for it.
        """
        request = None
        if cause is not None:
            request = LeaseRequest(self._holder_id(), self._lease, cause)
        for _ in range(attempts):
            answer = await self._poll(self._store, request)
            if answer is not None:
                return self._store, answer
        now = self._clock.monotonic()
        if cause == "age" and now < self._alone_until:
            return self._alone, Cooling(self._alone_until - now, "budget")
        known = microseconds(now)
        return self._alone, await self._alone.poll(self._key, known=known, lease=request)

    async def look(self) -> Answer | None:
        """Ask for a newer document only."""
        return await self._poll(self._store, None)

    @asynccontextmanager
    async def renewing(self, store: KeyStore, lease: Lease) -> AsyncIterator[None]:
        """Keep the lease alive while a fetch runs, which has a deadline of its own."""
        over = asyncio.Event()
        renewal = asyncio.ensure_future(self._renew(store, lease, over))
        try:
            yield
        finally:
            # A store may lose the cancellation: before Python 3.12 `asyncio.wait_for` does.
            over.set()
            renewal.cancel()
            await asyncio.wait((renewal,))

    async def commit(
        self, store: KeyStore, lease: Lease, payload: bytes, *, ttl: float, window: float
    ) -> bool:
        """Share a document; False if another lease superseded this one."""
        version: int | None = await self._guarded(
            "commit", lambda: store.commit(lease, payload, ttl=ttl, window=window), 0
        )
        self._holder = None
        if store is self._store:
            self.known = version or self.known
        else:
            # Each worker of the fleet fetches for itself now; keys of short life are no reason
            # to do so more often than this, as far as their stale life allows.
            self._alone_until = self._clock.monotonic() + min(ALONE_APART, ttl / 2)
        return version is not None

    async def fail(
        self, store: KeyStore, lease: Lease, *, retry_after: float, mismatch: bool
    ) -> None:
        """Share a failure."""
        await self._guarded(
            "fail", lambda: store.fail(lease, retry_after=retry_after, mismatch=mismatch), None
        )
        self._holder = None

    def _holder_id(self) -> str:
        """Return the same id until the lease is used up, so that a lost reply loses nothing.

        Another process, or a loop beside a living one, is another holder.
        """
        loop = asyncio.get_running_loop()
        if self._holder is not None:
            pid, owner, holder = self._holder
            if pid == os.getpid() and (owner is loop or owner.is_closed()):
                return holder
        holder = secrets.token_hex(16)
        self._holder = os.getpid(), loop, holder
        return holder

    async def _renew(self, store: KeyStore, lease: Lease, over: asyncio.Event) -> None:
        request = LeaseRequest(lease.holder, lease.ttl, "age")
        answer: Answer | None = Granted(lease)
        while not over.is_set() and (answer is None or isinstance(answer, Granted)):
            await self._clock.sleep(lease.ttl / 3)
            answer = await self._poll(store, request)

    async def _poll(self, store: KeyStore, request: LeaseRequest | None) -> Answer | None:
        def call() -> Coroutine[Any, Any, Answer]:
            return store.poll(self._key, known=self.known, lease=request)

        return await self._guarded("poll", call, None)

    async def _guarded(
        self,
        operation: Literal["poll", "commit", "fail"],
        call: Callable[[], Coroutine[Any, Any, T]],
        default: T,
    ) -> T:
        """Return the store's answer; a store that breaks down, or its contract, is unavailable."""
        try:
            async with patience(self._patience):
                return await call()
        except StoreUnavailable as fault:
            reason = str(fault)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not ours: the store gave itself up.
            reason = "CancelledError"
        except Exception as fault:  # noqa: BLE001 - stores are written by others
            reason = type(fault).__name__
        emit(StoreFailed(self._name, operation, reason), self._observer)
        return default
