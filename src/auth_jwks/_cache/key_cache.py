"""Who gets which keys, and who waits: carries out what `freshness` decides."""

import random
from collections.abc import Callable
from math import inf
from typing import assert_never

from auth_jwks._cache.freshness import (
    Attempts,
    Bucket,
    Decision,
    Policy,
    Refuse,
    Serve,
    Wait,
    decide,
)
from auth_jwks._cache.held import Held
from auth_jwks._cache.refresh import Deferred, Done, Failed, Outcome, Refresher
from auth_jwks._cache.single_flight import Flight, Flights
from auth_jwks._cache.status import Status
from auth_jwks._clock import Clock
from auth_jwks._jose.keys import Key
from auth_jwks._provider.source import Source
from auth_jwks.errors import IssuerMismatchError, KeysUnavailableError, UnknownKeyError
from auth_jwks.events import Observer, StaleServed, UnknownKey, emit
from auth_jwks.stores.base import Cause, KeyStore

__all__ = ["KeyCache"]

MAX_JOINERS = 1000
TURN = 1.0
UNKNOWN = "no published key fits the token"


class KeyCache:
    """The keys of one source: cached, refreshed by traffic, shared through a store."""

    def __init__(
        self,
        source: Source,
        store: KeyStore,
        *,
        policy: Policy,
        allowed: frozenset[str],
        clock: Clock,
        observer: Observer | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._refresher = Refresher(
            source, store, policy=policy, allowed=allowed, clock=clock, observer=observer,
            uniform=uniform,
        )  # fmt: skip
        self._source = source
        self._policy = policy
        self._clock = clock
        self._observer = observer
        self._uniform = uniform
        self._flights: Flights[Outcome] = Flights(clock)
        self._bucket = Bucket()
        self._not_before = -inf
        self._poll_at = inf
        self._failure: Failed | None = None
        self._stale_announced = False

    def __repr__(self) -> str:
        return f"KeyCache({self._source.name!r}, keys={len(self._refresher.held.keys.keys)})"

    def ready(self) -> Held | None:
        """Return the keys if this call need not wait for any; may start a background refresh."""
        now = self._clock.monotonic()
        held = self._refresher.held
        if now < held.life.refresh_at and now < self._poll_at:
            return held
        decision = self._decide(now)
        return self._serve(decision, now) if isinstance(decision, Serve) else None

    def glance(self, now: float) -> tuple[Held | None, bool]:
        """Return the keys if `ready` would too, and whether it has more to do than that.

        From any thread: it changes nothing. Of stale keys it is sure only while nobody may refresh.
        """
        held, failure = self._refresher.held, self._failure
        if now < held.life.expires:
            return held, now >= held.life.refresh_at or now >= self._poll_at
        mismatch = failure is not None and failure.mismatch
        may_serve = now < min(held.life.dies, self._not_before) and not mismatch
        return (held, True) if may_serve else (None, False)

    async def ensure(self) -> Held:
        """Return usable keys, waiting for a refresh as long as the rules say."""
        while True:
            now = self._clock.monotonic()
            match decision := self._decide(now):
                case Serve():
                    return self._serve(decision, now)
                case Refuse():
                    raise self._unavailable()
                case Wait(seconds):
                    flight = self._upkeep("age")
                    await self._flights.wait(flight, seconds)
                    held = self._refresher.held
                    if held.life.fetched >= flight.began:
                        return held
                case _:
                    assert_never(decision)

    async def find(self, kid: str | None, alg: str) -> tuple[Held, tuple[Key, ...]]:
        """Return the keys for a token that none of those at hand fit.

        Asks the store, then the provider, as often as the limiters allow. Raises
        `UnknownKeyError`, or `KeysUnavailableError` if they could not be asked.
        """
        now = came = self._clock.monotonic()
        asked = enough = False
        while not enough:
            if self._failure is not None and now < self._not_before:
                raise self._unavailable()
            flight = self._probe(kid, alg, now)
            if flight is None:
                break
            # A search that began before the call may have come too early; one since then counts.
            asked, enough = True, flight.began >= came
            await self._join(flight, came + self._source.deadline - now)
            if keys := self._select(kid, alg):
                return self._refresher.held, keys
            now = self._clock.monotonic()
        emit(UnknownKey(self._source.name, asked), self._observer)
        raise UnknownKeyError(UNKNOWN)

    def refuse(self, kid: str | None, alg: str, now: float) -> None:
        """Raise what `find` would raise at once, if it would. From any thread."""
        # In this order: what took the last of the bucket is seen under way, then what came of it.
        spent = self._bucket.taken(now) is None and not self._flights.busy
        cooling = self._failure is not None and now < self._not_before
        if self._select(kid, alg) or not (cooling or spent):
            return
        if cooling:
            raise self._unavailable()
        emit(UnknownKey(self._source.name, asked=False), self._observer)
        raise UnknownKeyError(UNKNOWN)

    async def refresh(self, *, force: bool) -> None:
        """Make sure that the set is fresh, or with `force` that it was fetched after this call."""
        asked = self._clock.monotonic()
        if force:
            before = self._refresher.held
            flight = self._flights.start(
                "forced", lambda: self._fly("forced", lambda: self._renewed(before, asked))
            )
            await self._succeed(flight)
            return
        while (now := self._clock.monotonic()) >= self._refresher.held.life.expires:
            if now < self._not_before and self._flights.under_way("upkeep") is None:
                raise self._unavailable()
            flight = self._upkeep("age")
            await self._succeed(flight)
            if self._refresher.held.life.fetched >= flight.began:
                return

    def status(self) -> Status:
        """Return the state, without I/O."""
        now = self._clock.monotonic()
        held, failure = self._refresher.held, self._failure
        has_keys = held.document is not None
        return Status(
            source=self._source.name,
            issuer=held.issuer or self._source.issuer,
            kids=tuple(dict.fromkeys(key.kid for key in held.keys.keys)),
            skipped=held.keys.skipped,
            fresh=now < held.life.expires,
            age=now - held.life.fetched if has_keys else None,
            expires_in=held.life.expires - now if has_keys else None,
            stale_until=held.life.dies - now if has_keys else None,
            refreshing=self._flights.busy,
            retry_after=max(0.0, self._not_before - now),
            failure=None if failure is None else failure.reason,
            version=self._refresher.known,
        )

    async def aclose(self) -> None:
        """Give up what is under way; later refreshes raise `RuntimeError`."""
        await self._flights.aclose()

    def _select(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        return self._refresher.held.keys.select(kid, alg)

    def _is_young(self) -> bool:
        return self._clock.monotonic() < self._refresher.held.life.refresh_at

    def _renewed(self, before: Held, asked: float) -> bool:
        """Tell whether the set at hand is another than `before`, and was fetched since `asked`."""
        held = self._refresher.held
        return held is not before and held.life.fetched >= asked

    def _decide(self, now: float) -> Decision:
        flight = self._flights.under_way("upkeep")
        attempts = Attempts(
            began=None if flight is None else flight.began,
            not_before=self._not_before,
            mismatch=self._failure is not None and self._failure.mismatch,
            poll_at=self._poll_at,
        )
        return decide(self._refresher.held.life, attempts, now, self._policy)

    def _serve(self, decision: Serve, now: float) -> Held:
        held = self._refresher.held
        if decision.refresh:
            self._upkeep("age")
        elif decision.poll:
            self._upkeep(None)
        if decision.stale:
            first, self._stale_announced = not self._stale_announced, True
            emit(StaleServed(self._source.name, now - held.life.fetched, first), self._observer)
        return held

    def _upkeep(self, cause: Cause | None) -> Flight[Outcome]:
        """Join the refresh (or the look into the store) under way, or start one."""
        flight = self._flights.under_way("upkeep")
        if flight is None:
            flight = self._flights.start("upkeep", lambda: self._fly(cause, self._is_young))
        return flight

    def _probe(self, kid: str | None, alg: str, now: float) -> Flight[Outcome] | None:
        """Join the search for an unknown key under way, or start one's own if allowed."""
        flight = self._flights.under_way("probe")
        if flight is not None:
            return flight if flight.joiners < MAX_JOINERS else None
        taken = self._bucket.taken(now)
        if taken is None:
            return None
        before = self._refresher.held

        def found() -> bool:
            return bool(self._select(kid, alg)) or self._renewed(before, now)

        flight = self._flights.start("probe", lambda: self._fly("unknown_kid", found))
        self._bucket = taken  # not before the search can be seen by `refuse`
        return flight

    async def _fly(self, cause: Cause | None, satisfied: Callable[[], bool]) -> Outcome:
        """Refresh, unless that has been done, or has failed, while waiting for the lock."""
        if cause is not None and satisfied():
            return Done()
        failure, now = self._failure, self._clock.monotonic()
        if failure is not None and cause in {"age", "unknown_kid"} and now < self._not_before:
            return failure
        before = self._refresher.held
        outcome = await self._refresher.run(cause, satisfied)
        self._note(outcome, cause, renewed=self._refresher.held is not before)
        return outcome

    def _note(self, outcome: Outcome, cause: Cause | None, *, renewed: bool) -> None:
        """Draw the consequences for the attempts to come."""
        now = self._clock.monotonic()
        self._poll_at = now + self._policy.poll_interval * self._uniform(0.75, 1.25)
        match outcome:
            case Done() if renewed or cause is not None:
                self._failure, self._not_before = None, -inf
                self._stale_announced = False
            case Deferred(retry_after) if cause == "age":
                # Keys that expire meanwhile are no reason to leave it to others any longer.
                expires = self._refresher.held.life.expires
                self._not_before = min(now + retry_after, expires if now < expires else inf)
            case Failed(retry_after=retry_after, here=here):
                # Whoever failed leaves the next turn to others: one broken host must not speak
                # for the fleet.
                turn = TURN if here else self._uniform(0.0, TURN / 2)
                self._not_before = now + retry_after + turn
                # Only a good answer undoes the answer that the issuer is another one.
                if self._failure is None or not self._failure.mismatch:
                    self._failure = outcome
            case _:
                pass

    async def _join(self, flight: Flight[Outcome], seconds: float) -> None:
        flight.joiners += 1
        try:
            outcome = await self._flights.wait(flight, seconds)
        finally:
            flight.joiners -= 1
        if outcome is None or isinstance(outcome, Failed):
            raise self._unavailable()

    async def _succeed(self, flight: Flight[Outcome]) -> None:
        outcome = await self._flights.wait(flight, None)
        if isinstance(outcome, Deferred):
            message = "enough refreshes were made for now"
            raise KeysUnavailableError(message, retry_after=outcome.retry_after)
        if isinstance(outcome, Failed):
            raise self._unavailable()

    def _unavailable(self) -> IssuerMismatchError | KeysUnavailableError:
        failure = self._failure
        if failure is not None and failure.mismatch:
            return IssuerMismatchError(failure.reason)
        reason = "no answer in time" if failure is None else failure.reason
        wait = max(TURN, self._not_before - self._clock.monotonic())
        return KeysUnavailableError(f"the signing keys are unavailable: {reason}", retry_after=wait)
