"""Async JWKS fetching, caching and JWT verification, shared by a fleet of workers."""

from typing import Any

from auth_jwks._status import Status
from auth_jwks._verifier import JWKS
from auth_jwks.errors import IssuerMismatchError, KeysUnavailableError, UnknownKeyError
from auth_jwks.stores.base import KeyStore
from auth_jwks.stores.memory import MemoryKeyStore

__all__ = [
    "JWKS",
    "IssuerMismatchError",
    "KeyStore",
    "KeysUnavailableError",
    "MemoryKeyStore",
    "Status",
    "UnknownKeyError",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - 10 ms that few need

        return version("auth-jwks")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
