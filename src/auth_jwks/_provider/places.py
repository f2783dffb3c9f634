"""Where an issuer publishes its metadata. Pure."""

from urllib.parse import urlsplit, urlunsplit

from auth_jwks._jose.issuer import PLACEHOLDER
from auth_jwks._provider.urls import fault_in

__all__ = ["WELL_KNOWN", "fault_in_place", "is_place", "places_of"]

WELL_KNOWN = "/.well-known/"
ALL_TENANTS = "common"  # where Entra ID publishes the metadata of all tenants


def is_place(name: str) -> bool:
    """Return whether the name of an issuer is a URL, and not only a name."""
    return name.lower().startswith(("https://", "http://"))


def fault_in_place(url: str) -> str | None:
    """Return why no metadata can be found by the name of an issuer; None if it can."""
    fault = fault_in(url)
    if fault is not None:
        return f"{fault}, unless discovery_url or jwks_uri is given"
    if WELL_KNOWN in url:
        return "this is the URL of a document, and not the issuer; pass it as discovery_url="
    if "?" in url or "#" in url:
        return "a URL with a query or a fragment leads to no document; pass discovery_url="
    return None


def places_of(issuer: str) -> tuple[str, str]:
    """Return the URLs of an issuer's metadata: of OpenID Connect's, and of OAuth's.

    The one is appended to the issuer, without a slash at its end (OpenID Connect Discovery §4).
    The other is inserted between host and path (RFC 8414 §3.1).
    """
    whole = issuer.replace(PLACEHOLDER, ALL_TENANTS).rstrip("/")
    parts = urlsplit(whole)
    inserted = f"{WELL_KNOWN}oauth-authorization-server{parts.path}"
    return f"{whole}{WELL_KNOWN}openid-configuration", urlunsplit(parts._replace(path=inserted))
