"""The events that an observer gets, each a frozen value. All spans are in seconds.

No event holds a token, a key or a URL's query. Every event also goes to the logger `auth_jwks`.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = [
    "DocumentFault",
    "DocumentRejected",
    "Event",
    "KeysRefreshed",
    "Observer",
    "RefreshFailed",
    "RefreshFault",
    "StaleServed",
    "StoreFailed",
    "StoreFault",
    "UnknownKey",
]

RefreshFault = Literal[
    "connection", "content", "environment", "file", "http_client", "issuer_mismatch",
    "no_fitting_keys", "status", "timeout", "unexpected", "unusable_keys",
]  # fmt: skip
StoreFault = Literal["cancelled", "resting", "timeout", "unavailable", "unexpected"]
DocumentFault = Literal["format", "keys", "seal", "source"]


@dataclass(frozen=True, slots=True)
class KeysRefreshed:
    """A key set was adopted.

    `origin` is where it came from. `skipped` has one reason for each JWK that was ignored,
    with its `kid`. `age` is the number of seconds since its fetch at the provider began.
    """

    source: str
    origin: Literal["provider", "store"]
    keys: int
    skipped: tuple[str, ...]
    age: float


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

    `kind` is stable, fit for a metric's label. `reason` is for people and may be reworded.
    """

    source: str
    operation: Literal["poll", "commit", "fail"]
    kind: StoreFault
    reason: str


@dataclass(frozen=True, slots=True)
class DocumentRejected:
    """The document in the key store can't be used. A new one will be fetched.

    `kind` is stable, fit for a metric's label. `reason` is for people and may be reworded.
    """

    source: str
    kind: DocumentFault
    reason: str


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """No key fits a token, or it names none and no key signed it. `asked`: a refresh was made."""

    source: str
    asked: bool


Event = KeysRefreshed | RefreshFailed | StaleServed | StoreFailed | DocumentRejected | UnknownKey


class Observer(Protocol):
    """A callable that gets each event. It runs in the event loop, so it must be quick."""

    def __call__(self, event: Event, /) -> None:
        """Handle `event`. What this raises is logged, now and then, and goes no further."""
        ...
