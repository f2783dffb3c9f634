"""The stores through which a fleet shares its key sets."""

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
