"""What is logged of each event, and what an observer is told."""

import logging
from collections.abc import Callable

import pytest

from auth_jwks._cache.announce import announce
from auth_jwks.events import (
    DocumentRejected,
    Event,
    KeysRefreshed,
    RefreshFailed,
    StaleServed,
    StoreFailed,
    UnknownKey,
)

SOURCE = "https://issuer.test/jwks"
NAMED = [f"its use is not sig (kid '{name}')" for name in "abcd"]
SKIPPED = ("not an object", "its use is not sig", *NAMED)
TOLD = "skipped its use is not sig (5: 'a', 'b', 'c'), not an object (1)"

LOGGED: list[tuple[Event, int, str]] = [
    (
        KeysRefreshed(SOURCE, "provider", 2, SKIPPED, 0.25),
        logging.INFO,
        f"fetched 2 keys from {SOURCE}, {TOLD}",
    ),
    (
        KeysRefreshed(SOURCE, "provider", 2, (), 0.25),
        logging.INFO,
        f"fetched 2 keys from {SOURCE}, skipped none",
    ),
    (
        KeysRefreshed(SOURCE, "store", 2, (), 12.5),
        logging.DEBUG,
        f"KeysRefreshed(source='{SOURCE}', origin='store', keys=2, skipped=(), age=12.5)",
    ),
    (
        RefreshFailed(SOURCE, "status", "HTTP status 503", 5.4),
        logging.WARNING,
        f"could not refresh the keys from {SOURCE}: HTTP status 503; next attempt in 5 s",
    ),
    (
        RefreshFailed(SOURCE, "issuer_mismatch", "another issuer", 5.0),
        logging.ERROR,
        f"refused the keys from {SOURCE}: another issuer",
    ),
    (
        StaleServed(SOURCE, 901.2, first=True),
        logging.WARNING,
        f"serving stale keys from {SOURCE}, fetched 901 s ago, until max_stale has passed",
    ),
    (
        StaleServed(SOURCE, 902.0, first=False),
        logging.DEBUG,
        f"StaleServed(source='{SOURCE}', age=902.0, first=False)",
    ),
    (
        StoreFailed(SOURCE, "poll", "unavailable", "timed out"),
        logging.WARNING,
        f"the key store failed to poll for {SOURCE}: timed out",
    ),
    (
        DocumentRejected(SOURCE, "format", "not in our format"),
        logging.WARNING,
        f"rejected the stored document for {SOURCE}: not in our format",
    ),
    (
        UnknownKey(SOURCE, asked=True),
        logging.DEBUG,
        f"UnknownKey(source='{SOURCE}', asked=True)",
    ),
]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, int, str]]]:
    """Return what gives the records of the library's logger, at every level."""
    caplog.set_level(logging.DEBUG, "auth_jwks")
    return lambda: caplog.record_tuples


@pytest.mark.parametrize(("event", "level", "text"), LOGGED)
def test_every_event_is_logged(
    event: Event, level: int, text: str, logged: Callable[[], list[tuple[str, int, str]]]
) -> None:
    """One record each: what an operator must act on from WARNING up, what repeats at DEBUG."""
    announce(event, None)
    assert logged() == [("auth_jwks", level, text)]


@pytest.mark.parametrize("event", [event for event, _, _ in LOGGED])
def test_every_event_reaches_the_observer(event: Event) -> None:
    """The observer gets the very event, once."""
    seen: list[Event] = []
    announce(event, seen.append)
    assert [id(one) for one in seen] == [id(event)]


def test_broken_observer_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An observer's fault is logged by its class alone, since its text may hold secrets."""
    announce(UnknownKey(SOURCE, asked=False), _broken)
    assert caplog.messages == ["the observer failed on UnknownKey: LookupError"]
    assert "secret" not in caplog.text


def test_event_is_logged_before_the_observer_fails(
    logged: Callable[[], list[tuple[str, int, str]]],
) -> None:
    """A broken observer takes nothing from the log, and is itself an error in it."""
    announce(StaleServed(SOURCE, 901.0, first=False), _broken)
    assert [level for _, level, _ in logged()] == [logging.DEBUG, logging.ERROR]


def test_interrupt_in_an_observer_is_no_fault() -> None:
    """What means to end the program is not swallowed."""
    with pytest.raises(KeyboardInterrupt):
        announce(UnknownKey(SOURCE, asked=False), _interrupted)


def _broken(_event: Event) -> None:
    raise LookupError("secret")


def _interrupted(_event: Event) -> None:
    raise KeyboardInterrupt
