"""docs/fastapi.md and examples/fleet: applications and their tests as printed, and a table."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auth_jwks.bearer import scopes_of
from auth_jwks.fastapi import JWTBearer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "fastapi.md").read_text("utf-8")
MODULE = re.compile(r"^```py\n(# (\w+\.py)\n.*?)^```$", re.MULTILINE | re.DOTALL)
MODULES = {name: code for code, name in MODULE.findall(PAGE)}
FLEET = ROOT / "examples" / "fleet"
# With these plugins and no others: pytest-asyncio warns of a setting, and each takes its time.
OPTIONS = ("-W", "error", "-p", "no:cacheprovider", "-rs", "-p", "anyio", "-p", "pytest_auth_jwks")
# Starlette's test client, with older releases of anyio.
QUIET = ("--color=no", "-W", "ignore:The anyio:DeprecationWarning")


@pytest.mark.parametrize(("name", "passed"), [("shop", 4), ("service", 2), ("app", 2)])
def test_the_tests_pass_as_printed(name: str, passed: int, tmp_path: Path) -> None:
    """One after the other in one process, each with a lifespan of its own; none is skipped."""
    modules = MODULES | {"app.py": (FLEET / "app.py").read_text("utf-8")}
    modules |= {at: code for code, at in MODULE.findall((FLEET / "README.md").read_text("utf-8"))}
    for module in (f"{name}.py", f"test_{name}.py"):
        (tmp_path / module).write_text(modules[module])
    command = [sys.executable, "-m", "pytest", *OPTIONS, *QUIET]
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = subprocess.run(
        command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"= {passed} passed in " in run.stdout


def test_every_module_is_run() -> None:
    """The page has no other."""
    assert sorted(MODULES) == ["service.py", "shop.py", "test_service.py", "test_shop.py"]
    assert len(MODULES) == PAGE.count("```py\n")


def test_the_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the command of the page has it: a factory without arguments, with two variables."""
    monkeypatch.setenv("ISSUER", "https://login.example.com")
    monkeypatch.setenv("AUDIENCE", "my-api")
    namespace: dict[str, Any] = {"__name__": "shop"}
    monkeypatch.setitem(sys.modules, "shop", type(sys)("shop"))
    exec(MODULES["shop.py"], namespace)  # noqa: S102 - the page's own code
    assert "uvicorn --factory shop:create_app" in PAGE
    assert [*namespace["create_app"]().openapi()["paths"]] == ["/me", "/things/{number}"]


def test_the_page_lists_every_parameter() -> None:
    """With its default, as the constructor has it."""
    table = PAGE.split("| parameter of `JWTBearer` |")[1].split("\n\n")[0]
    listed = re.findall(r"^\| `(\w+)` \|(?: `(.+?)`)? \|", table, re.MULTILINE)
    known = {inspect.Parameter.empty: "", scopes_of: "scopes_of"}
    parameters = inspect.signature(JWTBearer.__init__).parameters.values()
    assert sorted(listed) == sorted(
        (each.name, known.get(each.default, repr(each.default)))
        for each in parameters
        if each.name != "self"
    )


def test_the_contents_are_the_headings() -> None:
    """In their order, each with a link that leads there."""
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    slugs = [re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-") for name in headings]
    assert re.findall(r"^\* \[(.+)\]\(#(.+)\)$", PAGE, re.MULTILINE) == list(
        zip(headings, slugs, strict=True)
    )
