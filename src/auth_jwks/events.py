"""What the library tells about itself: one frozen value per event, one method per observer.

No event holds a token, a key or a URL's query. Every event also goes to the logger `auth_jwks`.
"""

import logging
from collections import Counter
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = [
    "DocumentRejected",
    "Event",
    "KeysRefreshed",
    "Observer",
    "RefreshFailed",
    "StaleServed",
    "StoreFailed",
    "UnknownKey",
    "emit",
]

logger = logging.getLogger("auth_jwks")


@dataclass(frozen=True, slots=True)
class KeysRefreshed:
    """A key set came `origin`; `skipped` says why members were left out, `age` since its fetch."""

    source: str
    origin: Literal["provider", "store"]
    keys: int
    skipped: tuple[str, ...]
    age: float


@dataclass(frozen=True, slots=True)
class RefreshFailed:
    """The provider could not be asked, or its answer not be used; `mismatch`: another issuer."""

    source: str
    reason: str
    retry_after: float
    mismatch: bool


@dataclass(frozen=True, slots=True)
class StaleServed:
    """A token was verified with keys beyond their lifetime; `first` since they were fresh."""

    source: str
    age: float
    first: bool


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """The key store did not do what was asked; the worker goes on by itself."""

    source: str
    operation: Literal["poll", "commit", "fail"]
    reason: str


@dataclass(frozen=True, slots=True)
class DocumentRejected:
    """What the key store holds can't be used; it will be fetched anew."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """No key fits a token; `asked` tells whether a refresh was spent on it."""

    source: str
    asked: bool


Event = KeysRefreshed | RefreshFailed | StaleServed | StoreFailed | DocumentRejected | UnknownKey


class Observer(Protocol):
    """Anything that wants to know: called in the event loop, so it must be quick."""

    def __call__(self, event: Event, /) -> None:
        """Take note of `event`."""
        ...


def emit(event: Event, observer: Observer | None) -> None:
    """Log the event and hand it to the observer, whose own faults are logged and go no further."""
    _log(event)
    if observer is None:
        return
    try:
        observer(event)
    except Exception as fault:  # noqa: BLE001 - an observer must not break a verification
        # No traceback: it may hold the observer's secrets.
        text = "the observer failed on %s: %s"
        logger.log(logging.ERROR, text, type(event).__name__, type(fault).__name__)


def _log(event: Event) -> None:
    match event:
        case UnknownKey():  # first, as strangers can cause as many as they like
            logger.debug("%s", event)
        case KeysRefreshed(origin="provider"):
            skipped = dict(Counter(event.skipped))
            logger.info("fetched %d keys of %s, skipped %s", event.keys, event.source, skipped)
        case RefreshFailed(mismatch=True):
            logger.error("refused the keys of %s: %s", event.source, event.reason)
        case RefreshFailed():
            text = "could not refresh the keys of %s: %s; next attempt in %.0f s"
            logger.warning(text, event.source, event.reason, event.retry_after)
        case StaleServed(first=True):
            text = "serving stale keys of %s, fetched %.0f s ago, until max_stale is over"
            logger.warning(text, event.source, event.age)
        case StoreFailed():
            text = "the key store failed to %s for %s: %s"
            logger.warning(text, event.operation, event.source, event.reason)
        case DocumentRejected():
            logger.warning("rejected the stored keys of %s: %s", event.source, event.reason)
        case _:
            logger.debug("%s", event)
