"""`Attempts`: how the refreshes of a worker went, a value that is replaced after each. Pure."""

from math import inf
from typing import NamedTuple

from auth_jwks._cache.outcome import Deferred, Done, Failed, Outcome
from auth_jwks.stores.base import Cause

__all__ = ["FAILED_WORKER_DELAY", "LOSS_PAUSE", "Attempts"]

# Seconds. A worker that failed waits so much longer than the others, so that the next attempt is
# made from another host; the others wait for up to half of it, each for another while.
FAILED_WORKER_DELAY = 1.0
# From the first refresh that was lost with its event loop until the next one ahead of expiry.
LOSS_PAUSE = 5.0


class Attempts(NamedTuple):
    """When the running refresh began, how the last ones ended, and when the next one may begin.

    Refreshes by age wait for `not_before`, whichever worker failed. Searches wait for
    `search_not_before`, which only a failure of this worker moves: what another host sees says
    little of what this one can reach. `failure` is the last one, until a refresh succeeds, of the
    time `failed_at`;
    `stale_told`: stale keys were announced since. `lost`: so many refreshes in a row died with
    their event loop.
    """

    began: float | None = None
    not_before: float = -inf
    search_not_before: float = -inf
    failure: Failed | None = None
    failed_at: float = -inf
    stale_told: bool = False
    poll_at: float = inf
    lost: int = 0

    @property
    def mismatch(self) -> bool:
        """Whether this worker found that the provider names another issuer."""
        return self.failure is not None and self.failure.mismatch

    def until(self, cause: Cause | None) -> float:
        """Return until when no refresh is made for that cause; a forced one is never delayed."""
        if cause == "age":
            return self.not_before
        return self.search_not_before if cause == "unknown_kid" else -inf

    def earlier(self, seconds: float) -> "Attempts":
        """Return the attempts as they stand when so many seconds more have passed."""
        return self._replace(
            not_before=self.not_before - seconds, poll_at=self.poll_at - seconds,
            search_not_before=self.search_not_before - seconds, failed_at=self.failed_at - seconds,
        )  # fmt: skip

    def after(
        self, outcome: Outcome, cause: Cause | None, now: float, *, expires: float, spread: float
    ) -> "Attempts":
        """Return the attempts after one more; `spread` in [0, 1] sets the workers apart.

        A look into the store has no cause, and counts as a success only if it found keys.
        """
        match outcome:
            case Done() if cause is not None:
                return Attempts()
            case Deferred(retry_after) if cause == "age":
                # Once the keys expire, this worker stops leaving the refresh to others.
                not_before = min(now + retry_after, expires if now < expires else inf)
                return self._replace(not_before=not_before, lost=0)
            case Failed():
                return self._after_failure(outcome, now, spread)
            case _:
                return self._replace(lost=0)

    def _after_failure(self, failure: Failed, now: float, spread: float) -> "Attempts":
        last, failed_at = failure, now
        if self.failure is not None and (
            self.failure.mismatch or (self.failure.here and not failure.here)
        ):
            # Only a success overrides an issuer mismatch. And a failure of this worker says more
            # than that the fleet waits.
            last, failed_at = self.failure, self.failed_at
        delay = FAILED_WORKER_DELAY if failure.here else spread * FAILED_WORKER_DELAY / 2
        until = now + failure.retry_after + delay
        search_until = until if failure.here else self.search_not_before
        return self._replace(
            failure=last, failed_at=failed_at, not_before=until,
            search_not_before=search_until, lost=0,
        )  # fmt: skip

    def after_loss(self, count: int, now: float, expires: float) -> "Attempts":
        """Return the attempts after so many refreshes more were lost with their event loops.

        Ahead of expiry one more is tried, and then none: where each call has an event loop of its
        own, no refresh ends but one that its caller waits for.
        """
        lost = self.lost + count
        pause = min(now + LOSS_PAUSE, expires) if lost == 1 else expires
        not_before = max(self.not_before, pause) if now < expires else self.not_before
        return self._replace(lost=lost, not_before=not_before)
