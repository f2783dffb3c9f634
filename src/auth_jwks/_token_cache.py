"""Tokens seen before: the same token again needs no second signature check."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from hashlib import sha256

from cachetools import LRUCache

from auth_jwks._keys import Key, KeySet

__all__ = ["SeenToken", "TokenCache", "ticket"]

OVERHEAD = 512
BYTES_PER_ENTRY = 4096


@dataclass(frozen=True, slots=True)
class SeenToken:
    """What a good signature vouches for; the claims in `payload` are judged anew each time."""

    kid: str | None
    key: Key
    payload: bytes = field(repr=False)

    def is_signed_by(self, keys: KeySet) -> bool:
        """Tell whether the key that verified the token would still be tried for it."""
        candidates = keys.select(self.kid, self.key.alg)
        return any(self.key.thumbprint == candidate.thumbprint for candidate in candidates)


def ticket(token: str, *options: Hashable) -> Hashable:
    """Return the name of a token under which no other token or check can be taken for it."""
    return sha256(token.encode()).digest(), options


class TokenCache:
    """The least recently used leave first; bounded in entries and in bytes. Size 0 is off."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen: LRUCache[Hashable, SeenToken] = LRUCache(size * BYTES_PER_ENTRY, _cost)

    def __len__(self) -> int:
        return len(self._seen)

    def __repr__(self) -> str:
        return f"TokenCache(size={self._size}, used={len(self)})"

    def get(self, name: Hashable) -> SeenToken | None:
        """Return what is known of the token, None if nothing is."""
        return self._seen.get(name)

    def put(self, name: Hashable, token: SeenToken) -> None:
        """Remember the token, if it fits at all."""
        if _cost(token) <= self._seen.maxsize:
            self._seen[name] = token
        while len(self._seen) > self._size:
            self._seen.popitem()


def _cost(token: SeenToken) -> int:
    return len(token.payload) + OVERHEAD
