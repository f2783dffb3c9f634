"""The breaker: how long a broken store is left alone."""

import pytest

from auth_jwks.stores._breaker import Breaker

NOW = 100.0


def highest(_low: float, high: float) -> float:
    """Draw the highest number of a range."""
    return high


def broken(breaker: Breaker, *, slow: bool = False, now: float = NOW) -> Breaker:
    """Return the breaker after one more fault, with the longest rest that may be drawn."""
    return breaker.after_fault(now, highest, slow=slow)


PROVEN = Breaker().after_answer()
DOUBTED = broken(PROVEN, slow=True)


def test_it_starts_closed() -> None:
    """Calls go out, and as many at a time as come."""
    breaker = Breaker()
    assert breaker.admits(NOW)
    assert breaker.during_call().admits(NOW)
    assert breaker.left(NOW) == 0


def test_two_timeouts_open_it() -> None:
    """After the first there is a second attempt at once, and one at a time."""
    assert DOUBTED.admits(NOW)
    assert not DOUBTED.during_call().admits(NOW)
    opened = broken(DOUBTED.during_call(), slow=True)
    assert not opened.admits(NOW)
    assert opened.left(NOW) == 2.0
    assert DOUBTED.during_call().after_answer() == PROVEN


def test_any_fault_after_a_timeout_opens_it() -> None:
    """A connection that is refused, say; after an error, a timeout is the first."""
    assert not broken(DOUBTED.during_call()).admits(NOW)
    assert broken(broken(PROVEN), slow=True).admits(NOW)


def test_three_errors_in_a_row_open_it() -> None:
    """Two do not, and an answer in between starts the count again."""
    twice = broken(broken(PROVEN))
    assert twice.admits(NOW)
    assert broken(broken(twice.after_answer())).admits(NOW)
    assert not broken(twice).admits(NOW)


def test_one_probe_at_a_time_after_the_rest() -> None:
    """The others go on without the store until it answered."""
    opened = broken(DOUBTED, slow=True)
    assert not opened.admits(NOW + 1.9)
    assert opened.admits(NOW + 2)
    probing = opened.during_call()
    assert not probing.admits(NOW + 2)
    assert probing.after_answer() == PROVEN


def test_a_probe_that_was_given_up_is_none() -> None:
    """Its caller was cancelled, which proves nothing: the next call probes."""
    probing = broken(DOUBTED, slow=True).during_call()
    assert probing.after_cancellation().admits(NOW + 2)


@pytest.mark.parametrize("slow", [True, False])
def test_rests_double_to_half_a_minute(*, slow: bool) -> None:
    """Any fault of a probe opens it again, for longer; an answer forgets it all."""
    breaker = broken(DOUBTED, slow=True)
    lefts = [breaker.left(NOW)]
    for _ in range(5):
        breaker = broken(breaker.during_call(), slow=slow)
        lefts.append(breaker.left(NOW))
    assert lefts == [2, 4, 8, 16, 30, 30]
    assert breaker.after_answer() == PROVEN


def test_rests_are_jittered_in_full() -> None:
    """The workers of a fleet come back one by one, from at once to the whole rest."""
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    assert DOUBTED.after_fault(NOW, draw, slow=True).admits(NOW)
    assert drawn == [(0.0, 2.0)]


def test_a_refusal_rests_for_a_minute() -> None:
    """Only an operator mends a password or an ACL."""
    denied = PROVEN.after_denial(NOW)
    assert not denied.admits(NOW + 59)
    assert denied.admits(NOW + 60)
    assert denied.left(NOW) == 60
