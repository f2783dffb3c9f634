"""`KeyAccess`: how a verification gets its keys. `KeyCache` implements it, and so do threads."""

from collections.abc import Callable
from typing import Protocol

from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.status import Status
from auth_jwks._jose.keys import Key
from auth_jwks._jose.tokens import Token

__all__ = ["KeyAccess"]


class KeyAccess(Protocol):
    """The keys that a verification uses."""

    def ready(self, wall: float) -> CurrentKeys | None:
        """Return the keys if this call need not wait for any."""
        ...

    async def ensure(self) -> CurrentKeys:
        """Return usable keys, waiting for a refresh as long as the rules say."""
        ...

    def raise_if_hopeless(
        self, token: Token, tried: CurrentKeys, now: float, check: Callable[[], object]
    ) -> None:
        """Raise at monotonic time `now` what `find` would raise at once, if it would."""
        ...

    async def find(
        self, token: Token, tried: CurrentKeys, check: Callable[[], object]
    ) -> tuple[CurrentKeys, Key]:
        """Return the key that signed the token, and its set, though no key of `tried` did."""
        ...

    def search(self, token: Token, tried: CurrentKeys, check: Callable[[], object]) -> bool:
        """Let that key be searched for in the background. False if this call must do it itself."""
        ...

    async def refresh(self, *, force: bool) -> None:
        """Make sure that the keys are fresh; with `force`, fetched after this call."""
        ...

    def status(self) -> Status:
        """Return the state, without I/O."""
        ...

    async def aclose(self) -> None:
        """Cancel what is running. Refreshes raise `RuntimeError` until `reopen`."""
        ...

    def reopen(self) -> None:
        """Allow refreshes again after `aclose`."""
        ...
