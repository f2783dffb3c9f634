"""The stores through which a fleet shares its key sets."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auth_jwks.stores.base import (
        Answer,
        Busy,
        Cause,
        Cooling,
        Granted,
        KeyStore,
        Lease,
        LeaseRequest,
        Newer,
        StoreUnavailable,
        Unchanged,
    )
    from auth_jwks.stores.file import FileKeyStore
    from auth_jwks.stores.memory import MemoryKeyStore
else:  # type checkers would accept any name, also one that is not there

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(f"auth_jwks.stores.{name}")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = import_module(f"auth_jwks.stores.{_HOMES.get(name, 'base')}")
        globals()[name] = value = getattr(home, name)
        return value


__all__ = [
    "Answer",
    "Busy",
    "Cause",
    "Cooling",
    "FileKeyStore",
    "Granted",
    "KeyStore",
    "Lease",
    "LeaseRequest",
    "MemoryKeyStore",
    "Newer",
    "StoreUnavailable",
    "Unchanged",
]

# Imported when they are asked for. A package that imported its own modules would hold its lock
# meanwhile: a thread that imports one of them, and another one that imports the package, would
# wait for each other, and Python would raise an error in one of them.
_HOMES = {"FileKeyStore": "file", "MemoryKeyStore": "memory"}
_MODULES = frozenset(("base", "file", "gate", "memory", "record"))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
