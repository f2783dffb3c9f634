"""JWT verification with an async JWKS cache that a fleet of workers shares."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from auth_jwks._version import __version__ as __version__
from auth_jwks.errors import IssuerMismatchError, KeysUnavailableError, UnknownKeyError

if TYPE_CHECKING:
    from auth_jwks import errors as errors
    from auth_jwks import events as events
    from auth_jwks import profiles as profiles
    from auth_jwks import stores as stores
    from auth_jwks._cache.status import Status
    from auth_jwks._issuers import Issuers
    from auth_jwks._verifier import JWKS
    from auth_jwks.stores.base import KeyStore
    from auth_jwks.stores.file import FileKeyStore
    from auth_jwks.stores.memory import MemoryKeyStore
    from auth_jwks.stores.redis import RedisKeyStore
else:  # type checkers would accept any name, also one that is not there

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(f"auth_jwks.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(import_module(_HOMES[name]), name)
        return value


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

# Imported when they are asked for: every import of a module in the package imports this one, and
# `RedisKeyStore` needs an extra.
_HOMES = {
    "JWKS": "auth_jwks._verifier",
    "FileKeyStore": "auth_jwks.stores.file",
    "Issuers": "auth_jwks._issuers",
    "KeyStore": "auth_jwks.stores.base",
    "MemoryKeyStore": "auth_jwks.stores.memory",
    "RedisKeyStore": "auth_jwks.stores.redis",
    "Status": "auth_jwks._cache.status",
}
_MODULES = frozenset(("events", "profiles", "stores"))


def __dir__() -> list[str]:
    return sorted(globals().keys() | _HOMES.keys() | _MODULES)
