"""The purposes of a refresh, and when each is met. Pure.

Each purpose has the cause that is passed to the store. `Look` has none, as it asks for no lease.
"""

from typing import ClassVar, Final

from auth_jwks._cache.current import CurrentKeys
from auth_jwks._jose.tokens import Token, signer_in
from auth_jwks.stores.base import Cause

__all__ = ["FindKey", "Look", "Purpose", "Renew", "Replace"]


class Renew:
    """The keys are due for a refresh by their age."""

    __slots__ = ()

    cause: ClassVar[Cause | None] = "age"

    def is_met(self, current: CurrentKeys, now: float) -> bool:
        """Return whether the keys are no longer due."""
        return now < current.life.refresh_at


class FindKey:
    """No key of the set `before`, current at the time `since`, signed the token.

    Its `kid` says little: it may be absent, or name another key by now.
    """

    cause: ClassVar[Cause | None] = "unknown_kid"

    __slots__ = ("before", "since", "token")

    def __init__(self, token: Token, before: CurrentKeys, since: float) -> None:
        self.token: Final = token
        self.before: Final = before
        self.since: Final = since

    def is_met(self, current: CurrentKeys, now: float) -> bool:  # noqa: ARG002 - as the others
        """Return whether the key that signed it is there, or a set was fetched since."""
        if current.generation is self.before.generation:
            return False
        is_found = signer_in(self.token, current.key_set) is not None
        return is_found or current.replaces(self.before, since=self.since)


class Replace:
    """A caller forces a fetch: the set must be fetched at the time `since` or later."""

    cause: ClassVar[Cause | None] = "forced"

    __slots__ = ("before", "since")

    def __init__(self, before: CurrentKeys, since: float) -> None:
        self.before: Final = before
        self.since: Final = since

    def is_met(self, current: CurrentKeys, now: float) -> bool:  # noqa: ARG002 - as the others
        """Return whether such a set is there."""
        return current.replaces(self.before, since=self.since)


class Look:
    """Another worker may have stored newer keys. Nothing is fetched from the provider."""

    __slots__ = ()

    cause: ClassVar[Cause | None] = None

    def is_met(self, current: CurrentKeys, now: float) -> bool:  # noqa: ARG002 - as the others
        """Return True: one look is enough, whatever it finds."""
        return True


Purpose = Renew | FindKey | Replace | Look
