"""A worker's whole life, simulated on the policy alone, against the table of the rules on age.

The worker below starts, joins and abandons refreshes exactly as `decide` says. What it must do
is told a second time by `table`, from the rules on age and by ages, not from the code. All times
are multiples of 1/64 s, which floats hold exactly, so that every edge is met to the point.
"""

from dataclasses import dataclass
from math import inf

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from auth_jwks._cache.attempts import Attempts
from auth_jwks._cache.freshness import (
    Decision,
    Lifetime,
    Policy,
    Refuse,
    Serve,
    Wait,
    decide,
    failure_cooldown,
    lifetime,
)
from auth_jwks._cache.outcome import Failed
from auth_jwks.testing import FakeClock

SOFT_WAIT = 0.5


@dataclass
class Facts:
    """What has happened, as far as the rules ask; no set yet is an infinite age."""

    fetched: float = -inf
    ttl: float = 0.0
    refresh_age: float = 0.0
    began: float | None = None
    looking: bool = False
    held_off_until: float = -inf
    failures: int = 0
    mismatch: bool = False
    look_due: float = inf


@dataclass
class Request:
    """One request that waits: since when, and until when at most."""

    came: float
    until: float = inf


def table(facts: Facts, now: float, max_stale: float) -> Decision:
    """Return what the rules grant a request, row by row."""
    age = now - facts.fetched
    free = facts.began is None
    may_fetch = free and now >= facts.held_off_until
    if age < facts.ttl:
        refresh = age >= facts.refresh_age and may_fetch
        return Serve(refresh=refresh, poll=free and now >= facts.look_due)
    if age >= facts.ttl + max_stale or facts.mismatch:
        return Wait(None) if may_fetch or not free else Refuse(facts.held_off_until - now)
    began = now if may_fetch else facts.began
    if began is None or now >= began + SOFT_WAIT or now < facts.held_off_until:
        return Serve(stale=True)
    return Wait(began + SOFT_WAIT - now)


class Worker(RuleBasedStateMachine):
    """Requests, refreshes that end in every way, and time, in any order."""

    @initialize(
        ttl=st.sampled_from([4, 60, 900]),
        max_stale=st.sampled_from([0, 8, 3600]),
    )
    def begin(self, ttl: float, max_stale: float) -> None:
        """Start a worker without keys."""
        self.clock = FakeClock()
        self.policy = Policy(cache_ttl=ttl, max_stale=max_stale)
        self.life = Lifetime()
        self.attempts = Attempts()
        self.facts = Facts()
        self.waiting: list[Request] = []

    @property
    def now(self) -> float:
        """The worker's time."""
        return self.clock.monotonic()

    def judge(self) -> Decision:
        """Return what a request gets now, which is what the table says."""
        decision = decide(self.life, self.attempts, self.now, self.policy)
        assert decision == table(self.facts, self.now, self.policy.max_stale)
        return decision

    def settle(self, request: Request) -> None:
        """Serve the request, refuse it or let it wait, and start what is due."""
        decision = self.judge()
        match decision:
            case Serve(stale=stale, refresh=refresh, poll=poll):
                self.check_served(stale=stale)
                if refresh or poll:
                    self.take_off(looking=not refresh)
            case Wait(seconds):
                if self.facts.began is None:
                    self.take_off(looking=False)
                request.until = inf if seconds is None else self.now + seconds
                self.check_wait(request)
                self.waiting.append(request)
            case Refuse(retry_after):
                self.check_refused(retry_after)

    def check_served(self, *, stale: bool) -> None:
        """No key is used past `max_stale`, nor a stale one after another issuer was named."""
        age = self.now - self.facts.fetched
        assert stale == (age >= self.facts.ttl)
        assert age < self.facts.ttl + self.policy.max_stale
        assert not (stale and self.facts.mismatch)

    def check_wait(self, request: Request) -> None:
        """Who can be served waits for a refresh that began less than half a second ago."""
        age = self.now - self.facts.fetched
        assert age >= self.facts.ttl
        assert self.facts.began is not None
        usable = age < self.facts.ttl + self.policy.max_stale and not self.facts.mismatch
        assert request.until == (self.facts.began + SOFT_WAIT if usable else inf)

    def check_refused(self, retry_after: float) -> None:
        """Who is refused could not be served, and is told when it is worth asking again."""
        age = self.now - self.facts.fetched
        assert self.facts.mismatch or age >= self.facts.ttl + self.policy.max_stale
        assert self.facts.began is None
        assert self.now + retry_after == self.facts.held_off_until
        assert 0 < retry_after <= 300

    def take_off(self, *, looking: bool) -> None:
        """Begin a refresh, or a look into the store, which must be the only one and be due."""
        assert self.facts.began is None
        if not looking:
            assert self.now >= self.facts.held_off_until
            assert self.now - self.facts.fetched >= self.facts.refresh_age
        self.facts.began, self.facts.looking = self.now, looking
        self.attempts = self.attempts._replace(began=self.now)

    def land(self) -> None:
        """End what is under way; the next look into the store is due in a minute."""
        self.facts.began, self.facts.look_due = None, self.now + 60
        self.attempts = self.attempts._replace(began=None, poll_at=self.now + 60)

    def wake(self) -> None:
        """Let those who waited ask again."""
        waiting, self.waiting = self.waiting, []
        for request in waiting:
            self.settle(request)

    def adopt(self, fetched: float, max_age: float | None, share: float) -> None:
        """Take over a set, unless the one at hand was fetched later."""
        if fetched <= self.facts.fetched:
            return
        self.life = lifetime(self.policy, fetched=fetched, max_age=max_age, refresh_ahead=share)
        ttl = self.policy.cache_ttl
        self.facts.ttl = ttl if max_age is None else min(ttl, max(300, max_age))
        self.facts.fetched, self.facts.refresh_age = fetched, self.facts.ttl * share

    @rule(count=st.integers(1, 3))
    def request(self, count: int) -> None:
        """Let requests come at once."""
        for _ in range(count):
            self.settle(Request(self.now))

    @precondition(lambda self: self.facts.began is not None and not self.facts.looking)
    @rule(
        max_age=st.none() | st.sampled_from([0, 300, 400, 10_000]),
        share=st.sampled_from([0.75, 0.875]),
    )
    def succeed(self, max_age: float | None, share: float) -> None:
        """The provider answers: the set is as old as the refresh, whatever that took."""
        assert self.facts.began is not None
        self.adopt(self.facts.began, max_age, share)
        self.facts.failures, self.facts.mismatch, self.facts.held_off_until = 0, False, -inf
        self.attempts = self.attempts._replace(not_before=-inf, failure=None)
        self.land()
        self.wake()
        assert not self.waiting or self.now >= self.facts.fetched + self.facts.ttl

    @precondition(lambda self: self.facts.began is not None and not self.facts.looking)
    @rule(
        stated=st.none() | st.sampled_from([0, 1, 30, 120, 3600]),
        jitter=st.sampled_from([0, 0.5, 1]),
        mismatch=st.booleans(),
    )
    def fail(self, stated: float | None, jitter: float, *, mismatch: bool) -> None:
        """The provider does not answer, says when to come back, or names another issuer."""
        cooldown = failure_cooldown(self.facts.failures, stated, jitter)
        doubled = 5 * 2**self.facts.failures
        assert max(min(30, doubled), min(60, stated or 0)) <= cooldown
        assert cooldown <= max(min(30, doubled * 1.25), min(60, stated or 0))
        self.facts.failures += 1
        self.facts.mismatch = self.facts.mismatch or mismatch
        self.hold_off(cooldown)

    @precondition(lambda self: self.facts.began is not None and not self.facts.looking)
    @rule(retry_after=st.sampled_from([0.5, 3]), behind=st.sampled_from([0.25, 1, 50, 5000]))
    def be_superseded(self, retry_after: float, behind: float) -> None:
        """Another worker is at it: come back later, perhaps with what the store held."""
        self.adopt(self.now - behind, None, 0.75)
        self.hold_off(retry_after)

    def hold_off(self, seconds: float) -> None:
        """End the refresh, and begin none for that long; nobody waits for it any more."""
        self.facts.held_off_until = self.now + seconds
        failure = Failed("", seconds, mismatch=self.facts.mismatch)
        self.attempts = self.attempts._replace(not_before=self.now + seconds, failure=failure)
        self.land()
        self.wake()
        assert self.waiting == []

    @precondition(lambda self: self.facts.looking and self.facts.began is not None)
    @rule(behind=st.none() | st.sampled_from([0.25, 1, 50, 5000]))
    def have_looked(self, behind: float | None) -> None:
        """The store held nothing new, or a set another worker has fetched."""
        if behind is not None:
            self.adopt(self.now - behind, None, 0.875)
        self.land()
        self.wake()

    @rule(sixty_fourths=st.sampled_from([1, 16, 31, 32, 33, 64, 640, 6400, 64_000]))
    def pass_time(self, sixty_fourths: int) -> None:
        """Let time pass; whose wait is over on the way asks again, at that very moment."""
        self.pass_until(self.now + sixty_fourths / 64)

    @rule(edge=st.integers(0, 5), off=st.sampled_from([-1 / 64, 0, 1 / 64]))
    def reach_an_edge(self, edge: int, off: float) -> None:
        """Let time pass to where something changes, to just before it or just after it."""
        facts = self.facts
        stale_until = facts.fetched + facts.ttl + self.policy.max_stale
        edges = [
            facts.fetched + facts.refresh_age, facts.fetched + facts.ttl, stale_until,
            facts.held_off_until, facts.look_due, (facts.began or -inf) + SOFT_WAIT,
        ]  # fmt: skip
        if self.now < edges[edge] + off < inf:
            self.pass_until(edges[edge] + off)

    def pass_until(self, moment: float) -> None:
        """Advance the clock, stopping wherever a wait ends."""
        for end in sorted({one.until for one in self.waiting if one.until <= moment}):
            self.clock.advance(end - self.now)
            over = [one for one in self.waiting if one.until <= self.now]
            self.waiting = [one for one in self.waiting if one.until > self.now]
            for request in over:
                self.settle(request)
                assert request not in self.waiting or request.until == inf
        self.clock.advance(max(0.0, moment - self.now))

    @invariant()
    def waits_are_for_a_refresh(self) -> None:
        """Nobody waits unless something is under way, or past the end of a wait."""
        assert not self.waiting or self.facts.began is not None
        assert all(request.until > self.now for request in self.waiting)

    @invariant()
    def decision_is_the_tables(self) -> None:
        """Whoever came now would get what the table says."""
        self.judge()


@pytest.mark.hypothesis
def test_worker_keeps_the_rules_on_age() -> None:
    """No age, order of events or fault breaks the table, prolongs a wait or repeats a fetch."""
    run_state_machine_as_test(Worker, settings=settings(max_examples=150))
