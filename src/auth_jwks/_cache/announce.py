"""Sends each event to the log and to the observer."""

import asyncio
import logging
from dataclasses import fields as fields_of
from math import inf
from traceback import StackSummary, walk_tb

from auth_jwks._clock import Clock
from auth_jwks._jose.keys import summary
from auth_jwks.events import (
    DocumentRejected,
    Event,
    KeysRefreshed,
    Observer,
    RefreshFailed,
    StaleServed,
    UnknownKey,
)

__all__ = ["GuardedObserver", "announce", "fields"]

MAX_LOGGED_KIDS = 3  # of the keys that are skipped for one reason
OBSERVER_INTERVAL = 60.0  # seconds between two log lines about one broken observer
MAX_FRAMES = 10  # of the traceback in the first of them

logger = logging.getLogger("auth_jwks")


class GuardedObserver:
    """An observer whose faults are logged, at a limited rate, and do not propagate.

    It is called in several threads and takes no lock, so a slow call holds up no other thread. If
    two calls fail at the same moment, one line too many may be logged.
    """

    def __init__(self, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock
        self._silent_until = -inf
        self._untold = 0

    def __repr__(self) -> str:
        return f"GuardedObserver(untold={self._untold})"

    def __call__(self, event: Event, /) -> None:
        """Call the observer."""
        try:
            self._observer(event)
        # A plain function can't be cancelled. If it raises that, it asked a cancelled future.
        except (Exception, asyncio.CancelledError) as fault:  # noqa: BLE001 - it may raise anything
            self.failed(type(event).__name__, fault)

    def failed(self, occasion: str, fault: BaseException) -> None:
        """Log what the observer raised, unless it did so a short time ago."""
        now, untold, is_first = self._clock.monotonic(), self._untold, self._silent_until == -inf
        if now < self._silent_until:
            self._untold += 1
            return
        self._silent_until, self._untold = now + OBSERVER_INTERVAL, 0
        since = f"; {untold} more since the last such line" if untold else ""
        more = _places(fault) if is_first else since
        text = "the observer failed on %s: %s%s"
        logger.log(logging.ERROR, text, occasion, type(fault).__name__, more)


def announce(event: Event, observer: Observer | None) -> None:
    """Log the event and call the observer with it, which must not raise."""
    # Anyone can cause as many of these as they like.
    if type(event) is not UnknownKey or logger.isEnabledFor(logging.DEBUG):
        _log(event)
    if observer is not None:
        observer(event)


def fields(event: Event) -> dict[str, object]:
    """Return what a log record gets as `extra`: the fields of an event, for logs in JSON."""
    found: dict[str, object] = {"auth_jwks_event": type(event).__name__}
    for each in fields_of(event):
        found[f"auth_jwks_{each.name}"] = getattr(event, each.name)
    return found


def _places(fault: BaseException) -> str:
    """Return the traceback by place alone: messages, values and source may hold secrets."""
    ours = fault.__traceback__
    frames = walk_tb(ours.tb_next if ours else None)
    stack = StackSummary.extract(frames, limit=-MAX_FRAMES, lookup_lines=False)
    return "".join(f'\n  File "{at.filename}", line {at.lineno}, in {at.name}' for at in stack)


def _log(event: Event) -> None:
    match event:
        case UnknownKey():
            asked = "after a refresh" if event.asked else "without a refresh"
            text = "no published key fits a token, %s; keys from %s"
            logger.debug(text, asked, event.source, extra=fields(event))
        case KeysRefreshed(origin="provider"):
            skipped = summary(event.skipped, kids=MAX_LOGGED_KIDS) or "none"
            keys = "1 key" if event.keys == 1 else f"{event.keys} keys"
            text = "fetched %s from %s, skipped %s"
            logger.info(text, keys, event.source, skipped, extra=fields(event))
        case RefreshFailed(kind="issuer_mismatch"):
            text = "refused the keys from %s: %s"
            logger.error(text, event.source, event.reason, extra=fields(event))
        case RefreshFailed():
            text = "could not refresh the keys from %s: %s; next attempt in %.0f s"
            retry_after = event.retry_after
            logger.warning(text, event.source, event.reason, retry_after, extra=fields(event))
        case StaleServed(first=True):
            text = "serving stale keys from %s, fetched %.0f s ago, until max_stale has passed"
            logger.warning(text, event.source, event.age, extra=fields(event))
        case DocumentRejected():
            text = "rejected the stored document for %s: %s"
            logger.warning(text, event.source, event.reason, extra=fields(event))
        case _:
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("%s", event, extra=fields(event))
