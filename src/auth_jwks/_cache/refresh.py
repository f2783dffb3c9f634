"""One refresh: ask the store, fetch under a lease, and share the result with the fleet.

`freshness` decides when, `key_cache` which calls wait. This module holds and replaces the keys.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from auth_jwks._cache.announce import announce
from auth_jwks._cache.answers import outcome_of
from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.freshness import (
    FIRST_COOLDOWN,
    GRACE,
    MAX_DRIFT,
    NO_FITTING_KEYS_COOLDOWN,
    NO_LIFE,
    REFRESH_POINT,
    Policy,
    failure_cooldown,
    lifetime,
    unscheduled_window,
)
from auth_jwks._cache.guarded_store import GuardedStore, Held
from auth_jwks._cache.outcome import Done, Failed, Outcome
from auth_jwks._cache.parsing import content_of, parsed
from auth_jwks._cache.purpose import Purpose
from auth_jwks._clock import Clock, LoopWatch, runs
from auth_jwks._jose.keys import KeySet, UnusableKeySetError, summary
from auth_jwks._provider.client import FetchError
from auth_jwks._provider.document import Document, encode
from auth_jwks._provider.key_source import KeySource
from auth_jwks.errors import IssuerMismatchError
from auth_jwks.events import (
    DocumentRejected,
    KeysRefreshed,
    Observer,
    RefreshFailed,
    RefreshFault,
)
from auth_jwks.stores.base import Busy, Cause, Granted, Newer, Unchanged

__all__ = ["Refresher"]

FIRST_POLL_PAUSE = 0.05
MAX_POLL_PAUSE = 0.4
# So many fetches in a row during which the event loop stood still count as nobody's failure.
MAX_STALLS = 3


class Refresher:
    """Holds the current key set and replaces it. Only one `run` may be active at a time."""

    def __init__(
        self,
        source: KeySource,
        store: GuardedStore,
        *,
        policy: Policy,
        allowed: frozenset[str],
        clock: Clock,
        observer: Observer | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.source = source
        self.store_status = store.watch.status
        store.watch.fetched = lambda: self.current.life.fetched
        self.current = CurrentKeys()
        self._has_version = False  # whether the current set is in the store, or came from it
        self._store = store
        self._unfit, self._unfit_reason = NO_LIFE, ""
        self._failures = self._stalls = 0
        self._policy = policy
        self._allowed = allowed
        self._clock = clock
        self._observer = observer
        self._uniform = uniform

    def __repr__(self) -> str:
        return f"Refresher({self.source.name!r}, known={self.known})"

    @property
    def known(self) -> int:
        """The highest version seen in the store, usable or not; 0 for none."""
        return self._store.known

    async def run(self, purpose: Purpose) -> Outcome:
        """Refresh until the purpose is met, or return why it is not."""
        loop = asyncio.get_running_loop()
        try:
            outcome = await self._run(purpose)
        except Exception as fault:  # a cool-down must follow any fault
            if not runs(loop):
                raise GeneratorExit from fault
            return self._failed("unexpected", f"unexpected {type(fault).__name__}", FIRST_COOLDOWN)
        # None: the process stood still during the fetch, and everything may have changed since.
        return await self.run(purpose) if outcome is None else outcome

    async def _run(self, purpose: Purpose) -> Outcome | None:
        ends_at = self._clock.monotonic() + self._policy.lease + self.source.deadline + GRACE
        pause = FIRST_POLL_PAUSE
        cause = purpose.cause
        seen = {self.known}
        while True:
            sent = self._clock.monotonic()
            # The current set holds no key that we may use; fetching it again would not change that.
            unfit = cause == "age" and sent < self._unfit.refresh_at
            store, answer = await self._store.ask(
                None if unfit else cause,
                attempts=2 if self.current.document is None else 1,
                is_urgent=sent >= self.current.life.dies,
            )
            match answer:
                case Newer() if answer.version in seen:
                    return Failed("the key store returned the same version twice", GRACE)
                case Newer():
                    seen.add(answer.version)
                    if not await self._adopt(answer, sent):
                        cause = cause or "repair"
                    elif purpose.is_met(self.current, self._clock.monotonic()):
                        return Done()
                case Granted():
                    return await self._fetch(Held(store, answer.lease), cause)
                case Unchanged() if unfit:
                    return self._no_fitting_keys()
                case Busy() if cause != "age" or not self._is_fresh():
                    left = ends_at - sent
                    await self._clock.sleep(min(left, self._uniform(pause / 2, pause)))
                    pause = min(self._max_pause(cause), pause * 2)
                case _:
                    return outcome_of(answer, looking=cause is None)
            if sent >= ends_at:
                return Failed("no worker fetched the keys in time", GRACE)

    def _max_pause(self, cause: Cause | None) -> float:
        """While stale keys are usable, no call waits for long, so the store is asked less often."""
        usable = cause == "age" and self._clock.monotonic() < self.current.life.dies
        return self._policy.lease if usable else MAX_POLL_PAUSE

    def _is_fresh(self) -> bool:
        return self._clock.monotonic() < self.current.life.expires

    async def _adopt(self, stored: Newer, sent: float) -> bool:
        """Adopt the stored set unless ours is younger. Return False if it is unusable."""
        fetched = self._fetched(stored, sent)
        if fetched is None:
            self._store.see(stored.version)
            return True
        try:
            content = await content_of(stored, self.source, self._allowed)
        except Exception:
            self._store.see(stored.version)  # else each refresh would fail at the same document
            raise
        # Not before: a refresh that is lost amid the parsing has seen nothing.
        self._store.see(stored.version)
        if isinstance(content, DocumentRejected):
            announce(content, self._observer)
            return False
        self._tell(self._replace(*content, fetched, "store"))
        return True

    def _fetched(self, stored: Newer, sent: float) -> float | None:
        """Return when the fetch of the stored set began, at the earliest; None if not after ours.

        Its age was stated at some time since `sent`. If that leaves open which of the two sets is
        younger, it is the one with the higher version.
        """
        age, ours = max(0.0, stored.age), self.current.life.fetched
        if self._has_version and self._clock.monotonic() - age > ours:
            return max(ours, sent - age)
        return sent - age if sent - age > ours else None

    async def _keys_of(self, document: Document) -> KeySet:
        if document is self.current.document:
            return self.current.key_set
        return await parsed(document, self.source, self._allowed)

    def _replace(
        self, document: Document, keys: KeySet, fetched: float,
        origin: Literal["provider", "store"], *, told: bool = False,
    ) -> KeysRefreshed | None:  # fmt: skip
        """Replace the current set, unless it was fetched later, or this one has no key for us.

        Return the event about it. None if this very set was `told` before: it only becomes younger.
        """
        share = self._uniform(*REFRESH_POINT)
        life = lifetime(
            self._policy, fetched=fetched, max_age=document.max_age, refresh_ahead=share
        )
        if not keys.keys:
            self._unfit, self._unfit_reason = life, summary(keys.skipped)
        elif fetched >= self.current.life.fetched:
            now = self._clock.monotonic()
            age, due_wall = now - fetched, self._clock.time() + life.refresh_at - now
            if told:
                self.current = self.current.living(life, due_wall)
                return None
            self.current = CurrentKeys(keys, life, document, document.issuer, due_wall)
            self._has_version = origin == "store"
            return KeysRefreshed(
                self.source.name, origin, len(keys.keys), keys.skipped, age, 0, life.dies - now
            )
        return None

    def _tell(self, refreshed: KeysRefreshed | None) -> None:
        if refreshed is not None:
            version = self.known if self._has_version else 0
            announce(replace(refreshed, version=version), self._observer)

    async def _fetch(self, held: Held, cause: Cause | None) -> Outcome | None:
        """Fetch under a lease. None if the process stood still: no failure counts, no age is known.

        After a sleep that the clock for intervals didn't count, an old set would look new.
        """
        began, wall = self._clock.monotonic(), self._clock.time()
        stated: float | None = None
        kind: RefreshFault
        watch = LoopWatch(asyncio.get_running_loop())
        try:
            async with self._store.renewing(held):
                document = await self.source.fetch(
                    self.current.document,
                    past_caches=cause in {"unknown_kid", "forced"},
                    revalidate=cause != "forced",
                )
            is_same = document is self.current.document
            keys = await self._keys_of(document)
        except FetchError as fault:
            kind, reason, stated = fault.kind, fault.reason, fault.retry_after
        except UnusableKeySetError as fault:
            kind, reason = "unusable_keys", str(fault)
        except IssuerMismatchError as fault:
            kind, reason = "issuer_mismatch", str(fault)
        else:
            if self._has_slept(began, wall):
                return None
            told, self._failures, self._stalls = is_same and not self._failures, 0, 0
            refreshed = self._replace(document, keys, began, "provider", told=told)
            try:
                version = await self._commit(held, document)
                self._has_version = self._has_version or bool(refreshed and version)
            finally:  # not before: the fleet must not wait for an observer
                self._tell(refreshed)
            return Done() if keys.keys else self._no_fitting_keys()
        finally:
            watch.close()
        has_stood = watch.stalled or self._has_slept(began, wall)
        if has_stood and self._stalls < MAX_STALLS:
            self._stalls += 1
            return None
        return await self._share_failure(held, kind, reason, stated)

    async def _share_failure(
        self, held: Held, kind: RefreshFault, reason: str, stated: float | None
    ) -> Failed:
        self._stalls = 0
        failures, self._failures = self._failures, self._failures + 1
        jitter, mismatch = self._uniform(0.0, 1.0), kind == "issuer_mismatch"
        shared = failure_cooldown(held.lease.failures, stated, jitter)
        await self._store.fail(held, retry_after=shared, mismatch=mismatch)
        # A worker that fails repeatedly slows itself down, and not the others.
        own = failure_cooldown(max(failures, held.lease.failures), stated, jitter)
        return self._failed(kind, reason, own)

    def _has_slept(self, since: float, wall: float) -> bool:
        """Return whether the machine has slept since that moment, by both clocks."""
        now = self._clock.monotonic()
        return self._clock.time() - wall - (now - since) > MAX_DRIFT

    async def _commit(self, held: Held, document: Document) -> int | None:
        """Share the set, and return its version. If there is none, adopt the one stored instead."""
        ttl = self._policy.cache_ttl + self._policy.max_stale
        window = unscheduled_window(self._policy)
        payload = encode(document)
        version = await self._store.commit(held, payload, ttl=ttl, window=window)
        if version is None:
            sent = self._clock.monotonic()
            answer = await self._store.look()
            if isinstance(answer, Newer):
                await self._adopt(answer, sent)
        return version

    def _no_fitting_keys(self) -> Failed:
        """Report that none of our `allowed_algorithms` fits the set.

        Only this worker backs off; the set may be usable for the rest of the fleet, so no cool-down
        is shared.
        """
        reason = f"no published key fits allowed_algorithms: {self._unfit_reason}"
        return self._failed("no_fitting_keys", reason, NO_FITTING_KEYS_COOLDOWN)

    def _failed(self, kind: RefreshFault, reason: str, cooldown: float) -> Failed:
        announce(RefreshFailed(self.source.name, kind, reason, cooldown), self._observer)
        return Failed(reason, cooldown, mismatch=kind == "issuer_mismatch", here=True, kind=kind)
