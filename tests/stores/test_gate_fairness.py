"""One host must not decide what the others can reach: whatever it does, they get their turn.

A worker searches, and asks first in each half-second; another one does what it likes. It fails as
workers do, with a cool-down of five seconds or more, or holds its lease for ever.
"""

from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auth_jwks.stores.base import (
    LEASE,
    MAX_COOLDOWN,
    UNSCHEDULED_WINDOW,
    Answer,
    Cause,
    Cooling,
    Granted,
    Lease,
    LeaseRequest,
    Newer,
)
from auth_jwks.stores.gate import EMPTY, Record, committed, failed, microseconds, polled

STEP = 0.5
# The budget comes back, and a lease that the other one has taken meanwhile can be overtaken.
LONGEST = UNSCHEDULED_WINDOW + LEASE + STEP

Act = Literal["age", "unknown_kid", "forced", "repair", "fail", "mismatch", "rest"]
CAUSES: tuple[Cause, ...] = ("age", "unknown_kid", "forced", "repair")
acts = st.lists(st.sampled_from(("rest", "fail", "mismatch", *CAUSES)), max_size=4)
turns = st.lists(acts, max_size=100)
BUSY: list[list[Act]] = [["age"]] * 100
STUBBORN: list[list[Act]] = [["fail", "forced", "fail", "forced", "age"]] * 100
# A lease when the budget comes back, which it then spends.
SLY: list[list[Act]] = [*[[]] * 17, ["age"], [], ["fail", "forced", "fail", "forced"]]


@dataclass
class Two:
    """A store, and the one who does what it likes."""

    record: Record = EMPTY
    now: float = 1000.0
    leases: list[Lease] = field(default_factory=list)

    def ask(self, holder: str, cause: Cause) -> Answer:
        """Poll for a lease."""
        request = LeaseRequest(holder, LEASE, cause)
        self.record, answer = polled(
            self.record, microseconds(self.now), "key", 0, request, started=self.now
        )
        return answer

    def act(self, act: Act) -> None:
        """Let the one who does what it likes do one thing."""
        if act in CAUSES:
            answer = self.ask("other", act)
            if isinstance(answer, Granted):
                self.leases.append(answer.lease)
        elif act in {"fail", "mismatch"} and self.leases:
            now, mismatch = microseconds(self.now), act == "mismatch"
            self.record = failed(self.record, now, self.leases[-1], 5.0, mismatch=mismatch)


@given(before=turns, after=turns)
@example(before=[["age"]], after=BUSY)
@example(before=[["forced"]], after=STUBBORN)
@example(before=[["forced", "fail", "forced"]], after=SLY)
def test_search_of_a_healthy_worker_gets_its_turn(
    before: list[list[Act]], after: list[list[Act]]
) -> None:
    """A window later at most, or a lease after that; then its keys are there for all."""
    two = Two()
    for turn in before:
        for act in turn:
            two.act(act)
        two.now += STEP
    asked = two.now
    answer = two.ask("healthy", "unknown_kid")
    for turn in [*after, *[[]] * int(LONGEST / STEP)]:
        if isinstance(answer, Granted):
            break
        for act in turn:
            two.act(act)
        two.now += STEP
        assert two.now <= asked + LONGEST
        answer = two.ask("healthy", "unknown_kid")
    assert isinstance(answer, Granted)
    now = microseconds(two.now)
    two.record, version = committed(two.record, now, answer.lease, b"", took=0, ttl=60, window=10)
    assert version is not None
    assert isinstance(two.ask("third", "age"), Newer)


@given(turns=turns)
def test_one_host_lengthens_no_cooldown_of_others(turns: list[list[Act]]) -> None:
    """However often it fails, that counts as one failure, and closes the gate to itself alone."""
    two = Two()
    for turn in turns:
        for act in turn:
            two.act(act)
        two.now += STEP
    assert two.record.failures <= 1
    answer = two.ask("healthy", "age")
    assert not isinstance(answer, Cooling)
    if isinstance(answer, Granted):
        assert answer.lease.failures <= 1


@pytest.mark.parametrize("stated", [60, 600])
def test_retry_after_binds_no_search_of_others(stated: float) -> None:
    """With what is not urgent they wait, if two were told so, for a minute at most."""
    two = Two()
    two.act("age")
    now = microseconds(two.now)
    two.record = failed(two.record, now, two.leases[-1], stated)
    answer = two.ask("second", "age")
    assert isinstance(answer, Granted)
    two.record = failed(two.record, now, answer.lease, stated)
    assert two.ask("healthy", "age") == Cooling(MAX_COOLDOWN, "failed")
    assert isinstance(two.ask("healthy", "unknown_kid"), Granted)
