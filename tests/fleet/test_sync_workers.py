"""Threads and processes as gunicorn runs them: one fetch for all, whatever the worker."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from auth_jwks.sync import SEARCH_WAIT
from auth_jwks.testing import FakeIssuer
from tests.environment import running
from tests.fleet.crew import asked_since
from tests.fleet.ports import free_port

APP = """
import os
import jwt
from auth_jwks import KeysUnavailableError, RedisKeyStore
from auth_jwks.sync import SyncJWKS

store = RedisKeyStore(os.environ["REDIS"], integrity_key="k" * 32)
jwks = SyncJWKS(os.environ["DISCOVERY"], issuer=os.environ["ISSUER"], store=store)

def app(environ, start_response):
    try:
        status = "200 " + jwks.verify_token(environ["HTTP_AUTHORIZATION"])["sub"]
    except KeysUnavailableError as fault:
        status = "503 " + type(fault).__name__
    except jwt.InvalidTokenError as fault:
        status = "401 " + type(fault).__name__
    start_response(status, [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
WORKERS = 2
NOTHING, ONCE = (0, 0), (1, 1)
# The second is for threads that a long search would hold: only two of a pool wait to its end.
VERIFIED, COME_BACK = (200, "alice"), (503, "KeysUnavailableError")


@contextmanager
def deployed(
    arguments: str, issuer: FakeIssuer, redis: str, port: int, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run gunicorn with those arguments, and check that it ends well."""
    (folder / "service.py").write_text(APP)
    names = {"DISCOVERY": issuer.discovery_url, "ISSUER": issuer.issuer, "REDIS": redis}
    command = f"gunicorn {arguments} --no-control-socket --bind 127.0.0.1:{port} service:app"
    words, variables = [sys.executable, "-m", *command.split()], os.environ | names
    with (
        (folder / "log").open("wb") as output,
        running(words, env=variables, cwd=folder, stdout=output, stderr=output) as process,
    ):
        yield process
    assert process.returncode == 0
    assert "Traceback" not in (folder / "log").read_text("utf-8")


async def answer(client: httpx.AsyncClient, port: int, token: str) -> httpx.Response:
    """Return what the service says to a token, as soon as there is a service."""
    headers = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(60):
        while True:
            with suppress(httpx.NetworkError, httpx.RemoteProtocolError):
                return await client.get(f"http://127.0.0.1:{port}/", headers=headers)
            await asyncio.sleep(0.02)


async def accepted(
    client: httpx.AsyncClient, port: int, token: str, *, but: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Wait until both workers, beside those, have accepted a token, which none calls a bad one."""
    seen: set[str] = set()
    async with asyncio.timeout(60):
        while len(seen - but) < WORKERS:
            burst = [answer(client, port, token) for _ in range(4 * WORKERS)]
            responses = await asyncio.gather(*burst)
            said = [(response.status_code, response.reason_phrase) for response in responses]
            assert {*said} <= {VERIFIED, COME_BACK}
            seen |= {response.text for response in responses if response.is_success}
    return frozenset(seen - but)


@pytest.mark.parametrize(
    "arguments",
    ["-k sync --workers 2", "-k gthread --workers 2 --threads 4 --preload"],
    ids=["sync", "gthread-preloaded"],
)
async def test_the_fleet_fetches_once(
    issuer: FakeIssuer, redis_url: str, tmp_path: Path, arguments: str
) -> None:
    """Start and rotation cost one fetch each, and a reload none; what is refused stays so.

    The search takes longer than the threads of a pool wait for it, as on a busy machine.
    """
    port, limits = free_port(), httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, trust_env=False, timeout=60) as client:
        with deployed(arguments, issuer, redis_url, port, tmp_path) as process:
            first = await accepted(client, port, issuer.sign())
            assert asked_since(issuer) == ONCE
            issuer.rotate()
            issuer.slow(2 * SEARCH_WAIT, times=1)
            assert await accepted(client, port, issuer.sign()) == first
            assert asked_since(issuer) == ONCE
            refused = await answer(client, port, issuer.sign(exp=1))
            assert refused.status_code == 401
            process.send_signal(signal.SIGHUP)
            await accepted(client, port, issuer.sign(), but=first)
            assert asked_since(issuer) == NOTHING
