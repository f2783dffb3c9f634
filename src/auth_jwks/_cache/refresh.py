"""One refresh, carried out: ask the store, fetch under a lease, tell the fleet.

`freshness` says when, `key_cache` who waits; this module holds the key set and replaces it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, assert_never

from auth_jwks._cache.freshness import (
    FIRST_COOLDOWN,
    Lifetime,
    Policy,
    failure_cooldown,
    lifetime,
    unscheduled_window,
)
from auth_jwks._cache.guarded_store import Sharing
from auth_jwks._cache.held import Held
from auth_jwks._clock import Clock
from auth_jwks._jose.keys import KeySet, UnusableKeySetError, parse_key_set
from auth_jwks._provider.client import FetchError
from auth_jwks._provider.document import Document, decode, encode
from auth_jwks._provider.source import Source
from auth_jwks.errors import IssuerMismatchError
from auth_jwks.events import (
    DocumentRejected,
    KeysRefreshed,
    Observer,
    RefreshFailed,
    emit,
)
from auth_jwks.stores.base import (
    MAX_COOLDOWN,
    MAX_STORED,
    Busy,
    Cause,
    Cooling,
    Granted,
    KeyStore,
    Lease,
    Newer,
    Unchanged,
)

__all__ = ["Deferred", "Done", "Failed", "Outcome", "Refresher"]

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.4
MARGIN = 1.0
USELESS = 30.0
NO_LIFE = Lifetime()


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
        self._unfit = NO_LIFE
        self._policy = policy
        self._allowed = allowed
        self._clock = clock
        self._observer = observer
        self._uniform = uniform
        self._sharing = Sharing(
            store, source.key, name=source.name, lease=policy.lease,
            patience=policy.store_patience, clock=clock, observer=observer,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"Refresher({self.source.name!r}, known={self.known})"

    @property
    def known(self) -> int:
        """The highest version seen in the store, usable or not; 0 for none."""
        return self._sharing.known

    async def run(self, cause: Cause | None, satisfied: Callable[[], bool]) -> Outcome:
        """Refresh until `satisfied`, or say why not; `cause` None only looks into the store."""
        try:
            return await self._run(cause, satisfied)
        except Exception as fault:  # noqa: BLE001 - whatever broke, not every request may retry it
            return self._failed(f"unexpected {type(fault).__name__}", FIRST_COOLDOWN)

    async def _run(self, cause: Cause | None, satisfied: Callable[[], bool]) -> Outcome:
        give_up = self._clock.monotonic() + self._policy.lease + self.source.deadline + MARGIN
        pause = FIRST_PAUSE
        seen = {self.known}
        while True:
            sent = self._clock.monotonic()
            attempts = 2 if self.held.document is None else 1
            # A fresh fetch of keys that are good for others only would be good for nobody.
            unfit = cause == "age" and sent < self._unfit.refresh_at
            store, answer = await self._sharing.ask(None if unfit else cause, attempts=attempts)
            match answer:
                case Newer() if answer.version in seen:
                    return Failed("the key store repeats itself", MARGIN)
                case Newer():
                    seen.add(answer.version)
                    if not self._adopt(answer, sent):
                        cause = cause or "repair"
                    elif satisfied():
                        return Done()
                case Granted():
                    return await self._fetch(store, answer.lease)
                case Unchanged() if unfit:
                    return self._useless()
                case Busy() if cause != "age" or not self._is_fresh():
                    left = give_up - sent
                    await self._clock.sleep(min(left, self._uniform(pause / 2, pause)))
                    pause = min(self._longest_pause(cause), pause * 2)
                case _:
                    return _ended(answer, looking=cause is None)
            if sent >= give_up:
                return Failed("no worker brought the keys in time", MARGIN)

    def _longest_pause(self, cause: Cause | None) -> float:
        """Where stale keys serve nobody waits for long, and the store is spared the question."""
        serves = cause == "age" and self._clock.monotonic() < self.held.life.dies
        return self._policy.lease if serves else LONGEST_PAUSE

    def _is_fresh(self) -> bool:
        return self._clock.monotonic() < self.held.life.expires

    def _adopt(self, stored: Newer, sent: float) -> bool:
        """Take over what another worker fetched, unless ours is younger; tell if it is usable."""
        self._sharing.known = stored.version
        fetched = sent - max(0.0, stored.age)
        if fetched <= self.held.life.fetched:
            return True
        document, fault = None, stored.fault
        if fault is None:
            document = decode(stored.payload) if len(stored.payload) <= MAX_STORED else None
            fault = self.source.fault_in(document) if document else "it is not in our format"
        if document is not None and fault is None:
            try:
                keys = parse_key_set(document.jwks, self._allowed)
            except UnusableKeySetError as unusable:
                fault = str(unusable)
            else:
                if keys.keys:
                    self._hold(document, keys, fetched, "store")
                else:
                    self._unfit = self._life(document, fetched)
                return True
        emit(DocumentRejected(self.source.name, fault or ""), self._observer)
        return False

    def _hold(
        self, document: Document, keys: KeySet, fetched: float, origin: Literal["provider", "store"]
    ) -> None:
        """Replace the set at hand, unless it was fetched later."""
        if fetched < self.held.life.fetched:
            return
        self.held = Held(keys, self._life(document, fetched), document, document.issuer)
        age = self._clock.monotonic() - fetched
        event = KeysRefreshed(self.source.name, origin, len(keys.keys), keys.skipped, age)
        emit(event, self._observer)

    def _life(self, document: Document, fetched: float) -> Lifetime:
        share = self._uniform(0.75, 0.9)
        return lifetime(
            self._policy, fetched=fetched, max_age=document.max_age, refresh_ahead=share
        )

    async def _fetch(self, store: KeyStore, lease: Lease) -> Outcome:
        began = self._clock.monotonic()
        stated, mismatch = None, False
        try:
            async with self._sharing.renewing(store, lease):
                document = await self.source.fetch(self.held.document)
            keys = parse_key_set(document.jwks, self._allowed)
        except FetchError as fault:
            reason, stated = fault.reason, fault.retry_after
        except UnusableKeySetError as fault:
            reason = str(fault)
        except IssuerMismatchError as fault:
            reason, mismatch = str(fault), True
        else:
            if keys.keys:
                self._hold(document, keys, began, "provider")
            else:
                self._unfit = self._life(document, began)
            await self._commit(store, lease, document)
            return Done() if keys.keys else self._useless()
        return await self._fail(store, lease, reason, stated, mismatch=mismatch)

    async def _commit(self, store: KeyStore, lease: Lease, document: Document) -> None:
        """Share the set; if another lease superseded ours, look at what it brought."""
        ttl = self._policy.cache_ttl + self._policy.max_stale
        window = unscheduled_window(self._policy)
        payload = encode(document)
        if not await self._sharing.commit(store, lease, payload, ttl=ttl, window=window):
            sent = self._clock.monotonic()
            answer = await self._sharing.look()
            if isinstance(answer, Newer):
                self._adopt(answer, sent)

    async def _fail(
        self, store: KeyStore, lease: Lease, reason: str, stated: float | None, *, mismatch: bool
    ) -> Failed:
        cooldown = failure_cooldown(lease.failures, stated, self._uniform(0.0, 1.0))
        await self._sharing.fail(store, lease, retry_after=cooldown, mismatch=mismatch)
        return self._failed(reason, cooldown, mismatch=mismatch)

    def _useless(self) -> Failed:
        """Report keys that are good for others of the fleet only, who need not cool down for it."""
        return self._failed("allowed_algorithms fit none of the published keys", USELESS)

    def _failed(self, reason: str, cooldown: float, *, mismatch: bool = False) -> Failed:
        emit(RefreshFailed(self.source.name, reason, cooldown, mismatch), self._observer)
        return Failed(reason, cooldown, mismatch, here=True)


def _ended(answer: Unchanged | Busy | Cooling, *, looking: bool) -> Outcome:
    match answer:
        case Unchanged() if looking:
            return Done()
        case Unchanged():
            return Failed("the key store gave neither keys nor a lease", MARGIN)
        case Cooling(reason="mismatch"):
            reason = "issuer: another worker found that the discovery document names another"
            return Failed(reason, _believed(answer.retry_after), mismatch=True)
        case Cooling(reason="failed"):
            return Failed("the last refresh failed", _believed(answer.retry_after))
        case Busy() | Cooling():
            return Deferred(_believed(answer.retry_after))
        case _:
            assert_never(answer)


def _believed(seconds: float) -> float:
    """Return a store's number within what makes sense, and NaN as the least of it."""
    return min(MAX_COOLDOWN, max(MARGIN, seconds))
