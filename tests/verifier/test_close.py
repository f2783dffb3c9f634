"""The end of a verifier, and of what it was given."""

import asyncio

import httpx
import pytest

from auth_jwks import MemoryKeyStore
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.verifier.maker import Make


class ClosingStore(MemoryKeyStore):
    """A store in memory that tells when it is closed."""

    closed = False

    async def aclose(self) -> None:
        """Remember it."""
        self.closed = True
        await super().aclose()


@pytest.mark.parametrize("name", ["close", "aclose"])
async def test_use_after_close_is_refused(make: Make, issuer: FakeIssuer, name: str) -> None:
    """Closing twice is fine; anything that would need keys is not."""
    jwks = make()
    await jwks.verify_token(issuer.sign())
    for _ in range(2):
        await getattr(jwks, name)()
    with pytest.raises(RuntimeError, match="closed"):
        await jwks.verify_token(issuer.sign())
    for force in (False, True):
        with pytest.raises(RuntimeError, match="closed"):
            await jwks.refresh(force=force)
    with pytest.raises(RuntimeError, match="closed"):
        async with jwks:
            pass
    assert jwks.status().kids == ("first",)


async def test_a_block_closes(make: Make, issuer: FakeIssuer) -> None:
    """`async with` yields the verifier and closes it, even if it was never used."""
    async with make() as jwks:
        await jwks.verify_token(issuer.sign())
    async with make() as unused:
        pass
    for each in (jwks, unused):
        with pytest.raises(RuntimeError):
            await each.verify_token(issuer.sign())


async def test_what_was_handed_in_stays_open(
    make: Make, clock: FakeClock, issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """Whoever made the store and the client closes them; others may go on with both."""
    store = ClosingStore(timer=clock.monotonic)
    async with make(store=store) as jwks:
        await jwks.verify_token(issuer.sign())
    assert not store.closed
    assert not client.is_closed
    assert await make(store=store).verify_token(issuer.sign())
    assert issuer.jwks_requests == 1


async def test_closing_ends_a_wait(make: Make, issuer: FakeIssuer) -> None:
    """A verification that waits for keys is told."""
    jwks = make()
    issuer.hang()
    waiting = asyncio.ensure_future(jwks.verify_token(issuer.sign()))
    await issuer.arrived(1)
    await jwks.close()
    with pytest.raises(RuntimeError, match="closed"):
        await waiting
