"""The specification and the map say what the code does: numbers, signatures, floors."""

import ast
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

import jwt
import pytest

import auth_jwks
from auth_jwks import JWKS, bearer
from auth_jwks._cache import purpose
from auth_jwks._clock import SYSTEM_CLOCK
from auth_jwks.stores import base

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
MAP = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SOURCE = Path(auth_jwks.__path__[0])
TABLE = re.compile(r"^\| (.+) \|\n\|[-|]+\|\n((?:\|.*\n)+)", re.MULTILINE)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")
NAME = re.compile(r"_*[A-Z][A-Z0-9_]*")
UNITS = {"": 1, "s": 1, "ms": 1e-3, "bytes": 1, "bits": 1, "KiB": 1024, "MiB": 1024 * 1024}

# Their numbers are no rules of the library.
OTHER_ROOMS = ("auth_jwks.cli", "auth_jwks.testing", "auth_jwks.django._spectacular")
EXEMPT = {
    "auth_jwks._provider.document.FORMAT": "a name of a format, not a limit: docs/stability.md",
    "auth_jwks.stores.record.FORMAT": "likewise",
    "auth_jwks._provider.headers.MAX_TAG": "what counts as a header of a response",
    "auth_jwks._provider.headers.MAX_DIGITS": "likewise",
    "auth_jwks.stores.redis.FORMAT": "likewise",
    "auth_jwks.stores.record.MAX_RECORD": "MAX_PAYLOAD and the line of JSON in front of it",
    "auth_jwks.stores.gate.MICRO": "a unit",
    "auth_jwks.stores.gate.MAX_SECONDS": "what Lua's numbers hold",
    "auth_jwks.stores.gate.DAY_MICROS": "stores.base.DAY in another unit",
    "auth_jwks.stores.gate.OVERTAKING": "stores.base.LEASE, likewise",
    "auth_jwks.stores.gate.REPAIR_MICROS": "stores.base.REPAIR_INTERVAL, likewise",
    "auth_jwks.stores._inspect.BATCH": "how many keys one command looks at",
    "auth_jwks.stores._inspect.EXACT": "what Lua's numbers hold",
    "auth_jwks.stores._inspect.FORMAT_IN_REDIS": "stores.redis.FORMAT",
    "auth_jwks.stores.redis.CENTURY": "as good as for ever",
    "auth_jwks.stores._boot.BOOTTIME": "the system's number of a clock",
    "auth_jwks.stores._boot.TEN_MINUTES": "tells boots apart where the system does not",
    "auth_jwks.bearer.UNAVAILABLE": "a status of HTTP",
    "auth_jwks.cloudflare._middleware.UNAVAILABLE": "likewise",
    "auth_jwks.asgi.POLICY_VIOLATION": "a close code of websockets",
}


@dataclass(frozen=True)
class Table:
    """One table of the page: its headings, and the cells of its rows."""

    headings: list[str]
    rows: list[list[str]]


def cells(row: str) -> list[str]:
    """Return the cells of one row."""
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def tables() -> Iterator[Table]:
    """Yield the tables of the page."""
    for head, body in TABLE.findall(PAGE):
        yield Table(cells(head), [cells(row) for row in body.splitlines()])


def table(*headings: str) -> list[list[str]]:
    """Return the rows of the one table with these headings."""
    (found,) = [each.rows for each in tables() if each.headings == list(headings)]
    return found


# Each constant that the page names, and the value that the page states.
STATED = {
    CODE.findall(row[each.headings.index("constant")])[0]: row[each.headings.index("value")]
    for each in tables()
    if "constant" in each.headings
    for row in each.rows
}


def stated_values(text: str) -> tuple[float, ...]:
    """Return the number in a cell, or both ends of a range, in seconds, bytes or pieces."""
    found = re.fullmatch(r"([0-9.]+)(?: to ([0-9.]+))? ?([A-Za-z]*)", text)
    assert found is not None, f"not a value: {text!r}"
    *ends, unit = found.groups()
    return tuple(float(end) * UNITS[unit] for end in ends if end is not None)


def parted(path: str) -> tuple[Any, str]:
    """Return the module or class in a dotted path, and the name after it."""
    parent, _, name = path.rpartition(".")
    outer, _, inner = parent.rpartition(".")
    if inner[0].isupper():
        return getattr(import_module(outer), inner), name
    return import_module(parent), name


def named(path: str) -> Any:
    """Return what a dotted path names: a module's constant, or the default of a parameter."""
    parent, name = parted(path)
    if isinstance(parent, type):
        return inspect.signature(parent).parameters[name].default
    return getattr(parent, name)


def values(thing: Any) -> tuple[float, ...]:
    """Return a number, or both ends of a range."""
    return (thing[0], thing[-1]) if isinstance(thing, range) else (thing,)


def constants() -> Iterator[str]:
    """Yield the dotted path of each number with a name of its own in capitals."""
    for info in pkgutil.walk_packages([str(SOURCE)], "auth_jwks."):
        if info.name.startswith(OTHER_ROOMS):
            continue
        module = import_module(info.name)
        for node in ast.parse(inspect.getsource(module)).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            for target in targets:
                if not isinstance(target, ast.Name) or not NAME.fullmatch(target.id):
                    continue
                if type(getattr(module, target.id)) in {int, float, range}:
                    yield f"{info.name}.{target.id}"


def bare(function: Any) -> inspect.Signature:
    """Return the parameters and defaults of a function without their types."""
    signature = inspect.signature(function)
    empty = inspect.Parameter.empty
    return signature.replace(
        parameters=[each.replace(annotation=empty) for each in signature.parameters.values()],
        return_annotation=inspect.Signature.empty,
    )


def defined(name: str) -> type:
    """Return the class of that name as the page writes it down."""
    (code,) = [code for code in BLOCK.findall(PAGE) if code.startswith(f"class {name}")]
    namespace: dict[str, Any] = {"SYSTEM_CLOCK": SYSTEM_CLOCK, "Protocol": object}
    exec(code, namespace)  # noqa: S102 - the page's own code
    found: type = namespace[name]
    return found


@pytest.mark.parametrize("path", STATED)
def test_number_is_the_constants(path: str) -> None:
    """The constant that the page names exists, and has the value that the page states."""
    assert values(named(path)) == pytest.approx(stated_values(STATED[path]))


def test_every_number_with_a_name_is_on_the_page() -> None:
    """A constant in capitals is stated on the page, or exempt for a reason; nothing is twice."""
    found = set(constants())
    assert found - STATED.keys() - EXEMPT.keys() == set()
    assert [path for path in EXEMPT if not hasattr(*parted(path))] == []
    assert EXEMPT.keys() & STATED.keys() == set()


def test_no_number_is_stated_twice() -> None:
    """Each constant has one row."""
    rows = [row for each in tables() if "constant" in each.headings for row in each.rows]
    assert len(rows) == len(STATED)


@pytest.mark.parametrize("kind", [JWKS, base.KeyStore])
def test_signatures_are_the_codes(kind: type) -> None:
    """The classes of the page have the methods, parameters and defaults that the code has."""
    stated = defined(kind.__name__)
    methods = {name for name, each in vars(stated).items() if isinstance(each, FunctionType)}
    public = {
        name
        for each in kind.mro()
        if each.__module__.startswith("auth_jwks")
        for name, method in vars(each).items()
        if isinstance(method, FunctionType) and not name.startswith("_")
    }
    assert methods - {"__init__"} == public - {"aclose" if kind is JWKS else ""}
    for name in methods:
        assert bare(getattr(stated, name)) == bare(getattr(kind, name)), name


def test_values_of_a_store_are_the_codes() -> None:
    """The page lists the requests, leases and answers with exactly the fields that they have."""
    stated = {}
    for cell, _ in table("value", "meaning"):
        name, _, rest = CODE.findall(cell)[0].partition("(")
        stated[name] = [field for field in rest.rstrip(")").split(", ") if field]
    classes = {name: each for name, each in vars(base).items() if is_dataclass(each)}
    found = {name: [field.name for field in fields(each)] for name, each in classes.items()}
    assert stated == found


def test_statuses_are_the_answers() -> None:
    """The errors of the table have the statuses that the web integrations answer with."""
    rows = table("fault", "raised", "status")
    words = [(raised.strip("`").partition("`")[0], status) for _, raised, status in rows]
    stated = {name: re.split(r"\W", status)[0] for name, status in words}
    ours = [getattr(auth_jwks, name) for name in auth_jwks.__all__ if name.endswith("Error")]
    answers = {error: f"{status}" for error, status, *_ in bearer.ANSWERS}
    found = {
        error.__name__: next(answers[each] for each in error.__mro__ if each in answers)
        for error in ours
    }
    pyjwt = {"PyJWT's own classes": answers[jwt.InvalidTokenError]}
    assert stated == {**pyjwt, **found, "ValueError": "none"}


def test_purposes_and_their_causes_are_the_codes() -> None:
    """The page lists the purposes of a refresh with the causes that a store is told."""
    stated = {CODE.findall(name)[0]: cause for name, _, cause, _ in
              table("purpose", "why", "cause told to the store", "it is met when")}  # fmt: skip
    assert stated.keys() == set(purpose.__all__) - {"Purpose"}
    for name, cause in stated.items():
        told = getattr(purpose, name).cause
        assert (f"`{told}`" if told else "none") == cause.partition(";")[0], name


def layers(*, of: str) -> list[set[str]]:
    """Return the floors that the linter of imports holds a package to, the highest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (found,) = [each["layers"] for each in contracts if each.get("containers") == [of]]
    return [set(floor.split(" | ")) for floor in found]


def test_floors_of_the_map_are_the_linters() -> None:
    """The picture of the house has the floors that the linter of imports knows, in its order."""
    (picture,) = re.findall(r"^```text\n( __main__.*?)^```$", MAP, re.MULTILINE | re.DOTALL)
    floors = [line.strip() for line in picture.splitlines() if not line.startswith(" --")]
    assert [set(re.split(" {2,}", floor)[0].split(" | ")) for floor in floors] == layers(
        of="auth_jwks"
    )


def test_order_in_the_cache_is_the_linters() -> None:
    """So has the picture of the cache."""
    (picture,) = re.findall(r"^```text\n( assembly.*?)^```$", MAP, re.MULTILINE | re.DOTALL)
    floors = [set(re.findall(r"(\w+)\.py", line)) for line in picture.splitlines()]
    assert floors == layers(of="auth_jwks._cache")


def test_files_of_the_map_exist() -> None:
    """Each module that the map names is there."""
    modules = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.*")}
    stated = set(re.findall(r"`([\w/]+\.(?:py|lua))`", MAP))
    found = {name for name in stated for module in modules if f"/{module}".endswith(f"/{name}")}
    assert stated - found == set()
