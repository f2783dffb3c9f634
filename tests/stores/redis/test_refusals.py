"""What Redis refuses, or answers wrongly, and which reason is told."""

import re

import pytest
from redis import Redis

from auth_jwks import RedisKeyStore
from auth_jwks.stores import Newer, StoreUnavailable, Unchanged
from auth_jwks.stores._breaker import CallFailedError
from auth_jwks.stores._driver import Driver
from auth_jwks.stores.redis import script
from tests.servers import ValkeyServer
from tests.stores.redis.storing import KEY, SECRET, lease, put


@pytest.mark.parametrize(
    ("refuse", "reason"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), "out of memory (OutOfMemoryError)"),
        (("REPLICAOF", "127.0.0.1", "1"), "a read-only replica (ReadOnlyError)"),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), "too few replicas (NOREPLICAS)"),
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
            with pytest.raises(StoreUnavailable, match=re.escape(f"refuses writes: {reason}")):
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
            await run("{a}", "{a}:gate", "poll", "0", "", "0", "age")
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
