"""The setting `AUTH_JWKS`: a dictionary whose names and values are checked."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import iscoroutinefunction, signature
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from auth_jwks._asgi.late import SyncVerifier
from auth_jwks._asgi.public_paths import PublicPaths
from auth_jwks._settings import checked_flag, checked_parts, checked_verifier
from auth_jwks._verifier import JWKS
from auth_jwks.bearer import Challenge, ScopesFrom, Verifier, scopes_of
from auth_jwks.sync import SyncJWKS

__all__ = ["Settings", "read"]

NAMES = frozenset(
    (
        "ASYNC_VERIFIER", "OPTIONAL", "PUBLIC_PATHS", "PUBLIC_PREFIXES", "REALM",
        "RESOURCE_METADATA", "SCOPES_FROM", "USER", "VERIFIER",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """What `AUTH_JWKS` says."""

    challenge: Challenge
    scopes_from: ScopesFrom
    public: PublicPaths | None
    optional: bool
    user: Callable[[dict[str, Any]], Any] | None
    make: Callable[[], Any]
    make_async: Callable[[], Any] | None
    is_made_here: bool

    def verifier(self) -> SyncVerifier:
        """Make the verifier of threads. Raises `ImproperlyConfigured`."""
        made = self.make()
        verify = getattr(made, "verify_token", None)
        if not callable(verify) or iscoroutinefunction(verify):
            kind = type(made).__name__
            raise ImproperlyConfigured(f"AUTH_JWKS: VERIFIER: expected a SyncJWKS, got {kind}")
        verifier: SyncVerifier = made
        return verifier

    def async_verifier(self) -> Verifier:
        """Make the verifier of an event loop. Raises `ImproperlyConfigured`."""
        if self.make_async is None:
            raise ImproperlyConfigured(
                "AUTH_JWKS: ASYNC_VERIFIER: expected the path of a function that returns a JWKS, "
                "as VERIFIER is a function and this process serves ASGI"
            )
        make = self.make_async
        verifier: Verifier = _naming("ASYNC_VERIFIER", lambda: checked_verifier(make()))()
        return verifier


def read(found: object) -> Settings:
    """Return the settings. Raises `ImproperlyConfigured`, which says what was expected."""
    try:
        return _checked(found)
    except (ImportError, TypeError, ValueError) as fault:
        name, colon, rest = str(fault).partition(":")
        text = f"{name.upper()}:{rest}" if colon and name.upper() in NAMES else str(fault)
        raise ImproperlyConfigured(f"AUTH_JWKS: {text}") from fault


def _checked(found: object) -> Settings:
    if not isinstance(found, Mapping):
        raise TypeError(f"expected a dictionary in the settings, got {type(found).__name__}")
    _refuse_unknown("", found, NAMES)
    if "VERIFIER" not in found:
        raise ValueError("VERIFIER: expected parameters of a SyncJWKS, or the path of a function")
    make, make_async = _makers(found["VERIFIER"])
    if "ASYNC_VERIFIER" in found:
        factory = _function("ASYNC_VERIFIER", found["ASYNC_VERIFIER"])
        make_async = _naming("ASYNC_VERIFIER", factory)
    user = found.get("USER")
    return Settings(
        challenge=Challenge(found.get("REALM"), (), found.get("RESOURCE_METADATA")),
        scopes_from=_function("SCOPES_FROM", found.get("SCOPES_FROM", scopes_of)),
        public=PublicPaths.checked(found.get("PUBLIC_PATHS", ()), found.get("PUBLIC_PREFIXES", ())),
        optional=checked_flag("OPTIONAL", found.get("OPTIONAL", False)),
        user=None if user is None else _function("USER", user),
        make=make,
        make_async=make_async,
        is_made_here=isinstance(found["VERIFIER"], Mapping),
    )


def _makers(
    value: object,
) -> tuple[Callable[[], Any], Callable[[], Any] | None]:
    """Return what makes the verifiers: of parameters both, of a function the one of threads."""
    if not isinstance(value, Mapping):
        return _naming("VERIFIER", _function("VERIFIER", value)), None
    _refuse_unknown("VERIFIER: ", value, signature(SyncJWKS).parameters)
    return (
        _naming("VERIFIER", partial(SyncJWKS, **value)),
        _naming("VERIFIER", partial(JWKS, **value)),
    )


def _refuse_unknown(where: str, found: Mapping[Any, Any], known: Collection[str]) -> None:
    unknown = [name for name in found if name not in known]
    if unknown:
        raise ValueError(f"{where}got {unknown[0]!r}, expected only {', '.join(sorted(known))}")


def _function(name: str, value: object) -> Any:
    """Return a plain function, itself or found by its dotted path."""
    if isinstance(value, str):
        try:
            value = import_string(value)
        except ImportError as fault:
            raise ImportError(f"{name}: {fault}") from fault
    if iscoroutinefunction(value):
        raise TypeError(f"{name}: expected a plain function, as a coroutine would not be awaited")
    return checked_parts(name, value, "a function, or its dotted path", "__call__")


def _naming(name: str, make: Callable[[], Any]) -> Callable[[], Any]:
    """Return the function, whose complaints name the setting."""

    def named() -> Any:
        try:
            return make()
        except (TypeError, ValueError) as fault:
            raise ImproperlyConfigured(f"AUTH_JWKS: {name}: {fault}") from fault

    return named
