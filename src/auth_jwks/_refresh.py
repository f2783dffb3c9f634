"""One refresh, carried out: ask the store, fetch under a lease, tell the fleet.

`_freshness` says when, `_key_cache` who waits; this module holds the key set and replaces it.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar, assert_never

from auth_jwks._clock import Clock
from auth_jwks._document import Document, decode, encode
from auth_jwks._freshness import Lifetime, Policy, failure_cooldown, lifetime, noise_window
from auth_jwks._keys import KeySet, UnusableKeySetError, parse_key_set
from auth_jwks._source import FetchError, Source
from auth_jwks.errors import IssuerMismatchError
from auth_jwks.events import (
    DocumentRejected,
    KeysRefreshed,
    Observer,
    RefreshFailed,
    StoreFailed,
    emit,
)
from auth_jwks.stores.base import (
    Answer,
    Busy,
    Cause,
    Cooling,
    Granted,
    KeyStore,
    Lease,
    LeaseRequest,
    Newer,
    StoreUnavailable,
    Unchanged,
)
from auth_jwks.stores.memory import MemoryKeyStore

__all__ = ["Deferred", "Done", "Failed", "Held", "Outcome", "Refresher"]

T = TypeVar("T")

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.5
MARGIN = 1.0
NO_KEYS = KeySet(())


@dataclass(frozen=True, slots=True)
class Held:
    """The key set of this worker; the default is none, with no key and no life.

    `issuer` is the one tokens are held to, None if unknown.
    """

    keys: KeySet = NO_KEYS
    life: Lifetime = Lifetime()
    document: Document | None = None
    issuer: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What was asked for is there."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Another worker is at it, or enough refreshes were made: ask again later."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class Failed:
    """No refresh for that long; `here` if it was this worker that tried."""

    reason: str
    retry_after: float
    mismatch: bool = False
    here: bool = False


Outcome = Done | Deferred | Failed


class Refresher:
    """The key set at hand and the ways to replace it. One `run` at a time."""

    def __init__(
        self,
        source: Source,
        store: KeyStore,
        *,
        policy: Policy,
        allowed: frozenset[str],
        clock: Clock,
        observer: Observer | None,
        uniform: Callable[[float, float], float],
    ) -> None:
        self.source = source
        self.held = Held()
        self.known = 0
        self._store = store
        self._alone = MemoryKeyStore(timer=clock.monotonic)
        self._policy = policy
        self._allowed = allowed
        self._clock = clock
        self._observer = observer
        self._uniform = uniform
        self._token: tuple[int, str] | None = None

    async def run(self, cause: Cause | None, satisfied: Callable[[], bool]) -> Outcome:
        """Refresh until `satisfied`, or say why not; `cause` None only looks into the store."""
        give_up = self._clock.monotonic() + self._policy.lease + self.source.deadline + MARGIN
        pause = FIRST_PAUSE
        while True:
            sent = self._clock.monotonic()
            store, answer = await self._ask(cause)
            match answer:
                case Newer():
                    if not self._adopt(answer, sent):
                        cause = cause or "repair"
                    if satisfied():
                        return Done()
                case Granted():
                    return await self._fetch(store, answer.lease)
                case Busy() if cause != "age" or not self._is_fresh(sent):
                    await self._clock.sleep(self._uniform(pause / 2, pause))
                    pause = min(LONGEST_PAUSE, pause * 2)
                case _:
                    return _ended(answer, looking=cause is None)
            if sent >= give_up:
                return Failed("no worker brought the keys in time", MARGIN)

    async def _ask(self, cause: Cause | None) -> tuple[KeyStore, Answer]:
        """Poll the store; while it is down, a gate of this worker's own stands in for it."""
        request = None
        if cause is not None:
            request = LeaseRequest(self._lease_token(), self._policy.lease, cause)
        key = self.source.key
        for _ in range(2 if self.held.document is None else 1):
            poll = self._store.poll(key, known=self.known, lease=request)
            answer = await self._guarded("poll", poll, None)
            if answer is not None:
                return self._store, answer
        known = round(self._clock.monotonic() * 1e6)
        return self._alone, await self._alone.poll(key, known=known, lease=request)

    def _lease_token(self) -> str:
        """Return the same token until the lease is used up, so that a lost reply loses nothing."""
        if self._token is None or self._token[0] != os.getpid():
            self._token = os.getpid(), secrets.token_hex(16)
        return self._token[1]

    def _is_fresh(self, now: float) -> bool:
        return now < self.held.life.expires

    def _adopt(self, stored: Newer, sent: float) -> bool:
        """Take over what another worker fetched, unless ours is younger; tell if it is usable."""
        self.known = stored.version
        fetched = sent - stored.age
        if fetched <= self.held.life.fetched:
            return True
        document = decode(stored.payload)
        fault = "not in our format" if document is None else self.source.fault_in(document)
        if document is not None and fault is None:
            try:
                keys = parse_key_set(document.jwks, self._allowed)
            except UnusableKeySetError as unusable:
                fault = str(unusable)
            else:
                self._hold(document, keys, fetched, "store")
                return True
        emit(DocumentRejected(self.source.name, fault or ""), self._observer)
        return False

    def _hold(
        self, document: Document, keys: KeySet, fetched: float, origin: Literal["provider", "store"]
    ) -> None:
        """Replace the set at hand, unless it was fetched later."""
        if fetched < self.held.life.fetched:
            return
        share = self._uniform(0.75, 0.9)
        life = lifetime(
            self._policy, fetched=fetched, max_age=document.max_age, refresh_ahead=share
        )
        self.held = Held(keys, life, document, document.issuer)
        age = self._clock.monotonic() - fetched
        event = KeysRefreshed(self.source.name, origin, len(keys.keys), keys.skipped, age)
        emit(event, self._observer)

    async def _fetch(self, store: KeyStore, lease: Lease) -> Outcome:
        began = self._clock.monotonic()
        stated, mismatch = None, False
        try:
            async with self._renewing(store, lease):
                document = await self.source.fetch(self.held.document)
            keys = parse_key_set(document.jwks, self._allowed)
        except FetchError as fault:
            reason, stated = fault.reason, fault.retry_after
        except UnusableKeySetError as fault:
            reason = str(fault)
        except IssuerMismatchError as fault:
            reason, mismatch = str(fault), True
        else:
            self._hold(document, keys, began, "provider")
            await self._commit(store, lease, document)
            return Done()
        return await self._fail(store, lease, reason, stated, mismatch=mismatch)

    @asynccontextmanager
    async def _renewing(self, store: KeyStore, lease: Lease) -> AsyncIterator[None]:
        """Keep the lease alive while the fetch runs, which has a deadline of its own."""
        renewal = asyncio.ensure_future(self._renew(store, lease))
        try:
            yield
        finally:
            renewal.cancel()
            await asyncio.wait((renewal,))

    async def _renew(self, store: KeyStore, lease: Lease) -> None:
        request = LeaseRequest(lease.token, lease.ttl, "age")
        answer: Answer | None = Granted(lease)
        while answer is None or isinstance(answer, Granted):
            await self._clock.sleep(lease.ttl / 3)
            poll = store.poll(lease.key, known=self.known, lease=request)
            answer = await self._guarded("poll", poll, None)

    async def _commit(self, store: KeyStore, lease: Lease, document: Document) -> None:
        """Share the set; if another lease superseded ours, look at what it brought."""
        version = await self._guarded(
            "commit",
            store.commit(
                lease,
                encode(document),
                ttl=self._policy.cache_ttl + self._policy.max_stale,
                cooldown=noise_window(self._policy),
            ),
            0,
        )
        self._token = None
        if store is not self._store:
            return
        if version is not None:
            self.known = max(self.known, version)
            return
        sent = self._clock.monotonic()
        poll = store.poll(lease.key, known=self.known, lease=None)
        answer = await self._guarded("poll", poll, None)
        if isinstance(answer, Newer):
            self._adopt(answer, sent)

    async def _fail(
        self, store: KeyStore, lease: Lease, reason: str, stated: float | None, *, mismatch: bool
    ) -> Failed:
        cooldown = failure_cooldown(lease.failures, stated, self._uniform(0.0, 1.0))
        await self._guarded("fail", store.fail(lease, retry_after=cooldown), None)
        self._token = None
        emit(RefreshFailed(self.source.name, reason, cooldown, mismatch), self._observer)
        return Failed(reason, cooldown, mismatch, here=True)

    async def _guarded(
        self, operation: Literal["poll", "commit", "fail"], call: Awaitable[T], default: T
    ) -> T:
        """Return the store's answer; a store that breaks down, or its contract, is unavailable."""
        try:
            return await call
        except StoreUnavailable as fault:
            reason = str(fault)
        except Exception as fault:  # noqa: BLE001 - stores are written by others
            reason = type(fault).__name__
        emit(StoreFailed(self.source.name, operation, reason), self._observer)
        return default


def _ended(answer: Unchanged | Busy | Cooling, *, looking: bool) -> Outcome:
    match answer:
        case Unchanged() if looking:
            return Done()
        case Unchanged():
            return Failed("the key store gave neither keys nor a lease", MARGIN)
        case Busy(retry_after):
            return Deferred(retry_after)
        case Cooling(retry_after, failed=True):
            return Failed("the last refresh failed", retry_after)
        case Cooling(retry_after):
            return Deferred(retry_after)
        case _:
            assert_never(answer)
