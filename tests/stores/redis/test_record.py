"""What is stored in Redis: in which form, under which keys, and for how long."""

import math
import re

import pytest

from auth_jwks import RedisKeyStore
from auth_jwks.stores import Cause, Granted, LeaseRequest, Newer, base
from auth_jwks.stores.gate import AGREEMENT, microseconds
from auth_jwks.stores.redis import FORMAT, script
from tests.stores.redis.storing import DAY, KEY, Keys, lease, put


async def test_the_record_outlives_its_document(store: RedisKeyStore, keys: Keys) -> None:
    """A day at least, for the fences and failures; as long as the document if that is longer."""
    await put(store)
    assert DAY - 60 < keys.redis.ttl(keys.record) <= DAY
    again = await lease(store, known=keys.field("version"))
    await store.commit(again, b"x", ttl=3 * DAY, window=30)
    assert 3 * DAY - 60 < keys.redis.ttl(keys.record) <= 3 * DAY


async def test_the_record_outlives_an_unscheduled_lease(store: RedisKeyStore, keys: Keys) -> None:
    """A day too, whatever the cause was; a lease and a cool-down end by themselves."""
    request = LeaseRequest("a", 60, "unknown_kid")
    granted = await store.poll(KEY, known=0, lease=request)
    assert isinstance(granted, Granted)
    assert DAY - 60 < keys.redis.ttl(keys.record) <= DAY
    assert 50 < keys.redis.ttl(keys.gate) <= 60
    await store.fail(granted.lease, retry_after=30)
    assert DAY - 60 < keys.redis.ttl(keys.record) <= DAY
    assert 20 < keys.redis.ttl(keys.gate) <= 30


async def test_the_stored_form_is_this(store: RedisKeyStore, keys: Keys) -> None:
    """Other workers read it: whatever changes here needs another `FORMAT`, which is in the keys."""
    assert FORMAT == 2
    version = await put(store)
    causes: tuple[Cause, ...] = ("unknown_kid", "forced", "repair")
    for cause in causes:
        answer = await store.poll(KEY, known=version, lease=LeaseRequest("h:1", 60, cause))
        assert isinstance(answer, Granted)
        keys.redis.delete(keys.gate)
    times = {"version", "fetched", "expires", "issued", "unscheduled1", "unscheduled2", "repaired"}
    others = {"payload", "failures", "failed_by", "window"}
    assert set(keys.redis.hkeys(keys.record)) == {name.encode() for name in times | others}
    assert keys.redis.hmget(keys.record, "payload", "failed_by") == [b"document", b""]
    assert (keys.field("failures"), keys.field("window")) == (0, 30_000_000)
    assert all(abs(keys.field(name) - keys.now) < 1_100_000_000 for name in times)
    await store.fail(await lease(store, "h:1", known=version), retry_after=1)
    assert keys.redis.hmget(keys.record, "failures", "failed_by") == [b"1", b"h:1"]


async def test_the_stored_gate_is_this(store: RedisKeyStore, keys: Keys) -> None:
    """A lease, a failure, an issuer mismatch: a letter, four numbers, and whose it is."""
    granted = await lease(store, "h:1")
    assert keys.held == f"L:{granted.fence}:{granted.fence}:{granted.fence}:60000000:h:1"
    await lease(store, "h:1")
    renewed = re.fullmatch(rf"L:{granted.fence}:{granted.fence}:(\d{{16}}):60000000:h:1", keys.held)
    assert renewed is not None
    assert int(renewed[1]) > granted.fence
    await store.fail(granted, retry_after=30)
    assert re.fullmatch(rf"F:{granted.fence}:(\d{{16}}):\1:30000000:h:1", keys.held)
    keys.redis.delete(keys.gate)
    granted = await lease(store)
    await store.fail(granted, retry_after=30, mismatch=True)
    assert re.fullmatch(rf"M:{granted.fence}:(\d{{16}}):\1:30000000:a", keys.held)


async def test_formats_are_apart(store: RedisKeyStore, keys: Keys) -> None:
    """Workers of two releases on one Redis don't touch each other's records."""
    older = keys.record.replace(":2:{", ":{")
    assert older != keys.record
    keys.redis.set(older, "of another format")
    keys.redis.set(f"{older}:gate", f"L:5:{keys.now}:60000000:x", px=60_000)
    await put(store)
    assert isinstance(await store.poll(KEY, known=0, lease=None), Newer)
    assert keys.redis.get(older) == b"of another format"


def test_the_script_has_the_limits_of_the_contract() -> None:
    """They are written twice, as a constant of the script costs nothing to send."""
    stated = dict(re.findall(r"^local ([A-Z_]+) = (\d+)$", script(), re.MULTILINE))
    assert {name: int(number) for name, number in stated.items()} == {
        "EXACT": 2 * microseconds(math.inf),
        "AGREEMENT": AGREEMENT,
        "DAY": microseconds(base.DAY),
        "LEASE": microseconds(base.LEASE),
        "MAX_COOLDOWN": microseconds(base.MAX_COOLDOWN),
        "MAX_STORED": base.MAX_STORED,
        "REPAIR_INTERVAL": microseconds(base.REPAIR_INTERVAL),
        "UNSCHEDULED_WINDOW": microseconds(base.UNSCHEDULED_WINDOW),
        "UNSCHEDULED_LIMIT": base.UNSCHEDULED_LIMIT,
    }


async def test_both_keys_share_a_slot(store: RedisKeyStore, keys: Keys) -> None:
    """And a key's own braces don't change that."""
    await store.poll("{odd}", known=0, lease=LeaseRequest("a", 60, "age"))
    prefix = keys.record.partition(":2:{")[0]
    names = sorted(name.decode() for name in keys.redis.scan_iter(f"{prefix}:*"))
    assert names == [f"{prefix}:2:{{%7Bodd%7D}}", f"{prefix}:2:{{%7Bodd%7D}}:gate"]


async def test_numbers_are_stored_without_loss(store: RedisKeyStore, keys: Keys) -> None:
    """Lua would write 1.7955e+15."""
    version = await put(store)
    assert keys.field("version") == version == keys.field("issued")
    assert 0 <= keys.now - version < 60_000_000


@pytest.mark.parametrize("ttl", [1e12, 1e300, math.inf])
async def test_a_document_may_be_kept_for_any_time(sealed: RedisKeyStore, ttl: float) -> None:
    """A century stands for what is longer, which Lua could not count exactly."""
    granted = await lease(sealed)
    assert await sealed.commit(granted, b"x", ttl=ttl, window=ttl) == granted.fence
    answer = await sealed.poll(KEY, known=0, lease=None)
    assert isinstance(answer, Newer)
    assert answer.payload == b"x"
    assert answer.ttl_left == pytest.approx(36_525 * DAY, abs=60)
