"""All policy of the cache: when keys are fresh, when they are refreshed, which calls wait. Pure.

Times are monotonic seconds, spans are seconds.
"""

from collections.abc import Callable
from math import inf
from typing import Final, NamedTuple

from auth_jwks._cache.attempts import Attempts
from auth_jwks.stores.base import LEASE, MAX_COOLDOWN, UNSCHEDULED_WINDOW

__all__ = [
    "EXHAUSTED",
    "NO_LIFE",
    "NO_SEARCHES",
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
MIN_MAX_AGE = 300.0  # a provider's `max-age` below it counts as this
FIRST_COOLDOWN = 5.0  # after one failure; it doubles with each further one
MAX_BACKOFF = 30.0  # upper bound of that: recovery takes no longer than this
NO_FITTING_KEYS_COOLDOWN = 30.0  # of a worker whose `allowed_algorithms` fit no published key
STORELESS_INTERVAL = 30.0  # between the fetches of one worker while the store is down
GRACE = 1.0  # added to lease and deadline for a worker that waits for others
MIN_RETRY_AFTER = 1.0  # the least `retry_after` of an error
MAX_DRIFT = 1.0  # between two clocks; more is time for which one of them stood still
REFRESH_POINT = (0.75, 0.9)  # of the life of a key set: drawn for each set and worker
POLL_SPREAD = (0.75, 1.25)  # of the policy's `poll_interval`: drawn each time


class Policy:
    """The durations that the rules depend on, in seconds.

    `check_interval` is for a source that is cheap to ask: then keys are refreshed that soon.
    """

    __slots__ = (
        "cache_ttl", "check_interval", "lease", "max_stale", "poll_interval", "soft_wait",
        "store_patience",
    )  # fmt: skip

    def __init__(
        self, cache_ttl: float = 900.0, max_stale: float = 86_400.0, *, soft_wait: float = 0.5,
        lease: float = LEASE, poll_interval: float = 60.0, store_patience: float = 2.0,
        check_interval: float = inf,
    ) -> None:  # fmt: skip
        self.cache_ttl: Final = cache_ttl
        self.max_stale: Final = max_stale
        self.soft_wait: Final = soft_wait
        self.lease: Final = lease
        self.poll_interval: Final = poll_interval
        self.store_patience: Final = store_patience
        self.check_interval: Final = check_interval

    def next_poll(self, now: float, uniform: Callable[[float, float], float]) -> float:
        """Return when the store is to be looked into again, at a time drawn with `uniform`."""
        return now + self.poll_interval * uniform(*POLL_SPREAD)


class Lifetime:
    """When one key set was fetched, is due for a refresh, expires, and is unusable even if stale.

    `fetched` is when its fetch at the provider began. The default is for no key set: `-inf`
    throughout, so it is expired and beyond stale use.
    """

    __slots__ = ("dies", "expires", "fetched", "refresh_at")

    def __init__(
        self,
        fetched: float = -inf,
        refresh_at: float = -inf,
        expires: float = -inf,
        dies: float = -inf,
    ) -> None:
        self.fetched: Final = fetched
        self.refresh_at: Final = refresh_at
        self.expires: Final = expires
        self.dies: Final = dies

    def earlier(self, seconds: float) -> "Lifetime":
        """Return the same ages for a set whose fetch began that much earlier."""
        return Lifetime(
            self.fetched - seconds, self.refresh_at - seconds,
            self.expires - seconds, self.dies - seconds,
        )  # fmt: skip


NO_LIFE = Lifetime()


class Serve(NamedTuple):
    """Use the current keys; `refresh` them or `poll` the store in the background."""

    stale: bool = False
    refresh: bool = False
    poll: bool = False


class Wait(NamedTuple):
    """Wait for a refresh, and start one unless one is running. `seconds` None: until it ends."""

    seconds: float | None


class Refuse(NamedTuple):
    """There are no usable keys, and no attempt is made to get any for `retry_after` seconds."""

    retry_after: float


Decision = Serve | Wait | Refuse


class Exhausted:
    """The bucket is empty, so no search is made now, and the key counts as unknown."""

    __slots__ = ()


EXHAUSTED = Exhausted()


def lifetime(
    policy: Policy, *, fetched: float, max_age: float | None, refresh_ahead: float
) -> Lifetime:
    """Return the times of a set. It is refreshed after the share `refresh_ahead` of its life."""
    ttl = policy.cache_ttl
    if max_age is not None:
        ttl = min(ttl, max(MIN_MAX_AGE, max_age))
    expires = fetched + ttl
    refresh_at = fetched + min(ttl * refresh_ahead, policy.check_interval)
    return Lifetime(fetched, refresh_at, expires, expires + policy.max_stale)


def decide(life: Lifetime, attempts: Attempts, now: float, policy: Policy) -> Decision:
    """Return what a request that came at `now` gets.

    A provider that names another issuer is not down, so after a `mismatch` no stale keys are used.
    """
    if now < life.expires:
        idle = attempts.began is None
        due = now >= life.refresh_at and now >= attempts.not_before
        return Serve(refresh=idle and due, poll=idle and now >= attempts.poll_at)
    may_be_stale = now < life.dies and not attempts.mismatch
    cools = now < attempts.not_before
    if may_be_stale and cools:
        return Serve(stale=True)
    if cools and attempts.began is None:
        return Refuse(attempts.not_before - now)
    # A refresh that nobody waits for is lost again.
    if attempts.lost or not may_be_stale:
        return Wait(None)
    began = now if attempts.began is None else attempts.began
    left = began + policy.soft_wait - now
    return Wait(left) if left > 0 else Serve(stale=True)


def peek(life: Lifetime, attempts: Attempts, now: float) -> Serve | None:
    """Return what `decide` returns whether or not a refresh is running; None if that matters.

    This is for threads, which can't see what the event loop is doing: `attempts.began` is
    ignored. The background work in the answer may be running already.
    """
    if now < life.expires:
        return Serve(refresh=now >= life.refresh_at, poll=now >= attempts.poll_at)
    may_be_stale = now < life.dies and not attempts.mismatch
    return Serve(stale=True) if may_be_stale and now < attempts.not_before else None


def hopeless(
    bucket: "Bucket", attempts: Attempts, now: float, *, searching: bool
) -> "Refuse | Exhausted | None":
    """Return why a token whose key is unknown is rejected at once; None if a search may begin.

    `searching`: a search is running that may be joined. A thread can't see the purpose of what
    is running, so it passes True whenever anything is.
    """
    if now < attempts.search_not_before:
        return Refuse(attempts.search_not_before - now)
    return EXHAUSTED if not searching and bucket.is_empty(now) else None


def failure_cooldown(failures: int, stated: float | None, jitter: float) -> float:
    """Return the cool-down after one more failure.

    `failures` is the number before it, `stated` the provider's `Retry-After`, `jitter` in [0, 1].
    """
    doubled = FIRST_COOLDOWN * 2.0 ** min(failures, 10) * (1 + jitter / 4)
    honoured = min(MAX_COOLDOWN, stated) if stated is not None and stated > 0 else 0.0
    return max(min(MAX_BACKOFF, doubled), honoured)


def unscheduled_window(policy: Policy) -> float:
    """Return the window, in seconds, in which at most two refreshes have a cause other than age."""
    return min(UNSCHEDULED_WINDOW, policy.cache_ttl / 2)


class Bucket(NamedTuple):
    """A token bucket that limits searches for an unknown `kid`: one a second, bursts of two."""

    tokens: float = 2.0
    filled: float = -inf

    def taken(self, now: float) -> "Bucket | None":
        """Return the bucket as it stands at `now`, less one token; None when it is empty."""
        tokens = min(2.0, self.tokens + (now - self.filled))
        return Bucket(tokens - 1, now) if tokens >= 1 else None

    def is_empty(self, now: float) -> bool:
        """Return whether it has no token at `now`."""
        return self.tokens + (now - self.filled) < 1


NO_SEARCHES = Bucket(tokens=-inf, filled=0.0)  # of a source that never changes
