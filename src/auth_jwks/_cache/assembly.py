"""Assembles the parts behind a verifier. Each part is given the parts that it uses."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.freshness import Policy
from auth_jwks._cache.guarded_store import GuardedStore
from auth_jwks._cache.key_cache import KeyCache
from auth_jwks._cache.observers import Observers, checked_observers
from auth_jwks._cache.refresh import Refresher
from auth_jwks._cache.tally import Tally
from auth_jwks._clock import Clock
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._provider.client import ClientMaker, HTTPClient
from auth_jwks._provider.key_source import KeySource
from auth_jwks._provider.places import fault_in_place, is_place, places_of
from auth_jwks._provider.source import Source
from auth_jwks._provider.urls import is_exposed
from auth_jwks._settings import (
    checked_client,
    checked_count,
    checked_flag,
    checked_number,
    checked_parts,
    checked_url,
)
from auth_jwks.events import Observer
from auth_jwks.stores.base import KeyStore
from auth_jwks.stores.memory import MemoryKeyStore

if TYPE_CHECKING:
    from auth_jwks._provider.local import FileSource, FixedSource

__all__ = ["assembled"]

logger = logging.getLogger("auth_jwks")


def assembled(
    *,
    discovery_url: str | None,
    jwks_uri: str | None,
    jwks: Mapping[str, Any] | None,
    jwks_file: str | PathLike[str] | None,
    issuer: IssuerNames,
    fix_local_url: bool,
    timeout: float,
    retries: int,
    http_client: HTTPClient | ClientMaker | None,
    store: KeyStore | None,
    cache_ttl: float,
    max_stale: float,
    allowed: frozenset[str],
    observer: Observer | Sequence[Observer] | None,
    clock: Clock,
) -> tuple[KeyCache, Tally]:
    """Check the parameters of `JWKS` that are about keys. Return their cache, and the tally."""
    checked_parts("clock", clock, "a Clock", "monotonic", "time", "sleep")
    watching = checked_observers(observer)
    fix_local_url = checked_flag("fix_local_url", fix_local_url)
    timeout = checked_number("timeout", timeout, above=0)
    retries = checked_count("retries", retries)
    ttl, stale = checked_number("cache_ttl", cache_ttl), checked_number("max_stale", max_stale)
    beside = {
        "discovery_url": discovery_url, "jwks_uri": jwks_uri, "store": store,
        "http_client": http_client,
    }  # fmt: skip
    local = _local_source(
        jwks, jwks_file, beside, issuer=issuer, timeout=timeout, allowed=allowed, clock=clock
    )
    url, second_url = checked_url("discovery_url", discovery_url), None
    if local is None and url is None and jwks_uri is None:
        url, second_url = _places(issuer)
    source: KeySource = local or Source(
        discovery_url=url, jwks_uri=checked_url("jwks_uri", jwks_uri), second_url=second_url,
        issuer=issuer, fix_local_url=fix_local_url, timeout=timeout, retries=retries,
        http_client=checked_client(http_client), clock=clock,
    )  # fmt: skip
    observers = Observers(watching, source.name, clock)
    policy = Policy(ttl, stale, check_interval=source.check_interval)
    shared = GuardedStore(
        MemoryKeyStore(timer=clock.monotonic) if store is None else _checked_store(store),
        source.key, name=source.name, deadline=source.deadline, policy=policy,
        clock=clock, observer=observers,
    )  # fmt: skip
    refresher = Refresher(
        source, shared, policy=policy, allowed=allowed, clock=clock, observer=observers
    )
    if local is not None:
        refresher.current = _keys_at_first(local, clock)
    told = observers if observers.are_any else None
    cache = KeyCache(refresher, policy=policy, clock=clock, observer=told)
    _warn_without_issuer(source)
    if isinstance(source, Source):
        source.during = partial(observers.during, "fetch")
        _warn_of_plain_http(source, "issuer" if second_url else "discovery_url")
    return cache, Tally(observers, source.name, clock)


def _local_source(
    jwks: object, jwks_file: object, beside: Mapping[str, object], **settings: Any
) -> "FixedSource | FileSource | None":
    if jwks is None and jwks_file is None:
        return None
    from auth_jwks._cache.local_source import local_source

    return local_source(jwks, jwks_file, beside, **settings)


def _keys_at_first(source: KeySource, clock: Clock) -> CurrentKeys:
    from auth_jwks._cache.local_source import keys_at_first

    return keys_at_first(source, clock.monotonic())


def _places(issuer: IssuerNames) -> tuple[str, str]:
    """Return the two places of the discovery document, beneath the first name that is a URL."""
    if not issuer.names:
        raise ValueError(
            "discovery_url, jwks_uri, issuer, jwks, jwks_file: expected at least one of them"
        )
    url = next(filter(is_place, issuer.names), issuer.names[0])
    fault = fault_in_place(url)
    if fault is not None:
        raise ValueError(f"issuer: {fault}")
    return places_of(url)


def _checked_store(store: KeyStore) -> KeyStore:
    return checked_parts("store", store, "a KeyStore", "poll", "commit", "fail", "aclose")


def _warn_without_issuer(source: KeySource) -> None:
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
