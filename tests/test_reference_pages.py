"""The reference: its tables are the code's, and it leaves out no public name."""

import ast
import contextlib
import importlib
import inspect
import io
import pkgutil
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

import auth_jwks
from auth_jwks import JWKS, _verifier, events
from auth_jwks.errors import Reason

DOCS = Path(__file__).parents[1] / "docs"
CODE = re.compile(r"`([^`]+)`")
DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
# Not called by users: what starts the command, and what Django loads.
LEFT_OUT = {"auth_jwks.cli", "auth_jwks.django.apps"}


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table under that heading row."""
    text = (DOCS / page).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n| {heading} |\n")
    assert found, f"{page} has no table under {heading!r}"
    table = rest.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in table]


def annotations(source: str, function: str) -> dict[str, str]:
    """Return the annotation of each parameter of the first function of that name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            given = [*node.args.args[1:], *node.args.kwonlyargs]
            return {each.arg: ast.unparse(each.annotation) for each in given if each.annotation}
    raise AssertionError(function)


def test_parameters_are_those_of_the_signature() -> None:
    """Each is there in order, with its type and its default."""
    typed = annotations(inspect.getsource(_verifier), "__init__")
    defaults = {name: each.default for name, each in inspect.signature(JWKS).parameters.items()}
    table = rows("parameters.md", "parameter | type | default | meaning")
    stated = {CODE.findall(name)[0]: (kind, default) for name, kind, default, _ in table}
    assert list(stated) == list(defaults)
    for name, (kind, default) in stated.items():
        assert " | ".join(CODE.findall(kind)) == typed[name], name
        text = CODE.findall(default)[0]
        assert text == repr(defaults[name]) or ast.literal_eval(text) == defaults[name], name


def test_events_are_those_of_the_code() -> None:
    """Each event is there with its fields in order, and with their types."""
    classes = {
        node.name: {
            field.target.id: ast.unparse(field.annotation)
            for field in node.body
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        }
        for node in ast.parse(inspect.getsource(events)).body
        if isinstance(node, ast.ClassDef)
    }
    stated: dict[str, dict[str, str]] = {}
    for event, field, kind, _ in rows("events.md", "event | field | type | meaning"):
        if event:
            stated[CODE.findall(event)[0]] = {}
        *_, latest = stated.values()
        latest[CODE.findall(field)[0]] = CODE.findall(kind)[0].replace('"', "'")
    assert stated == {each.__name__: classes[each.__name__] for each in get_args(events.Event)}
    for each in get_args(events.Event):
        assert list(stated[each.__name__]) == [field.name for field in fields(each)]


def test_example_of_an_observer_prints_what_the_page_says() -> None:
    """The example runs as it stands."""
    text = (DOCS / "events.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    promised = re.search(r"^It prints (.*)\.$", text, re.MULTILINE)
    assert promised is not None
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, {"__name__": "__main__"})  # noqa: S102 - the page's own code
    assert out.getvalue().splitlines() == CODE.findall(promised[1])


def public_modules() -> list[str]:
    """Return the modules without an underscore in their path."""
    found = pkgutil.walk_packages(auth_jwks.__path__, "auth_jwks.")
    names = ["auth_jwks", *(info.name for info in found)]
    return [name for name in names if "._" not in name and name not in LEFT_OUT]


@pytest.mark.parametrize("name", public_modules())
def test_every_public_name_is_in_the_reference(name: str) -> None:
    """A page shows the module, or one that offers the same things."""
    pages = [path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md")]
    shown = {
        id(getattr(module, each))
        for page in pages
        for module in map(importlib.import_module, DIRECTIVE.findall(page))
        for each in module.__all__
    }
    module = importlib.import_module(name)
    assert [each for each in module.__all__ if id(getattr(module, each)) not in shown] == []


def test_each_reason_and_kind_leads_to_what_to_do() -> None:
    """Whatever a log line or a metric names is found under Troubleshooting."""
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    named = [*Reason, *get_args(events.RefreshFault)]
    assert [each for each in named if f"`{each}`" not in page] == []


def test_example_of_the_home_page_runs() -> None:
    """The home page's service is made as it stands, and asks nobody before the first token."""
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    made: dict[str, object] = {}
    exec(code, made)  # noqa: S102 - the page's own code
    assert {"app", "bearer"} <= made.keys()
