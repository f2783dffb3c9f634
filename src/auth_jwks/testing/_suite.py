"""The runner of the store suite: each check gets a rig of its own that has what it needs."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import pytest

from auth_jwks.testing.rig import StoreRig

__all__ = ["Suite", "case", "declares"]

Check = Callable[[Any, StoreRig], Awaitable[None]]


def declares(rig: StoreRig, capability: str) -> bool:
    """Return whether a rig overrides the method for this capability."""
    return getattr(type(rig), capability) is not getattr(StoreRig, capability)


def case(*needs: str) -> Callable[[Check], Callable[[Any], None]]:
    """Turn a check into a test that needs these capabilities of the rig."""

    def decorate(check: Check) -> Callable[[Any], None]:
        def test(self: "Suite") -> None:
            asyncio.run(self.carry_out(check, needs))

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        vars(test)["needs"] = needs
        return test

    return decorate


class Suite:
    """The common part of the checks: the rig, and the capabilities that the store can't have."""

    impossible: ClassVar[frozenset[str]] = frozenset()

    def rig(self) -> AbstractAsyncContextManager[StoreRig]:
        """Return a context manager that creates an empty store and removes it."""
        raise NotImplementedError

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in dir(cls):
            if cls.impossible.intersection(getattr(getattr(cls, name), "needs", ())):
                setattr(cls, name, None)

    async def carry_out(self, check: Check, needs: tuple[str, ...]) -> None:
        """Run one check on a rig of its own."""
        async with self.rig() as rig:
            for need in needs:
                if not declares(rig, need):
                    pytest.skip(f"the store does not declare the capability {need!r}")
            await check(self, rig)
