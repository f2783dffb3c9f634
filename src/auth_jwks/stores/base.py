"""The contract of a store: the gate through which a fleet shares one key set.

A store keeps, per key, one opaque document with a version, and a gate: a lease for the one
worker that may refresh it, or a cool-down. Workers wait for data; they never queue for a lock.
"""

from typing import TYPE_CHECKING, Literal, Protocol

from auth_jwks._values import dataclass

if TYPE_CHECKING:
    from dataclasses import dataclass

__all__ = [
    "DAY",
    "LEASE",
    "MAX_CALL",
    "MAX_COOLDOWN",
    "MAX_PAYLOAD",
    "MAX_STORED",
    "REPAIR_INTERVAL",
    "UNSCHEDULED_LIMIT",
    "UNSCHEDULED_WINDOW",
    "Answer",
    "Busy",
    "Cause",
    "Cooling",
    "Granted",
    "KeyStore",
    "Lease",
    "LeaseRequest",
    "Newer",
    "StoreUnavailable",
    "Unchanged",
]

# Seconds. A lease must last much longer than a call to the store: it is renewed by calls, and its
# commit must arrive in time. A search may overtake a lease that was granted that long ago.
LEASE = 3.0
MAX_CALL = LEASE / 4
MAX_COOLDOWN = 60.0
# How far a version may be ahead of the store's time, and the minimum time a record is kept.
DAY = 86_400.0
# Searches and forced refreshes: the limit of leases in a window, until a commit sets another.
UNSCHEDULED_LIMIT = 2
UNSCHEDULED_WINDOW = 10.0
# Between two leases to repair a document: two fleets that share a key, but no seal, each find the
# other's document, and would replace it for ever.
REPAIR_INTERVAL = 300.0
# Bytes. A stored document may be longer than its payload, by the seal. Above this it is absent.
MAX_PAYLOAD = 1024 * 1024
MAX_STORED = 2 * MAX_PAYLOAD

Cause = Literal["age", "unknown_kid", "forced", "repair"]


class StoreUnavailable(Exception):  # noqa: N818 - a state of the store, and the contract's word for it
    """The store can't answer now. The argument says why, in a few words without secrets.

    `resting`: the store was not asked, because it failed a moment ago, which was reported then.
    `opened`: after this failure it is not asked for a while, because its breaker is open.
    """

    def __init__(
        self, reason: str = "unavailable", *, resting: bool = False, opened: bool = False
    ) -> None:
        super().__init__(reason)
        self.resting = resting
        self.opened = opened


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """A request to refresh. `holder`, 128 random bits, names the caller: the same on a retry."""

    holder: str
    ttl: float
    cause: Cause

    def __repr__(self) -> str:
        return f"LeaseRequest(ttl={self.ttl!r}, cause={self.cause!r})"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of `holder` to refresh one key for `ttl` seconds, by the store's clock.

    `fence` is the version under which the result is committed. `started` is the caller's
    monotonic time before it asked. `failures` counts consecutive failures of the whole fleet,
    those of one holder in a row as one.
    """

    key: str
    holder: str
    fence: int
    ttl: float
    started: float
    failures: int

    def __repr__(self) -> str:
        return f"Lease(key={self.key!r}, fence={self.fence!r}, failures={self.failures!r})"


@dataclass(frozen=True, slots=True)
class Newer:
    """The store holds a newer version than the known one.

    `age` is the time since its fetch at the provider began, `ttl_left` the time until the store
    drops it. If the store can see that the document is not trustworthy, `fault` says why.
    """

    version: int
    payload: bytes
    age: float
    ttl_left: float
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The store holds nothing newer, and no lease was requested."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The caller may refresh, alone unless it takes longer than `LEASE`."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker is refreshing. Its lease ends in `retry_after` seconds at the latest."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class Cooling:
    """No lease for this cause for `retry_after` seconds.

    `budget`: the limit of leases for it is reached. `failed`: the last refresh failed.
    `mismatch`: it failed because the provider answered its holder, but names another issuer.
    """

    retry_after: float
    reason: Literal["budget", "failed", "mismatch"]


Answer = Newer | Unchanged | Granted | Busy | Cooling


class KeyStore(Protocol):
    """Four methods, each atomic and bounded in time, that raise only `StoreUnavailable`.

    A version is an integer in (0, the store's time in µs + one day]. Anything else that is stored
    counts as absent, and a `known` above the range is ignored.
    """

    async def poll(self, key: str, *, known: int, lease: LeaseRequest | None) -> Answer:
        """Return the document if newer than `known`, else a lease, else why there is none.

        A stored version below `known` counts as absent. If the holder of the live lease asks again,
        the lease is renewed and granted with the same fence. A search ignores the cool-down of
        another holder, and a lease that another holder was granted `LEASE` seconds ago.
        """
        ...

    async def commit(
        self, lease: Lease, payload: bytes, *, ttl: float, window: float
    ) -> int | None:
        """Store up to 1 MiB for `ttl` seconds and end the lease; return its version.

        None if a newer version is stored. A lease that has expired or was overtaken counts, and
        ends no other. From now on at most two leases for an unknown key ID or a forced refresh are
        granted in any `window` seconds.
        """
        ...

    async def fail(self, lease: Lease, *, retry_after: float, mismatch: bool = False) -> None:
        """Turn the lease, if it is still live, into a cool-down of a minute at most.

        It holds back refreshes by age and repairs of all holders, and searches of this one.
        """
        ...

    async def aclose(self) -> None:
        """Close everything the store opened. Later calls reopen it or raise."""
        ...
