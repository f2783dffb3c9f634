"""Documents that the Redis store seals, and forged ones."""

from collections.abc import Callable

import pytest

from auth_jwks import RedisKeyStore
from auth_jwks.stores import Newer
from auth_jwks.testing import FakeClock
from tests.stores.redis.storing import KEY, OTHER, SECRET, Keys, lease, put


async def test_a_sealed_document_comes_back(sealed: RedisKeyStore, keys: Keys) -> None:
    """Its text stays readable in Redis; the keys are public."""
    version = await put(sealed)
    answer = await sealed.poll(KEY, known=0, lease=None)
    assert isinstance(answer, Newer)
    assert (answer.version, answer.payload, answer.fault) == (version, b"document", None)
    assert str(keys.redis.hget(keys.record, "payload")).endswith("\\ndocument'")


@pytest.mark.parametrize(
    ("forge", "fault"),
    [
        (lambda keys: keys.redis.hset(keys.record, "payload", b"mine"), "it is not sealed"),
        (lambda keys: keys.redis.hincrby(keys.record, "version", 1), "for another version"),
        (
            lambda keys: keys.redis.hset(
                keys.record, "payload", keys.redis.hget(keys.record, "payload") + b"x"
            ),
            "not made with one of our keys",
        ),
    ],
)
async def test_a_forged_document_is_not_handed_out(
    sealed: RedisKeyStore, keys: Keys, forge: Callable[[Keys], object], fault: str
) -> None:
    """The version is told, so that it may be leased over; of the document nothing."""
    await put(sealed)
    forge(keys)
    answer = await sealed.poll(KEY, known=0, lease=None)
    assert isinstance(answer, Newer)
    assert answer.payload == b""
    assert fault in (answer.fault or "")
    later = await lease(sealed, "b", known=answer.version)
    assert await sealed.commit(later, b"good", ttl=1000, window=30) == later.fence


async def test_the_seal_ends_with_the_document(redis_url: str, prefix: str) -> None:
    """A replayed one is of no use afterwards, whatever times Redis states."""
    clock = FakeClock()
    async with RedisKeyStore(redis_url, prefix=prefix, integrity_key=SECRET, clock=clock) as store:
        await put(store)
        clock.advance(500)
        answer = await store.poll(KEY, known=0, lease=None)
        assert isinstance(answer, Newer)
        # Redis' clock did not move; the sealed time says it is older, less what clocks differ.
        assert answer.age == pytest.approx(440, abs=2)
        clock.advance(560)
        answer = await store.poll(KEY, known=0, lease=None)
        assert isinstance(answer, Newer)
        assert answer.fault == "its seal has expired"


async def test_a_document_for_other_keys_is_rejected(
    sealed: RedisKeyStore, redis_url: str, prefix: str
) -> None:
    """Until the deploy that knows both."""
    await put(sealed)
    for secrets, fault in ((OTHER, True), ([OTHER, SECRET], False)):
        async with RedisKeyStore(redis_url, prefix=prefix, integrity_key=secrets) as store:
            answer = await store.poll(KEY, known=0, lease=None)
            assert isinstance(answer, Newer)
            assert (answer.fault is not None) is fault
