"""Profiles: what a token is for, and so what it must contain (RFC 8725 §3.11, §3.12).

`JWKS(profile=...)` is for every token, `verify_token(token, profile=...)` for a single one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auth_jwks.profiles._kinds import AccessToken, Check, IDToken, LogoutToken, Profile
else:  # as in `auth_jwks.stores`

    def __getattr__(name: str) -> Any:
        # Imported when it is asked for, for threads.
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(import_module("auth_jwks.profiles._kinds"), name)
        return value


__all__ = ["AccessToken", "Check", "IDToken", "LogoutToken", "Profile"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
