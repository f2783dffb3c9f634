"""Rules of this code base that no linter knows."""

import ast
import re
from pathlib import Path
from statistics import median, quantiles

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "auth_jwks"
TEXTS = {path.relative_to(SOURCE).as_posix(): path.read_text() for path in SOURCE.rglob("*.py")}
PURE = [
    "_cache/answers",
    "_cache/current",
    "_cache/freshness",
    "_cache/purpose",
    "_cache/status",
    "_jose/claims",
    "_jose/hints",
    "_jose/issuer",
    "_jose/jwk",
    "_jose/keys",
    "_jose/mldsa",
    "_jose/routes",
    "_jose/strict_json",
    "_jose/tenants",
    "_jose/tokens",
    "_jose/typ",
    "_provider/document",
    "_provider/headers",
    "_provider/places",
    "_provider/urls",
    "_asgi/public_paths",
    "_openapi",
    "_settings",
    "profiles/_judgement",
    "profiles/_kinds",
    "stores/_breaker",
    "stores/gate",
    "stores/record",
    "stores/_sealed",
]
IMPURE = {"asyncio", "datetime", "httpx", "logging", "time"}
ASYNC = (ast.AsyncFor, ast.AsyncFunctionDef, ast.AsyncWith, ast.Await)
SUPPRESSION = re.compile(r"#\s*(?:noqa|pragma|(?:type|pyright):\s*ignore)(.*)")
CODE = re.compile(r": [A-Z]+\d+|\[[\w-]+\]")


def lines(node: ast.expr | ast.stmt) -> int:
    """Return over how many lines a node stretches."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def function_lengths() -> dict[str, int]:
    """Return how many lines the body of each function has, its docstring aside."""
    return {
        f"{name}:{node.lineno}": sum(map(lines, node.body[bool(ast.get_docstring(node)) :]))
        for name, text in TEXTS.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def imports(node: ast.AST) -> set[str]:
    """Return the top-level modules that a statement imports."""
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]}
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    return set()


def test_modules_are_short() -> None:
    """No module is longer than 300 lines."""
    assert {name for name, text in TEXTS.items() if len(text.splitlines()) > 300} == set()


def test_functions_are_short() -> None:
    """No function has more than 40 lines; half of them have at most 6, nine in ten at most 20."""
    lengths = function_lengths()
    assert {name for name, length in lengths.items() if length > 40} == set()
    assert median(lengths.values()) <= 6
    assert quantiles(lengths.values(), n=10)[-1] <= 20


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_neither_wait_nor_look_around(name: str) -> None:
    """A pure module awaits nothing and reads no clock, logger or network."""
    nodes = list(ast.walk(ast.parse(TEXTS[f"{name}.py"])))
    assert [node.lineno for node in nodes if isinstance(node, ASYNC)] == []
    assert IMPURE & set().union(*map(imports, nodes)) == set()


def test_suppressions_are_rare_and_precise() -> None:
    """At most two suppressions in a thousand lines, and each names what it suppresses."""
    suppressions = [found for text in TEXTS.values() for found in SUPPRESSION.findall(text)]
    assert [found for found in suppressions if not CODE.match(found)] == []
    assert len(suppressions) <= 2 * sum(len(text.splitlines()) for text in TEXTS.values()) / 1000
