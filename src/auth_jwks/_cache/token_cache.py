"""A cache of verified tokens: a token that was seen before needs no second signature check."""

import marshal
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from weakref import WeakSet

from auth_jwks._cache.current import CurrentKeys
from auth_jwks._jose.keys import Key
from auth_jwks._jose.strict_json import strict_object
from auth_jwks._jose.tokens import MAX_TOKEN, validity
from auth_jwks._settings import checked_count

__all__ = ["SeenToken", "ThreadedTokenCache", "TokenCache", "cache_key"]

ENTRY_OVERHEAD = 512
BYTES_PER_ENTRY = 4096


@dataclass(slots=True)
class SeenToken:
    """The result of a verification: the key that signed the token, and its payload.

    `confirmed_by` is the key set that confirmed its key last. `begins`, `ends` and `packed` are
    computed on the first hit, not on insertion, as many tokens are never seen again.
    """

    kid: str | None
    key: Key
    confirmed_by: CurrentKeys
    payload: bytes = field(repr=False)
    begins: int = 0
    ends: int = 0
    packed: bytes = field(default=b"", repr=False)

    def claims(self, current: CurrentKeys, now: float, leeway: float) -> dict[str, Any] | None:
        """Return the claims, or None if the token must be verified anew."""
        if self.confirmed_by is not current and not self._is_confirmed_by(current):
            return None
        if not self.packed:
            self._pack()
        if self.begins > now + leeway or self.ends <= now - leeway:
            return None
        claims: dict[str, Any] = marshal.loads(self.packed)  # noqa: S302 - our own memory
        return claims

    def _pack(self) -> None:
        found = strict_object(self.payload) or {}
        self.begins, self.ends = validity(found)
        self.packed = marshal.dumps(found)

    def _is_confirmed_by(self, current: CurrentKeys) -> bool:
        """Return whether these keys still include the key, and name the same issuer."""
        candidates = current.key_set.select(self.kid, self.key.alg)
        is_there = any(self.key.thumbprint == candidate.thumbprint for candidate in candidates)
        if is_there and self.confirmed_by.issuer == current.issuer:
            self.confirmed_by = current
            return True
        return False


def cache_key(token: object, *options: Hashable) -> Hashable:
    """Return the cache key of a token and of the options it is checked with.

    Return None if it can't be cached: it is not a string, or too long for a token.
    """
    if type(token) is not str or len(token) > MAX_TOKEN:
        return None
    return sha256(token.encode(errors="surrogatepass")).digest(), options


class TokenCache:
    """An LRU cache, limited in entries and in bytes. Size 0 turns it off.

    `cachetools.LRUCache` has only one of the two limits, and a hit takes half as long again.
    """

    def __init__(self, size: int) -> None:
        self._size = checked_count("token_cache_size", size)
        self._limit = size * BYTES_PER_ENTRY
        self._bytes = 0
        self._seen: OrderedDict[Hashable, SeenToken] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def __repr__(self) -> str:
        return f"TokenCache(size={self._size}, used={len(self)})"

    def get(self, key: Hashable) -> SeenToken | None:
        """Return the entry of the token, or None."""
        seen = self._seen.pop(key, None)
        if seen is not None:
            self._seen[key] = seen
        return seen

    def put(self, key: Hashable, token: SeenToken) -> None:
        """Store the token, unless it is larger than the whole cache."""
        if key is None or (cost := _cost(token)) > self._limit:
            return
        if key in self._seen:
            self._bytes -= _cost(self._seen.pop(key))
        self._bytes += cost
        self._seen[key] = token
        while len(self._seen) > self._size or self._bytes > self._limit:
            self._bytes -= _cost(self._seen.popitem(last=False)[1])

    def clear(self) -> None:
        """Remove all entries."""
        self._seen.clear()
        self._bytes = 0


class ThreadedTokenCache(TokenCache):
    """A token cache for threads. After a fork its lock is free in the child."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._lock = threading.Lock()
        _THREADED.add(self)

    def get(self, key: Hashable) -> SeenToken | None:
        """Return the entry of the token, or None."""
        with self._lock:
            # Not popped and put back, as above: a signal handler may raise between the two.
            seen = self._seen.get(key)
            if seen is not None:
                self._seen.move_to_end(key)
            return seen

    def put(self, key: Hashable, token: SeenToken) -> None:
        """Store the token, unless it is larger than the whole cache."""
        with self._lock:
            super().put(key, token)

    def forked(self) -> None:
        """Clear the cache in a child if another thread was changing it during the fork."""
        if self._lock.locked():
            self.clear()
        # In any case: a thread that got the lock but has not run since doesn't show in `locked`.
        self._lock = threading.Lock()


_THREADED: WeakSet[ThreadedTokenCache] = WeakSet()


def _forked() -> None:
    for cache in list(_THREADED):
        cache.forked()


with suppress(AttributeError):  # Windows has no fork
    os.register_at_fork(after_in_child=_forked)


def _cost(token: SeenToken) -> int:
    return 2 * len(token.payload) + ENTRY_OVERHEAD  # once more when packed
