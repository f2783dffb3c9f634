"""A cache of verified tokens: a token that was seen before needs no second signature check."""

import marshal
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from hashlib import sha256
from sys import getsizeof
from typing import Any, Final
from weakref import WeakSet

from auth_jwks._cache.current import CurrentKeys
from auth_jwks._jose.claims import validity
from auth_jwks._jose.strict_json import strict_object
from auth_jwks._jose.tokens import MAX_TOKEN
from auth_jwks._settings import checked_count

__all__ = ["SeenToken", "TokenCache", "cache_key"]

ENTRY_OVERHEAD = 512
BYTES_PER_ENTRY = 4096
# As Python's objects, claims take several times their JSON. Up to this payload, so many bytes are
# reckoned that an entry still takes no more than `BYTES_PER_ENTRY`.
MAX_FLAT = 704
FLAT_OVERHEAD = 768


class SeenToken:
    """The result of a verification: which key signed the token, and its payload.

    `generation` is that of the keys that confirmed the key last; the keys themselves are not kept,
    so that no token keeps a whole document in memory. `begins`, `ends` and the claims are computed
    on the first hit, not on insertion, because many tokens are never seen again. The claims are
    `flat` if they are small and no deeper than the `lists` in them, which then are copied; else
    `packed`.
    """

    __slots__ = (
        "alg", "begins", "cost", "ends", "flat", "generation", "issuer", "kid", "lists", "packed",
        "payload", "thumbprint",
    )  # fmt: skip

    def __init__(
        self, kid: str | None, alg: str, thumbprint: bytes, issuer: str | None, generation: object,
        payload: bytes,
    ) -> None:  # fmt: skip
        self.kid: Final = kid
        self.alg: Final = alg
        self.thumbprint: Final = thumbprint
        self.issuer: Final = issuer
        self.generation = generation
        self.payload: Final = payload
        self.flat: dict[str, Any] | None = None
        self.packed = b""
        self.cost: int
        self.begins: int
        self.ends: int
        self.lists: tuple[str, ...]

    def claims(self, current: CurrentKeys, now: float, leeway: float) -> dict[str, Any] | None:
        """Return the claims, or None if the token must be verified again."""
        if self.generation is not current.generation and not self._is_confirmed_by(current):
            return None
        if self.flat is None and not self.packed:
            self._keep()
        if self.begins > now + leeway or self.ends <= now - leeway:
            return None
        if self.flat is None:
            claims: dict[str, Any] = marshal.loads(self.packed)  # noqa: S302 - our own memory
            return claims
        claims = self.flat.copy()
        for name in self.lists:
            claims[name] = claims[name].copy()
        return claims

    def _keep(self) -> None:
        """Keep the claims, last of all, as another thread may read them at any time."""
        found = strict_object(self.payload) or {}
        self.begins, self.ends = validity(found)
        self.lists = tuple(name for name, value in found.items() if type(value) is list)
        inner = [value for name in self.lists for value in found[name]]
        parts = [*found, *found.values(), *inner]
        size = getsizeof(found) + sum(map(getsizeof, parts))
        length = len(self.payload)
        is_deep = dict in map(type, parts) or list in map(type, inner)
        if not is_deep and length <= MAX_FLAT and size <= 3 * length + FLAT_OVERHEAD:
            self.flat = found
        else:
            self.packed = marshal.dumps(found)

    def _is_confirmed_by(self, current: CurrentKeys) -> bool:
        """Return whether these keys still include the key, and name the same issuer."""
        candidates = current.key_set.select(self.kid, self.alg)
        is_there = any(self.thumbprint == candidate.thumbprint for candidate in candidates)
        if is_there and self.issuer == current.issuer:
            self.generation = current.generation
            return True
        return False


def cache_key(
    token: object, options: tuple[Hashable, ...] = (), longest: int = MAX_TOKEN
) -> Hashable:
    """Return the cache key of a token and of the options it is checked with, if there are any.

    Return None if it can't be cached: it is not a string, too long, or without a dot.
    """
    if type(token) is not str or len(token) > longest or "." not in token:
        return None
    digest = sha256(token.encode(errors="surrogatepass")).digest()
    return (digest, *options) if options else digest


class TokenCache:
    """Evicts the least recently used; bounded in entries and in bytes. Size 0 is off.

    Any thread may use it. `cachetools.LRUCache` has only one of the two bounds, and takes half as
    long again for a hit.
    """

    def __init__(self, size: int) -> None:
        self._size = checked_count("token_cache_size", size)
        self._limit = size * BYTES_PER_ENTRY
        self._bytes = 0
        self._seen: OrderedDict[Hashable, SeenToken] = OrderedDict()
        self._lock = threading.Lock()
        _CACHES.add(self)

    def __len__(self) -> int:
        return len(self._seen)

    def __repr__(self) -> str:
        return f"TokenCache(size={self._size}, used={len(self)})"

    def get(self, key: Hashable) -> SeenToken | None:
        """Return the remembered verification of the token, None if there is none."""
        # Without the lock: each of the two calls is atomic, and between them the token may go.
        seen = self._seen.get(key)
        if seen is not None:
            try:  # noqa: SIM105 - `suppress` costs a twentieth of a verification
                self._seen.move_to_end(key)
            except KeyError:
                pass
        return seen

    def put(self, key: Hashable, token: SeenToken) -> None:
        """Remember the token, if it fits at all."""
        size = len(token.payload)
        # Twice the payload, as its claims take as much once more.
        cost = ENTRY_OVERHEAD + (4 * size + FLAT_OVERHEAD if size <= MAX_FLAT else 2 * size)
        token.cost = cost
        if key is None or cost > self._limit:
            return
        seen = self._seen
        with self._lock:
            before = seen.pop(key, None)
            self._bytes += cost if before is None else cost - before.cost
            seen[key] = token
            while len(seen) > self._size or self._bytes > self._limit:
                self._bytes -= seen.popitem(last=False)[1].cost

    def clear(self) -> None:
        """Forget everything."""
        self._seen.clear()
        self._bytes = 0

    def forked(self) -> None:
        """Start empty in a child, if another thread was changing the cache at the fork."""
        if self._lock.locked():
            self.clear()
        # In any case: a thread that has just got the lock, and not run since, doesn't show.
        self._lock = threading.Lock()


_CACHES: WeakSet[TokenCache] = WeakSet()


def _forked() -> None:
    for cache in list(_CACHES):
        cache.forked()


with suppress(AttributeError):  # Windows knows no fork
    os.register_at_fork(after_in_child=_forked)
