"""The pytest plugin, in runs of pytest as users start them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

USING = """
import httpx, jwt
import pytest
from auth_jwks.sync import SyncJWKS

def verified(jwks_issuer, token):
    with SyncJWKS(issuer=jwks_issuer.issuer, aud="my-api", retries=0) as jwks:
        return jwks.verify_token(token)

def test_a_token(jwks_issuer, jwks_token):
    assert verified(jwks_issuer, jwks_token(aud="my-api", role="admin"))["role"] == "admin"

def test_a_bad_token(jwks_issuer, jwks_token):
    with pytest.raises(jwt.InvalidAudienceError):
        verified(jwks_issuer, jwks_token(aud="other"))

def test_what_one_test_breaks(jwks_issuer):
    jwks_issuer.rotate(keep=False)
    jwks_issuer.outage()

def test_is_whole_in_the_next(jwks_issuer, jwks_token):
    assert verified(jwks_issuer, jwks_token(aud="my-api"))["sub"] == "alice"
    assert [key.kid for key in jwks_issuer.keys] == ["test"]
    assert jwks_issuer.url.startswith("http://127.0.0.1:")
"""
NOT_USING = """
import sys

def test_nothing_was_imported():
    assert "pytest_auth_jwks" in sys.modules
    assert [name for name in sys.modules if name.split(".")[0] in ("auth_jwks", "httpx")] == []
"""

# The module of the suite before its package's own name for it, as tools do that import everything.
BY_MODULE = """
from auth_jwks.testing.contract import KeyStoreContract
from auth_jwks import testing

def test_it_is_found_twice():
    assert testing.KeyStoreContract is KeyStoreContract
"""


@pytest.mark.parametrize(
    ("text", "tests"),
    [(USING, 4), (NOT_USING, 1), (BY_MODULE, 1)],
    ids=["used", "not used", "by module"],
)
def test_the_plugin(tmp_path: Path, text: str, tests: int) -> None:
    """Each test has a provider of its own; who uses none imports nothing, and warns of nothing."""
    (tmp_path / "test_it.py").write_text(text)
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    command.append("--color=no")
    run = subprocess.run(
        [*command, "-p", "pytest_auth_jwks", "--rootdir", str(tmp_path), str(tmp_path)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert f"{tests} passed" in run.stdout, run.stdout + run.stderr
