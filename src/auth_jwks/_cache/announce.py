"""Sends each event to the log and to the observer."""

import logging

from auth_jwks._jose.keys import summary
from auth_jwks.events import (
    DocumentRejected,
    Event,
    KeysRefreshed,
    Observer,
    RefreshFailed,
    StaleServed,
    StoreFailed,
    UnknownKey,
)

__all__ = ["announce"]

MAX_LOGGED_KIDS = 3  # of the keys that are skipped for one reason

logger = logging.getLogger("auth_jwks")


def announce(event: Event, observer: Observer | None) -> None:
    """Log the event and call the observer with it. What the observer raises is only logged."""
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
        case UnknownKey():  # first, as anyone can cause as many of these as they like
            logger.debug("%s", event)
        case KeysRefreshed(origin="provider"):
            skipped = summary(event.skipped, kids=MAX_LOGGED_KIDS) or "none"
            logger.info("fetched %d keys from %s, skipped %s", event.keys, event.source, skipped)
        case RefreshFailed(kind="issuer_mismatch"):
            logger.error("refused the keys from %s: %s", event.source, event.reason)
        case RefreshFailed():
            text = "could not refresh the keys from %s: %s; next attempt in %.0f s"
            logger.warning(text, event.source, event.reason, event.retry_after)
        case StaleServed(first=True):
            text = "serving stale keys from %s, fetched %.0f s ago, until max_stale has passed"
            logger.warning(text, event.source, event.age)
        case StoreFailed() if event.kind != "resting":  # else strangers could cause one a second
            text = "the key store failed to %s for %s: %s"
            logger.warning(text, event.operation, event.source, event.reason)
        case DocumentRejected():
            logger.warning("rejected the stored document for %s: %s", event.source, event.reason)
        case _:
            logger.debug("%s", event)
