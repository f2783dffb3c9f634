"""A provider, a clock and a suite for stores. HTTP runs on loopback, or without a socket."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from auth_jwks.testing._traffic import Request
from auth_jwks.testing.chaos import ChaosStore
from auth_jwks.testing.clock import FakeClock
from auth_jwks.testing.issuer import FakeIssuer
from auth_jwks.testing.keys import SigningKey
from auth_jwks.testing.rig import StoreRig

if TYPE_CHECKING:
    from auth_jwks.testing.contract import KeyStoreContract

__all__ = [
    "ChaosStore",
    "FakeClock",
    "FakeIssuer",
    "KeyStoreContract",
    "Request",
    "SigningKey",
    "StoreRig",
]

REWRITTEN_MODULES = ("_calls", "_documents", "_interleavings", "_leases")


def __getattr__(name: str) -> Any:
    # The suite needs an extra that users of the provider alone may not have installed. pytest
    # improves its assertion messages, but must be told to before the modules are imported, and
    # warns if it is told later.
    if name == "KeyStoreContract":
        try:
            pytest, _ = import_module("pytest"), import_module("hypothesis")
        except ModuleNotFoundError as fault:
            text = "KeyStoreContract needs pytest and hypothesis: install auth-jwks[testing]"
            raise ImportError(text, name=fault.name) from fault
        names = {f"{__name__}.{module}" for module in REWRITTEN_MODULES}
        pytest.register_assert_rewrite(*names - sys.modules.keys())  # it warns of the others
        return import_module(f"{__name__}.contract").KeyStoreContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
