"""Assembles the parts behind a verifier. Each part is given the parts that it uses."""

import logging
from inspect import iscoroutinefunction

from auth_jwks._cache.freshness import Policy
from auth_jwks._cache.guarded_store import GuardedStore
from auth_jwks._cache.key_cache import KeyCache
from auth_jwks._cache.refresh import Refresher
from auth_jwks._clock import Clock
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._provider.client import HTTPClient
from auth_jwks._provider.places import fault_in_place, is_place, places_of
from auth_jwks._provider.source import Source
from auth_jwks._provider.urls import is_exposed
from auth_jwks._settings import (
    checked_count,
    checked_flag,
    checked_number,
    checked_parts,
    checked_url,
)
from auth_jwks.events import Observer
from auth_jwks.stores.base import KeyStore
from auth_jwks.stores.memory import MemoryKeyStore

__all__ = ["assembled"]

logger = logging.getLogger("auth_jwks")


def assembled(
    *,
    discovery_url: str | None,
    jwks_uri: str | None,
    issuer: IssuerNames,
    fix_local_url: bool,
    timeout: float,
    retries: int,
    http_client: HTTPClient | None,
    store: KeyStore | None,
    cache_ttl: float,
    max_stale: float,
    allowed: frozenset[str],
    observer: Observer | None,
    clock: Clock,
) -> KeyCache:
    """Check the parameters of `JWKS` that are about keys, and return the cache of these keys."""
    checked_parts("clock", clock, "a Clock", "monotonic", "time", "sleep")
    _checked_observer(observer)
    url, second_url = checked_url("discovery_url", discovery_url), None
    if url is None and jwks_uri is None:
        url, second_url = _places(issuer)
    policy = Policy(checked_number("cache_ttl", cache_ttl), checked_number("max_stale", max_stale))
    source = Source(
        discovery_url=url,
        jwks_uri=checked_url("jwks_uri", jwks_uri),
        second_url=second_url,
        issuer=issuer,
        fix_local_url=checked_flag("fix_local_url", fix_local_url),
        timeout=checked_number("timeout", timeout, above=0),
        retries=checked_count("retries", retries),
        http_client=_checked_client(http_client),
        clock=clock,
    )
    shared = GuardedStore(
        MemoryKeyStore(timer=clock.monotonic) if store is None else _checked_store(store),
        source.key, name=source.name, deadline=source.deadline, policy=policy,
        clock=clock, observer=observer,
    )  # fmt: skip
    refresher = Refresher(
        source, shared, policy=policy, allowed=allowed, clock=clock, observer=observer
    )
    cache = KeyCache(refresher, policy=policy, clock=clock, observer=observer)
    _warn_without_issuer(source)
    _warn_of_plain_http(source, "issuer" if second_url else "discovery_url")
    return cache


def _places(issuer: IssuerNames) -> tuple[str, str]:
    """Return the two places of the discovery document, beneath the first name that is a URL."""
    if not issuer.names:
        raise ValueError("discovery_url, jwks_uri, issuer: expected at least one of them")
    url = next(filter(is_place, issuer.names), issuer.names[0])
    fault = fault_in_place(url)
    if fault is not None:
        raise ValueError(f"issuer: {fault}")
    return places_of(url)


def _checked_client(client: HTTPClient | None) -> HTTPClient | None:
    if client is None:
        return None
    return checked_parts("http_client", client, "an httpx.AsyncClient", "stream", "aclose")


def _checked_store(store: KeyStore) -> KeyStore:
    return checked_parts("store", store, "a KeyStore", "poll", "commit", "fail", "aclose")


def _checked_observer(observer: Observer | None) -> None:
    if observer is None:
        return
    if iscoroutinefunction(observer):
        raise TypeError("observer: expected a plain function, as a coroutine would not be awaited")
    checked_parts("observer", observer, "a callable that takes an event", "__call__")


def _warn_without_issuer(source: Source) -> None:
    if not source.issuer.names and source.discovers:
        text = "issuer: not given, so whatever issuer %s names is trusted; pass issuer="
        logger.warning(text, source.name)
    elif not source.issuer.names:
        text = "issuer: not given, so the iss claim of tokens is not checked (%s); pass issuer="
        logger.warning(text, source.name)


def _warn_of_plain_http(source: Source, parameter: str) -> None:
    if is_exposed(source.url):
        parameter = parameter if source.discovers else "jwks_uri"
        text = "%s: plain http, so whoever is on the way to %s can forge its keys; use https"
        logger.warning(text, parameter, source.name)
