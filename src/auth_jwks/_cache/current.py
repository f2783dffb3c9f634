"""`CurrentKeys`: the key set of this worker. The value is replaced as a whole. Pure."""

from dataclasses import dataclass

from auth_jwks._cache.freshness import NO_LIFE, Lifetime
from auth_jwks._jose.keys import KeySet
from auth_jwks._provider.document import Document

__all__ = ["CurrentKeys"]

NO_KEYS = KeySet(())


@dataclass(frozen=True, slots=True)
class CurrentKeys:
    """The keys that tokens are verified with now. The default has no keys and is expired.

    `issuer` is the one that tokens must name, None if unknown.
    """

    key_set: KeySet = NO_KEYS
    life: Lifetime = NO_LIFE
    document: Document | None = None
    issuer: str | None = None

    def replaces(self, before: "CurrentKeys", *, since: float) -> bool:
        """Return whether this is another set than `before`, fetched at `since` or later."""
        return self is not before and self.life.fetched >= since
