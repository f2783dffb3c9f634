"""`JWKS`: what users hold."""

import logging
from collections.abc import Collection, Iterable
from functools import lru_cache
from inspect import iscoroutinefunction
from typing import Any, Protocol, Self

from auth_jwks._cache.freshness import Policy
from auth_jwks._cache.held import Held
from auth_jwks._cache.key_cache import KeyCache
from auth_jwks._cache.status import Status
from auth_jwks._cache.token_cache import SeenToken, TokenCache, ticket
from auth_jwks._clock import SYSTEM_CLOCK, Clock
from auth_jwks._jose.keys import Key, checked_algorithms
from auth_jwks._jose.tokens import Expected, compact, parse_token, read_claims, signer
from auth_jwks._provider.client import HTTPClient
from auth_jwks._provider.source import Source
from auth_jwks._settings import (
    checked_audience,
    checked_count,
    checked_flag,
    checked_number,
    checked_parts,
    checked_strings,
    checked_text,
    checked_url,
)
from auth_jwks.events import Observer
from auth_jwks.stores.base import KeyStore
from auth_jwks.stores.memory import MemoryKeyStore

__all__ = ["JWKS"]

logger = logging.getLogger("auth_jwks")

DEFAULT_ALGORITHMS = ("RS256", "ES256")


class Keys(Protocol):
    """What a verifier asks for keys."""

    def ready(self) -> Held | None:
        """Return the keys if this call need not wait for any."""
        ...

    async def ensure(self) -> Held:
        """Return usable keys, waiting for a refresh as long as the rules say."""
        ...

    async def find(self, kid: str | None, alg: str) -> tuple[Held, tuple[Key, ...]]:
        """Return the keys for a token that none of those at hand fit."""
        ...

    async def refresh(self, *, force: bool) -> None:
        """Make sure that the set is fresh."""
        ...

    def status(self) -> Status:
        """Return the state, without I/O."""
        ...

    async def aclose(self) -> None:
        """Give up what is under way."""
        ...


class JWKS:
    """Verifies the JWTs of one provider with its published keys, fetched, cached and shared.

    Give it a `discovery_url` (OpenID Connect Discovery), or a `jwks_uri` (RFC 7517), which wins.
    """

    def __init__(
        self,
        discovery_url: str | None = None,
        aud: str | Iterable[str] | None = None,
        allowed_algorithms: Collection[str] | None = None,
        cache_ttl: float = 900,
        leeway: float = 30.0,
        timeout: float = 5.0,
        retries: int = 3,
        fix_local_url: bool = True,  # noqa: FBT001, FBT002 - positional in 0.4.0
        *,
        jwks_uri: str | None = None,
        issuer: str | None = None,
        store: KeyStore | None = None,
        max_stale: float = 86_400,
        token_cache_size: int = 1024,
        required_claims: Collection[str] = ("exp", "iat", "sub"),
        http_client: HTTPClient | None = None,
        observer: Observer | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Check the configuration; nothing is fetched before it is needed.

        A set is fresh for `cache_ttl` seconds, and serves for `max_stale` more while it can't be
        refreshed. `leeway` seconds are granted on `exp`, `nbf` and `iat`. A refresh has `timeout`
        seconds per document, with up to `retries` further attempts within them. `issuer` is what
        `iss` and the discovery document must say, `aud` what the token's `aud` must hold one of.
        `token_cache_size` tokens seen before skip the signature check. A `store` and an
        `http_client` stay open on `close`.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        self._allowed = checked_algorithms(
            DEFAULT_ALGORITHMS
            if allowed_algorithms is None
            else checked_strings("allowed_algorithms", allowed_algorithms)
        )
        self._audience = None if aud is None else checked_audience("aud", aud)
        self._leeway = checked_number("leeway", leeway)
        further = checked_strings("required_claims", required_claims)
        self._required = tuple(dict.fromkeys(("exp", *further)))
        self._clock = checked_parts("clock", clock, "a Clock", "monotonic", "time", "sleep")
        self._seen = TokenCache(checked_count("token_cache_size", token_cache_size))
        self._own_store = None
        if store is None:
            store = self._own_store = MemoryKeyStore(timer=clock.monotonic)
        self._closed = False
        if discovery_url is None and jwks_uri is None:
            raise ValueError("discovery_url, jwks_uri: expected at least one of them")
        self._source = Source(
            discovery_url=checked_url("discovery_url", discovery_url),
            jwks_uri=checked_url("jwks_uri", jwks_uri),
            issuer=checked_text("issuer", issuer),
            fix_local_url=checked_flag("fix_local_url", fix_local_url),
            timeout=checked_number("timeout", timeout, above=0),
            retries=checked_count("retries", retries),
            http_client=_checked_client(http_client),
            clock=clock,
        )
        self._cache = self._reached(
            KeyCache(
                self._source,
                _checked_store(store),
                policy=Policy(
                    checked_number("cache_ttl", cache_ttl), checked_number("max_stale", max_stale)
                ),
                allowed=self._allowed,
                clock=clock,
                observer=_checked_observer(observer),
            )
        )
        _warn_without_issuer(self._source)

    async def verify_token(
        self, token: str, audience: str | Iterable[str] | None = None, *, verify_iss: bool = True
    ) -> dict[str, Any]:
        """Return the claims of a valid token, in a dict of the caller's own.

        `audience` replaces `aud` for this call; `verify_iss=False` leaves `iss` unchecked.

        Raises `jwt.InvalidTokenError`: PyJWT's classes if the token is at fault,
        `UnknownKeyError` if no published key fits it, `KeysUnavailableError` or
        `IssuerMismatchError` if the keys can't be had.
        """
        if self._closed:
            raise RuntimeError("this JWKS is closed")
        if verify_iss is not True:
            checked_flag("verify_iss", verify_iss)
        wanted = self._audience if audience is None else _checked_audience(audience)
        name = ticket(token, wanted, verify_iss)
        seen = self._seen.get(name)
        held = None if seen is None else self._cache.ready()
        if seen is not None and held is not None:
            claims = seen.claims(held, self._clock.time(), self._leeway)
            if claims is not None:
                return claims
        parsed = parse_token(compact(token), self._allowed)
        held = self._cache.ready() or await self._cache.ensure()
        candidates = held.keys.select(parsed.kid, parsed.alg)
        if not candidates:
            held, candidates = await self._cache.find(parsed.kid, parsed.alg)
        key = signer(parsed, candidates)
        issuer = held.issuer if verify_iss else None
        expected = _expected(self._leeway, self._required, issuer, wanted)
        claims = read_claims(parsed.payload, expected, self._clock.time())
        self._seen.put(name, SeenToken(parsed.kid, key, held, parsed.payload))
        return claims

    async def refresh(self, *, force: bool = False) -> None:
        """Make sure that the keys are fresh: a warm-up; with `force`, fetched after this call.

        Raises `KeysUnavailableError` or `IssuerMismatchError`.
        """
        self._refuse_if_closed()
        await self._cache.refresh(force=checked_flag("force", force))

    def status(self) -> Status:
        """Return the state of the keys, without I/O."""
        return self._cache.status()

    async def close(self) -> None:
        """Give up what was opened here; a second call does nothing."""
        self._closed = True
        await self._cache.aclose()
        if self._own_store is not None:
            await self._own_store.aclose()

    aclose = close

    async def __aenter__(self) -> Self:
        self._refuse_if_closed()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"keys={len(self._cache.status().kids)}"
        return f"JWKS({self._source.name!r}, issuer={self._source.issuer!r}, {state})"

    def _reached(self, cache: KeyCache) -> Keys:
        """Return the way to the keys; threads have another one."""
        return cache

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("this JWKS is closed")


def _checked_audience(audience: object) -> frozenset[str]:
    if type(audience) is str:
        return _known_audience(audience)
    return checked_audience("audience", audience)


@lru_cache(maxsize=256)
def _known_audience(audience: str) -> frozenset[str]:
    return checked_audience("audience", audience)


_expected = lru_cache(maxsize=256)(Expected)


def _checked_client(client: HTTPClient | None) -> HTTPClient | None:
    if client is None:
        return None
    return checked_parts("http_client", client, "an httpx.AsyncClient", "stream", "aclose")


def _checked_store(store: KeyStore) -> KeyStore:
    return checked_parts("store", store, "a KeyStore", "poll", "commit", "fail", "aclose")


def _checked_observer(observer: Observer | None) -> Observer | None:
    if observer is None:
        return None
    if iscoroutinefunction(observer):
        raise TypeError("observer: expected a plain function, as nobody would await it")
    return checked_parts("observer", observer, "a callable that takes an event", "__call__")


def _warn_without_issuer(source: Source) -> None:
    if source.issuer is None and source.discovers:
        text = "issuer: not given, so whatever issuer %s names is trusted; pass issuer="
        logger.warning(text, source.name)
    elif source.issuer is None:
        text = "issuer: not given, so the iss claim of tokens is not checked (%s); pass issuer="
        logger.warning(text, source.name)
