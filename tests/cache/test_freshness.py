"""The policy on age, row by row: fresh, due, stale, dead, and the edges between them."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks._cache.attempts import Attempts
from auth_jwks._cache.freshness import (
    EXHAUSTED,
    Bucket,
    Decision,
    Lifetime,
    Policy,
    Refuse,
    Serve,
    Wait,
    decide,
    failure_cooldown,
    hopeless,
    lifetime,
    peek,
    unscheduled_window,
)
from auth_jwks._cache.outcome import Failed

POLICY = Policy(cache_ttl=900, max_stale=3600)
FETCHED = 10_000.0
LIFE = lifetime(POLICY, fetched=FETCHED, max_age=None, refresh_ahead=0.8)
REFRESH_AT, EXPIRES, DIES = 720.0, 900.0, 4500.0

IDLE = Attempts()
COOLING = Attempts(not_before=FETCHED + 1e6)
OTHER_ISSUER = Failed("issuer", 5.0, mismatch=True, here=True)
MISMATCH = Attempts(failure=OTHER_ISSUER)
MISMATCH_COOLING = Attempts(not_before=FETCHED + 1e6, failure=OTHER_ISSUER)
HOPELESS = Attempts(began=FETCHED - 60)

KEYS = Serve()
REFRESHING = Serve(refresh=True)
STALE = Serve(stale=True)
SOFT, HARD = Wait(0.5), Wait(None)


def at(age: float, attempts: Attempts = IDLE, life: Lifetime = LIFE) -> Decision:
    """Return what a request gets when the set is that old."""
    return decide(life, attempts, FETCHED + age, POLICY)


def started(age: float) -> Attempts:
    """Return the attempts while a refresh that began at that age is under way."""
    return Attempts(began=FETCHED + age)


@pytest.mark.parametrize("attempts", [IDLE, COOLING, MISMATCH, HOPELESS, started(0)])
@pytest.mark.parametrize("age", [0, 1, 719.75])
def test_young_set_is_served_and_nothing_else_happens(age: float, attempts: Attempts) -> None:
    """Before the refresh point a request costs no I/O, whatever was attempted."""
    assert at(age, attempts) == KEYS


@pytest.mark.parametrize("age", [REFRESH_AT, 800, 899.75])
def test_due_set_is_served_while_it_is_refreshed(age: float) -> None:
    """From the refresh point on, that point included, a request starts a background refresh."""
    assert at(age) == REFRESHING


@pytest.mark.parametrize("attempts", [COOLING, MISMATCH_COOLING, HOPELESS, started(720)])
@pytest.mark.parametrize("age", [REFRESH_AT, 800, 899.75])
def test_due_set_is_refreshed_once(age: float, attempts: Attempts) -> None:
    """One refresh at a time, and none during a cool-down; the request is served all the same."""
    assert at(age, attempts) == KEYS


def test_due_set_is_refreshed_again_when_the_cooldown_ends() -> None:
    """The moment a cool-down ends belongs to the next attempt."""
    attempts = Attempts(not_before=FETCHED + 800)
    assert at(799.75, attempts) == KEYS
    assert at(800, attempts) == REFRESHING


def test_mismatch_does_not_spoil_a_fresh_set() -> None:
    """A provider that names another issuer changes nothing until the set expires."""
    assert at(899.75, MISMATCH) == REFRESHING


@pytest.mark.parametrize("age", [EXPIRES, 1000, 4499.75])
def test_stale_set_waits_shortly_for_its_refresh(age: float) -> None:
    """From its expiry on, a set that may be stale waits half a second for the refresh."""
    assert at(age) == SOFT


@pytest.mark.parametrize(
    ("since", "expected"),
    [(0, SOFT), (0.125, Wait(0.375)), (0.375, Wait(0.125)), (0.5, STALE), (0.75, STALE)],
)
@pytest.mark.parametrize("age", [EXPIRES, 1000, 4499.75])
def test_stale_set_is_served_half_a_second_into_the_refresh(
    age: float, since: float, expected: Decision
) -> None:
    """The wait counts from when the refresh began, not from when the request came."""
    assert at(age, started(age - since)) == expected


def test_slow_background_refresh_costs_no_wait_at_expiry() -> None:
    """A set that expires while its refresh hangs is served stale at once."""
    assert at(EXPIRES, started(REFRESH_AT)) == STALE


def test_stale_set_is_served_at_once_during_a_cooldown() -> None:
    """When the refresh has failed there is nothing to wait for, until the cool-down is over."""
    attempts = Attempts(not_before=FETCHED + 1000)
    assert at(999.75, attempts) == STALE
    assert at(1000, attempts) == SOFT


def test_stale_set_waits_for_nothing_during_a_cooldown() -> None:
    """A look into the store that is under way is no reason to wait either."""
    looking = Attempts(began=FETCHED + 999.75, not_before=FETCHED + 1000)
    assert at(999.75, looking) == STALE
    assert at(1000, looking) == Wait(0.25)


def test_stale_set_waits_to_the_end_where_refreshes_are_lost() -> None:
    """A refresh that is not waited for dies with its event loop, and the next one too."""
    assert at(1000, Attempts(lost=1)) == HARD
    assert at(1000, Attempts(began=FETCHED + 990, lost=1)) == HARD
    assert at(1000, Attempts(not_before=FETCHED + 1001, lost=1)) == STALE


@pytest.mark.parametrize("age", [DIES, 5000, 1e9])
def test_dead_set_waits_for_the_refresh_to_its_end(age: float) -> None:
    """From `max_stale` on there is nothing to serve but what the refresh brings."""
    assert at(age) == HARD
    assert at(age, started(age - 5)) == HARD


@pytest.mark.parametrize("age", [DIES, 5000])
def test_dead_set_is_refused_during_a_cooldown(age: float) -> None:
    """No keys and no attempt to get any: the answer says until when."""
    assert at(age, Attempts(not_before=FETCHED + age + 7)) == Refuse(7)
    assert at(age, Attempts(not_before=FETCHED + age)) == HARD


@pytest.mark.parametrize("age", [EXPIRES, 1000, DIES])
def test_mismatch_is_never_papered_over_with_a_stale_set(age: float) -> None:
    """After another issuer was named, an expired set waits or refuses; it never serves."""
    assert at(age, MISMATCH) == HARD
    assert at(age, Attempts(FETCHED + age - 5, failure=OTHER_ISSUER)) == HARD
    assert at(age, Attempts(not_before=FETCHED + age + 7, failure=OTHER_ISSUER)) == Refuse(7)


def test_no_set_is_like_a_dead_one() -> None:
    """A worker without keys waits for the first fetch, or is refused during a cool-down."""
    assert at(0, IDLE, Lifetime()) == HARD
    assert at(0, started(-1), Lifetime()) == HARD
    assert at(0, Attempts(not_before=FETCHED + 3), Lifetime()) == Refuse(3)


def test_max_stale_of_zero_is_strict() -> None:
    """Without `max_stale` a set dies at its expiry."""
    strict = lifetime(Policy(max_stale=0), fetched=FETCHED, max_age=None, refresh_ahead=0.8)
    assert at(899.75, IDLE, strict) == REFRESHING
    assert at(900, IDLE, strict) == HARD
    assert at(900, Attempts(not_before=FETCHED + 901), strict) == Refuse(1)


@pytest.mark.parametrize(
    ("age", "attempts", "expected"),
    [
        (59.75, Attempts(poll_at=FETCHED + 60), KEYS),
        (60, Attempts(poll_at=FETCHED + 60), Serve(poll=True)),
        (60, Attempts(FETCHED + 59, poll_at=FETCHED + 60), KEYS),
        (60, Attempts(not_before=FETCHED + 99, poll_at=FETCHED + 60), Serve(poll=True)),
        (720, Attempts(poll_at=FETCHED + 60), Serve(refresh=True, poll=True)),
        (900, Attempts(poll_at=FETCHED + 60), SOFT),
    ],
)
def test_fresh_set_looks_into_the_store_when_a_poll_is_due(
    age: float, attempts: Attempts, expected: Decision
) -> None:
    """A version poll is due at its time, in the background, unless something is under way."""
    assert at(age, attempts) == expected


def test_soft_wait_is_the_policys() -> None:
    """How long a request waits before it is served stale is a constant of the policy."""
    policy = Policy(soft_wait=2)
    life = lifetime(policy, fetched=0, max_age=None, refresh_ahead=0.8)
    assert decide(life, IDLE, 900, policy) == Wait(2)
    assert decide(life, Attempts(began=899), 900, policy) == Wait(1)
    assert decide(life, Attempts(began=898), 900, policy) == STALE


def test_life_counts_from_when_the_fetch_began() -> None:
    """Refresh point, expiry and death follow from the fetch, `cache_ttl` and `max_stale`."""
    expected = (FETCHED, FETCHED + REFRESH_AT, FETCHED + EXPIRES, FETCHED + DIES)
    assert (LIFE.fetched, LIFE.refresh_at, LIFE.expires, LIFE.dies) == expected


@pytest.mark.parametrize(
    ("max_age", "ttl"),
    [
        (None, 900),
        (1200, 900),
        (900, 900),
        (301, 301),
        (300, 300),
        (299, 300),
        (15, 300),
        (0, 300),
        (-5, 300),
    ],
)
def test_max_age_shortens_a_life(max_age: float | None, ttl: float) -> None:
    """`max-age` counts between five minutes and `cache_ttl`."""
    life = lifetime(POLICY, fetched=0, max_age=max_age, refresh_ahead=0.75)
    assert (life.refresh_at, life.expires, life.dies) == (ttl * 0.75, ttl, ttl + 3600)


def test_max_age_never_prolongs_a_short_cache_ttl() -> None:
    """The five minutes below which `max-age` is not heeded is no floor for `cache_ttl`."""
    life = lifetime(Policy(cache_ttl=10), fetched=0, max_age=0, refresh_ahead=0.75)
    assert life.expires == 10


@pytest.mark.parametrize(("seconds", "due"), [(1, 1), (50, 50), (76, 75)])
def test_a_source_that_is_cheap_to_ask_is_asked_sooner(seconds: float, due: float) -> None:
    """After so many seconds a refresh is due, and the keys live as long as ever."""
    policy = Policy(cache_ttl=100, max_stale=50, check_interval=seconds)
    life = lifetime(policy, fetched=0, max_age=None, refresh_ahead=0.75)
    assert (life.refresh_at, life.expires, life.dies) == (due, 100, 150)


@given(
    ttl=st.floats(0, 1e6),
    stale=st.floats(0, 1e6),
    fetched=st.floats(0, 1e9),
    max_age=st.none() | st.floats(0, 1e9),
    share=st.floats(0.75, 0.9),
)
def test_life_is_in_order(
    ttl: float, stale: float, fetched: float, max_age: float | None, share: float
) -> None:
    """A set is fetched, refreshed, expired and dead in that order, and never past `cache_ttl`."""
    policy = Policy(cache_ttl=ttl, max_stale=stale)
    life = lifetime(policy, fetched=fetched, max_age=max_age, refresh_ahead=share)
    assert fetched == life.fetched <= life.refresh_at <= life.expires <= life.dies
    assert life.expires <= fetched + ttl


def test_cooldown_doubles_to_its_limit() -> None:
    """Five seconds, doubled with each failure in a row, to half a minute."""
    cooldowns = [failure_cooldown(failures, None, 0.0) for failures in range(9)]
    assert cooldowns == [5, 10, 20, 30, 30, 30, 30, 30, 30]
    assert failure_cooldown(10_000, None, 1.0) == 30


def test_cooldown_is_jittered_upward() -> None:
    """Jitter adds up to a quarter, so that a fleet does not come back in step."""
    assert [failure_cooldown(0, None, jitter) for jitter in (0, 0.5, 1)] == [5, 5.625, 6.25]


@pytest.mark.parametrize(
    ("failures", "stated", "expected"),
    [(0, 60, 60), (0, 5, 5), (0, 1, 5), (0, 0, 5), (3, 20, 30), (3, 59, 59), (0, 86_400, 60)],
)
def test_retry_after_is_honoured_within_bounds(
    failures: int, stated: float, expected: float
) -> None:
    """`Retry-After` prolongs a cool-down to at most a minute and never shortens it."""
    assert failure_cooldown(failures, stated, 0.0) == expected


@pytest.mark.parametrize("stated", [nan, -1.0, -inf])
def test_senseless_retry_after_is_ignored(stated: float) -> None:
    """What is no span of time leaves the cool-down as it is."""
    assert failure_cooldown(0, stated, 0.0) == 5


@pytest.mark.parametrize(("ttl", "window"), [(900, 10), (20, 10), (19, 9.5), (10, 5), (0, 0)])
def test_unscheduled_window_is_half_a_short_life(ttl: float, window: float) -> None:
    """Ten seconds, or half of `cache_ttl` if that is less."""
    assert unscheduled_window(Policy(cache_ttl=ttl)) == window


moments = st.integers(-8, 8).map(lambda eighths: eighths / 8)
attempts_made = st.builds(
    Attempts,
    began=st.none(),
    not_before=moments | st.just(-inf),
    search_not_before=moments | st.just(-inf),
    failure=st.none() | st.just(OTHER_ISSUER),
    poll_at=moments | st.just(inf),
)
lives = st.lists(moments, min_size=4, max_size=4).map(lambda times: Lifetime(*sorted(times)))


@given(lives, attempts_made, moments, st.none() | moments)
def test_what_a_peek_serves_is_served(
    life: Lifetime, attempts: Attempts, now: float, began: float | None
) -> None:
    """A thread goes on only with keys that the event loop would serve, whatever is under way."""
    seen = peek(life, attempts, now)
    decision = decide(life, attempts._replace(began=began), now, Policy())
    if seen is not None:
        assert isinstance(decision, Serve)
        assert decision.stale == seen.stale
        assert seen.refresh >= decision.refresh
        assert seen.poll >= decision.poll
    elif began is None:
        assert not isinstance(decision, Serve)


@given(attempts_made, moments, st.sampled_from([Bucket(), Bucket(0.5, 0.0), Bucket(0.0, 0.0)]))
def test_a_thread_refuses_only_what_a_search_would_refuse(
    attempts: Attempts, now: float, bucket: Bucket
) -> None:
    """It takes whatever is under way for a search that can be joined."""
    for_thread = hopeless(bucket, attempts, now, searching=True)
    assert for_thread in {None, hopeless(bucket, attempts, now, searching=False)}


def test_a_search_needs_a_token_of_the_bucket_or_one_to_join() -> None:
    """After a failure neither helps, until its cool-down is over."""
    empty = Bucket(0.0, 0.0)
    assert hopeless(Bucket(), IDLE, 0.0, searching=False) is None
    assert hopeless(empty, IDLE, 0.0, searching=False) == EXHAUSTED
    assert hopeless(empty, IDLE, 0.0, searching=True) is None
    failed = Attempts(search_not_before=7.0)
    assert hopeless(Bucket(), failed, 0.0, searching=True) == Refuse(7.0)
    assert hopeless(Bucket(), failed, 7.0, searching=False) is None
    assert hopeless(Bucket(), Attempts(not_before=7.0), 0.0, searching=False) is None


def takes(times: list[float]) -> list[bool]:
    """Tell at which of these times a new bucket gives a token."""
    bucket, given_out = Bucket(), []
    for now in times:
        taken = bucket.taken(now)
        bucket = taken or bucket
        given_out.append(taken is not None)
    return given_out


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0, 0, 0], [True, True, False]),
        ([0, 0, 0.5, 0.75, 1, 1.5], [True, True, False, False, True, False]),
        ([0, 0.5, 1, 1.5, 2], [True, True, True, False, True]),
        ([0, 0, 1000, 1000, 1000], [True, True, True, True, False]),
    ],
)
def test_bucket_gives_one_a_second_after_a_burst_of_two(
    times: list[float], expected: list[bool]
) -> None:
    """A bucket is full at first and after a rest, and holds two tokens, no more."""
    assert takes(times) == expected


@given(st.lists(st.integers(0, 160).map(lambda eighths: eighths / 8), max_size=60).map(sorted))
def test_bucket_never_gives_more_than_two_and_one_a_second(times: list[float]) -> None:
    """In any stretch of time at most two and one for each second are given out."""
    given_out = [now for now, taken in zip(times, takes(times), strict=True) if taken]
    for first, start in enumerate(given_out):
        for count, end in enumerate(given_out[first:], start=1):
            assert count <= 2 + (end - start)
