"""What the last refreshes delay: pure values, without a worker around them."""

from math import inf

from auth_jwks._cache.attempts import Attempts
from auth_jwks._cache.outcome import Deferred, Failed


def test_failure_of_another_worker_delays_no_search() -> None:
    """It delays refreshes by age; what another host can't reach this one perhaps can."""
    failure = Failed("the last refresh failed", 20.0)
    attempts = Attempts().after(failure, "age", 100.0, expires=500.0, spread=0.0)
    assert attempts.until("age") == 120.0
    assert attempts.until("unknown_kid") == -inf


def test_failure_of_its_own_delays_searches_as_well() -> None:
    """And a second longer than it delays the others, who then come first."""
    failure = Failed("connection", 20.0, here=True)
    attempts = Attempts().after(failure, "unknown_kid", 100.0, expires=500.0, spread=0.0)
    assert attempts.until("age") == attempts.until("unknown_kid") == 121.0


def test_a_refresh_is_left_to_others_until_the_keys_expire() -> None:
    """From then on this worker waits for them, and has to ask again."""
    left = Attempts().after(Deferred(30.0), "age", 100.0, expires=110.0, spread=0.0)
    assert left.not_before == 110.0
    expired = Attempts().after(Deferred(30.0), "age", 120.0, expires=110.0, spread=0.0)
    assert expired.not_before == 150.0


def test_a_refresh_that_was_lost_delays_none_beyond_the_life_of_the_keys() -> None:
    """Ahead of expiry the next one waits; a token that needs keys does not."""
    assert Attempts().after_loss(1, 100.0, expires=500.0).not_before == 105.0
    assert Attempts().after_loss(1, 100.0, expires=101.0).not_before == 101.0
    assert Attempts(lost=1).after_loss(1, 100.0, expires=500.0).not_before == 500.0
    assert Attempts().after_loss(1, 100.0, expires=99.0).not_before == -inf
