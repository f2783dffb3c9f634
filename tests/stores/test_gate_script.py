"""The rules are written twice, in Python and in Lua: both say the same, and store the same.

The script runs in a real server, on a clock of the test's: its line that asks for the time is
exchanged, and before each call the gate gets the time to live that it has by that clock.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from auth_jwks.stores.base import (
    Answer,
    Busy,
    Cause,
    Cooling,
    Granted,
    Lease,
    LeaseRequest,
    Newer,
)
from auth_jwks.stores.gate import (
    EMPTY,
    MICRO,
    Gate,
    Record,
    committed,
    failed,
    microseconds,
    polled,
)
from auth_jwks.stores.redis import script

CLOCK = "local clock = redis.call('TIME')\nlocal now = clock[1] * 1000000 + clock[2]\n"
TIMED = script().replace(CLOCK, "local now = tonumber(ARGV[#ARGV])\n")
DAY = microseconds(86_400)
# What may pass while a call is under way.
MOMENT = 500_000

causes: st.SearchStrategy[Cause] = st.sampled_from(("age", "unknown_kid", "forced", "repair"))
# Halves of a second, among which are all spans of the rules but the long ones.
spans = st.integers(0, 24).map(lambda halves: halves / 2)
jumps = spans.map(microseconds) | st.sampled_from(
    (1, -1, 2_999_999, 9_999_999, -5_000_000, 60_000_000, 299_999_999, 300_000_000)
)


class Both(RuleBasedStateMachine):
    """One record, kept by the functions and by the script."""

    redis: "ClassVar[Redis]"
    names: ClassVar[Iterator[int]]

    @initialize()
    def begin(self) -> None:
        """Start with an empty store."""
        self.now = 1_800_000_000 * MICRO
        self.record = EMPTY
        self.key = f"both-{next(self.names)}"
        self.leases: list[Lease] = []

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.redis.delete(self.key, f"{self.key}:gate")

    @rule(
        holder=st.sampled_from("ab"),
        cause=st.none() | causes,
        known=st.sampled_from(("seen", "none", "more", "far")),
        ttl=spans,
    )
    def poll(self, holder: str, cause: Cause | None, known: str, ttl: float) -> None:
        """Ask, with or without a wish for a lease."""
        seen = {
            "seen": self.record.version, "none": 0, "more": self.now + 5, "far": self.now + 2 * DAY
        }[known]  # fmt: skip
        request = None if cause is None else LeaseRequest(holder, ttl, cause)
        args = ("", 0, "age") if request is None else (holder, microseconds(ttl), request.cause)
        told = self.told("poll", seen, *args)
        self.record, answer = polled(self.record, self.now, "", seen, request, started=0.0)
        self.compare(told, reply(answer))
        if isinstance(answer, Granted):
            self.leases.append(answer.lease)

    @rule(
        back=st.integers(1, 3), took=spans, ttl=spans, window=spans, payload=st.binary(max_size=5)
    )
    def commit(self, back: int, took: float, ttl: float, window: float, payload: bytes) -> None:
        """Commit under one of the last leases."""
        for lease in self.leases[-back:][:1]:
            times = map(microseconds, (took, ttl, window))
            told = self.told("commit", lease.holder, lease.fence, *times, payload)
            self.record, version = committed(
                self.record, self.now, lease, payload, took=took, ttl=ttl, window=window
            )
            self.compare(told, ["superseded"] if version is None else ["stored", str(version)])

    @rule(back=st.integers(1, 3), retry_after=spans | st.just(90.0), mismatch=st.booleans())
    def fail(self, back: int, retry_after: float, *, mismatch: bool) -> None:
        """Fail under one of the last leases."""
        for lease in self.leases[-back:][:1]:
            span = microseconds(retry_after)
            told = self.told("fail", lease.holder, lease.fence, span, int(mismatch))
            self.record = failed(self.record, self.now, lease, retry_after, mismatch=mismatch)
            self.compare(told, ["noted"])

    @rule(cause=causes, jump=st.sampled_from((2_999_999, 3_000_000)), renews=st.booleans())
    def linger(self, cause: Cause, jump: int, *, renews: bool) -> None:
        """Let one hold its lease until the other may overtake it."""
        self.poll("a", "age", "seen", 12.0)
        self.now += jump
        if renews:
            self.poll("a", "age", "seen", 12.0)
        self.poll("b", cause, "seen", 12.0)

    @rule(jump=st.sampled_from((-1, 299_999_999, 300_000_000)))
    def mend(self, jump: int) -> None:
        """Let the document be repaired, and once more."""
        self.poll("a", "repair", "seen", 0.0)
        self.now += jump
        self.poll("b", "repair", "seen", 0.0)

    @rule(jump=jumps)
    def pass_time(self, jump: int) -> None:
        """Let time pass, or the clock be set back."""
        self.now += jump

    def told(self, *args: Any) -> list[Any]:
        """Run the script, with a gate that lasts for as long as it has by this clock."""
        gate, name = self.record.gate, f"{self.key}:gate"
        if gate is not None:
            left = gate.renewed + gate.ttl - self.now
            if left > 0:
                self.redis.set(name, text(gate), px=max(left, MOMENT) // 1000)
            else:
                self.redis.delete(name)
        told: Any = self.redis.eval(TIMED, 2, self.key, name, *args, self.now)
        return [
            part.decode() if part is not told[-1] or told[0] != b"newer" else part for part in told
        ]

    def compare(self, told: list[Any], expected: list[Any]) -> None:
        """Both have said the same, but for the milliseconds of the server, and stored the same."""
        if expected[0] == "busy" or expected[2:] in (["failed"], ["mismatch"]):
            left, exact = int(told[1]), int(expected[1])
            assert min(exact, MOMENT) - MOMENT < left <= max(exact, MOMENT) + 1000
            told, expected = [told[0], *told[2:]], [expected[0], *expected[2:]]
        assert told == expected
        stored: Any = self.redis.hgetall(self.key)
        assert record_of(stored) == numbers_of(self.record)
        gate, held = self.record.gate, self.redis.get(f"{self.key}:gate")
        if gate is None:
            assert held is None
        elif gate.left(self.now) > 0:
            assert held == text(gate)


def text(gate: Gate) -> bytes:
    """Return a gate as the script stores it."""
    letter = {None: "L", "failed": "F", "mismatch": "M"}[gate.failed]
    parts = letter, gate.fence, gate.granted, gate.renewed, gate.ttl, gate.holder
    return ":".join(map(str, parts)).encode()


def reply(answer: Answer) -> list[Any]:
    """Return an answer as the script words it."""
    match answer:
        case Newer(version, payload, age, ttl_left):
            times = str(microseconds(age)), str(microseconds(ttl_left))
            return ["newer", str(version), *times, payload]
        case Granted(lease):
            return ["granted", str(lease.fence), str(lease.failures)]
        case Busy(retry_after):
            return ["busy", str(microseconds(retry_after))]
        case Cooling(retry_after, reason):
            return ["cooling", str(microseconds(retry_after)), reason]
        case _:
            return ["unchanged"]


def record_of(stored: dict[bytes, bytes]) -> tuple[object, ...]:
    """Return what the fields of the hash say."""

    def number(name: str, default: int = 0) -> int:
        return int(stored.get(name.encode(), default))

    times = number("unscheduled1"), number("unscheduled2")
    return (
        number("version"), stored.get(b"payload", b""), number("fetched"), number("expires"),
        number("issued"), number("failures"), stored.get(b"failed_by", b""), number("repaired"),
        number("window", EMPTY.window), tuple(time for time in times if time),
    )  # fmt: skip


def numbers_of(record: Record) -> tuple[object, ...]:
    """Return the same of a record."""
    return (
        record.version, record.payload, record.fetched, record.expires,
        record.issued, record.failures, record.failed_by.encode(), record.repaired,
        record.window, record.unscheduled,
    )  # fmt: skip


@pytest.mark.hypothesis
def test_script_says_and_stores_what_the_rules_do(redis_url: str) -> None:
    """Call for call, to the microsecond."""
    assert CLOCK in script()
    with Redis.from_url(redis_url) as redis:
        machine = type("Here", (Both,), {"redis": redis, "names": count()})
        limits = settings(max_examples=200, stateful_step_count=30, deadline=None)
        run_state_machine_as_test(machine, settings=limits)
