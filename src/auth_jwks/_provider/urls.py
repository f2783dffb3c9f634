"""Checks of URLs that keys may be fetched from, and the repair of local ones."""

import ipaddress
from urllib.parse import SplitResult, urlsplit, urlunsplit

__all__ = ["fault_in", "is_exposed", "is_https", "is_local", "redacted", "repaired"]

_LOCAL_SUFFIXES = (".local", ".internal", ".localhost")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def fault_in(url: str) -> str | None:
    """Return why `url` can't be fetched, without repeating it; None if it can."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "not a valid URL"
    if parts.scheme not in _DEFAULT_PORTS:
        return "the scheme must be http or https"
    if parts.username is not None or parts.password is not None:
        return "it must not contain credentials"
    if not parts.hostname or port == 0 or not url.isprintable() or set(" \\") & set(url):
        return "not a valid URL"
    return None


def redacted(url: str) -> str:
    """Return the URL without credentials, query and fragment, so that it may be logged."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an invalid URL"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def repaired(jwks_uri: str, discovery_url: str) -> str:
    """Return `jwks_uri` at the origin of `discovery_url` if one of the two hosts is local.

    Behind Docker or a tunnel, or in a cluster, a provider advertises its own view of its origin,
    which may not be reachable from here. If both hosts are public, nothing is changed.
    """
    advertised, reached = urlsplit(jwks_uri), urlsplit(discovery_url)
    if _origin(advertised) == _origin(reached):
        return jwks_uri
    if not _is_local_set_up(advertised.hostname or "", reached.hostname or ""):
        return jwks_uri
    return urlunsplit(advertised._replace(scheme=reached.scheme, netloc=reached.netloc))


def _is_local_set_up(advertised: str, reached: str) -> bool:
    """Return whether one of the hosts is local, or both are names of one cluster.

    A Kubernetes service is `name.namespace.svc`, with the cluster's domain behind it or not. It is
    reached as `name.namespace` too, which alone can't be distinguished from a public name.
    """
    if is_local(advertised) or is_local(reached) or _name(reached).endswith(".svc"):
        return True
    hosts = _name(advertised), _name(reached)
    services = [".svc." in f"{host}." for host in hosts]
    return any(services) and all(
        is_service or host.count(".") == 1 for host, is_service in zip(hosts, services, strict=True)
    )


def is_local(host: str) -> bool:
    """Return whether `host` is a name or address of this machine or a private network."""
    name = _name(host)
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(_LOCAL_SUFFIXES)
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_private)  # true of loopback and link-local too


def is_exposed(url: str) -> bool:
    """Return whether others can read and change what is fetched: plain http, to a public host."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_local(parts.hostname or "")


def is_https(url: str) -> bool:
    """Return whether a request for this URL is encrypted."""
    return url.lower().startswith("https:")


def _name(host: str) -> str:
    return host.rstrip(".").lower()


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)
