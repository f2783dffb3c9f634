"""`StoreRig`: the author of a store writes one, so that the suite can test it."""

import asyncio

from auth_jwks.stores.base import KeyStore

__all__ = ["StoreRig"]


class StoreRig:
    """The data of one store. Inherit, define `open`, and override a method for each capability.

    A method that is not overridden means that the capability is not declared: the tests that
    need it are reported as skipped. Time is real unless `pass_time` makes it virtual.
    """

    short = 0.3
    """The seconds of a lease that is meant to expire; any number, if time is virtual."""

    def open(self) -> KeyStore:
        """Return another handle on the same data, as another worker would have."""
        raise NotImplementedError

    async def pass_time(self, seconds: float) -> None:
        """Let the store's time pass. By default, wait in real time."""
        await asyncio.sleep(seconds)

    async def wipe(self) -> None:
        """Delete everything stored, as a flush or a restart without data does."""

    async def cut(self) -> None:
        """Make the store unreachable."""

    async def stall(self) -> None:
        """Keep the store from answering, as a frozen server does."""

    async def forge(self, key: str, version: int, payload: bytes) -> None:
        """Replace the stored document of a key and its version, bypassing the protocol."""

    async def spoil(self, key: str, junk: bytes) -> None:
        """Replace the record of a key with bytes that are not a record."""
