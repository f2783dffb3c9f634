"""What the package and its public modules offer by name."""

import importlib
import pkgutil
from collections.abc import Iterator
from importlib.metadata import version
from types import FunctionType, ModuleType

import pytest

import auth_jwks

PUBLIC = ["auth_jwks"] + [
    info.name
    for info in pkgutil.walk_packages(auth_jwks.__path__, "auth_jwks.")
    if not any(part.startswith("_") for part in info.name.split("."))
]


def belongs(module: ModuleType, thing: object) -> bool:
    """Tell whether a module offers a thing: a package what is ours, a module what it defines."""
    home = getattr(thing, "__module__", None) or ""
    is_package = hasattr(module, "__path__")
    return home.startswith("auth_jwks") if is_package else home == module.__name__


def defined(module: ModuleType) -> set[str]:
    """Return the names without underscore of the classes and functions that a module offers."""
    return {
        name
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and isinstance(thing, (type, FunctionType))
        and belongs(module, thing)
    }


def documentable(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield what a module exports that can have a docstring: classes, their members, functions."""
    for name in module.__all__:
        thing = getattr(module, name)
        if not isinstance(thing, (type, FunctionType)):
            continue
        yield name, thing
        for member, value in vars(thing).items() if isinstance(thing, type) else ():
            if not member.startswith("_") and isinstance(
                value, (FunctionType, property, classmethod, staticmethod)
            ):
                yield f"{name}.{member}", value


def is_documented(thing: object) -> bool:
    """Tell whether someone wrote the docstring; dataclasses make up one that is the signature."""
    text = getattr(thing, "__doc__", None) or ""
    return bool(text.strip()) and not text.startswith(f"{getattr(thing, '__name__', '')}(")


def isort_style(name: str) -> tuple[bool, bool, str]:
    """Return the key of the order that ruff holds `__all__` to: CONSTANTS, Classes, functions."""
    return not name.isupper(), not name[0].isupper(), name


def test_the_public_modules_are_these() -> None:
    """A new module without an underscore is a promise."""
    assert PUBLIC == [
        "auth_jwks",
        "auth_jwks.asgi",
        "auth_jwks.bearer",
        "auth_jwks.cli",
        "auth_jwks.cloudflare",
        "auth_jwks.django",
        "auth_jwks.django.apps",
        "auth_jwks.drf",
        "auth_jwks.errors",
        "auth_jwks.events",
        "auth_jwks.fastapi",
        "auth_jwks.fastmcp",
        "auth_jwks.flask",
        "auth_jwks.health",
        "auth_jwks.mcp",
        "auth_jwks.opentelemetry",
        "auth_jwks.profiles",
        "auth_jwks.prometheus",
        "auth_jwks.starlette",
        "auth_jwks.stores",
        "auth_jwks.stores.base",
        "auth_jwks.stores.file",
        "auth_jwks.stores.gate",
        "auth_jwks.stores.memory",
        "auth_jwks.stores.record",
        "auth_jwks.stores.redis",
        "auth_jwks.sync",
        "auth_jwks.testing",
        "auth_jwks.testing.chaos",
        "auth_jwks.testing.clock",
        "auth_jwks.testing.contract",
        "auth_jwks.testing.issuer",
        "auth_jwks.testing.keys",
        "auth_jwks.testing.rig",
    ]


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_sorted_and_complete(name: str) -> None:
    """`__all__` holds every public class and function, each once and in order."""
    module = importlib.import_module(name)
    assert module.__all__ == sorted(set(module.__all__), key=isort_style)
    assert defined(module) <= set(module.__all__)
    assert all(hasattr(module, exported) for exported in module.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring(name: str) -> None:
    """As has every public method and property, and the module."""
    module = importlib.import_module(name)
    assert module.__doc__
    undocumented = [where for where, thing in documentable(module) if not is_documented(thing)]
    assert undocumented == []


def test_the_package_offers_what_it_documents() -> None:
    """These names are fixed."""
    assert set(auth_jwks.__all__) == {
        "FileKeyStore",
        "JWKS",
        "IssuerMismatchError",
        "Issuers",
        "KeyStore",
        "KeysUnavailableError",
        "MemoryKeyStore",
        "RedisKeyStore",
        "Status",
        "UnknownKeyError",
    }


def test_a_star_import_brings_them_all() -> None:
    """`from auth_jwks import *` works, whatever extras are installed."""
    namespace: dict[str, object] = {}
    exec("from auth_jwks import *", namespace)  # noqa: S102 - forbidden in a function otherwise
    assert set(auth_jwks.__all__) == namespace.keys() - {"__builtins__"}


def test_the_version_is_the_installed_one() -> None:
    """`__version__` is that of the metadata; a name that isn't there is an `AttributeError`."""
    assert auth_jwks.__version__ == version("auth-jwks")
    with pytest.raises(AttributeError, match="JWK"):
        _ = auth_jwks.JWK  # type: ignore[attr-defined]
