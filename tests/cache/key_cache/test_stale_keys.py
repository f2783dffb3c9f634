"""Who waits when the keys have expired, for how long, and who gets stale ones."""

import logging

import pytest

from auth_jwks import KeysUnavailableError
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.cache.key_cache.calling import CountingStore, begin, stale
from tests.cache.worker import SECOND, Hire, spin


async def test_stale_keys_serve_while_the_provider_is_down(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """Each use is an event, and the first of an episode one WARNING."""
    worker = hire()
    await worker.verify()
    for _ in range(2):
        issuer.outage()
        clock.advance(901)
        caplog.clear()
        assert [await worker.verify() for _ in range(3)] == [["first"]] * 3
        warnings = [note for note in caplog.records if note.levelno == logging.WARNING]
        assert sum("stale" in note.getMessage() for note in warnings) == 1
        issuer.recover()
        clock.advance(310)
        await worker.verify()
    assert stale(worker) == [True, False, False] * 2


async def test_a_token_waits_half_a_second_from_the_refreshs_begin(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """With stale keys at hand a hung provider costs the first half a second, a later token less."""
    worker = hire()
    await worker.verify()
    clock.advance(901)
    issuer.reset()
    issuer.hang(times=1)
    first = begin(worker.verify())
    await issuer.arrived(1)
    clock.advance(0.375)
    second = begin(worker.verify())
    await spin()
    assert not first.done()
    assert not second.done()
    clock.advance(0.125)
    assert await first == await second == ["first"]
    assert worker.at_once == ["first"]
    assert stale(worker) == [True, False, False]
    issuer.rotate(SECOND)
    issuer.release()
    await worker.landed()
    assert not worker.cache.status().failure
    assert worker.cache.status().fresh


async def test_a_quick_refresh_spares_the_stale_keys(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """An answer within half a second is waited for."""
    worker = hire()
    await worker.verify()
    clock.advance(901)
    issuer.rotate(SECOND, keep=False)
    assert await worker.verify("second") == ["second"]
    assert stale(worker) == []


async def test_without_max_stale_nothing_stale_is_served(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """`max_stale=0`: the token waits for the refresh, however long, and fails with it."""
    worker = hire(max_stale=0.0)
    await worker.verify()
    clock.advance(901)
    issuer.reset()
    issuer.hang()
    waiting = begin(worker.verify())
    await issuer.arrived(1)
    clock.advance(9)
    await spin()
    assert not waiting.done()
    clock.advance(1)
    with pytest.raises(KeysUnavailableError):
        await waiting
    assert stale(worker) == []


async def test_beyond_max_stale_the_keys_are_unavailable(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Stale service is bounded, and ends with what it can't replace."""
    worker = hire(max_stale=100.0)
    await worker.verify()
    issuer.outage()
    clock.advance(999)
    assert await worker.verify() == ["first"]
    clock.advance(1)
    assert worker.cache.ready(clock.time()) is None
    with pytest.raises(KeysUnavailableError):
        await worker.verify()
    issuer.recover()
    clock.advance(301)
    assert await worker.verify() == ["first"]


@pytest.mark.parametrize("max_stale", [0.0, 86_400.0])
async def test_a_refresh_left_to_another_worker_is_looked_for_in_time(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, max_stale: float
) -> None:
    """A worker that left the refresh-ahead to the lease holder has its keys when its own expire."""
    store = CountingStore(clock)
    one, other = (hire(store=store, max_stale=max_stale) for _ in range(2))
    await one.verify()
    await other.verify()
    clock.advance(899)
    issuer.reset()
    issuer.hang(times=1)
    assert one.at_once == ["first"]
    await issuer.arrived(1)
    polls = store.polls
    for _ in range(10):
        assert other.at_once == ["first"]
        await other.landed()
    assert store.polls == polls + 1
    issuer.release()
    await one.landed()
    clock.advance(1)
    assert await other.verify() == ["first"]
    assert stale(other) == []
    assert issuer.jwks_requests == 1
