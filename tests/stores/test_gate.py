"""The rules of the gate, edge by edge: what each poll, commit and failure makes of a record."""

import math
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks.stores.base import (
    Answer,
    Busy,
    Cause,
    Cooling,
    Granted,
    Lease,
    LeaseRequest,
    Newer,
    Unchanged,
)
from auth_jwks.stores.gate import (
    EMPTY,
    Gate,
    Record,
    committed,
    failed,
    microseconds,
    orphaned,
    polled,
)

NOW = 1_800_000_000.0
MICROS = microseconds(NOW)
DAY = 86_400
DAY_MICROS = DAY * 1_000_000
TTL, WINDOW, STARTED = 1000.0, 10.0, 77.0
CAUSES: tuple[Cause, ...] = ("age", "unknown_kid", "forced", "repair")
SEARCHES: tuple[Cause, ...] = ("unknown_kid", "forced")
STORED = Record(
    version=MICROS,
    payload=b"keys",
    fetched=MICROS,
    expires=MICROS + microseconds(TTL),
    issued=MICROS,
)


def at(after: float) -> int:
    """Return the store's time at that many seconds from NOW."""
    return microseconds(NOW + after)


def wish(holder: str = "one", cause: Cause = "age", ttl: float = 3) -> LeaseRequest:
    """Return a wish for a lease, under that name."""
    return LeaseRequest(holder, ttl, cause)


def ask(
    record: Record, lease: LeaseRequest | None = None, *, after: float = 0, known: int = 0
) -> tuple[Record, Answer]:
    """Poll the record at that many seconds from NOW."""
    return polled(record, at(after), "key", known, lease, started=STARTED)


def answer(
    record: Record, lease: LeaseRequest | None = None, *, after: float = 0, known: int = 0
) -> Answer:
    """Return what a poll is answered."""
    return ask(record, lease, after=after, known=known)[1]


def grant(
    record: Record, lease: LeaseRequest, *, after: float = 0, known: int = 0
) -> tuple[Record, Lease]:
    """Poll for a lease that must be granted."""
    record, given = ask(record, lease, after=after, known=known)
    assert isinstance(given, Granted)
    return record, given.lease


def commit(
    record: Record, lease: Lease, *, after: float = 0, took: float = 0, payload: bytes = b"new"
) -> tuple[Record, int | None]:
    """Commit at that many seconds from NOW."""
    return committed(record, at(after), lease, payload, took=took, ttl=TTL, window=WINDOW)


@given(micros=st.integers(0, 2**52))
def test_microseconds_come_back(micros: int) -> None:
    """So a store's own seconds, a fence and what others make of both are one moment."""
    assert microseconds(micros / 1e6) == micros


def test_microseconds_are_the_nearest() -> None:
    """Seconds that were added up lie a little beside the whole number; cut off, they are others."""
    now, cut_off = 1e6, 0
    for step in range(1000):
        assert microseconds(now) == 10**12 + 330_000 * step
        cut_off += int(now * 1e6) != microseconds(now)
        now += 0.33
    assert cut_off > 100


@pytest.mark.parametrize(
    ("seconds", "micros"),
    [(math.nan, 0), (-1.0, 0), (-math.inf, 0), (4e-7, 0), (6e-7, 1), (1e12, 2**52)],
)
def test_microseconds_are_whole_and_within_reach(seconds: float, micros: int) -> None:
    """Whatever the number; Lua counts two of the greatest exactly."""
    assert microseconds(seconds) == micros
    assert microseconds(math.inf) + microseconds(math.inf) == 2**53


def test_lapsed_lease_is_committed_at_the_moment_it_was_granted_for() -> None:
    """A fence is the time of the store, to the microsecond."""
    for micros in range(MICROS, MICROS + 1000):
        record, given = polled(EMPTY, micros, "key", 0, wish(ttl=0), started=STARTED)
        assert isinstance(given, Granted)
        assert given.lease.fence == micros
        _, version = committed(record, micros, given.lease, b"", took=0, ttl=TTL, window=WINDOW)
        assert version == micros


def test_times_stay_whole() -> None:
    """Whatever seconds are passed in: a record holds no fractions, and nothing before the start."""
    record, lease = grant(EMPTY, wish(ttl=1 / 3))
    assert record.gate is not None
    assert record.gate.ttl == 333_333
    cooling = failed(record, at(0), lease, 2 / 3)
    assert cooling.gate is not None
    assert cooling.gate.ttl == 666_667
    record, _ = committed(record, at(0), lease, b"", took=1 / 3, ttl=2 / 3, window=1e-7)
    times = record.fetched, record.expires, record.window
    assert times == (MICROS - 333_333, MICROS + 333_334, 0)
    record, _ = committed(EMPTY, at(0), lease, b"", took=1e12, ttl=1, window=0)
    assert (record.fetched, record.expires) == (0, 1_000_000)


def test_nothing_is_stored_at_first() -> None:
    """An empty record has nothing newer, and leases to the first who asks."""
    assert answer(EMPTY) == Unchanged()
    expected = Lease("key", "one", MICROS, ttl=3, started=STARTED, failures=0)
    assert answer(EMPTY, wish()) == Granted(expected)


@pytest.mark.parametrize("lease", [None, wish()])
def test_newer_version_wins_over_a_lease(lease: LeaseRequest | None) -> None:
    """Whoever has not seen what is stored gets it, whatever was asked for."""
    expected = Newer(MICROS, b"keys", age=7, ttl_left=TTL - 7)
    assert answer(STORED, lease, after=7, known=MICROS - 1) == expected


@pytest.mark.parametrize("known", [MICROS, MICROS + 1])
def test_what_is_not_newer_counts_as_absent(known: int) -> None:
    """A version seen already, or below one seen, costs no payload and holds back no lease."""
    assert answer(STORED, known=known) == Unchanged()
    assert isinstance(answer(STORED, wish(), known=known), Granted)


def test_document_expires_by_the_clock_of_the_store() -> None:
    """At its expiry a document is absent, not a moment earlier."""
    assert isinstance(answer(STORED, after=TTL - 0.25), Newer)
    assert answer(STORED, after=TTL) == Unchanged()


def test_fetch_in_the_future_counts_as_now() -> None:
    """When the clock went back behind the fetch, the age is none rather than negative."""
    found = answer(STORED, after=-5)
    assert isinstance(found, Newer)
    assert (found.age, found.ttl_left) == (0, TTL + 5)


@pytest.mark.parametrize("ahead", [1, DAY_MICROS - 1, DAY_MICROS])
def test_version_up_to_a_day_ahead_is_believed(ahead: int) -> None:
    """A clock that was a little ahead has given out real versions."""
    record = replace(STORED, version=MICROS + ahead)
    assert isinstance(answer(record, known=MICROS), Newer)


@pytest.mark.parametrize("version", [MICROS + DAY_MICROS + 1, 2**63, 0, -1])
def test_version_outside_its_range_counts_as_absent(version: int) -> None:
    """Nobody reads such a document, and it blocks no commit."""
    record = replace(STORED, version=version)
    assert answer(record, known=-2) == Unchanged()
    record, lease = grant(record, wish())
    record, stored = commit(record, lease)
    assert stored == lease.fence
    assert isinstance(answer(record), Newer)


@pytest.mark.parametrize(("known", "heeded"), [(DAY_MICROS, True), (DAY_MICROS + 1, False)])
def test_known_version_too_far_ahead_is_ignored(known: int, *, heeded: bool) -> None:
    """A worker that has seen a senseless version is not kept from real ones."""
    assert (answer(STORED, known=MICROS + known) == Unchanged()) is heeded
    _, lease = grant(EMPTY, wish(), known=MICROS + known)
    assert lease.fence == (MICROS + known + 1 if heeded else MICROS)


@pytest.mark.parametrize(
    ("issued", "known", "expected"),
    [
        (0, 0, MICROS),
        (MICROS - 1, MICROS - 1, MICROS),
        (MICROS, 0, MICROS + 1),
        (0, MICROS, MICROS + 1),
        (MICROS + 5, MICROS + 9, MICROS + 10),
        (MICROS + 9, MICROS + 5, MICROS + 10),
        (MICROS + DAY_MICROS, 0, MICROS + DAY_MICROS + 1),
    ],
)
def test_fence_is_above_the_time_all_fences_and_what_is_known(
    issued: int, known: int, expected: int
) -> None:
    """The highest of the time, the last fence and the known version decides."""
    _, lease = grant(replace(EMPTY, issued=issued), wish(), known=known)
    assert lease.fence == expected


def test_clock_set_back_by_days_does_not_end_the_sharing() -> None:
    """Fences of a far future are forgotten, or no document would be believed till then."""
    record, _ = grant(STORED, wish(), known=MICROS)
    record, lease = grant(record, wish("two"), after=-2 * DAY)
    assert lease.fence == MICROS - 2 * DAY_MICROS
    record, _ = commit(record, lease, after=-2 * DAY)
    assert isinstance(answer(record, after=-2 * DAY, known=MICROS), Newer)


def test_lease_lapses_by_the_clock_of_the_store() -> None:
    """Others are told how long at most; when that is over, the next one gets it."""
    record, first = grant(EMPTY, wish())
    assert answer(record, wish("two")) == Busy(3)
    assert answer(record, wish("two"), after=2.75) == Busy(0.25)
    _, second = grant(record, wish("two"), after=3)
    assert second.fence > first.fence


def test_holder_is_granted_again_and_renewed() -> None:
    """The holder of the live lease gets the same fence, and the time from now on."""
    record, first = grant(EMPTY, wish())
    record, again = grant(record, wish(), after=2)
    assert again == first
    assert answer(record, wish("two"), after=4.75) == Busy(0.25)
    _, longer = grant(record, wish(ttl=10), after=4)
    assert (longer.fence, longer.ttl) == (first.fence, 10)


def test_renewal_that_comes_too_late_is_a_new_lease() -> None:
    """A lapsed lease is not revived: its holder gets another fence, if it is free."""
    record, first = grant(EMPTY, wish())
    _, late = grant(record, wish(), after=3)
    assert late.fence > first.fence


def test_lease_from_the_future_is_void() -> None:
    """When the clock went back behind the grant, nobody waits for the lease to lapse."""
    record, first = grant(EMPTY, wish())
    _, second = grant(record, wish("two"), after=-1)
    assert second.fence == first.fence + 1


def test_cooldown_from_the_future_is_void() -> None:
    """Nor for a cool-down."""
    record, lease = grant(EMPTY, wish())
    record = failed(record, at(1), lease, 60)
    assert isinstance(answer(record, wish(), after=0.75), Granted)
    assert answer(record, wish(), after=1) == Cooling(60, "failed")


def test_holder_commits() -> None:
    """The document is there for all, as old as its fetch, and the gate is open."""
    record, lease = grant(EMPTY, wish())
    record, version = commit(record, lease, after=2, took=2, payload=b"\x00keys")
    assert version == lease.fence
    assert answer(record, after=5) == Newer(lease.fence, b"\x00keys", age=5, ttl_left=TTL - 5)
    assert isinstance(answer(record, wish("two"), after=5, known=version), Granted)


def test_lapsed_holder_commits_while_nobody_else_came() -> None:
    """An empty gate and nothing newer: the work of a slow holder is not lost."""
    record, lease = grant(EMPTY, wish())
    assert commit(record, lease, after=3)[1] == lease.fence
    assert commit(EMPTY, lease, after=3)[1] == lease.fence


def test_commit_is_superseded_by_a_newer_document_alone() -> None:
    """The late holder gets None, and nothing is changed, whatever gate there is by then."""
    record, late = grant(EMPTY, wish())
    leased, second = grant(record, wish("two"), after=3)
    newer, known = commit(leased, second, after=4)
    assert known is not None
    again, third = grant(newer, wish("three"), after=4, known=known)
    for current in (newer, again, failed(again, at(5), third, 5)):
        assert commit(current, late, after=5) == (current, None)


@pytest.mark.parametrize("failure", [None, "failed", "mismatch"])
def test_late_commit_leaves_the_gate_of_others(failure: str | None) -> None:
    """What a slow holder has fetched is good, and does not undo what another does or has found."""
    record, late = grant(EMPTY, wish())
    record, lease = grant(record, wish("two"), after=3)
    if failure is not None:
        record = failed(record, at(4), lease, 5, mismatch=failure == "mismatch")
    gate = record.gate
    record, version = commit(record, late, after=5)
    assert (version, record.payload, record.gate) == (late.fence, b"new", gate)
    assert isinstance(answer(record, wish("three"), after=5), Newer)
    if failure is None:
        assert commit(record, lease, after=5.5)[1] == lease.fence


def test_commit_forgets_a_gate_that_is_void() -> None:
    """A clock that was set back and goes on again does not bring it back."""
    record, lease = grant(EMPTY, wish())
    record, _ = grant(record, wish("two"), after=3)
    record, known = commit(record, lease, after=2.5)
    assert known == lease.fence
    assert record.gate is None


def test_commit_of_an_earlier_lease_leaves_the_later_one_of_its_holder() -> None:
    """A worker has one name for all its leases: those that are told apart by the fence alone."""
    record, early = grant(EMPTY, wish())
    record, later = grant(record, wish(), after=3)
    gate = record.gate
    record, version = commit(record, early, after=4)
    assert (version, record.gate) == (early.fence, gate)
    record, version = commit(record, later, after=5)
    assert (version, record.gate) == (later.fence, None)


def test_fence_must_be_above_the_stored_version() -> None:
    """Even who holds the gate does not overwrite a version at or above its fence."""
    record, lease = grant(EMPTY, wish())
    for ahead, stored in ((-1, lease.fence), (0, None), (1, None)):
        forged = replace(record, version=lease.fence + ahead, expires=at(TTL))
        assert commit(forged, lease)[1] == stored


def test_expired_document_blocks_no_commit() -> None:
    """What is past its life is absent for a commit as for a poll."""
    record, lease = grant(STORED, wish(), known=MICROS)
    expired = replace(record, version=lease.fence + 1, expires=at(1))
    assert commit(expired, lease, after=0.75)[1] is None
    assert commit(expired, lease, after=1)[1] == lease.fence


def test_lapsed_fence_ahead_of_the_clock_is_refused() -> None:
    """After a fail-over to a slower clock only who holds the gate may commit."""
    record, lease = grant(replace(EMPTY, issued=MICROS + 5_000_000), wish())
    assert commit(record, lease, after=2)[1] == lease.fence
    assert commit(record, lease, after=4.75)[1] is None
    assert commit(record, lease, after=5.25)[1] == lease.fence


def test_commit_after_a_flush_counts_as_the_last_fence() -> None:
    """A fence that comes back to a store that lost everything is remembered again."""
    _, lease = grant(EMPTY, wish())
    record, version = commit(EMPTY, lease)
    assert (version, record.issued) == (lease.fence, lease.fence)


@pytest.mark.parametrize("mismatch", [False, True])
def test_first_failure_cools_its_holder_alone(*, mismatch: bool) -> None:
    """What one host failed at, another one may reach: whatever it asks for, it finds out."""
    record, lease = grant(EMPTY, wish())
    record = failed(record, at(1), lease, 5, mismatch=mismatch)
    cooling = Cooling(4, "mismatch" if mismatch else "failed")
    for cause in CAUSES:
        assert isinstance(answer(record, wish("two", cause), after=2), Granted)
        if cause != "forced":
            assert answer(record, wish("one", cause), after=2) == cooling


def test_failures_of_one_holder_alone_cool_no_other() -> None:
    """However many there are in a row: a slow host keeps no healthy one from its keys."""
    record = EMPTY
    for turn in range(5):
        record, lease = grant(record, wish(), after=10 * turn)
        record = failed(record, at(10 * turn), lease, 10)
        assert isinstance(answer(record, wish("two"), after=10 * turn), Granted)


def test_second_holder_that_fails_cools_all() -> None:
    """Between them they ask once more; then it is the provider's failure, and all others wait."""
    record, lease = grant(EMPTY, wish())
    record, lease = grant(failed(record, at(0), lease, 5), wish("two"))
    record = failed(record, at(0), lease, 10)
    # Nor do two broken hosts that take turns open the gate to each other.
    for turn, name in enumerate(("three", "two", "one", "two", "one"), start=1):
        for waiting in ("one", "two", "three", "four"):
            assert answer(record, wish(waiting), after=10 * turn - 10) == Cooling(10, "failed")
        record, lease = grant(record, wish(name), after=10 * turn)
        record = failed(record, at(10 * turn), lease, 10)


def test_first_failure_spares_no_repair_its_budget() -> None:
    """It is one in five minutes all the same; the answer is why the gate is closed."""
    record, lease = grant(replace(EMPTY, repaired=at(-100)), wish())
    record = failed(record, at(0), lease, 5)
    assert answer(record, wish("two", "repair")) == Cooling(5, "failed")
    assert answer(record, wish("two", "repair"), after=5) == Cooling(195, "budget")


def test_commit_amid_a_cooldown_opens_the_gate_to_others() -> None:
    """The provider answers, so what is left is the failure of a host."""
    late = grant(EMPTY, wish("late"))[1]
    record, lease = grant(EMPTY, wish(), after=1)
    record, lease = grant(failed(record, at(1), lease, 50), wish("two"), after=2)
    record, known = commit(failed(record, at(2), lease, 50), late, after=3)
    assert known is not None
    assert answer(record, wish("two"), after=4, known=known) == Cooling(48, "failed")
    assert isinstance(answer(record, wish("one"), after=4, known=known), Granted)


@pytest.mark.parametrize("mismatch", [False, True])
def test_agreed_failure_cools_all_but_searches_of_others(*, mismatch: bool) -> None:
    """When two have failed: who searches finds out for itself, others wait."""
    record, lease = grant(replace(EMPTY, failures=1, failed_by="three"), wish())
    record = failed(record, at(1), lease, 5, mismatch=mismatch)
    cooling = Cooling(4, "mismatch" if mismatch else "failed")
    passing = {("one", "forced"), ("two", "forced"), ("two", "unknown_kid")}
    for name, cause in product(("one", "two"), CAUSES):
        given = answer(record, wish(name, cause), after=2)
        if (name, cause) in passing:
            assert isinstance(given, Granted)
        else:
            assert given == cooling
        assert isinstance(answer(record, wish(name, cause), after=6), Granted)


def test_cooldown_of_nobody_holds_back_no_search() -> None:
    """Whoever failed, if it is not known, it was another one."""
    record = replace(EMPTY, gate=Gate("", MICROS, MICROS, MICROS, microseconds(5), "failed"))
    assert isinstance(answer(record, wish("one", "unknown_kid")), Granted)
    assert answer(replace(record, failures=2), wish("one")) == Cooling(5, "failed")


def test_cooldown_is_replaced_by_the_lease_that_passed_it() -> None:
    """What comes of it is the latest that is known, whether keys or a failure."""
    record, lease = grant(EMPTY, wish())
    record, lease = grant(failed(record, at(0), lease, 5), wish("two", "unknown_kid"), after=1)
    assert answer(record, wish("three"), after=1) == Busy(3)
    done, _ = commit(record, lease, after=2)
    assert isinstance(answer(done, wish(), after=2), Newer)
    cooling = failed(record, at(2), lease, 5)
    assert answer(cooling, wish("two", "unknown_kid"), after=3) == Cooling(4, "failed")
    assert isinstance(answer(cooling, wish("one", "unknown_kid"), after=3), Granted)


def test_who_failed_leaves_the_last_place_to_others() -> None:
    """However often it is told to refresh: else nobody could search while one host is broken."""
    record, lease = grant(EMPTY, wish("one", "forced"))
    record = failed(record, at(0), lease, 30)
    assert answer(record, wish("one", "forced"), after=9.75) == Cooling(20.25, "failed")
    assert isinstance(answer(record, wish("one", "forced"), after=10), Granted)
    for cause in SEARCHES:
        assert isinstance(answer(record, wish("two", cause), after=9.75), Granted)


def test_searches_amid_a_cooldown_have_the_same_budget() -> None:
    """When it is spent, the answer is why the gate is closed: the provider is in doubt."""
    record, lease = grant(EMPTY, wish())
    record = failed(record, at(0), lease, 30)
    for turn, holder in enumerate(("two", "three"), start=1):
        record, lease = grant(record, wish(holder, "unknown_kid"), after=turn)
        record = failed(record, at(turn), lease, 30)
    for cause in SEARCHES:
        assert answer(record, wish("four", cause), after=3) == Cooling(29, "failed")
        assert isinstance(answer(record, wish("four", cause), after=11), Granted)


def test_cooldown_holds_back_no_document() -> None:
    """What is stored is read all the same."""
    record, lease = grant(STORED, wish(), known=MICROS)
    record = failed(record, at(0), lease, 5)
    assert isinstance(answer(record, wish("two")), Newer)


@pytest.mark.parametrize(("stated", "cooldown"), [(59, 59), (60, 60), (61, 60), (1e9, 60)])
def test_cooldown_is_at_most_a_minute(stated: float, cooldown: float) -> None:
    """Nobody closes the gate for longer."""
    record, lease = grant(EMPTY, wish())
    record = failed(record, at(0), lease, stated)
    assert answer(record, wish()) == Cooling(cooldown, "failed")


def test_mismatch_is_told_with_the_cooldown() -> None:
    """The others learn why, until the next attempt; it is for them to make of it what they will."""
    record, lease = grant(EMPTY, wish())
    record = replace(failed(record, at(0), lease, 5, mismatch=True), failures=2)
    assert answer(record, wish("two"), after=1) == Cooling(4, "mismatch")
    record, lease = grant(record, wish("two"), after=5)
    record = failed(record, at(5), lease, 5)
    assert answer(record, wish(), after=5) == Cooling(5, "failed")


def test_failures_are_counted_until_a_commit() -> None:
    """Each lease tells how often in a row the whole fleet has failed."""
    record, counts = EMPTY, []
    for turn in range(3):
        record, lease = grant(record, wish(f"{turn}"), after=10 * turn)
        counts.append(lease.failures)
        record = failed(record, at(10 * turn), lease, 5)
    record, lease = grant(record, wish(), after=30)
    record, known = commit(record, lease, after=30)
    assert known is not None
    _, following = grant(record, wish("two"), after=31, known=known)
    assert ([*counts, lease.failures], following.failures) == ([0, 1, 2, 3], 0)


def test_failures_of_one_holder_in_a_row_are_one() -> None:
    """One broken host does not lengthen the cool-downs of the others."""
    record, counts = EMPTY, []
    for turn, name in enumerate(("one", "one", "one", "two", "two", "one", "one")):
        record, lease = grant(record, wish(name), after=10 * turn)
        counts.append(lease.failures)
        record = failed(record, at(10 * turn), lease, 5)
    assert (counts, record.failures) == ([0, 1, 1, 1, 2, 2, 3], 3)


def test_failure_after_a_commit_counts_whoever_failed_before() -> None:
    """The row begins anew."""
    record, lease = grant(EMPTY, wish())
    record, lease = grant(failed(record, at(0), lease, 1), wish("two"), after=1)
    record, known = commit(record, lease, after=1)
    assert known is not None
    record, lease = grant(record, wish(), after=2, known=known)
    assert failed(record, at(2), lease, 1).failures == 1


def test_late_failure_changes_nothing() -> None:
    """Who lost the lease does not speak for the one that has it, nor for anybody later."""
    record, late = grant(EMPTY, wish())
    leased, lease = grant(record, wish("two"), after=3)
    cooling = failed(leased, at(4), lease, 50)
    done, _ = commit(leased, lease, after=4)
    own, _ = grant(record, wish(), after=3)
    for current in (leased, cooling, done, own, EMPTY):
        assert failed(current, at(4), late, 5) == current
    assert failed(record, at(3), late, 5) == record


def test_failure_that_is_told_twice_is_one() -> None:
    """The reply to the first was lost; the cool-down is not renewed."""
    record, lease = grant(EMPTY, wish())
    cooling = failed(record, at(1), lease, 5)
    assert failed(cooling, at(2), lease, 5) == cooling


@pytest.mark.parametrize("cause", SEARCHES)
def test_unscheduled_leases_are_two_a_window(cause: Cause) -> None:
    """A third waits until the older of the last two is as old as the window; and so on."""
    record, granted_at = EMPTY, []
    for quarters in range(160):
        after = quarters / 4
        record, given = ask(record, wish(f"{after}", cause, ttl=0.25), after=after)
        if isinstance(given, Granted):
            granted_at.append(after)
        else:
            assert given == Cooling(granted_at[-2] + WINDOW - after, "budget")
    assert granted_at == [0, 0.25, 10, 10.25, 20, 20.25, 30, 30.25]


def test_searches_and_forced_refreshes_share_one_budget() -> None:
    """Unknown keys and force draw on the same two leases."""
    record, _ = grant(EMPTY, wish("one", "unknown_kid", ttl=1))
    record, _ = grant(record, wish("two", "forced", ttl=1), after=4)
    for cause in SEARCHES:
        assert answer(record, wish("three", cause), after=6) == Cooling(4, "budget")
        assert isinstance(answer(record, wish("three", cause), after=10), Granted)


def test_repairs_are_one_in_five_minutes() -> None:
    """Where two fleets share a key and not a seal, each of them repairs for ever."""
    record, granted_at = EMPTY, []
    for after in range(700):
        record, given = ask(record, wish(f"{after}", "repair", ttl=0.25), after=after)
        if isinstance(given, Granted):
            granted_at.append(after)
            record, _ = commit(record, given.lease, after=after, payload=b"")
            record = replace(record, version=0)
        else:
            assert given == Cooling(granted_at[-1] + 300 - after, "budget")
    assert granted_at == [0, 300, 600]


def test_repairs_have_a_budget_of_their_own() -> None:
    """They leave that of searches whole, and don't draw on it when it is spent."""
    record, _ = grant(EMPTY, wish("one", "repair", ttl=1))
    for turn in (1, 2):
        record, _ = grant(record, wish(f"{turn}", "unknown_kid", ttl=1), after=turn)
    record = replace(record, repaired=0)
    assert isinstance(answer(record, wish("three", "unknown_kid"), after=3), Cooling)
    assert isinstance(answer(record, wish("three", "repair"), after=3), Granted)


def test_repair_of_a_future_does_not_count() -> None:
    """When the clock went back, nobody waits for it to come round."""
    record = replace(EMPTY, repaired=at(5))
    assert isinstance(answer(record, wish("one", "repair"), after=4.75), Granted)
    assert answer(record, wish("one", "repair"), after=5) == Cooling(300, "budget")


def test_age_is_never_held_back_by_unscheduled_leases() -> None:
    """However many there are, a set that grows old is refreshed, at no cost to their budget."""
    record = EMPTY
    for turn in range(6):
        cause: Cause = "age" if turn % 3 else "unknown_kid"
        record, _ = grant(record, wish(f"{turn}", cause, ttl=1), after=turn)
    assert answer(record, wish("another", "forced"), after=6) == Cooling(4, "budget")
    assert isinstance(answer(record, wish("age"), after=6), Granted)


def test_closed_gate_is_told_before_a_spent_budget() -> None:
    """Somebody fetches, or has just failed: that says more than how many did before."""
    record, _ = grant(EMPTY, wish("one", "forced", ttl=1))
    record, lease = grant(record, wish("two", "forced"), after=1)
    record, _ = grant(record, wish("two"), after=3)
    for cause in SEARCHES:
        assert answer(record, wish("three", cause), after=5) == Busy(1)
    cooling = failed(record, at(5), lease, 2)
    for cause in SEARCHES:
        assert answer(cooling, wish("three", cause), after=6) == Cooling(1, "failed")
        assert answer(cooling, wish("three", cause), after=7) == Cooling(3, "budget")


def renewed(record: Record, *, until: int, every: float = 1) -> Record:
    """Let holder one renew its lease from one second on, as long as it fetches."""
    for turn in range(1, int(until / every) + 1):
        record, _ = grant(record, wish(), after=turn * every)
    return record


@pytest.mark.parametrize("cause", CAUSES)
def test_slow_holder_is_overtaken_by_a_search(cause: Cause) -> None:
    """From three seconds after its grant on, not a microsecond earlier, however it is renewed."""
    record, slow = grant(EMPTY, wish())
    record = renewed(record, until=2)
    early = polled(record, at(3) - 1, "key", 0, wish("two", cause), started=STARTED)[1]
    assert isinstance(early, Busy)
    record, given = ask(record, wish("two", cause), after=3)
    if cause not in SEARCHES:
        assert given == Busy(2)
    else:
        assert isinstance(given, Granted)
        assert given.lease.fence > slow.fence
        assert answer(record, wish("three", cause), after=4) == Busy(2)


def test_overtaken_holder_is_told_so_and_closes_nothing() -> None:
    """It neither renews nor cools down the lease of another; that one commits over its keys."""
    record, slow = grant(EMPTY, wish())
    record, lease = grant(renewed(record, until=3), wish("two", "unknown_kid"), after=4)
    assert answer(record, wish(), after=5) == Busy(2)
    assert failed(record, at(5), slow, 5) == record
    done, version = commit(record, lease, after=6)
    assert version == lease.fence
    assert commit(done, slow, after=6) == (done, None)


def test_overtaking_draws_on_the_budget() -> None:
    """So a slow provider is asked three times in a window at most, age included."""
    record, _ = grant(EMPTY, wish())
    record = renewed(record, until=3)
    record, _ = grant(record, wish("two", "forced", ttl=20), after=3)
    assert answer(record, wish("three", "forced"), after=5.75) == Busy(17.25)
    record, _ = grant(record, wish("three", "forced", ttl=20), after=6)
    assert answer(record, wish("four", "forced"), after=12.75) == Busy(13.25)
    assert isinstance(answer(record, wish("four", "forced"), after=13), Granted)


def test_fence_above_the_clock_does_not_put_off_overtaking() -> None:
    """The time of the grant counts, not the fence, which may be a day ahead of it."""
    record, slow = grant(EMPTY, wish(ttl=10), known=MICROS + DAY_MICROS - 5)
    assert answer(record, wish("two", "forced"), after=2.75, known=1) == Busy(7.25)
    _, lease = grant(record, wish("two", "forced"), after=3, known=1)
    assert lease.fence == slow.fence + 1


def test_renewal_of_an_unscheduled_lease_is_no_second_one() -> None:
    """A lost reply, or a renewal, does not draw on the budget."""
    record, _ = grant(EMPTY, wish("one", "unknown_kid"))
    for after in (1, 2, 3):
        record, _ = grant(record, wish("one", "unknown_kid"), after=after)
    assert isinstance(answer(record, wish("two", "unknown_kid"), after=6), Granted)


def test_window_is_that_of_the_last_commit() -> None:
    """Ten seconds until a worker with another `cache_ttl` has said how long."""
    record, lease = grant(EMPTY, wish("one", "unknown_kid"))
    record, known = committed(record, at(0), lease, b"", took=0, ttl=TTL, window=8)
    assert known is not None
    record, _ = grant(record, wish("two", "unknown_kid", ttl=1), known=known)
    third = wish("three", "unknown_kid")
    assert answer(record, third, after=7.75, known=known) == Cooling(0.25, "budget")
    assert isinstance(answer(record, third, after=8, known=known), Granted)


def test_unscheduled_leases_of_a_future_do_not_count() -> None:
    """When the clock went back, the budget is whole."""
    record = replace(EMPTY, unscheduled=(at(5), at(6)))
    assert isinstance(answer(record, wish("one", "forced")), Granted)


def test_orphaned_lease_is_dropped_and_a_cooldown_kept() -> None:
    """In a fork the holder is not there to come back, but a failure is one for the child too."""
    leased, lease = grant(STORED, wish(), known=MICROS)
    cooling = failed(leased, at(0), lease, 5)
    assert orphaned(leased) == replace(leased, gate=None)
    assert orphaned(cooling) == cooling
    assert orphaned(STORED) == STORED
