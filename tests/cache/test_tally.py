"""What is counted of verifications, and how few lines tell of refusals."""

import json
import logging
from typing import Any

import jwt
import pytest

from auth_jwks._cache.observers import Observers
from auth_jwks._cache.tally import Tally
from auth_jwks.errors import IssuerMismatchError, KeysUnavailableError, Reason
from auth_jwks.events import Event, TokenRefused
from auth_jwks.testing import FakeClock

SOURCE = "https://issuer.test/jwks"
TEXT = "expected 'orders-api', the token has 'account'"
AUDIENCE = jwt.InvalidAudienceError(f"aud: {TEXT}")
EXPIRED = jwt.ExpiredSignatureError("the token expired 312 s ago (exp)")


@pytest.fixture
def tally(clock: FakeClock) -> Tally:
    """Return a tally that nobody watches."""
    return Tally(Observers(), SOURCE, clock)


def test_the_first_refusal_is_a_line_at_once(
    tally: Tally, caplog: pytest.LogCaptureFixture
) -> None:
    """With its reason, the words of the error and the source."""
    tally.refused(AUDIENCE)
    assert caplog.record_tuples == [
        (
            "auth_jwks",
            logging.WARNING,
            f"refused a token: audience: {TEXT}; source: {SOURCE}",
        )
    ]


def test_later_ones_are_a_line_a_minute(
    tally: Tally, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The first after that minute writes it: how many, for what reasons, and the last of most."""
    tally.refused(EXPIRED)
    for _ in range(1199):
        tally.refused(AUDIENCE)
    for _ in range(4):
        tally.refused(EXPIRED)
    clock.advance(59.9)
    assert len(caplog.records) == 1
    clock.advance(0.1)
    assert len(caplog.records) == 1, "there is no timer"
    tally.refused(AUDIENCE)
    assert caplog.messages[1] == (
        "refused 1,204 tokens in 60 s: audience 1,200 (last: expected 'orders-api', the token has"
        f" 'account'), expired 4; source: {SOURCE}"
    )


def test_a_lone_one_is_told_as_the_first(
    tally: Tally, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """However long after it."""
    for _ in range(3):
        tally.refused(EXPIRED)
        clock.advance(3600)
    assert len(set(caplog.messages)) == 1
    assert len(caplog.messages) == 3
    tally.refused(AUDIENCE)
    tally.refused(AUDIENCE)
    clock.advance(7200)
    tally.refused(EXPIRED)
    assert caplog.messages[-1].startswith("refused 2 tokens in 7,200 s: expired 1 (last: ")


def test_the_service_s_own_faults_are_no_line_of_these(
    tally: Tally, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The refresh that failed has one. They are counted, and told at DEBUG."""
    with caplog.at_level(logging.DEBUG, "auth_jwks"):
        for _ in range(3):
            tally.refused(KeysUnavailableError())
            tally.refused(IssuerMismatchError("another"))
            clock.advance(60)
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    assert tally.counts() == {"ok": 0, "seen": 0, "unavailable": 3, "mismatch": 3}
    tally.refused(EXPIRED)
    assert "refused a token: expired" in caplog.messages[-1]


def test_every_one_is_a_line_at_debug(tally: Tally, caplog: pytest.LogCaptureFixture) -> None:
    """With the notes of the error."""
    error = jwt.MissingRequiredClaimError("aud")
    error.add_note("an audience is expected")
    with caplog.at_level(logging.DEBUG, "auth_jwks"):
        for _ in range(5):
            tally.refused(error)
    text = 'refused a token: claim: Token is missing the "aud" claim (an audience is expected)'
    lines = [record for record in caplog.records if record.levelno == logging.DEBUG]
    assert [line.getMessage() for line in lines] == [f"{text}; source: {SOURCE}"] * 5


def test_the_records_have_fields_for_json(
    tally: Tally, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of the event; a summary has the counts, and the seconds that they are of."""
    tally.refused(EXPIRED)
    for error in (AUDIENCE, AUDIENCE, EXPIRED):
        clock.advance(30)
        tally.refused(error)
    first, second = (fields_of(record) for record in caplog.records)
    assert first == {
        "auth_jwks_event": "TokenRefused",
        "auth_jwks_source": SOURCE,
        "auth_jwks_reason": "expired",
        "auth_jwks_detail": str(EXPIRED),
    }
    assert second == {
        "auth_jwks_event": "TokenRefused",
        "auth_jwks_source": SOURCE,
        "auth_jwks_reason": "audience",
        "auth_jwks_detail": str(AUDIENCE),
        "auth_jwks_counts": {"audience": 2},
        "auth_jwks_seconds": 60.0,
    }


def test_those_who_count_are_told(clock: FakeClock) -> None:
    """Of each refusal, as are those who watch."""
    results: list[object] = []
    events: list[Event] = []
    tally = Tally(Observers((Counting(results), events.append), SOURCE, clock), SOURCE, clock)
    tally.ok += 1
    tally.refused(EXPIRED)
    assert results == [Reason.EXPIRED]
    assert events == [TokenRefused(SOURCE, Reason.EXPIRED, str(EXPIRED))]
    assert repr(tally) == f"Tally('{SOURCE}', {{'ok': 1, 'seen': 0, 'expired': 1}})"


def test_a_tally_beside_others_tells_each_observer_once(clock: FakeClock) -> None:
    """Of what was refused before it got to any of them, under a name of its own."""
    both: list[Event] = []
    one: list[Event] = []
    observe, other = both.append, one.append
    tallies = [Tally(Observers(each), SOURCE, clock) for each in ((observe,), (observe, other))]
    beside = Tally.beside(tallies, "several issuers")
    beside.refused(EXPIRED)
    assert both == one == [TokenRefused("several issuers", Reason.EXPIRED, str(EXPIRED))]
    assert [each.counts() for each in tallies] == [{"ok": 0, "seen": 0}] * 2


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a formatter for JSON finds."""
    fields = {name: value for name, value in vars(record).items() if name.startswith("auth_jwks_")}
    found: dict[str, Any] = json.loads(json.dumps(fields))
    return found


class Counting:
    """An observer that counts alone."""

    def __init__(self, results: list[object]) -> None:
        self._results = results

    def __call__(self, event: Event, /) -> None:
        """Be told nothing."""

    def counter(self, _source: str, /) -> Any:
        """Return what keeps a result."""
        return self._results.append
