"""`CurrentKeys`: the key set of this worker. The value is replaced as a whole. Pure."""

from math import inf
from typing import Final

from auth_jwks._cache.freshness import MAX_DRIFT, NO_LIFE, Lifetime
from auth_jwks._jose.keys import KeySet
from auth_jwks._provider.document import Document

__all__ = ["CurrentKeys"]

NO_KEYS = KeySet(())


class CurrentKeys:
    """The keys that tokens are verified with now; the default is none, past all use.

    `issuer` is the one that tokens must name, None if unknown. `due_wall` is the refresh point of
    `life` by the wall clock. `generation` is the same object until the keys are replaced.
    """

    __slots__ = ("document", "due_wall", "generation", "issuer", "key_set", "life")

    def __init__(
        self,
        key_set: KeySet = NO_KEYS,
        life: Lifetime = NO_LIFE,
        document: Document | None = None,
        issuer: str | None = None,
        due_wall: float = inf,
        generation: object = None,
    ) -> None:
        self.key_set: Final = key_set
        self.life: Final = life
        self.document: Final = document
        self.issuer: Final = issuer
        self.due_wall: Final = due_wall
        self.generation: Final = generation or object()

    def living(self, life: Lifetime, due_wall: float) -> "CurrentKeys":
        """Return the same keys with another lifetime."""
        return CurrentKeys(
            self.key_set, life, self.document, self.issuer, due_wall, self.generation
        )

    def replaces(self, before: "CurrentKeys", *, since: float) -> bool:
        """Return whether this is a set other than `before`, fetched at time `since` or later."""
        return self.generation is not before.generation and self.life.fetched >= since

    def aged(self, now: float, wall: float) -> "CurrentKeys":
        """Return the keys as old as the wall clock says, if that is older by more than a moment.

        The clock for intervals may have stood still: while the machine slept, or was a snapshot.
        """
        slept = (wall - self.due_wall) - (now - self.life.refresh_at)
        if slept > MAX_DRIFT:
            return self.living(self.life.earlier(slept), self.due_wall)
        return self
