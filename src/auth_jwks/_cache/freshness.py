"""When a key set is fresh, when it is refreshed, and who waits. Pure: all policy of the cache.

Times are monotonic seconds, spans are seconds.
"""

from dataclasses import dataclass
from math import inf

from auth_jwks.stores.base import LEASE, MAX_COOLDOWN, UNSCHEDULED_WINDOW

__all__ = [
    "EXHAUSTED",
    "NO_LIFE",
    "Attempts",
    "Bucket",
    "Decision",
    "Exhausted",
    "Lifetime",
    "Policy",
    "Refuse",
    "Serve",
    "Wait",
    "decide",
    "failure_cooldown",
    "hopeless",
    "lifetime",
    "peek",
    "unscheduled_window",
]

# The numbers of the rules, in seconds. `docs/design.md` names them.
SHORTEST_MAX_AGE = 60.0  # a provider's `max-age` below it counts as this
FIRST_COOLDOWN = 5.0  # after one failure; it doubles with each further one
FAILED_WORKER_DELAY = 1.0  # on top of it, for the worker that failed: others have the next turn
NO_FITTING_KEYS_COOLDOWN = 30.0  # of a worker whose `allowed_algorithms` fit no published key
STORELESS_INTERVAL = 30.0  # between the fetches of one worker while the store is down
GRACE = 1.0  # beyond lease and deadline, for a worker that waits for others
MIN_RETRY_AFTER = 1.0  # what a refused caller is told at least


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

    The default is that of no set at all: past all service at any time.
    """

    fetched: float = -inf
    refresh_at: float = -inf
    expires: float = -inf
    dies: float = -inf


NO_LIFE = Lifetime()


@dataclass(frozen=True, slots=True)
class Attempts:
    """What is known of refreshes: when the one under way began, and how the last one ended.

    `mismatch`: it found that the provider names another issuer, which is a failure as well.
    """

    began: float | None = None
    not_before: float = -inf
    failed: bool = False
    mismatch: bool = False
    poll_at: float = inf


@dataclass(frozen=True, slots=True)
class Serve:
    """Use the current keys; `refresh` them or `poll` the store in the background."""

    stale: bool = False
    refresh: bool = False
    poll: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for a refresh, and start it unless one is under way; `seconds` None: to its end."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Refuse:
    """No usable keys, and no attempt to get any for that long."""

    retry_after: float


Decision = Serve | Wait | Refuse


@dataclass(frozen=True, slots=True)
class Exhausted:
    """So many searches were made that none is made now: the key counts as unknown."""


EXHAUSTED = Exhausted()


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
    cools = now < attempts.not_before
    if may_be_stale and cools:
        return Serve(stale=True)
    if attempts.began is not None:
        return _join(attempts.began, now, policy, may_be_stale=may_be_stale)
    if cools:
        return Refuse(attempts.not_before - now)
    return Wait(policy.soft_wait if may_be_stale else None)


def _join(began: float, now: float, policy: Policy, *, may_be_stale: bool) -> Decision:
    if not may_be_stale:
        return Wait(None)
    left = began + policy.soft_wait - now
    return Wait(left) if left > 0 else Serve(stale=True)


def peek(life: Lifetime, attempts: Attempts, now: float) -> Serve | None:
    """Return what `decide` serves whether a refresh is under way or not; None if that matters.

    For threads, which do not see what the event loop does: `attempts.began` is not looked at.
    The background work may be under way already.
    """
    if now < life.expires:
        return Serve(refresh=now >= life.refresh_at, poll=now >= attempts.poll_at)
    may_be_stale = now < life.dies and not attempts.mismatch
    return Serve(stale=True) if may_be_stale and now < attempts.not_before else None


def hopeless(
    bucket: "Bucket", attempts: Attempts, now: float, *, searching: bool
) -> "Refuse | Exhausted | None":
    """Return why a token whose key is unknown is refused at once; None if a search is made for it.

    `searching`: one is under way, which may be joined. A thread, which does not see for what
    something is under way, says True whenever anything is.
    """
    if attempts.failed and now < attempts.not_before:
        return Refuse(attempts.not_before - now)
    return None if searching or bucket.taken(now) is not None else EXHAUSTED


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
