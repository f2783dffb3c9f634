"""`StoreRig`: what an author provides for the suite to try a store on."""

import asyncio

from auth_jwks.stores.base import KeyStore

__all__ = ["StoreRig"]


class StoreRig:
    """One place where a store keeps its data: inherit, define `open`, and what can be done to it.

    A method that is left as it is stands for a capability that is not declared: the tests that
    need it are reported as skipped. Time is real unless `pass_time` makes it virtual.
    """

    short = 0.3
    """Seconds for which a lease lasts that is to lapse; any number, if time is virtual."""

    def open(self) -> KeyStore:
        """Return one more handle on the same data, as another worker would have."""
        raise NotImplementedError

    async def pass_time(self, seconds: float) -> None:
        """Let the store's time pass; here it does so by itself."""
        await asyncio.sleep(seconds)

    async def wipe(self) -> None:
        """Lose everything stored, as a flush or an empty restart does."""

    async def cut(self) -> None:
        """Make the store unreachable."""

    async def stall(self) -> None:
        """Keep the store from answering, as a frozen server does."""

    async def forge(self, key: str, version: int, payload: bytes) -> None:
        """Replace the stored document of a key and its version, beside the protocol."""

    async def spoil(self, key: str, junk: bytes) -> None:
        """Put bytes that are no record where the one of a key is."""
