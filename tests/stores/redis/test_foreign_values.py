"""Whatever somebody else wrote into the Redis store's keys counts as absent."""

import pickle

import pytest

from auth_jwks import RedisKeyStore
from auth_jwks.stores import Granted, LeaseRequest, Newer, Unchanged
from tests.stores.redis.storing import DAY, KEY, Keys, lease, put


@pytest.mark.parametrize("value", ["-1", "1e15", "1.5", "nan", "inf", "0x10", "", " 7", "9" * 400])
@pytest.mark.parametrize("field", ["version", "issued", "expires", "failures", "unscheduled1"])
async def test_a_number_that_is_none_counts_as_absent(
    store: RedisKeyStore, keys: Keys, field: str, value: str
) -> None:
    """Whatever somebody wrote there: the worker gets a lease."""
    first = await put(store)
    keys.redis.hset(keys.record, field, value)
    granted = await store.poll(KEY, known=first, lease=LeaseRequest("b", 60, "unknown_kid"))
    assert isinstance(granted, Granted)
    assert granted.lease.failures == 0
    assert granted.lease.fence > first


@pytest.mark.parametrize("field", ["version", "issued"])
async def test_a_number_far_ahead_counts_as_absent(
    store: RedisKeyStore, keys: Keys, field: str
) -> None:
    """Else one forged version, or fence, would shut the fleet out for good."""
    first = await put(store)
    far = keys.now + 2 * DAY * 1_000_000
    keys.redis.hset(keys.record, field, far)
    granted = await lease(store, "b", known=first)
    assert granted.fence < far
    assert await store.commit(granted, b"new", ttl=1000, window=30) == granted.fence


@pytest.mark.parametrize("which", ["record", "gate"])
@pytest.mark.parametrize(
    ("command", "values"),
    [
        ("set", (pickle.dumps({"a": 1}),)),
        ("psetex", (100_000, pickle.dumps({"a": 1}))),
        ("rpush", ("x",)),
        ("sadd", ("x",)),
        ("hset", ("x", "y")),
    ],
)
async def test_a_key_of_another_type_counts_as_absent(
    store: RedisKeyStore, keys: Keys, which: str, command: str, values: tuple[object, ...]
) -> None:
    """A script must not end with WRONGTYPE; it writes what belongs there."""
    getattr(keys.redis, command)(getattr(keys, which), *values)
    version = await put(store)
    assert await store.poll(KEY, known=version, lease=None) == Unchanged()
    answer = await store.poll(KEY, known=0, lease=None)
    assert isinstance(answer, Newer)
    assert answer.payload == b"document"


@pytest.mark.parametrize(
    "gate",
    [
        "L:5:5:{future}:60000000:x", "L:5:5:{now}:1000:x", "Q:5:5:{now}:60000000:x",
        "L:-5:5:{now}:60000000:x", "L:5:{now}:60000000:x", "L",
    ],
)  # fmt: skip
async def test_a_gate_that_cannot_be_is_void(store: RedisKeyStore, keys: Keys, gate: str) -> None:
    """Renewed in the future, or with more time left than it states: a clock was set back."""
    value = gate.format(now=keys.now, future=keys.now + 50_000_000)
    keys.redis.set(keys.gate, value, px=50_000)
    assert (await lease(store)).fence


async def test_a_gate_without_end_is_void(store: RedisKeyStore, keys: Keys) -> None:
    """Nobody's lease lasts for ever."""
    keys.redis.set(keys.gate, f"L:5:{keys.now}:{keys.now}:60000000:x")
    assert (await lease(store)).fence


async def test_a_document_too_large_to_be_ours_counts_as_absent(
    store: RedisKeyStore, keys: Keys
) -> None:
    """It would take the worker longer to read than a call may."""
    version = await put(store)
    keys.redis.hset(keys.record, "payload", b"x" * (2**21 + 1))
    assert await store.poll(KEY, known=version - 1, lease=None) == Unchanged()


async def test_a_record_without_its_document_counts_as_absent(
    store: RedisKeyStore, keys: Keys
) -> None:
    """An empty document is one all the same."""
    await put(store, b"")
    assert isinstance(await store.poll(KEY, known=0, lease=None), Newer)
    keys.redis.hdel(keys.record, "payload")
    assert await store.poll(KEY, known=0, lease=None) == Unchanged()
    await lease(store)
