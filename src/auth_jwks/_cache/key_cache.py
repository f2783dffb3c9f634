"""The cache that gives each call its keys, or lets it wait: it carries out `freshness`' rules."""

import random
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import assert_never

from auth_jwks._cache.announce import announce
from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.freshness import (
    FAILED_WORKER_DELAY,
    MIN_RETRY_AFTER,
    Attempts,
    Bucket,
    Decision,
    Policy,
    Refuse,
    Serve,
    Wait,
    decide,
    hopeless,
    peek,
)
from auth_jwks._cache.purpose import FindKey, Look, Purpose, Renew, Replace
from auth_jwks._cache.refresh import Deferred, Done, Failed, Outcome, Refresher
from auth_jwks._cache.single_flight import Flight, FlightCancelledError, SingleFlight
from auth_jwks._cache.status import Status
from auth_jwks._clock import Clock
from auth_jwks._jose.keys import Key
from auth_jwks.errors import IssuerMismatchError, KeysUnavailableError, UnknownKeyError
from auth_jwks.events import Observer, StaleServed, UnknownKey

__all__ = ["KeyCache"]

MAX_JOINERS = 1000
UNKNOWN = "no published key fits the token"


class KeyCache:
    """The keys of one source: cached, refreshed by traffic, shared through a store."""

    def __init__(
        self,
        refresher: Refresher,
        *,
        policy: Policy,
        clock: Clock,
        observer: Observer | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._refresher = refresher
        self._source = refresher.source
        self._policy = policy
        self._clock = clock
        self._observer = observer
        self._uniform = uniform
        self._flights: SingleFlight[Outcome] = SingleFlight(clock)
        self.reopen = self._flights.reopen
        self._bucket = Bucket()
        self._attempts = Attempts()
        self._failure: Failed | None = None
        self._stale_announced = False

    def __repr__(self) -> str:
        return f"KeyCache({self._source.name!r}, keys={len(self.current.key_set.keys)})"

    @property
    def current(self) -> CurrentKeys:
        """The current keys, whatever their age."""
        return self._refresher.current

    def ready(self) -> CurrentKeys | None:
        """Return the keys if this call need not wait. May start a background refresh."""
        now = self._clock.monotonic()
        current = self._refresher.current
        if now < current.life.refresh_at and now < self._attempts.poll_at:
            return current
        decision = self._decide(now)
        return self._serve(decision, now) if isinstance(decision, Serve) else None

    def peek(self, now: float) -> tuple[CurrentKeys | None, bool]:
        """Return the keys if `ready` would, and whether `ready` would do more than that.

        It may be called in any thread, as it changes nothing.
        """
        current = self._refresher.current
        served = peek(current.life, self._attempts, now)
        if served is None:
            return None, False
        return current, served.stale or served.refresh or served.poll

    async def ensure(self) -> CurrentKeys:
        """Return usable keys, waiting for a refresh as long as the rules say."""
        while True:
            now = self._clock.monotonic()
            match decision := self._decide(now):
                case Serve():
                    return self._serve(decision, now)
                case Refuse():
                    raise self._unavailable()
                case Wait(seconds):
                    flight = self._upkeep(Renew())
                    await self._wait(flight, seconds)
                    if self.current.life.fetched >= flight.began:
                        return self.current
                case _:
                    assert_never(decision)

    async def find(self, kid: str | None, alg: str) -> tuple[CurrentKeys, tuple[Key, ...]]:
        """Return the keys for a token that none of the current ones fit.

        It asks the store, then the provider, as often as the limits allow. Raises
        `UnknownKeyError`, or `KeysUnavailableError` if they could not be asked.
        """
        now = came = self._clock.monotonic()
        asked = enough = False
        while not enough:
            flight = self._flights.under_way("search")
            searching = flight is not None
            refusal = hopeless(self._bucket, self._attempts, now, searching=searching)
            if isinstance(refusal, Refuse):
                raise self._unavailable()
            if refusal is not None:
                break
            flight = flight or self._begin_search(kid, alg, now)
            if flight.joiners >= MAX_JOINERS:
                break
            # A search that began before this call may have fetched before the key was published;
            # only one begun since is conclusive.
            asked, enough = True, flight.began >= came
            await self._join(flight, came + self._source.deadline - now)
            if keys := self.current.key_set.select(kid, alg):
                return self.current, keys
            now = self._clock.monotonic()
        announce(UnknownKey(self._source.name, asked), self._observer)
        raise UnknownKeyError(UNKNOWN)

    def raise_if_hopeless(self, kid: str | None, alg: str, now: float) -> None:
        """Raise what `find` would raise at once, if it would. It may be called in any thread."""
        # Read the bucket before the attempts: whoever took its last token is visible as running
        # before the result is.
        bucket, searching = self._bucket, self._flights.busy
        refusal = hopeless(bucket, self._attempts, now, searching=searching)
        if refusal is None or self.current.key_set.select(kid, alg):
            return
        if isinstance(refusal, Refuse):
            raise self._unavailable()
        announce(UnknownKey(self._source.name, asked=False), self._observer)
        raise UnknownKeyError(UNKNOWN)

    async def refresh(self, *, force: bool) -> None:
        """Make sure that the keys are fresh; with `force`, fetched after this call."""
        asked = self._clock.monotonic()
        if force:
            purpose = Replace(self.current, asked)
            flight = self._flights.start("forced", lambda: self._carry_out(purpose))
            await self._require_success(flight)
            return
        while (now := self._clock.monotonic()) >= self.current.life.expires:
            if now < self._attempts.not_before and self._flights.under_way("upkeep") is None:
                raise self._unavailable()
            flight = self._upkeep(Renew())
            await self._require_success(flight)
            if self.current.life.fetched >= flight.began:
                return

    def status(self) -> Status:
        """Return the state, without I/O."""
        now = self._clock.monotonic()
        current, failure = self.current, self._failure
        has_keys = current.document is not None
        return Status(
            source=self._source.name,
            issuer=current.issuer or self._source.issuer,
            kids=tuple(dict.fromkeys(key.kid for key in current.key_set.keys)),
            skipped=current.key_set.skipped,
            fresh=now < current.life.expires,
            age=now - current.life.fetched if has_keys else None,
            expires_in=current.life.expires - now if has_keys else None,
            usable_for=current.life.dies - now if has_keys else None,
            refreshing=self._flights.busy,
            retry_after=max(0.0, self._attempts.not_before - now),
            failure=None if failure is None else failure.reason,
            version=self._refresher.known,
        )

    async def aclose(self) -> None:
        """Cancel what is running. Refreshes raise `RuntimeError` until `reopen`."""
        await self._flights.aclose()

    def _decide(self, now: float) -> Decision:
        flight = self._flights.under_way("upkeep")
        attempts = self._attempts
        if flight is not None:
            attempts = replace(attempts, began=flight.began)
        return decide(self.current.life, attempts, now, self._policy)

    def _serve(self, decision: Serve, now: float) -> CurrentKeys:
        current = self.current
        if decision.refresh:
            self._upkeep(Renew())
        elif decision.poll:
            self._upkeep(Look())
        if decision.stale:
            first, self._stale_announced = not self._stale_announced, True
            age = now - current.life.fetched
            announce(StaleServed(self._source.name, age, first), self._observer)
        return current

    def _upkeep(self, purpose: Renew | Look) -> Flight[Outcome]:
        """Join the running upkeep, a refresh or a look into the store, or start one."""
        flight = self._flights.under_way("upkeep")
        return flight or self._flights.start("upkeep", lambda: self._carry_out(purpose))

    def _begin_search(self, kid: str | None, alg: str, now: float) -> Flight[Outcome]:
        purpose = FindKey(kid, alg, self.current, now)
        flight = self._flights.start("search", lambda: self._carry_out(purpose))
        # Only after the search has started, as `raise_if_hopeless` reads them in that order.
        self._bucket = self._bucket.taken(now) or self._bucket
        return flight

    async def _carry_out(self, purpose: Purpose) -> Outcome:
        """Refresh, unless another flight did so, or failed, while this one waited for the lock."""
        now = self._clock.monotonic()
        if not isinstance(purpose, Look) and purpose.is_met(self.current, now):
            return Done()
        failure = self._failure
        if failure is not None and purpose.heeds_cooldown and now < self._attempts.not_before:
            return failure
        before = self.current
        outcome = await self._refresher.run(purpose)
        self._record(outcome, purpose, renewed=self.current is not before)
        return outcome

    def _record(self, outcome: Outcome, purpose: Purpose, *, renewed: bool) -> None:
        """Record the outcome, and when the next attempt may be made."""
        now = self._clock.monotonic()
        poll_at = now + self._policy.poll_interval * self._uniform(0.75, 1.25)
        attempts = replace(self._attempts, poll_at=poll_at)
        match outcome:
            case Done() if renewed or not isinstance(purpose, Look):
                self._failure, self._stale_announced = None, False
                attempts = Attempts(poll_at=poll_at)
            case Deferred(retry_after) if isinstance(purpose, Renew):
                # Once the keys expire, this worker stops leaving the refresh to others.
                expires = self.current.life.expires
                not_before = min(now + retry_after, expires if now < expires else inf)
                attempts = replace(attempts, not_before=not_before)
            case Failed():
                attempts = self._after_failure(outcome, attempts, now)
            case _:
                pass
        self._attempts = attempts

    def _after_failure(self, outcome: Failed, attempts: Attempts, now: float) -> Attempts:
        # The worker that failed waits longer than the others, so that the next attempt is made
        # from another host.
        half = FAILED_WORKER_DELAY / 2
        delay = FAILED_WORKER_DELAY if outcome.here else self._uniform(0.0, half)
        # Only a good answer overrides the answer that the issuer is another one.
        if self._failure is None or not self._failure.mismatch:
            self._failure = outcome
        return replace(
            attempts, not_before=now + outcome.retry_after + delay,
            failed=True, mismatch=self._failure.mismatch,
        )  # fmt: skip

    async def _wait(self, flight: Flight[Outcome], seconds: float | None) -> Outcome | None:
        try:
            return await self._flights.wait(flight, seconds)
        except FlightCancelledError as fault:
            reason = str(fault)
        raise KeysUnavailableError(reason)

    async def _join(self, flight: Flight[Outcome], seconds: float) -> None:
        flight.joiners += 1
        try:
            outcome = await self._wait(flight, seconds)
        finally:
            flight.joiners -= 1
        if outcome is None or isinstance(outcome, Failed):
            raise self._unavailable()

    async def _require_success(self, flight: Flight[Outcome]) -> None:
        outcome = await self._wait(flight, None)
        if isinstance(outcome, Deferred):
            message = "too many refreshes were made recently"
            raise KeysUnavailableError(message, retry_after=outcome.retry_after)
        if isinstance(outcome, Failed):
            raise self._unavailable()

    def _unavailable(self) -> IssuerMismatchError | KeysUnavailableError:
        failure = self._failure
        if failure is not None and failure.mismatch:
            return IssuerMismatchError(failure.reason)
        reason = "no answer in time" if failure is None else failure.reason
        left = self._attempts.not_before - self._clock.monotonic()
        message = f"the signing keys are unavailable: {reason}"
        return KeysUnavailableError(message, retry_after=max(MIN_RETRY_AFTER, left))
