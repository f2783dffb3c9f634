"""The middleware as it is deployed: gunicorn's own ASGI workers."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from auth_jwks.testing import FakeIssuer
from tests.environment import running
from tests.fleet.ports import free_port
from tests.web.status_table import UNAVAILABLE, answer_of, authorization, denial

GUNICORN = Path(__file__).parents[3] / "examples" / "fleet" / "gunicorn.conf.py"

APP = """
import os
from auth_jwks import JWKS
from auth_jwks.asgi import JWTAuthMiddleware

async def inner(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["state"]["claims"]["sub"].encode()})

def guarded(url):
    return JWTAuthMiddleware(inner, JWKS(url, issuer=os.environ["ISSUER"], retries=0))

up, down = guarded(os.environ["UP"]), guarded(os.environ["DOWN"])

async def app(scope, receive, send):
    await (down if scope.get("path") == "/down" else up)(scope, receive, send)

def create_app():
    return app
"""


@contextmanager
def deployed(folder: Path, issuer: FakeIssuer, down: FakeIssuer) -> Iterator[str]:
    """Run gunicorn's own ASGI workers, with the settings of the example."""
    (folder / "app.py").write_text(APP)
    address = f"127.0.0.1:{free_port()}"
    told_to = {"BIND": address, "ISSUER": issuer.issuer}
    told_to |= {"UP": issuer.discovery_url, "DOWN": down.discovery_url}
    command = [
        sys.executable, "-m", "gunicorn", "-c", str(GUNICORN), "-k", "asgi", "--workers", "2",
        "--log-level", "critical",
    ]  # fmt: skip
    with running(command, env=os.environ | told_to, cwd=folder):
        yield address


async def first(client: httpx.AsyncClient, url: str) -> httpx.Response:
    """Return the first answer of a service that is about to start."""
    async with asyncio.timeout(60):
        while True:
            with suppress(httpx.NetworkError, httpx.RemoteProtocolError):
                return await client.get(url)
            await asyncio.sleep(0.02)


@pytest.mark.full
async def test_gunicorn_workers_answer_alike(
    issuer: FakeIssuer, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """401, 200 and 503 as behind uvicorn; a handshake is closed, as there is no denial response."""
    headers = authorization(issuer.sign(iss=issuer.issuer))
    with FakeIssuer(issuer=issuer.issuer) as down:
        down.outage(retry_after=60)
        with deployed(tmp_path, issuer, down) as address:
            refused = await first(client, f"http://{address}")
            assert answer_of(refused) == (401, "Not authenticated", ['Bearer realm="api"'])
            answer = await client.get(f"http://{address}", headers=headers)
            assert (answer.status_code, answer.text) == (200, "alice")
            late = await client.get(f"http://{address}/down", headers=headers)
            assert (late.status_code, late.json()) == UNAVAILABLE
            assert 1 <= int(late.headers["Retry-After"]) <= 300
            assert (await denial(address)).status_code == 403
