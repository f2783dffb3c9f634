"""`MemoryKeyStore`: the verifiers of one process share one fetch."""

import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Self

from auth_jwks._clock import SYSTEM_CLOCK
from auth_jwks.stores import gate
from auth_jwks.stores.base import DAY, Answer, Lease, LeaseRequest
from auth_jwks.stores.gate import (
    MICRO,
    Record,
    committed,
    failed,
    microseconds,
    orphaned,
    polled,
)

if TYPE_CHECKING:
    from cachetools import TLRUCache

__all__ = ["MemoryKeyStore"]


class MemoryKeyStore:
    """Key sets in the memory of this process, at most `maxsize` of them.

    `timer` is the store's clock: monotonic seconds.
    """

    def __init__(
        self, *, maxsize: int = 1024, timer: Callable[[], float] = SYSTEM_CLOCK.monotonic
    ) -> None:
        self._timer = timer
        self._maxsize = maxsize
        self._pid = os.getpid()

    @cached_property
    def _records(self) -> "TLRUCache[str, Record]":
        from cachetools import TLRUCache

        return TLRUCache(self._maxsize, _kept_until, self._timer)

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Return the document if newer than `known`, else a lease, else why there is none."""
        started = self._timer()
        now, record = microseconds(started), self._record(key)
        self._records[key], answer = polled(record, now, key, known, lease, started=started)
        return answer

    async def commit(
        self, lease: Lease, payload: bytes, *, ttl: float, window: float
    ) -> int | None:
        """Store the document and return its version, or None if the lease was superseded."""
        now = self._timer()
        record, version = committed(
            self._record(lease.key), microseconds(now), lease, payload,
            took=now - lease.started, ttl=ttl, window=window,
        )  # fmt: skip
        self._records[lease.key] = record
        return version

    async def fail(self, lease: Lease, *, retry_after: float, mismatch: bool = False) -> None:
        """Turn the lease into a cool-down, if it is still live."""
        now, record = microseconds(self._timer()), self._record(lease.key)
        self._records[lease.key] = failed(record, now, lease, retry_after, mismatch=mismatch)

    async def aclose(self) -> None:
        """Drop all records."""
        self._records.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"MemoryKeyStore(keys={len(self._records)})"

    def _record(self, key: str) -> Record:
        if self._pid != os.getpid():
            # After a fork the lease holders live in the parent, which has its own records.
            self._pid = os.getpid()
            for other, record in list(self._records.items()):
                self._records[other] = orphaned(record)
        return self._records.get(key) or gate.EMPTY


def _kept_until(_key: str, record: Record, now: float) -> float:
    """Keep a record longer than its document, for the failures and fences in it."""
    return max(record.expires / MICRO, now + DAY)
