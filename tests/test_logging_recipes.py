"""docs/logging.md, executed: with each set-up the line about a refused token is really seen."""

import asyncio
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.environment import running
from tests.fleet.ports import free_port

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "logging.md").read_text(encoding="utf-8")
SOURCE = "https://login.example.com/.well-known/openid-configuration"
TOLD = (
    "refused a token: opaque: the token is opaque, as it has no dots; only its issuer can tell what"
    f" it means; source: {SOURCE}"
)

# A token without dots is refused without a request: the provider need not be there.
APP = """
from auth_jwks import JWKS
from auth_jwks.asgi import JWTAuthMiddleware

async def inner(scope, receive, send):
    raise AssertionError("no token is good")

app = JWTAuthMiddleware(inner, JWKS(issuer="https://login.example.com", aud="api"))
"""
REFUSE = """
import jwt
from auth_jwks.sync import SyncJWKS

with SyncJWKS(issuer="https://login.example.com", aud="api") as jwks:
    try:
        jwks.verify_token("junk")
    except jwt.DecodeError:
        pass
"""
DJANGO = """
import django
from django.conf import settings

settings.configure(LOGGING=LOGGING)
django.setup()
"""


def block(heading: str) -> str:
    """Return the example below a heading."""
    _, found, rest = PAGE.partition(f"\n## {heading}\n")
    assert found
    example = re.search(
        r"^```python\n(.*?)^```$", rest.partition("\n## ")[0], re.MULTILINE | re.DOTALL
    )
    assert example is not None
    return example[1]


def stderr_of(script: str) -> str:
    """Return what a script writes to standard error."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    return run.stderr


async def lines_of(command: list[str], folder: Path, url: str) -> list[str]:
    """Return the lines of a server's log after a request with a bad token."""
    log = folder / "log"
    with log.open("wb") as file, running(command, cwd=folder, stderr=file, env=os.environ):
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
            answer = None
            while answer is None:
                with suppress(httpx.NetworkError, httpx.RemoteProtocolError):
                    answer = await client.get(url, headers={"Authorization": "Bearer junk"})
    assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid token"})
    return log.read_text(encoding="utf-8").splitlines()


async def test_uvicorn(tmp_path: Path) -> None:
    """By what the application's module says: the line at WARNING, and those at DEBUG."""
    (tmp_path / "app.py").write_text(block("uvicorn") + APP)
    port = str(free_port())
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", port, "--lifespan", "off"]
    lines = await lines_of(command, tmp_path, f"http://127.0.0.1:{port}")
    for level in ("WARNING", "DEBUG"):
        assert [line for line in lines if line.endswith(f" {level} auth_jwks: {TOLD}")]
    assert [line for line in lines if " DEBUG auth_jwks: refused a request: DecodeError: " in line]


async def test_gunicorn(tmp_path: Path) -> None:
    """By its own configuration file."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text(block("gunicorn"))
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "gunicorn", "app:app", "-k", "asgi", "-b", address]
    lines = await lines_of(command, tmp_path, f"http://{address}")
    assert [line for line in lines if line.endswith(f" WARNING auth_jwks: {TOLD}")]


def test_django() -> None:
    """By its settings."""
    [line] = stderr_of(block("Django") + DJANGO + REFUSE).splitlines()
    assert line.endswith(f" WARNING auth_jwks: {TOLD}")


def as_json(line: str) -> dict[str, Any]:
    """Return a line of JSON."""
    members: dict[str, Any] = json.loads(line)
    return members


FIELDS = {
    "auth_jwks_event": "TokenRefused",
    "auth_jwks_source": SOURCE,
    "auth_jwks_reason": "opaque",
    "auth_jwks_detail": TOLD.removeprefix("refused a token: opaque: ").partition("; source")[0],
}


def test_json() -> None:
    """With the fields beside the message."""
    [line] = stderr_of(block("JSON") + REFUSE).splitlines()
    assert as_json(line) == FIELDS | {"level": "WARNING", "logger": "auth_jwks", "message": TOLD}


def test_structlog() -> None:
    """Likewise, by structlog's own names."""
    pytest.importorskip("structlog")
    [line] = stderr_of(block("structlog") + REFUSE).splitlines()
    assert as_json(line) == FIELDS | {"level": "warning", "logger": "auth_jwks", "event": TOLD}
