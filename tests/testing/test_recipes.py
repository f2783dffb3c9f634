"""The recipes of docs/testing.md that need a plugin or a framework, in runs of pytest."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### (.+?)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(ini|py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {name: BLOCK.findall(text) for name, text in SECTION.findall(PAGE)}


OF_A_MODULE = """
import pytest
from auth_jwks import JWKS
from auth_jwks.testing import FakeIssuer

issuer = FakeIssuer(algorithm="ES256")
issuer.__enter__()
jwks = JWKS(issuer=issuer.issuer, aud="my-api", retries=0)

@pytest.mark.asyncio
@pytest.mark.parametrize("number", range(3))
async def test_each_on_its_own_loop(number):
    await jwks.refresh(force=number == 1)
    assert (await jwks.verify_token(issuer.sign(aud="my-api")))["sub"] == "alice"

def test_the_end():
    issuer.close()
"""


def passing(folder: Path, *plugins: str) -> str:
    """Return what pytest prints of the tests in a folder, with these plugins and no others."""
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "-rs"]
    command.append("--color=no")
    for plugin in ("pytest_auth_jwks", *plugins):
        command += ["-p", plugin]
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    run = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.parametrize("mode", ["strict", "auto"])
@pytest.mark.parametrize("others", [[], ["anyio.pytest_plugin"]], ids=["alone", "beside anyio's"])
def test_pytest_asyncio(mode: str, others: list[str], tmp_path: Path) -> None:
    """In both of its modes, with the settings that the page shows."""
    pytest.importorskip("pytest_asyncio")
    (_, strict), (_, strictly), (_, auto), (_, automatically) = BLOCKS["pytest-asyncio"]
    settings, tests = (strict, strictly) if mode == "strict" else (auto, automatically)
    assert f"asyncio_mode = {mode}" in settings
    (tmp_path / "pytest.ini").write_text(settings)
    (tmp_path / "test_it.py").write_text(tests)
    assert "= 1 passed in " in passing(tmp_path, "pytest_asyncio.plugin", *others)


def test_a_verifier_of_a_module(tmp_path: Path) -> None:
    """It follows each test to its event loop, and leaves nothing open on the one before."""
    pytest.importorskip("pytest_asyncio")
    (tmp_path / "pytest.ini").write_text(BLOCKS["pytest-asyncio"][0][1])
    (tmp_path / "test_it.py").write_text(OF_A_MODULE)
    assert "= 4 passed in " in passing(tmp_path, "pytest_asyncio.plugin")


def test_flask(tmp_path: Path) -> None:
    """By the test client of Flask."""
    pytest.importorskip("flask")
    [(_, tests)] = BLOCKS["Flask"]
    (tmp_path / "test_it.py").write_text(tests)
    assert "= 1 passed in " in passing(tmp_path)
