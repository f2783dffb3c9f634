"""`CurrentKeys`: the key set of this worker. The value is replaced as a whole. Pure."""

from dataclasses import field, replace
from math import inf

from auth_jwks._cache.freshness import MAX_DRIFT, NO_LIFE, Lifetime
from auth_jwks._jose.keys import KeySet
from auth_jwks._provider.document import Document
from auth_jwks._values import dataclass

__all__ = ["CurrentKeys"]

NO_KEYS = KeySet(())


@dataclass(frozen=True, slots=True)
class CurrentKeys:
    """The keys that tokens are verified with now; the default is none, past all use.

    `issuer` is the one that tokens must name, None if unknown. `due_wall` is the refresh point of
    `life` by the wall clock. `generation` is the same object until the keys are replaced.
    """

    key_set: KeySet = NO_KEYS
    life: Lifetime = NO_LIFE
    document: Document | None = None
    issuer: str | None = None
    due_wall: float = inf
    generation: object = field(default_factory=object, repr=False, compare=False)

    def replaces(self, before: "CurrentKeys", *, since: float) -> bool:
        """Return whether this is a set other than `before`, fetched at time `since` or later."""
        return self.generation is not before.generation and self.life.fetched >= since

    def aged(self, now: float, wall: float) -> "CurrentKeys":
        """Return the keys as old as the wall clock says, if that is older by more than a moment.

        The clock for intervals may have stood still: while the machine slept, or was a snapshot.
        """
        slept = (wall - self.due_wall) - (now - self.life.refresh_at)
        return replace(self, life=self.life.earlier(slept)) if slept > MAX_DRIFT else self
