"""What is logged of each event, and what an observer is told."""

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import pytest

from auth_jwks._cache.announce import GuardedObserver, announce
from auth_jwks.events import (
    DocumentRejected,
    Event,
    KeysRefreshed,
    RefreshFailed,
    StaleServed,
    StoreFailed,
    UnknownKey,
)
from auth_jwks.testing import FakeClock

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
        KeysRefreshed(SOURCE, "provider", 1, (), 0.25),
        logging.INFO,
        f"fetched 1 key from {SOURCE}, skipped none",
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
        f"no published key fits a token, after a refresh; keys from {SOURCE}",
    ),
    (
        UnknownKey(SOURCE, asked=False),
        logging.DEBUG,
        f"no published key fits a token, without a refresh; keys from {SOURCE}",
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
def test_every_record_has_the_event_s_fields(
    event: Event, caplog: pytest.LogCaptureFixture
) -> None:
    """For logs in JSON, by names of our own. At INFO a record of DEBUG is not even made."""
    with caplog.at_level(logging.DEBUG, "auth_jwks"):
        announce(event, None)
    [record] = caplog.records
    told = {name: value for name, value in vars(record).items() if name.startswith("auth_jwks_")}
    fields = {f"auth_jwks_{name}": value for name, value in dataclasses.asdict(event).items()}
    assert told == {"auth_jwks_event": type(event).__name__} | fields
    with caplog.at_level(logging.INFO, "auth_jwks"):
        announce(event, None)
    assert len(caplog.records) == 1 + (record.levelno > logging.DEBUG)


@pytest.mark.parametrize("event", [event for event, _, _ in LOGGED])
def test_every_event_reaches_the_observer(event: Event) -> None:
    """The observer gets the very event, once."""
    seen: list[Event] = []
    announce(event, seen.append)
    assert [id(one) for one in seen] == [id(event)]


def test_broken_observer_breaks_nothing(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """Its first fault is logged by class and places alone: words and source may hold secrets."""
    announce(UnknownKey(SOURCE, asked=False), GuardedObserver(_broken, clock))
    [line] = caplog.messages
    first, *places = line.splitlines()
    assert first == "the observer failed on UnknownKey: LookupError"
    assert [place.partition(", line ")[0] for place in places] == [f'  File "{__file__}"'] * 2
    assert [place.rpartition(" ")[2] for place in places] == ["_broken", "_look_up"]
    assert "secret" not in caplog.text


def test_observer_that_fails_always_is_told_once_a_minute(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """With how many faults were not told; strangers can cause one event for each token."""
    observer = GuardedObserver(_broken, clock)
    for _ in range(4):
        for _ in range(1000):
            announce(UnknownKey(SOURCE, asked=False), observer)
        clock.advance(30)
    first, second = caplog.messages
    assert "more" not in first
    assert second == (
        "the observer failed on UnknownKey: LookupError; 1999 more since the last such line"
    )
    assert repr(observer) == "GuardedObserver(untold=1999)"


def test_observer_that_fails_now_and_then_is_told_each_time(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The later lines have no traceback, and nothing was kept back that they could count."""
    observer = GuardedObserver(_broken, clock)
    for _ in range(3):
        announce(UnknownKey(SOURCE, asked=False), observer)
        clock.advance(60)
    assert caplog.messages[1:] == ["the observer failed on UnknownKey: LookupError"] * 2


def test_each_observer_is_told_of(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """The silence about one is none about another."""
    for _ in range(2):
        announce(UnknownKey(SOURCE, asked=False), GuardedObserver(_broken, clock))
    assert len(caplog.messages) == 2


@pytest.mark.parametrize("fault", [asyncio.CancelledError(), RecursionError(), LookupError()])
def test_whatever_an_observer_raises_stays_there(
    fault: BaseException, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A cancellation as well: it would end the refresh of all. And no line is long."""
    deep = isinstance(fault, RecursionError)
    announce(UnknownKey(SOURCE, asked=False), GuardedObserver(_raising(fault, deep * 50), clock))
    [line] = caplog.messages
    assert type(fault).__name__ in line
    assert line.count("\n") == (10 if deep else 1)


def test_observer_without_a_frame_of_its_own(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be a function in C, which leaves no traceback."""
    observer: Any = [].pop
    announce(UnknownKey(SOURCE, asked=False), GuardedObserver(observer, clock))
    assert caplog.messages == ["the observer failed on UnknownKey: TypeError"]


def test_event_is_logged_before_the_observer_fails(
    clock: FakeClock, logged: Callable[[], list[tuple[str, int, str]]]
) -> None:
    """A broken observer takes nothing from the log, and is itself an error in it."""
    announce(StaleServed(SOURCE, 901.0, first=False), GuardedObserver(_broken, clock))
    assert [level for _, level, _ in logged()] == [logging.DEBUG, logging.ERROR]


def test_interrupt_in_an_observer_is_no_fault(clock: FakeClock) -> None:
    """What means to end the program is not swallowed."""
    with pytest.raises(KeyboardInterrupt):
        announce(
            UnknownKey(SOURCE, asked=False),
            GuardedObserver(_raising(KeyboardInterrupt(), 0), clock),
        )


def _broken(event: Event) -> None:
    _look_up(event)


def _look_up(_event: Event) -> None:
    raise LookupError("secret")


def _raising(fault: BaseException, depth: int) -> Callable[[Event], None]:
    def observe(event: Event) -> None:
        if depth:
            _raising(fault, depth - 1)(event)
        raise fault

    return observe
