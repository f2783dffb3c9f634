"""The events that an observer receives, each a frozen value. All spans are in seconds.

No event holds a token, a key or a URL's query. Every event also goes to the logger `auth_jwks`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, Protocol

from auth_jwks._values import dataclass
from auth_jwks.errors import Reason

if TYPE_CHECKING:
    from dataclasses import dataclass

__all__ = [
    "BreakerChanged",
    "CountingObserver",
    "DocumentFault",
    "DocumentRejected",
    "Event",
    "KeysRefreshed",
    "LeaseChanged",
    "Observer",
    "Operation",
    "RefreshFailed",
    "RefreshFault",
    "StaleServed",
    "StoreFailed",
    "StoreFault",
    "TimingObserver",
    "TokenRefused",
    "UnknownKey",
    "VerificationResult",
]

RefreshFault = Literal[
    "connection", "content", "environment", "file", "http_client", "issuer_mismatch",
    "no_fitting_keys", "status", "timeout", "unexpected", "unusable_keys",
]  # fmt: skip
StoreFault = Literal["cancelled", "resting", "timeout", "unavailable", "unexpected"]
DocumentFault = Literal["format", "keys", "seal", "source"]
LeaseChange = Literal["granted", "lost", "superseded", "waited"]
Operation = Literal["refresh", "fetch", "poll", "commit", "fail"]
# "ok": verified now; "seen": verified before, and remembered; else the reason of a rejection.
VerificationResult = Literal["ok", "seen"] | Reason


@dataclass(frozen=True, slots=True)
class KeysRefreshed:
    """A key set was adopted.

    `origin` is where it came from. `skipped` has one reason for each JWK that was ignored, with its
    `kid`. `age` is the number of seconds since its fetch at the provider began. `version` is the
    store's, 0 if the set is not in the store. `usable_for` is the number of seconds until the keys
    are too old even as stale keys.
    """

    source: str
    origin: Literal["provider", "store"]
    keys: int
    skipped: tuple[str, ...]
    age: float
    version: int
    usable_for: float


@dataclass(frozen=True, slots=True)
class RefreshFailed:
    """The provider did not answer, or its answer could not be used.

    `kind` is stable, fit for a metric's label. `reason` is for people and may be reworded.
    """

    source: str
    kind: RefreshFault
    reason: str
    retry_after: float

    @property
    def mismatch(self) -> bool:
        """Whether the provider names another issuer than the configured one."""
        return self.kind == "issuer_mismatch"


@dataclass(frozen=True, slots=True)
class StaleServed:
    """A token was verified with stale keys. `first`: it is the first since they were fresh."""

    source: str
    age: float
    first: bool


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """A call of the key store failed. The worker continues without it.

    `store` is the store's name: its URL without credentials, a path, or the name of its class.
    `kind` is stable, fit for a metric's label. `reason` is for people and may be reworded.
    """

    source: str
    store: str
    operation: Literal["poll", "commit", "fail"]
    kind: StoreFault
    reason: str


@dataclass(frozen=True, slots=True)
class DocumentRejected:
    """The document in the key store can't be used. The worker fetches a new one.

    `kind` is stable, fit for a metric's label. `reason` is for people and may be reworded.
    """

    source: str
    kind: DocumentFault
    reason: str


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """No key fits a token, or it has no `kid` and no key signed it. `asked`: a refresh was made."""

    source: str
    asked: bool


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """A token was rejected. `detail` is for people, holds no token, and may be reworded."""

    source: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class LeaseChanged:
    """A change of the fleet's refresh lease, as this worker sees it.

    "granted": this worker has it, and fetches. "lost": it expired before its fetch ended.
    "superseded": another holder stored a newer document. "waited": another worker fetches, and this
    one waits, or uses the keys it has.
    """

    source: str
    change: LeaseChange


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A store's breaker opened, so its calls fail at once for a while, or it closed again."""

    source: str
    store: str
    change: Literal["opened", "closed"]


Event = (
    KeysRefreshed
    | RefreshFailed
    | StaleServed
    | StoreFailed
    | DocumentRejected
    | UnknownKey
    | TokenRefused
    | LeaseChanged
    | BreakerChanged
)


class Observer(Protocol):
    """A callable that receives each event. It runs in the event loop, so it must be quick."""

    def __call__(self, event: Event, /) -> None:
        """Handle `event`. An exception is logged, at a limited rate, and does not propagate."""
        ...


class CountingObserver(Observer, Protocol):
    """An observer that also counts verifications."""

    def counter(self, source: str, /) -> Callable[[VerificationResult], None]:
        """Return a function that is called with each verification's result, in any thread."""
        ...


class TimingObserver(Observer, Protocol):
    """An observer that is called when work begins and ends."""

    def during(self, operation: Operation, source: str, /) -> AbstractContextManager[object]:
        """Return a context that is entered while the operation runs.

        A refresh contains the others. Exceptions of a store's call or of a fetch pass through it.
        """
        ...
