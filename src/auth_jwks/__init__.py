"""JWT verification with an async JWKS cache that a fleet of workers shares."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from auth_jwks._cache.status import Status
from auth_jwks._issuers import Issuers
from auth_jwks._verifier import JWKS
from auth_jwks._version import __version__ as __version__
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
    "Issuers",
    "KeyStore",
    "KeysUnavailableError",
    "MemoryKeyStore",
    "RedisKeyStore",
    "Status",
    "UnknownKeyError",
]


def __getattr__(name: str) -> Any:
    # Lazy: it needs an extra.
    if name == "RedisKeyStore":
        return import_module("auth_jwks.stores.redis").RedisKeyStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
