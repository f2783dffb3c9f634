"""What a worker knows of its store: whether it answers, and who holds the lease. Reports both."""

import logging
from math import inf
from typing import Literal

from auth_jwks._cache.announce import announce, fields
from auth_jwks._cache.status import StoreStatus
from auth_jwks._clock import Clock
from auth_jwks.events import (
    BreakerChanged,
    LeaseChange,
    LeaseChanged,
    Observer,
    StoreFailed,
    StoreFault,
)
from auth_jwks.stores._names import store_name
from auth_jwks.stores.base import Answer, Busy, KeyStore
from auth_jwks.stores.memory import MemoryKeyStore

__all__ = ["StoreWatch"]

FAILURE_INTERVAL = 60.0  # seconds between two log lines about failed calls

logger = logging.getLogger("auth_jwks")


class StoreWatch:
    """Follows one store for one source, and sends the events about it.

    The lines about failed calls are few: strangers can cause a call each second.
    """

    def __init__(
        self,
        store: KeyStore,
        source: str,
        clock: Clock,
        observer: Observer | None,
    ) -> None:
        self.fetched = _never  # when the current keys were
        self.holds_lease = False
        self._store = store_name(store)
        self._is_shared = not isinstance(store, MemoryKeyStore)  # else there is no fleet
        self._source = source
        self._clock = clock
        self._observer = observer
        self._is_open = self._waits = False
        self._changes: list[LeaseChange] = []
        self._fault: str | None = None
        self._failed_at = self._silent_until = -inf
        self._untold = 0

    def __repr__(self) -> str:
        return f"StoreWatch({self._store!r}, open={self._is_open}, fault={self._fault!r})"

    def status(self) -> StoreStatus:
        """Return the state, without I/O."""
        ago = None if self._fault is None else self._clock.monotonic() - self._failed_at
        return StoreStatus(self._store, self._is_open, self._fault, ago, self.holds_lease)

    def failed(
        self,
        operation: Literal["poll", "commit", "fail"],
        kind: StoreFault,
        reason: str,
        *,
        opened: bool | None,
    ) -> None:
        """Report a failed call. `opened`: whether the breaker is open, None if that is unknown."""
        event = StoreFailed(self._source, self._store, operation, kind, reason)
        announce(event, self._observer)
        if kind != "resting":
            self._fault, self._failed_at = reason, self._clock.monotonic()
            self._log(event)
        if opened is not None:
            self._turn(is_open=opened)

    def answered(self) -> None:
        """Note that the store works."""
        self._turn(is_open=False)

    def polled(self, answer: Answer) -> None:
        """Report that another worker's lease keeps this one waiting, once for each wait."""
        waited, self._waits = self._waits, isinstance(answer, Busy)
        if self._waits and not waited:
            self.lease("waited")
            self.tell()

    def lease(self, change: LeaseChange) -> None:
        """Record how the lease ended."""
        if self._is_shared:
            self._changes.append(change)

    def tell(self) -> None:
        """Report how the lease ended. Not while it is held: no fleet waits for an observer."""
        changes, self._changes = self._changes, []
        for change in changes:
            announce(LeaseChanged(self._source, change), self._observer)

    def _turn(self, *, is_open: bool) -> None:
        if is_open is self._is_open:
            return
        self._is_open = is_open
        change: Literal["opened", "closed"] = "opened" if is_open else "closed"
        event = BreakerChanged(self._source, self._store, change)
        announce(event, self._observer)
        if is_open:
            text = "the key store %s is left alone for a while (%s); for %s %s"
            fault, going_on = self._fault, self._going_on()
            logger.warning(
                text, self._store, fault, self._source, going_on, extra=fields(event)
            )  # fmt: skip
        else:
            text = "the key store %s answers again, for %s"
            logger.info(text, self._store, self._source, extra=fields(event))

    def _log(self, event: StoreFailed) -> None:
        now = self._clock.monotonic()
        if now < self._silent_until:
            self._untold += 1
            return
        since = f"; {self._untold} more since the last such line" if self._untold else ""
        self._silent_until, self._untold = now + FAILURE_INTERVAL, 0
        text = "the key store %s failed to %s for %s: %s; %s%s"
        logger.warning(
            text, self._store, event.operation, self._source, event.reason, self._going_on(), since,
            extra=fields(event),
        )  # fmt: skip

    def _going_on(self) -> str:
        """Return what continues to work."""
        fetched = self.fetched()
        if fetched == -inf:
            return "this worker asks the provider itself"
        return f"serving keys of {self._clock.monotonic() - fetched:.0f} s ago"


def _never() -> float:
    return -inf
