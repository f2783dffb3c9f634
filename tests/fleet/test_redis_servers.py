"""Redis in each mode it has: TLS, Sentinel with a fail-over, a Cluster that loses a node."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError, ResponseError

from auth_jwks import JWKS, RedisKeyStore
from auth_jwks.events import Event, StoreFailed
from auth_jwks.stores.base import StoreUnavailable
from auth_jwks.testing import FakeIssuer
from tests.fleet.crew import SEAL, asked_since
from tests.fleet.ports import free_port

NOT_TRUSTED = "the certificate is not trusted"
PATIENCE = 0.7  # as long as a store may have, so that a busy machine fails no test
NODES = {0: 5_460, 5_461: 10_922, 10_923: 16_383}


class Servers:
    """Processes of one Redis program, by port, each with a directory of its own."""

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, *words: object, tls: bool = False, sentinel: str = "") -> int:
        """Start a server with these options, or a Sentinel with that configuration."""
        port = free_port()
        directory = self._directory / str(port)
        directory.mkdir()
        options = ["--port", 0, "--tls-port", port] if tls else ["--port", port]
        options += ["--bind", "127.0.0.1", "--dir", directory, "--logfile", directory / "log"]
        if sentinel:
            configuration = directory / "sentinel.conf"
            configuration.write_text(sentinel, "utf-8")
            command = [self._program, configuration, "--sentinel", *options]
        else:
            command = [self._program, "--save", "", *options, *words]
        self._processes[port] = subprocess.Popen([*map(str, command)])
        return port

    def kill(self, port: int) -> None:
        """End one as a crash does."""
        process = self._processes.pop(port)
        process.kill()
        process.wait()

    def close(self) -> None:
        """End all, and print what they logged: pytest shows it when the test has failed."""
        for port in [*self._processes]:
            self.kill(port)
        for log in self._directory.glob("*/log"):
            sys.stdout.write(f"{log}\n{log.read_text('utf-8')}\n")


class Worker:
    """A verifier over a store of its own, and what it says of the store."""

    def __init__(self, issuer: FakeIssuer, store: RedisKeyStore) -> None:
        self.store = store
        self.failures: list[str] = []
        self.jwks = JWKS(
            issuer.discovery_url, issuer=issuer.issuer, store=store, observer=self._note
        )

    async def verify(self, token: str) -> str:
        """Return the subject."""
        return str((await self.jwks.verify_token(token))["sub"])

    def _note(self, event: Event) -> None:
        if isinstance(event, StoreFailed):
            self.failures.append(event.reason)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return Redis' server; Debian's is a link to a program of its package redis-tools."""
    if found := shutil.which("redis-server"):
        return found
    carrier = shutil.which("redis-check-rdb")
    if carrier is None:
        pytest.skip("no redis-server here (Debian: apt install redis-tools)")
    link = tmp_path_factory.mktemp("program") / "redis-server"
    link.symlink_to(carrier)
    return str(link)


@pytest.fixture
def servers(program: str, tmp_path: Path) -> Iterator[Servers]:
    """Return a way to start servers, which end with the test."""
    servers = Servers(program, tmp_path)
    yield servers
    servers.close()


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    """Wait until it holds; an error of the server or the store means not yet."""
    async with asyncio.timeout(60):
        while True:
            with suppress(RedisError, StoreUnavailable):
                if await holds():
                    return
            await asyncio.sleep(0.02)


async def says(client: Redis, command: str, part: str) -> bool:
    """Whether the reply to a command has that part."""
    return part in str(await client.execute_command(*command.split()))


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[Redis]:
    """Return a client of one server, which answers."""
    async with Redis(port=port, protocol=2) as client:
        await until(client.ping)
        yield client


@asynccontextmanager
async def two_workers(
    issuer: FakeIssuer, redis: Callable[[], Any]
) -> AsyncIterator[tuple[Worker, Worker]]:
    """Return two workers, each with its own URL or client."""
    # A store that failed is tried again at once: its rests may add up to more than a test's time.
    async with (
        RedisKeyStore(redis(), integrity_key=SEAL, timeout=PATIENCE, uniform=min) as store,
        RedisKeyStore(redis(), integrity_key=SEAL, timeout=PATIENCE, uniform=min) as other,
    ):
        first, second = Worker(issuer, store), Worker(issuer, other)
        async with first.jwks, second.jwks:
            yield first, second


async def test_tls(servers: Servers, issuer: FakeIssuer, tmp_path: Path) -> None:
    """Two workers share one fetch over TLS, and one that doubts the certificate does without."""
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    port = servers.start(
        *("--tls-key-file", tmp_path / "key.pem", "--tls-cert-file", tmp_path / "cert.pem"),
        *("--tls-ca-cert-file", tmp_path / "ca.pem", "--tls-auth-clients", "no"),
        tls=True,
    )
    url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path}"
    async with Redis.from_url(f"{url}/ca.pem", protocol=2) as client:
        await until(client.ping)
    async with two_workers(issuer, lambda: f"{url}/ca.pem") as workers:
        for worker in workers:
            assert await worker.verify(issuer.sign()) == "alice"
            assert worker.failures == []
    assert asked_since(issuer) == (1, 1)
    async with two_workers(issuer, lambda: f"{url}/stranger.pem") as (worker, _):
        assert await worker.verify(issuer.sign()) == "alice"
        assert {told.partition(":")[0] for told in worker.failures} == {NOT_TRUSTED}
    assert asked_since(issuer) == (1, 1)


async def test_sentinel_fail_over(servers: Servers, issuer: FakeIssuer) -> None:
    """While a new master is elected every token is verified; then the fleet shares through it."""
    master = servers.start("--repl-diskless-sync-delay", 0)
    replica = servers.start("--replicaof", "127.0.0.1", master)
    async with client_of(master) as client, client_of(replica) as follower:
        await until(partial(says, client, "INFO replication", "'state': 'online'"))
        async with watching(servers, master) as sentinel:
            await until(partial(sentinel.discover_slaves, "fleet"))
            async with (
                sentinel.master_for("fleet") as redis,
                sentinel.master_for("fleet") as other,
            ):
                clients = iter((redis, other))
                async with two_workers(issuer, lambda: next(clients)) as workers:
                    await fail_over(servers, issuer, workers, master, follower)
                assert await redis.ping(), "a client handed in stays open"


@asynccontextmanager
async def watching(servers: Servers, master: int) -> AsyncIterator[Sentinel]:
    """Return a Sentinel that a busy machine puts off for a second or two, not for minutes."""
    port = servers.start(
        sentinel=f"sentinel monitor fleet 127.0.0.1 {master} 1\n"
        "sentinel down-after-milliseconds fleet 1000\n"
        # One that finds no replica fit tries again after twice that: six minutes if not told.
        "sentinel failover-timeout fleet 1000\n"
    )
    async with client_of(port) as client:
        # A stall of 2 s would keep it from acting for 30, and it would doubt a replica whose
        # state is older than 5 s while asking for it every 10. Redis 6 can't be told.
        with suppress(ResponseError):
            await client.execute_command(
                *("SENTINEL", "DEBUG", "TILT-TRIGGER", 60_000, "INFO-PERIOD", 500)
            )
    sentinel = Sentinel([("127.0.0.1", port)], protocol=2)
    try:
        yield sentinel
    finally:
        for watcher in sentinel.sentinels:
            await watcher.aclose()


async def fail_over(
    servers: Servers,
    issuer: FakeIssuer,
    workers: tuple[Worker, Worker],
    master: int,
    follower: Redis,
) -> None:
    """Kill the master between two rotations."""
    known = issuer.sign()
    for worker in workers:
        assert await worker.verify(known) == "alice"
    assert asked_since(issuer) == (1, 1)
    servers.kill(master)
    issuer.rotate()
    assert await workers[0].verify(issuer.sign()) == "alice", "by itself"
    assert asked_since(issuer) == (1, 1)
    assert workers[0].failures != []

    async def promoted() -> bool:
        for worker in workers:
            assert await worker.verify(known) == "alice"
        return await says(follower, "ROLE", "master")

    await until(promoted)
    for worker in workers:
        await until(partial(worker.store.poll, "probe", known=0, lease=None))
        worker.failures.clear()
    issuer.rotate()
    for worker in workers:
        assert await worker.verify(issuer.sign()) == "alice"
        assert worker.failures == []
    assert asked_since(issuer) == (1, 1)


async def test_cluster(servers: Servers, issuer: FakeIssuer) -> None:
    """Two workers share one fetch through a Cluster, and go on alone when it breaks."""
    ports = [
        servers.start(*("--cluster-enabled", "yes", "--cluster-port", free_port())) for _ in NODES
    ]
    await join(ports)
    async with (
        RedisCluster(host="127.0.0.1", port=ports[0], protocol=2) as redis,
        RedisCluster(host="127.0.0.1", port=ports[0], protocol=2) as other,
    ):
        clients = iter((redis, other))
        async with two_workers(issuer, lambda: next(clients)) as workers:
            known = issuer.sign()
            for worker in workers:
                assert await worker.verify(known) == "alice"
                assert worker.failures == []
            assert asked_since(issuer) == (1, 1)
            await lose_a_node(servers, ports)
            issuer.rotate()
            for worker in workers:
                assert await worker.verify(known) == "alice"
                assert await worker.verify(issuer.sign()) == "alice"
                assert worker.failures != []
            assert asked_since(issuer) == (2, 2)


async def join(ports: list[int]) -> None:
    """Make one Cluster of the servers."""
    for port, (first, last) in zip(ports, NODES.items(), strict=True):
        async with client_of(port) as client:
            await client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            if port != ports[0]:
                bus = await client.config_get("cluster-port")
                async with client_of(ports[0]) as founder:
                    await founder.execute_command(
                        "CLUSTER MEET", "127.0.0.1", port, bus["cluster-port"]
                    )
    for port in ports:
        async with client_of(port) as client:
            await until(partial(says, client, "CLUSTER INFO", "cluster_state:ok"))


async def lose_a_node(servers: Servers, ports: list[int]) -> None:
    """Kill one that does not hold the document, and wait until the others give up."""
    empty = []
    for port in ports:
        async with client_of(port) as client:
            empty += [] if await client.dbsize() else [port]
            await client.config_set("cluster-node-timeout", 1000)
    assert len(empty) == 2
    servers.kill(empty[0])
    [keeper] = set(ports) - set(empty)
    async with client_of(keeper) as client:
        await until(partial(says, client, "CLUSTER INFO", "cluster_state:fail"))
