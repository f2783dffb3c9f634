"""The stores through which a fleet shares its key sets."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from auth_jwks.stores.memory import MemoryKeyStore

if TYPE_CHECKING:
    from auth_jwks.stores.file import FileKeyStore

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


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: most programs don't need it.
    if name == "FileKeyStore":
        return import_module("auth_jwks.stores.file").FileKeyStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "FileKeyStore"})
