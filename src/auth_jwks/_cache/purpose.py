"""Why a refresh is made, and when its purpose is met. Pure.

Each purpose knows the cause that the store is told; `Look` has none, as it asks for no lease.
"""

from dataclasses import dataclass
from typing import ClassVar

from auth_jwks._cache.current import CurrentKeys
from auth_jwks.stores.base import Cause

__all__ = ["FindKey", "Look", "Purpose", "Renew", "Replace"]


@dataclass(frozen=True, slots=True)
class Renew:
    """The keys are due for a refresh by their age."""

    cause: ClassVar[Cause | None] = "age"
    heeds_cooldown: ClassVar[bool] = True

    def is_met(self, current: CurrentKeys, now: float) -> bool:
        """Whether the keys are not due any more."""
        return now < current.life.refresh_at


@dataclass(frozen=True, slots=True)
class FindKey:
    """A token needs a key that is not in the set `before`, as it was at the time `since`."""

    cause: ClassVar[Cause | None] = "unknown_kid"
    heeds_cooldown: ClassVar[bool] = True

    kid: str | None
    alg: str
    before: CurrentKeys
    since: float

    def is_met(self, current: CurrentKeys, now: float) -> bool:  # noqa: ARG002 - as the others
        """Whether the key is there, or a set that was fetched since and lacks it."""
        is_found = bool(current.key_set.select(self.kid, self.alg))
        return is_found or current.replaces(self.before, since=self.since)


@dataclass(frozen=True, slots=True)
class Replace:
    """Somebody wants a set that is fetched after the time `since`, whatever the age of this one."""

    cause: ClassVar[Cause | None] = "forced"
    heeds_cooldown: ClassVar[bool] = False

    before: CurrentKeys
    since: float

    def is_met(self, current: CurrentKeys, now: float) -> bool:  # noqa: ARG002 - as the others
        """Whether such a set is there."""
        return current.replaces(self.before, since=self.since)


@dataclass(frozen=True, slots=True)
class Look:
    """Another worker may have stored newer keys; nothing is fetched for it."""

    cause: ClassVar[Cause | None] = None
    heeds_cooldown: ClassVar[bool] = False

    def is_met(self, current: CurrentKeys, now: float) -> bool:  # noqa: ARG002 - as the others
        """Whether one look was enough: it is, whatever was found."""
        return True


Purpose = Renew | FindKey | Replace | Look
