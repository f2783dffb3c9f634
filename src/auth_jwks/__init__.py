"""JWT verification with an async JWKS cache that a fleet of workers shares."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from auth_jwks._cache.status import Status
from auth_jwks._verifier import JWKS
from auth_jwks.errors import IssuerMismatchError, KeysUnavailableError, UnknownKeyError
from auth_jwks.stores.base import KeyStore
from auth_jwks.stores.file import FileKeyStore
from auth_jwks.stores.memory import MemoryKeyStore

if TYPE_CHECKING:
    from auth_jwks.stores.redis import RedisKeyStore

__all__ = [
    "JWKS",
    "FileKeyStore",
    "IssuerMismatchError",
    "KeyStore",
    "KeysUnavailableError",
    "MemoryKeyStore",
    "RedisKeyStore",
    "Status",
    "UnknownKeyError",
]


def __getattr__(name: str) -> Any:
    # Lazy: the one costs milliseconds of import, the other needs an extra.
    if name == "__version__":
        return import_module("importlib.metadata").version("auth-jwks")
    if name == "RedisKeyStore":
        return import_module("auth_jwks.stores.redis").RedisKeyStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
