"""What another thread may do with the keys, and refuse, at once."""

import pytest

from auth_jwks import IssuerMismatchError, KeysUnavailableError, UnknownKeyError
from auth_jwks._cache.current import CurrentKeys
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.cache.key_cache.calling import begin
from tests.cache.worker import SECOND, Hire

# A peek from another thread.


async def test_a_peek_changes_nothing(hire: Hire, clock: FakeClock, issuer: FakeIssuer) -> None:
    """It tells, of keys of any age, what `ready` returns, and whether that has more to do."""
    worker = hire(max_stale=100.0)

    def peek() -> tuple[bool, bool]:
        current, is_due = worker.cache.peek(clock.monotonic(), clock.time())
        assert current is None or [key.kid for key in current.key_set.keys] == ["first"]
        return current is not None, is_due

    assert peek() == (False, False)
    await worker.verify()
    assert peek() == (True, False)
    clock.advance(46)  # a look into the store is due
    assert peek() == (True, True)
    assert worker.at_once == ["first"]
    await worker.landed()
    assert peek() == (True, False)
    issuer.outage()
    issuer.reset()
    clock.advance(700)
    assert peek() == (True, True)
    clock.advance(154)
    assert peek() == (False, False), "there is a refresh to wait for"
    assert issuer.requests == ()
    await worker.verify()
    assert peek() == (True, True), "stale, and nobody may refresh"
    clock.advance(99)
    await worker.verify()
    assert peek() == (True, True)
    clock.advance(1)
    assert peek() == (False, False)


async def test_a_peek_at_another_issuer(hire: Hire, clock: FakeClock, issuer: FakeIssuer) -> None:
    """Leaves no stale keys."""
    worker = hire()
    await worker.verify()
    issuer.announce(issuer="https://other.test")
    clock.advance(901)
    with pytest.raises(IssuerMismatchError):
        await worker.verify()
    assert worker.cache.peek(clock.monotonic(), clock.time()) == (None, False)


# A refusal in another thread.


async def test_a_refusal_needs_a_spent_budget(hire: Hire, clock: FakeClock) -> None:
    """It is what a search would come to at once; who may search, or join one, is not refused."""
    worker = hire()

    def refuse() -> None:
        worker.raise_if_hopeless("second")

    await worker.verify()
    refuse()
    for _ in range(2):
        with pytest.raises(UnknownKeyError):
            await worker.verify("second")
    with pytest.raises(UnknownKeyError):
        refuse()
    worker.raise_if_hopeless("second", CurrentKeys())  # other keys have come since
    clock.advance(1)
    refuse()


async def test_a_search_under_way_is_joined_by_threads(hire: Hire, issuer: FakeIssuer) -> None:
    """Though the budget is spent: it may bring the key."""
    worker = hire()
    await worker.verify()
    with pytest.raises(UnknownKeyError):
        await worker.verify("second")
    issuer.reset()
    issuer.rotate(SECOND)
    issuer.hang(times=1)
    search = begin(worker.verify("second"))
    await issuer.arrived(1)
    worker.raise_if_hopeless("second")
    issuer.recover()
    issuer.release()
    assert await search == ["second"]
    with pytest.raises(UnknownKeyError):
        worker.raise_if_hopeless("third")


async def test_a_failed_search_speaks_for_those_after_it(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """While it cools down no key is called unknown, unless other keys have come since."""
    worker = hire()
    await worker.verify()
    issuer.outage()
    with pytest.raises(KeysUnavailableError):
        await worker.verify("second")
    with pytest.raises(KeysUnavailableError) as caught:
        worker.raise_if_hopeless("second")
    assert caught.value.retry_after > 0
    worker.raise_if_hopeless("second", CurrentKeys())
    clock.advance(caught.value.retry_after)
    worker.raise_if_hopeless("second")
