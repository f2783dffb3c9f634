"""What a user would put together instead: PyJWT and httpx, with a cache in Redis.

Each is about twenty lines, with the options that the cache's own documentation has for this.
"""

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import httpx
import jwt
from cashews import Cache
from hishel import AsyncRedisStorage
from hishel.httpx import AsyncCacheClient
from redis.asyncio import Redis

from benchmarks.fleet.worker import SEAL, Verifier

__all__ = ["ALTERNATIVES"]

LOCK = 5  # seconds; also how often made-up key ids may cost a fetch


@lru_cache(maxsize=4)
def _keys(text: str) -> dict[str | None, jwt.PyJWK]:
    return {key.key_id: key for key in jwt.PyJWKSet.from_json(text).keys}


def _claims(token: str, key: jwt.PyJWK | None, issuer: str) -> dict[str, Any]:
    if key is None:
        raise jwt.InvalidTokenError("no published key fits the token")
    options: Any = {"require": ["exp", "iat", "sub"]}
    return jwt.decode(token, key, algorithms=["ES256"], issuer=issuer, leeway=30, options=options)


class Hishel:
    """An HTTP cache by RFC 9111 in Redis; an unknown `kid` asks the provider again."""

    def __init__(self, url: str, *, jwks_uri: str, issuer: str, ttl: float) -> None:
        # Of workers that store the same answer at once all but one fail, and log a traceback.
        logging.getLogger("hishel").setLevel(logging.CRITICAL)
        # `Cache-Control` says how long; what the provider does not say, the storage does.
        storage = AsyncRedisStorage(Redis.from_url(url), default_ttl=ttl)
        self._client = AsyncCacheClient(storage=storage, rfc=True)
        self._jwks_uri = jwks_uri
        self._issuer = issuer

    async def verify_token(self, token: str, /) -> dict[str, Any]:
        """Return the claims."""
        kid = jwt.get_unverified_header(token).get("kid")
        answer = await self._client.get(self._jwks_uri)
        if kid not in _keys(answer.text):
            fresh = {"Cache-Control": "no-cache"}
            answer = await self._client.get(self._jwks_uri, headers=fresh)
        return _claims(token, _keys(answer.text).get(kid), self._issuer)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class Cashews:
    """A cache in Redis with a copy in each process, refreshed early, behind a lock."""

    def __init__(self, url: str, *, jwks_uri: str, issuer: str, ttl: float) -> None:
        self._cache, self._shared = Cache(), Cache()
        self._cache.setup(url, client_side=True, secret=SEAL)
        self._shared.setup(url, secret=SEAL)  # a copy here would outlive the original
        self._client = httpx.AsyncClient()
        self._jwks_uri = jwks_uri
        self._issuer = issuer
        # The inner one lets a single worker fetch; the outer one is read without a lock.
        brief = min(LOCK, ttl / 4)
        self._fetched = self._shared(ttl=brief, key="fetched", lock=True)(self._fetch)
        early = self._cache.early(ttl=ttl, early_ttl=0.8 * ttl, key="jwks", tags=("jwks",))
        self._kept = early(self._fetched)

    async def verify_token(self, token: str, /) -> dict[str, Any]:
        """Return the claims."""
        kid = jwt.get_unverified_header(token).get("kid")
        keys = _keys(await self._kept())
        if kid not in keys:
            keys = _keys(await self._fetched())
            if kid in keys:
                await self._cache.delete_tags("jwks")
        return _claims(token, keys.get(kid), self._issuer)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._cache.close()
        await self._shared.close()

    async def _fetch(self) -> str:
        answer = await self._client.get(self._jwks_uri)
        return answer.raise_for_status().text


ALTERNATIVES: dict[str, Callable[..., Verifier]] = {"hishel": Hishel, "cashews": Cashews}
