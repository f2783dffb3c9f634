"""Assembles the parts behind a verifier. Each part is given the parts that it uses."""

import logging
from inspect import iscoroutinefunction

from auth_jwks._cache.announce import GuardedObserver
from auth_jwks._cache.freshness import Policy
from auth_jwks._cache.guarded_store import GuardedStore
from auth_jwks._cache.key_cache import KeyCache
from auth_jwks._cache.refresh import Refresher
from auth_jwks._clock import Clock
from auth_jwks._provider.client import HTTPClient
from auth_jwks._provider.source import Source
from auth_jwks._provider.urls import is_exposed
from auth_jwks._settings import (
    checked_count,
    checked_flag,
    checked_number,
    checked_parts,
    checked_text,
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
    issuer: str | None,
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
    guarded = None if observer is None else GuardedObserver(_checked_observer(observer), clock)
    if discovery_url is None and jwks_uri is None:
        raise ValueError("discovery_url, jwks_uri: expected at least one of them")
    policy = Policy(checked_number("cache_ttl", cache_ttl), checked_number("max_stale", max_stale))
    source = Source(
        discovery_url=checked_url("discovery_url", discovery_url),
        jwks_uri=checked_url("jwks_uri", jwks_uri),
        issuer=checked_text("issuer", issuer),
        fix_local_url=checked_flag("fix_local_url", fix_local_url),
        timeout=checked_number("timeout", timeout, above=0),
        retries=checked_count("retries", retries),
        http_client=_checked_client(http_client),
        clock=clock,
    )
    shared = GuardedStore(
        MemoryKeyStore(timer=clock.monotonic) if store is None else _checked_store(store),
        source.key, name=source.name, deadline=source.deadline, policy=policy,
        clock=clock, observer=guarded,
    )  # fmt: skip
    refresher = Refresher(
        source, shared, policy=policy, allowed=allowed, clock=clock, observer=guarded
    )
    cache = KeyCache(refresher, policy=policy, clock=clock, observer=guarded)
    _warn_without_issuer(source)
    _warn_of_plain_http(source)
    return cache


def _checked_client(client: HTTPClient | None) -> HTTPClient | None:
    if client is None:
        return None
    return checked_parts("http_client", client, "an httpx.AsyncClient", "stream", "aclose")


def _checked_store(store: KeyStore) -> KeyStore:
    return checked_parts("store", store, "a KeyStore", "poll", "commit", "fail", "aclose")


def _checked_observer(observer: Observer) -> Observer:
    if iscoroutinefunction(observer):
        raise TypeError("observer: expected a plain function, as a coroutine would not be awaited")
    return checked_parts("observer", observer, "a callable that takes an event", "__call__")


def _warn_without_issuer(source: Source) -> None:
    if source.issuer is None and source.discovers:
        text = "issuer: not given, so whatever issuer %s names is trusted; pass issuer="
        logger.warning(text, source.name)
    elif source.issuer is None:
        text = "issuer: not given, so the iss claim of tokens is not checked (%s); pass issuer="
        logger.warning(text, source.name)


def _warn_of_plain_http(source: Source) -> None:
    if is_exposed(source.url):
        parameter = "discovery_url" if source.discovers else "jwks_uri"
        text = "%s: plain http, so whoever is on the way to %s can forge its keys; use https"
        logger.warning(text, parameter, source.name)
