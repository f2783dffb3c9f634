"""Checks of the configuration: each error names the parameter and what was expected."""

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, TypeVar

from auth_jwks._jose.issuer import IssuerNames, fault_in_name, is_tenant, issuer_names
from auth_jwks._provider.client import ClientMaker, HTTPClient, is_client
from auth_jwks._provider.urls import fault_in

if TYPE_CHECKING:
    from auth_jwks._jose.tenants import Tenants

__all__ = [
    "checked_audience",
    "checked_client",
    "checked_count",
    "checked_flag",
    "checked_issuer",
    "checked_number",
    "checked_parts",
    "checked_strings",
    "checked_tenants",
    "checked_text",
    "checked_url",
    "checked_verifier",
]

T = TypeVar("T")


def checked_url(name: str, value: object) -> str | None:
    """Return an http(s) URL without credentials, or None for None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a URL, got {type(value).__name__}")
    if not value.strip():
        raise ValueError(f"{name}: expected an http or https URL, got an empty string")
    fault = fault_in(value)
    if fault is not None:
        raise ValueError(f"{name}: {fault}")
    return value


def checked_text(name: str, value: object) -> str | None:
    """Return a string that is not blank, or None for None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a string, got {type(value).__name__}")
    if not value.strip() or not value.isprintable():
        raise ValueError(f"{name}: expected a non-empty, printable string")
    return value


def checked_issuer(value: object) -> IssuerNames:
    """Return the names of an issuer, from one string or a sequence of them; none for None.

    Their order matters, so a set is rejected.
    """
    if value is None:
        return IssuerNames()
    if not isinstance(value, Sequence):
        kind = type(value).__name__
        raise TypeError(f"issuer: expected a string, or a list of strings, got {kind}")
    names = checked_strings("issuer", (value,) if isinstance(value, str) else value)
    if not names or not all(name.isprintable() for name in names):
        raise ValueError("issuer: expected one or more printable strings")
    for fault in filter(None, map(fault_in_name, names)):
        raise ValueError(f"issuer: {fault}")
    return issuer_names(tuple(dict.fromkeys(names)))


def checked_tenants(
    value: Collection[str] | Callable[[str], bool] | None, issuer: IssuerNames
) -> "Tenants | None":
    """Return the accepted tenants, a collection of ids or a function; None without a template."""
    if value is None and not issuer.templates:
        return None
    if value is None:
        raise ValueError("tenants: expected the tenants to let in, as issuer is a template")
    if not issuer.templates:
        raise ValueError("tenants: expected only with a template as issuer, such as .../{tenantid}")
    from auth_jwks._jose.tenants import Tenants

    if iscoroutinefunction(value):
        raise TypeError("tenants: expected a plain function, as a coroutine would not be awaited")
    if callable(value):
        return Tenants(issuer, value)
    tenants = frozenset(checked_strings("tenants", value))
    if not tenants or not all(map(is_tenant, tenants)):
        raise ValueError("tenants: expected ids of lower-case hexadecimal digits and dashes")
    return Tenants(issuer, tenants)


def checked_number(
    name: str, value: object, *, above: float | None = None, most: float | None = None
) -> float:
    """Return a finite number that is at least 0 or more than `above`, and at most `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    if not 0 <= value <= sys.float_info.max or (above is not None and value <= above):
        bound = "of at least 0" if above is None else f"above {above:g}"
        raise ValueError(f"{name}: expected a finite number {bound}")
    if most is not None and value > most:
        raise ValueError(f"{name}: expected a number of at most {most:g}")
    return float(value)


def checked_count(name: str, value: object, *, within: range | None = None) -> int:
    """Return an integer of at least 0, or in the range that is given."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}")
    if within is not None and value not in within:
        raise ValueError(f"{name}: expected an integer from {within[0]} to {within[-1]}")
    if value < 0:
        raise ValueError(f"{name}: expected an integer of at least 0")
    return value


def checked_flag(name: str, value: object) -> bool:
    """Return True or False. Other values, such as 0 and 1, are refused."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected True or False, got {type(value).__name__}")
    return value


def checked_parts(name: str, value: T, expected: str, *methods: str) -> T:
    """Return an object that has these methods."""
    has_all = all(callable(getattr(value, method, None)) for method in methods)
    if isinstance(value, type) or not has_all:
        raise TypeError(f"{name}: expected {expected}, got {type(value).__name__}")
    return value


def checked_client(value: HTTPClient | ClientMaker | None) -> HTTPClient | None:
    """Return a client, one that a function will make, or None for None."""
    if value is None or is_client(value):
        return value
    if not callable(value):
        kind = type(value).__name__
        raise TypeError(
            f"http_client: expected a function that makes one, or an httpx.AsyncClient, got {kind}"
        )
    if iscoroutinefunction(value):
        raise TypeError(
            "http_client: expected a plain function, as a coroutine would not be awaited"
        )
    from auth_jwks._provider.made_client import MadeClient

    return MadeClient(value)


def checked_verifier(verifier: T) -> T:
    """Return an object that verifies tokens without blocking the event loop."""
    threads = sys.modules.get("auth_jwks.sync")  # not imported: there is no SyncJWKS
    if threads is not None and isinstance(verifier, (threads.SyncJWKS, threads.SyncIssuers)):
        kind = type(verifier).__name__
        raise TypeError(
            f"verifier: expected a JWKS, got a {kind}, which would block the event loop"
        )
    return checked_parts(
        "verifier", verifier, "a JWKS, or an object with its verify_token", "verify_token"
    )


def checked_strings(name: str, value: object) -> tuple[str, ...]:
    """Return a collection of non-empty strings as a tuple. A bare string is refused."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"{name}: expected a collection of strings, got {type(value).__name__}")
    members = tuple(value)
    if not all(isinstance(member, str) for member in members):
        raise TypeError(f"{name}: expected a collection of strings only")
    if not all(member.strip() for member in members):
        raise ValueError(f"{name}: expected non-empty strings")
    return members


def checked_audience(name: str, value: object) -> frozenset[str]:
    """Return the accepted audiences, from one string or a collection. None may be blank."""
    members = frozenset(checked_strings(name, (value,) if isinstance(value, str) else value))
    if not members:
        raise ValueError(f"{name}: expected at least one audience, or None for no check")
    if not all(member.isprintable() for member in members):
        raise ValueError(f"{name}: expected printable strings")
    return members
