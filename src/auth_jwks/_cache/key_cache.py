"""The cache that gives each call its keys, or lets it wait: it carries out `freshness`' rules."""

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import assert_never

import jwt

from auth_jwks._cache.announce import announce
from auth_jwks._cache.attempts import Attempts
from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.freshness import (
    EXHAUSTED,
    GRACE,
    MAX_DRIFT,
    NO_SEARCHES,
    Bucket,
    Decision,
    Policy,
    Refuse,
    Serve,
    Wait,
    decide,
    hopeless,
    peek,
)  # fmt: skip
from auth_jwks._cache.outcome import Done, Failed, Outcome
from auth_jwks._cache.purpose import FindKey, Look, Purpose, Renew, Replace
from auth_jwks._cache.refresh import Refresher
from auth_jwks._cache.refusal import not_found, require_success, unavailable
from auth_jwks._cache.single_flight import Flight, FlightCancelledError, SingleFlight
from auth_jwks._cache.status import Status, status_of
from auth_jwks._clock import Clock
from auth_jwks._jose.keys import Key
from auth_jwks._jose.tokens import Token, signer_in
from auth_jwks.errors import KeysUnavailableError
from auth_jwks.events import Observer, StaleServed, UnknownKey

__all__ = ["KeyCache"]

MAX_JOINERS = 1000


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
        self._patience = policy.lease + self._source.deadline + GRACE
        self._clock = clock
        self._observer = observer
        self._uniform = uniform
        self._flights: SingleFlight[Outcome] = SingleFlight(clock, observer)
        self.reopen = self._flights.reopen
        self._bucket = NO_SEARCHES if self._source.is_fixed else Bucket()
        self._attempts = Attempts()
        self._told = tuple(UnknownKey(self._source.name, asked) for asked in (False, True))

    def __repr__(self) -> str:
        return f"KeyCache({self._source.name!r}, keys={len(self.current.key_set.keys)})"

    @property
    def current(self) -> CurrentKeys:
        """The current keys, whatever their age."""
        return self._refresher.current

    def ready(self, wall: float) -> CurrentKeys | None:
        """Return the keys if this call, at Unix time `wall`, need not wait. May start a refresh."""
        now, current = self._clock.monotonic(), self._refresher.current
        life = current.life
        if now < life.refresh_at and now < self._attempts.poll_at and wall < current.due_wall:
            return current
        # `_decide` would find the same: all that is due is under way.
        has_slept = (wall - current.due_wall) - (now - life.refresh_at) > MAX_DRIFT
        if now < life.expires and not has_slept and self._flights.is_running_here("upkeep"):
            return current
        decision = self._decide(now)
        return self._serve(decision, now) if isinstance(decision, Serve) else None

    def steady(self, wall: float) -> CurrentKeys | None:
        """Return the keys if nothing is due, as it is for nearly every token. In any thread."""
        now, current = self._clock.monotonic(), self._refresher.current
        is_due = now >= current.life.refresh_at or now >= self._attempts.poll_at
        return None if is_due or wall >= current.due_wall else current

    def peek(self, now: float, wall: float) -> tuple[CurrentKeys | None, bool]:
        """Return the keys if `ready` would, and whether it would do more. In any thread."""
        current, attempts = self._refresher.current, self._attempts
        served = peek(current.aged(now, wall).life, attempts, now)
        return (current, served != Serve()) if served else (None, False)

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
                    at_most = self._patience if seconds is None else seconds
                    outcome = await self._landed(self._flights.wait_running(flight, at_most))
                    if self.current.life.fetched >= flight.began:
                        return self.current
                    if outcome is None and now >= self.current.life.dies:
                        raise self._unavailable()
                case _:
                    assert_never(decision)

    async def find(
        self, token: Token, tried: CurrentKeys, check: Callable[[], object]
    ) -> tuple[CurrentKeys, Key]:
        """Return the key that signed the token, and its set, though no key of `tried` did.

        It asks the store, then the provider, as often as the limits allow, unless `check` raises.
        """
        now = came = self._clock.monotonic()
        asked = enough = False
        while True:
            current = self._refresher.current
            if current.generation is not tried.generation:
                tried, key = current, signer_in(token, current.key_set)
                if key is not None:
                    return current, key
                # A bad signature under a known `kid` waits for nothing more.
                enough = enough or current.key_set.has(token.kid, token.alg)
            flight = self._flights.under_way("search")
            refusal = hopeless(self._bucket, self._attempts, now, searching=flight is not None)
            if enough or refusal is EXHAUSTED or current.key_set.reason_for(token.kid, token.alg):
                raise self._not_found(token, asked=asked)
            check()
            if refusal is not None:
                raise self._unavailable()
            flight = flight or self._begin_search(token, now)
            if flight.joiners >= MAX_JOINERS:
                raise self._not_found(token, asked=asked)
            # One that began before this call may have fetched before the key was published.
            asked, enough = True, flight.began >= came
            left = came + self._source.deadline - now
            outcome = await self._landed(self._flights.join(flight, left))
            if outcome is None or isinstance(outcome, Failed):
                raise self._unavailable()
            now = self._clock.monotonic()

    def search(self, token: Token, tried: CurrentKeys, check: Callable[[], object]) -> bool:
        """Begin one that nobody waits for, if it may. False if it would die with its event loop."""
        now = self._clock.monotonic()
        if self.may_search(tried, now) and not self._flights.under_way("search"):
            self._catch_up(now)
            if self._attempts.lost:
                return False
            with suppress(jwt.InvalidTokenError):
                check()
                self._begin_search(token, now)
        return True

    def may_search(self, tried: CurrentKeys, now: float) -> bool:
        """Return whether `search` may begin one. It may be called in any thread."""
        if self.current.generation is not tried.generation:
            return False
        return hopeless(self._bucket, self._attempts, now, searching=False) is None

    def raise_if_hopeless(
        self, token: Token, tried: CurrentKeys, now: float, check: Callable[[], object]
    ) -> None:
        """Raise what `find` would raise at once, if it would. It may be called in any thread."""
        # In this order: a search that took the last token shows as running before its result does.
        bucket, searching = self._bucket, self._flights.busy
        refusal = hopeless(bucket, self._attempts, now, searching=searching)
        key_set = (current := self._refresher.current).key_set
        if not key_set.skipped or key_set.reason_for(token.kid, token.alg) is None:
            if refusal is None or current.generation is not tried.generation:
                return
            if isinstance(refusal, Refuse):
                check()
                raise self._unavailable()
        raise self._not_found(token, asked=False)

    async def refresh(self, *, force: bool) -> None:
        """Make sure that the keys are fresh; with `force`, fetched after this call."""
        if force and not self._source.is_fixed:
            purpose = Replace(self.current, self._clock.monotonic())
            flight = self._flights.start("forced", lambda: self._carry_out(purpose))
            outcome = await self._landed(self._flights.wait(flight, None))
            require_success(outcome, self._attempts, self._clock.monotonic())
            return
        while (now := self._clock.monotonic()) >= self.current.life.refresh_at:
            is_fresh = now < self.current.life.expires
            if now < self._attempts.not_before and self._flights.under_way("upkeep") is None:
                if is_fresh:
                    return
                raise self._unavailable()
            flight = self._upkeep(Renew())
            outcome = await self._landed(self._flights.wait(flight, None))
            if is_fresh or self.current.life.fetched >= flight.began:
                return
            require_success(outcome, self._attempts, self._clock.monotonic())

    def status(self) -> Status:
        """Return the state, without I/O."""
        return status_of(
            self._source, self.current, self._attempts, self._clock, refreshing=self._flights.busy,
            version=self._refresher.known, store=self._refresher.store_status(),
        )  # fmt: skip

    async def aclose(self) -> None:
        """Cancel what is running. Refreshes raise `RuntimeError` until `reopen`."""
        await self._flights.aclose()
        await self._source.aclose()

    def _decide(self, now: float) -> Decision:
        self._catch_up(now)
        flight = self._flights.under_way("upkeep")
        attempts = self._attempts._replace(began=flight.began_running if flight else None)
        return decide(self.current.life, attempts, now, self._policy)

    def _catch_up(self, now: float) -> None:
        """Account for what happened since the last call: sleep, and event loops that have ended."""
        current = self.current
        aged = current.aged(now, self._clock.time())
        if aged is not current:
            self._attempts = self._attempts.earlier(current.life.fetched - aged.life.fetched)
            self._refresher.current = aged
        if lost := self._flights.lost("upkeep") + self._flights.lost("search"):
            self._attempts = self._attempts.after_loss(lost, now, aged.life.expires)

    def _serve(self, decision: Serve, now: float) -> CurrentKeys:
        current, life = self.current, self.current.life
        if decision.refresh:
            self._upkeep(Renew())
        elif decision.poll:
            # Now, and not when the look has ended: it may be lost with its event loop.
            poll_at = self._policy.next_poll(now, self._uniform)
            self._attempts = self._attempts._replace(poll_at=poll_at)
            self._upkeep(Look())
        if decision.stale:
            first = not self._attempts.stale_told
            self._attempts = self._attempts._replace(stale_told=True)
            announce(StaleServed(self._source.name, now - life.fetched, first), self._observer)
        return current

    def _upkeep(self, purpose: Renew | Look) -> Flight[Outcome]:
        """Join the running upkeep, a refresh or a look into the store, or start one."""
        flight = self._flights.under_way("upkeep")
        return flight or self._flights.start("upkeep", lambda: self._carry_out(purpose))

    def _begin_search(self, token: Token, now: float) -> Flight[Outcome]:
        search = FindKey(token, self.current, now)
        flight = self._flights.start("search", lambda: self._carry_out(search))
        # Only after the search has started, as `raise_if_hopeless` reads them in that order.
        self._bucket = self._bucket.taken(now) or self._bucket
        return flight

    async def _carry_out(self, purpose: Purpose) -> Outcome:
        """Refresh, unless another flight did so, or failed, while this one waited for the lock."""
        now = self._clock.monotonic()
        if not isinstance(purpose, Look) and purpose.is_met(self.current, now):
            return Done()
        attempts = self._attempts
        if attempts.failure is not None and now < attempts.until(purpose.cause):
            return attempts.failure
        before = self.current
        outcome = await self._refresher.run(purpose)
        self._record(outcome, purpose, renewed=self.current is not before)
        return outcome

    def _record(self, outcome: Outcome, purpose: Purpose, *, renewed: bool) -> None:
        """Record the outcome, and when the next attempt may be made."""
        now = self._clock.monotonic()
        cause = "age" if renewed and purpose.cause is None else purpose.cause
        attempts = self._attempts.after(
            outcome, cause, now, expires=self.current.life.expires, spread=self._uniform(0.0, 1.0)
        )
        self._attempts = attempts._replace(poll_at=self._policy.next_poll(now, self._uniform))

    async def _landed(self, landing: Awaitable[Outcome | None]) -> Outcome | None:
        with suppress(FlightCancelledError):
            return await landing
        raise KeysUnavailableError("the refresh was cancelled")

    def _not_found(self, token: Token, *, asked: bool) -> Exception:
        announce(self._told[asked], self._observer)
        return not_found(token, self._refresher.current.key_set)

    def _unavailable(self) -> Exception:
        return unavailable(self._attempts, self._clock.monotonic())
