"""What a bad signature sets going: a search that is waited for, or one that is not."""

from dataclasses import replace

import jwt
import pytest

from auth_jwks import KeysUnavailableError, MemoryKeyStore, UnknownKeyError
from auth_jwks._cache.current import CurrentKeys
from auth_jwks.events import UnknownKey
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.cache.key_cache.calling import CountingStore, begin, outcomes
from tests.cache.worker import SECOND, STRANGER, Hire, Worker, spin, token_of

REUSED = replace(SECOND, kid="first")


def rule_out() -> None:
    """Find the claims of a token bad."""
    raise jwt.ExpiredSignatureError


# Without a `kid`: as for an unknown one.


async def test_a_bad_signature_without_kid_is_searched_for(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The first token of a new key that has no name is verified, after one fetch."""
    worker = hire()
    assert await worker.verify(None) == ["first"]
    clock.advance(1)
    issuer.reset()
    issuer.rotate(SECOND)
    assert await worker.verify(None, SECOND) == ["second"]
    assert issuer.jwks_requests == 1


async def test_a_name_that_no_key_has_is_searched_for_though_a_nameless_key_was_tried(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The token may mean a key that is not published yet."""
    issuer.publish(STRANGER.jwk(kid=None))
    worker = hire()
    assert await worker.verify("whatever") == [None]
    clock.advance(1)
    issuer.rotate(SECOND)
    assert await worker.verify("second") == ["second"]


async def test_junk_without_kid_is_two_fetches_a_window(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """In numbers and for long; and one call to the store a second."""
    store = CountingStore(clock)
    worker = hire(store=store)
    await worker.verify()
    asked, polls = [], store.polls
    for _ in range(30):
        clock.advance(1)
        before = issuer.jwks_requests
        ends = await outcomes(*(worker.verify(None, STRANGER) for _ in range(20)))
        assert ends == {jwt.InvalidSignatureError: 20}
        asked.append(issuer.jwks_requests - before)
    assert max(sum(asked[begin : begin + 10]) for begin in range(21)) == 2
    assert store.polls - polls <= 31
    assert len(worker.told(UnknownKey)) == 600


async def test_a_search_that_fails_makes_the_key_unavailable(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """Without a `kid` nobody can tell whether the key is new; keys at hand verify."""
    worker = hire()
    await worker.verify()
    issuer.outage()
    for _ in range(2):
        with pytest.raises(KeysUnavailableError):
            await worker.verify(None, SECOND)
    assert issuer.discovery_requests == 2
    assert await worker.verify(None) == ["first"]


async def test_a_key_that_came_meanwhile_is_used(hire: Hire, issuer: FakeIssuer) -> None:
    """As when a thread tried a set that another one has replaced: nothing is asked for."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    before = CurrentKeys()
    current, key = await worker.cache.find(token_of(None), before, lambda: None)
    assert (current, key.kid) == (worker.refresher.current, "first")
    with pytest.raises(jwt.InvalidSignatureError):
        await worker.cache.find(token_of("first", SECOND), before, lambda: None)
    assert issuer.requests == ()


async def test_a_name_that_is_found_with_another_key_is_waited_for_no_more(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The search that came too early for the token has shown that its signature is bad."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    issuer.hang(times=1)
    early = begin(worker.verify("second"))
    await issuer.arrived(1)
    issuer.rotate(SECOND)
    clock.advance(1)
    late = begin(outcomes(worker.verify("second", STRANGER)))
    await spin()
    issuer.release()
    assert await early == ["second"]
    assert await late == {jwt.InvalidSignatureError: 1}
    assert issuer.jwks_requests == 1


# Under a known `kid`: a search that nobody waits for.


async def searched(worker: Worker, signing: SigningKey, times: int = 1) -> None:
    """Let signatures come that are bad under a known name, and what they set going end."""
    for _ in range(times):
        worker.search("first", signing)
    await worker.landed()


async def test_a_reused_kid_heals_in_the_background(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The call that notices waits for nothing; one fetch, and the new key is there."""
    worker = hire()
    await worker.verify()
    clock.advance(1)
    issuer.reset()
    issuer.rotate(REUSED, keep=False)
    worker.search("first", SECOND)
    assert issuer.requests == ()
    await worker.landed()
    assert await worker.verify("first", SECOND) == ["first"]
    assert issuer.jwks_requests == 1


async def test_a_reused_kid_costs_a_fleet_one_fetch(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The other workers find the key in the store, and look further than for a set without it."""
    store = MemoryKeyStore(timer=clock.monotonic)
    fleet = [hire(store=store) for _ in range(3)]
    for worker in fleet:
        await worker.verify()
    clock.advance(1)
    issuer.reset()
    issuer.rotate(REUSED, keep=False)
    for worker in fleet:
        await searched(worker, SECOND)
        assert await worker.verify("first", SECOND) == ["first"]
    assert issuer.jwks_requests == 1


async def test_junk_under_a_known_kid_is_two_fetches_a_window(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """And one call to the store a second: that the keys are the same changes nothing."""
    store = CountingStore(clock)
    worker = hire(store=store)
    await worker.verify()
    asked, polls = [], store.polls
    for _ in range(30):
        clock.advance(1)
        before = issuer.jwks_requests
        for _ in range(20):
            await searched(worker, STRANGER)
        asked.append(issuer.jwks_requests - before)
    assert max(sum(asked[begin : begin + 10]) for begin in range(21)) == 2
    assert store.polls - polls <= 31
    assert worker.told(UnknownKey) == []
    assert worker.at_once == ["first"]


async def test_made_up_names_and_bad_signatures_share_one_limit(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """What spends one spends the other."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    await searched(worker, STRANGER, 2)
    await searched(worker, STRANGER)
    for _ in range(5):
        with pytest.raises(UnknownKeyError):
            await worker.verify("made up")
    await searched(worker, STRANGER)
    assert issuer.jwks_requests == 2
    clock.advance(10)
    assert worker.at_once == ["first"]


async def test_one_search_at_a_time(hire: Hire, issuer: FakeIssuer) -> None:
    """A bad signature begins none beside that of another, nor beside one that is waited for."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    issuer.hang()
    waiting = begin(outcomes(worker.verify("unknown")))
    await issuer.arrived(1)
    for _ in range(5):
        worker.search("first", STRANGER)
    issuer.recover()
    issuer.release()
    assert await waiting == {UnknownKeyError: 1}
    assert issuer.jwks_requests == 1


async def test_no_search_for_a_token_that_is_ruled_out(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """By its own claims; nor for one that was tried on keys that are gone by now."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    current = worker.refresher.current
    worker.cache.search(token_of("first", SECOND), current, rule_out)
    worker.cache.search(token_of("first", SECOND), CurrentKeys(), lambda: None)
    assert not worker.cache.may_search(CurrentKeys(), clock.monotonic())
    await worker.landed()
    with pytest.raises(jwt.ExpiredSignatureError):
        await worker.cache.find(token_of(None, SECOND), current, rule_out)
    assert issuer.requests == ()


async def test_no_search_while_one_that_failed_cools_down(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The provider is asked once; then again, and the key is found."""
    worker = hire()
    await worker.verify()
    issuer.reset()
    issuer.outage()
    for _ in range(5):
        await searched(worker, SECOND)
    assert issuer.discovery_requests == 1
    assert await worker.verify() == ["first"]
    issuer.recover()
    issuer.rotate(REUSED, keep=False)
    clock.advance(6)
    await searched(worker, SECOND)
    assert await worker.verify("first", SECOND) == ["first"]


async def test_keys_that_verify_never_wait_for_such_a_search(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """However long it takes."""
    worker = hire()
    await worker.verify()
    issuer.hang()
    worker.search("first", STRANGER)
    await issuer.arrived(3)
    assert worker.at_once == ["first"]
    assert await worker.verify() == ["first"]
