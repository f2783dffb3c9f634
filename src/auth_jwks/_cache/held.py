"""`Held`: the key set of this worker, a value that is replaced as a whole."""

from dataclasses import dataclass

from auth_jwks._cache.freshness import Lifetime
from auth_jwks._jose.keys import KeySet
from auth_jwks._provider.document import Document

__all__ = ["Held"]

NO_KEYS = KeySet(())
NO_LIFE = Lifetime()


@dataclass(frozen=True, slots=True)
class Held:
    """The key set of this worker; the default is none, with no key and no life.

    `issuer` is the one tokens are held to, None if unknown.
    """

    keys: KeySet = NO_KEYS
    life: Lifetime = NO_LIFE
    document: Document | None = None
    issuer: str | None = None
