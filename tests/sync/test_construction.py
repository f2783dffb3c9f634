"""`SyncJWKS` takes what `JWKS` takes, but for the client."""

import inspect
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import auth_jwks
from auth_jwks import JWKS
from auth_jwks._provider.made_client import ClientMaker
from auth_jwks.sync import SyncJWKS
from tests.sync.threads import outcome

URL = "https://idp.test/.well-known/openid-configuration"


def test_the_signature_is_that_of_the_other() -> None:
    """Parameter by parameter, but for the client's type."""
    ours, theirs = inspect.signature(SyncJWKS).parameters, inspect.signature(JWKS).parameters
    assert list(ours) == list(theirs)
    for name, parameter in theirs.items():
        if name == "http_client":
            parameter = parameter.replace(annotation=ClientMaker | None)  # noqa: PLW2901
        assert ours[name] == parameter


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("discovery_url", None),
        ("discovery_url", "ftp://idp.test"),
        ("discovery_url", 5),
        ("jwks_uri", "https://alice:hunter2@idp.test/"),
        ("issuer", " "),
        ("aud", ""),
        ("allowed_algorithms", ["HS256"]),
        ("cache_ttl", -1),
        ("leeway", "5"),
        ("timeout", 0),
        ("retries", True),
        ("fix_local_url", 1),
        ("store", object()),
        ("http_client", object()),
        ("max_stale", -1),
        ("token_cache_size", -1),
        ("token_cache_size", "3"),
        ("required_claims", "exp"),
        ("max_token_length", 1023),
        ("numeric_sub", 1),
        ("observer", "print"),
        ("clock", 5),
    ],
)
def test_wrong_options_are_refused_alike(name: str, value: object) -> None:
    """By the same error."""
    options: dict[str, Any] = {"discovery_url": URL, name: value}
    refused = outcome(lambda: SyncJWKS(**options))
    assert refused[0] in {"ValueError", "TypeError"}
    assert refused == outcome(lambda: JWKS(**options))


async def test_a_client_is_refused() -> None:
    """With the reason."""
    async with httpx.AsyncClient() as client:
        options: dict[str, Any] = {"http_client": client}
        with pytest.raises(TypeError, match=r"^http_client: expected a function .* event loop$"):
            SyncJWKS(URL, **options)


def test_positional_arguments_are_those_of_the_other(caplog: pytest.LogCaptureFixture) -> None:
    """All eight are passed on, and a missing issuer is warned of."""
    jwks = SyncJWKS(URL, "api", ["ES256"], 60, 0.0, 1.0, 0, False)  # noqa: FBT003
    assert caplog.records[0].levelno == logging.WARNING
    assert repr(jwks) == f"SyncJWKS({URL!r}, issuer=None, keys=0)"


def run(text: str, **environment: str) -> str:
    """Return what a program of its own says."""
    kept = {name: os.environ[name] for name in os.environ if not name.startswith("COVERAGE")}
    command = [sys.executable, "-c", text]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60, env=kept | environment
    ).stdout


def test_greenlets_are_refused_at_import() -> None:
    """Not at the first request; and the advice is for each server that might be meant."""
    text = """
import threading
get_ident = threading.get_ident
threading.get_ident = lambda: get_ident()  # as gevent and eventlet replace it
import auth_jwks
try:
    import auth_jwks.sync
except RuntimeError as fault:
    print(fault)
"""
    told = run(text)
    assert told.startswith("SyncJWKS needs threads")
    assert "gthread" in told
    assert "Celery" in told


def test_it_needs_nothing_of_redis(tmp_path: Path) -> None:
    """Nor a data file: a program that is frozen into one file may have packed none."""
    package = Path(auth_jwks.__path__[0])
    shutil.copytree(package, tmp_path / "auth_jwks", ignore=shutil.ignore_patterns("*.lua"))
    text = """
import logging, sys
import auth_jwks.sync, auth_jwks.stores.redis
with auth_jwks.sync.SyncJWKS("https://idp.test", "api", issuer="https://idp.test"):
    pass
print(auth_jwks.__path__[0])
assert "redis" not in sys.modules
"""
    for program in (text, text.replace(", auth_jwks.stores.redis", "")):
        assert run(program, PYTHONPATH=str(tmp_path)).strip() == str(tmp_path / "auth_jwks")
    program = "import sys, auth_jwks.sync; print([name for name in sys.modules if 'redis' in name])"
    assert run(program).strip() == "[]"
