"""When a key set is fresh, when it is refreshed, and who waits. Pure: all policy on age.

Times are monotonic seconds, spans are seconds.
"""

from dataclasses import dataclass
from math import inf

from auth_jwks.stores.base import LEASE, MAX_COOLDOWN, UNSCHEDULED_WINDOW

__all__ = [
    "Attempts",
    "Bucket",
    "Decision",
    "Lifetime",
    "Policy",
    "Refuse",
    "Serve",
    "Wait",
    "decide",
    "failure_cooldown",
    "lifetime",
    "unscheduled_window",
]

SHORTEST_MAX_AGE = 60.0
FIRST_COOLDOWN = 5.0


@dataclass(frozen=True, slots=True)
class Policy:
    """The constants of freshness."""

    cache_ttl: float = 900.0
    max_stale: float = 86_400.0
    soft_wait: float = 0.5
    lease: float = LEASE
    poll_interval: float = 60.0
    store_patience: float = 2.0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The ages of one key set, counted from when its fetch at the provider began.

    The default is that of no set at all: it was dead before time began.
    """

    fetched: float = -inf
    refresh_at: float = -inf
    expires: float = -inf
    dies: float = -inf


@dataclass(frozen=True, slots=True)
class Attempts:
    """What is known of refreshes: the one under way, and how the last one ended."""

    began: float | None = None
    not_before: float = -inf
    mismatch: bool = False
    poll_at: float = inf


@dataclass(frozen=True, slots=True)
class Serve:
    """Go on with the keys at hand; `refresh` or `poll` in the background."""

    stale: bool = False
    refresh: bool = False
    poll: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for a refresh, starting it unless one is under way; `seconds` None: to its end."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Refuse:
    """No usable keys, and no attempt to get any for that long."""

    retry_after: float


Decision = Serve | Wait | Refuse


def lifetime(
    policy: Policy, *, fetched: float, max_age: float | None, refresh_ahead: float
) -> Lifetime:
    """Return the ages of a set; `refresh_ahead` is the share of its life after which to refresh."""
    ttl = policy.cache_ttl
    if max_age is not None:
        ttl = min(ttl, max(SHORTEST_MAX_AGE, max_age))
    expires = fetched + ttl
    return Lifetime(fetched, fetched + ttl * refresh_ahead, expires, expires + policy.max_stale)


def decide(life: Lifetime, attempts: Attempts, now: float, policy: Policy) -> Decision:
    """Return what a request that came at `now` gets.

    A provider that names another issuer has answered: `mismatch` leaves no stale service.
    """
    if now < life.expires:
        idle = attempts.began is None
        due = now >= life.refresh_at and now >= attempts.not_before
        return Serve(refresh=idle and due, poll=idle and now >= attempts.poll_at)
    may_be_stale = now < life.dies and not attempts.mismatch
    if attempts.began is not None:
        return _join(attempts.began, now, policy, may_be_stale=may_be_stale)
    if now >= attempts.not_before:
        return Wait(policy.soft_wait if may_be_stale else None)
    return Serve(stale=True) if may_be_stale else Refuse(attempts.not_before - now)


def _join(began: float, now: float, policy: Policy, *, may_be_stale: bool) -> Decision:
    if not may_be_stale:
        return Wait(None)
    left = began + policy.soft_wait - now
    return Wait(left) if left > 0 else Serve(stale=True)


def failure_cooldown(failures: int, stated: float | None, jitter: float) -> float:
    """Return for how long nobody asks again after one more failure.

    `failures` came before it, `stated` is the provider's `Retry-After`, `jitter` is in [0, 1].
    """
    doubled = FIRST_COOLDOWN * 2.0 ** min(failures, 10) * (1 + jitter / 4)
    return min(MAX_COOLDOWN, max(doubled, stated or 0.0))


def unscheduled_window(policy: Policy) -> float:
    """Return the window in which at most two refreshes are made that no age calls for."""
    return min(UNSCHEDULED_WINDOW, policy.cache_ttl / 2)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: how often an unknown `kid` may ask the store (one a second, burst of two)."""

    tokens: float = 2.0
    filled: float = -inf

    def taken(self, now: float) -> "Bucket | None":
        """Return the bucket as it stands at `now`, less one token; None when it is empty."""
        tokens = min(2.0, self.tokens + (now - self.filled))
        return Bucket(tokens - 1, now) if tokens >= 1 else None
