"""How often a token whose key is unknown makes anybody search for it."""

import asyncio
from collections import Counter

import pytest

from auth_jwks import KeysUnavailableError, MemoryKeyStore, UnknownKeyError
from auth_jwks.events import UnknownKey
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.cache.key_cache.calling import CountingStore, begin, outcomes
from tests.cache.worker import SECOND, Hire, spin


async def test_a_flood_of_unknown_kids_is_two_fetches(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """One for those that come at once, one more for the rest; no call to the store each."""
    store = CountingStore(clock)
    worker = hire(store=store)
    await worker.verify()
    issuer.reset()
    store.polls = 0
    unknown = (worker.verify(f"random-{number}") for number in range(1000))
    assert await outcomes(*unknown) == {UnknownKeyError: 1000}
    for number in range(1000):
        with pytest.raises(UnknownKeyError):
            await worker.verify(f"sequential-{number}")
    assert issuer.jwks_requests == 2
    assert store.polls == 2
    told = [event for event in worker.events if isinstance(event, UnknownKey)]
    assert Counter(event.asked for event in told) == {True: 1001, False: 999}


@pytest.mark.parametrize(("cache_ttl", "window"), [(900.0, 10), (12.0, 6)])
async def test_an_unending_flood_is_two_fetches_a_window(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, cache_ttl: float, window: int
) -> None:
    """In any min(10 s, `cache_ttl`/2); and the store is asked once a second."""
    store = CountingStore(clock)
    worker = hire(store=store, cache_ttl=cache_ttl)
    await worker.verify()
    asked, polls = [], store.polls
    for second in range(3 * window):
        clock.advance(1)
        before = issuer.jwks_requests
        ends = await outcomes(*(worker.verify(f"{second}-{number}") for number in range(20)))
        assert ends == {UnknownKeyError: 20}
        asked.append(issuer.jwks_requests - before)
    assert max(sum(asked[begin : begin + window]) for begin in range(len(asked))) == 2
    assert store.polls - polls <= 3 * window + 1


async def test_a_rotation_is_picked_up_at_once(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """One second after the first fetch a new key is found by its first token."""
    worker = hire()
    await worker.verify()
    clock.advance(1)
    issuer.rotate(SECOND)
    assert await worker.verify("second") == ["second"]
    assert worker.at_once == ["first", "second"]


async def test_a_rotation_amid_a_flood_is_picked_up_within_a_window(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Noise may spend the budget of one window, not of the next."""
    worker = hire()
    await worker.verify()
    for turn in range(2):
        await outcomes(*(worker.verify(f"random-{turn}-{number}") for number in range(100)))
    issuer.rotate(SECOND)
    with pytest.raises(UnknownKeyError):
        await worker.verify("second")
    clock.advance(30)
    assert await worker.verify("second") == ["second"]


async def test_known_kids_wait_for_no_search(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """While the provider hangs over an unknown `kid`, tokens of a known one pass."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    issuer.rotate(SECOND)
    issuer.hang(times=1)
    search = begin(worker.verify("second"))
    await issuer.arrived(1)
    clock.advance(4)
    assert worker.at_once == ["first"]
    issuer.release()
    assert await search == ["second"]


async def test_a_search_that_fails_makes_the_keys_unavailable(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Whoever joined it fails with it; and so do later ones, without asking, until it cooled."""
    worker = hire()
    await worker.verify()
    issuer.outage()
    issuer.reset()
    searches = [worker.verify(f"random-{number}") for number in range(10)]
    assert await outcomes(*searches) == {KeysUnavailableError: 10}
    for _ in range(5):
        with pytest.raises(KeysUnavailableError) as caught:
            await worker.verify("second")
        assert caught.value.retry_after == 6.0
    assert issuer.discovery_requests == 1
    assert worker.at_once == ["first"]
    issuer.recover()
    clock.advance(6)
    with pytest.raises(UnknownKeyError):
        await worker.verify("second")


async def test_a_search_that_waited_for_a_failure_fails_with_it(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The provider that just failed a refresh-ahead is not asked again for an unknown `kid`."""
    store = CountingStore(clock)
    worker = hire(store=store)
    await worker.verify()
    clock.advance(700)
    issuer.reset()
    issuer.outage()
    issuer.hang(times=1)
    assert worker.at_once == ["first"]
    await issuer.arrived(1)
    search = begin(worker.verify("second"))
    await spin()
    issuer.release()
    with pytest.raises(KeysUnavailableError):
        await search
    assert issuer.discovery_requests == 1
    assert store.polls == 2


async def test_searches_are_joined_by_a_thousand(hire: Hire, issuer: FakeIssuer) -> None:
    """One more is refused at once, however long the provider takes."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    issuer.rotate(SECOND)
    issuer.hang(times=1)
    searches = [begin(worker.verify("second")) for _ in range(1100)]
    await issuer.arrived(1)
    await spin()
    refused = [search for search in searches if search.done()]
    assert len(refused) == 100
    issuer.release()
    issuer.recover()
    ends = await asyncio.gather(*searches, return_exceptions=True)
    assert Counter(type(end) for end in ends) == {UnknownKeyError: 100, list: 1000}


async def test_a_search_is_waited_for_no_longer_than_the_deadline(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """A search that first had to wait for a refresh-ahead may take longer than its tokens."""
    worker = hire()
    await worker.verify()
    clock.advance(700)
    issuer.reset()
    issuer.hang(on="jwks")
    assert worker.at_once == ["first"]
    await issuer.arrived(2)
    clock.advance(4)
    search = begin(worker.verify("second"))
    await spin()
    clock.advance(5)
    issuer.release()
    await issuer.arrived(3)
    clock.advance(4)
    await spin()
    assert not search.done()
    clock.advance(1)
    with pytest.raises(KeysUnavailableError, match="no answer in time"):
        await search
    assert worker.at_once == ["first"]


async def test_one_search_serves_all_who_came_by_its_begin(hire: Hire, issuer: FakeIssuer) -> None:
    """A hundred tokens of a hundred unknown keys at once are one fetch."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    searches = (worker.verify(f"random-{number}") for number in range(100))
    assert await outcomes(*searches) == {UnknownKeyError: 100}
    assert issuer.jwks_requests == 1


async def test_a_search_that_came_too_early_is_followed_by_another(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The answer under way may be older than the token's key."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    issuer.hang(times=1, on="jwks")
    early = begin(worker.verify("random"))
    await issuer.arrived(2)
    clock.advance(1)
    issuer.rotate(SECOND)
    late = begin(worker.verify("second"))
    await spin()
    issuer.release()
    with pytest.raises(UnknownKeyError):
        await early
    assert await late == ["second"]
    assert issuer.jwks_requests == 2


async def test_an_unknown_kid_is_looked_for_in_the_store_first(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """What another worker found costs the provider nothing."""
    store = MemoryKeyStore(timer=clock.monotonic)
    one, other = hire(store=store), hire(store=store)
    await one.verify()
    await other.verify()
    clock.advance(1)
    issuer.rotate(SECOND)
    await one.verify("second")
    issuer.reset()
    assert await other.verify("second") == ["second"]
    assert issuer.requests == ()


@pytest.mark.parametrize(
    ("pause", "kid", "end"), [(0.0, "random", UnknownKeyError), (0.1, "second", list)]
)
async def test_a_refresh_that_came_in_between_is_the_search(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, pause: float, kid: str, end: type
) -> None:
    """One that waited for a refresh which began no earlier, or brought the key, asks no more."""
    worker = hire()
    await worker.verify()
    clock.advance(1)
    issuer.reset()
    issuer.hang(times=1)
    forced = begin(worker.cache.refresh(force=True))
    await issuer.arrived(1)
    issuer.rotate(SECOND)
    clock.advance(pause)
    search = begin(outcomes(worker.verify(kid)))
    await spin()
    issuer.release()
    await forced
    assert await search == {end: 1}
    assert issuer.jwks_requests == 1


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ({"use": "enc"}, "its use is not sig"),
        ({"y": "AQAB"}, "its key material is malformed"),
        ({"d": "AQAB"}, "it contains private members"),
    ],
)
async def test_a_token_of_a_skipped_key_is_refused_for_that_reason(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, member: dict[str, str], reason: str
) -> None:
    """The key is no unknown one: nobody is asked for it until the keys are due by their age."""
    issuer.publish(SECOND.jwk(**member))
    worker = hire()
    await worker.verify()
    assert worker.cache.status().skipped == (f"{reason} (kid 'second')",)
    issuer.reset()
    for _ in range(20):
        clock.advance(30)
        with pytest.raises(UnknownKeyError) as caught:
            await worker.verify("second")
        assert str(caught.value).endswith(
            f"it names 'second' (ES256), which is skipped, as {reason}"
        )
        with pytest.raises(UnknownKeyError, match=reason):
            worker.raise_if_hopeless("second")
    await worker.landed()
    assert issuer.requests == ()
    issuer.withdraw("second")
    issuer.rotate(SECOND)
    clock.advance(301)
    assert await worker.verify("second") == ["second"]


async def test_a_search_ends_with_a_key_that_is_skipped(hire: Hire, issuer: FakeIssuer) -> None:
    """Those who came too late for it don't begin another."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    issuer.publish(SECOND.jwk(use="enc"))
    issuer.hang(times=1)
    early = begin(worker.verify("second"))
    await issuer.arrived(1)
    worker.clock.advance(1)
    late = begin(worker.verify("second"))
    await spin()
    issuer.release()
    ends = await asyncio.gather(early, late, return_exceptions=True)
    assert Counter(map(type, ends)) == {UnknownKeyError: 2}
    assert issuer.jwks_requests == 1
