"""The end of a verifier, and of what it was given."""

import asyncio

import httpx
import pytest

from auth_jwks import JWKS, MemoryKeyStore
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
    assert jwks.status().kids == ("first",)


async def test_a_closed_verifier_may_be_entered_again(
    make: Make, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """As often as one likes: it keeps its keys, fetches new ones, and is closed in between."""
    jwks, token = make(), issuer.sign()
    for _ in range(3):
        async with jwks as same:
            assert same is jwks
            async with jwks:
                await jwks.verify_token(token)
            with pytest.raises(RuntimeError, match="closed"):
                await jwks.verify_token(token)
        with pytest.raises(RuntimeError, match="closed"):
            await jwks.refresh()
    assert issuer.jwks_requests == 1
    async with jwks:
        clock.advance(1)
        await jwks.refresh(force=True)
        assert "closed" not in repr(jwks)
    assert issuer.jwks_requests == 2
    assert "closed" in repr(jwks)


def test_a_verifier_may_be_entered_in_one_loop_after_another(
    clock: FakeClock, issuer: FakeIssuer
) -> None:
    """As by a lifespan for each invocation of a function, or for each test client."""
    with issuer:
        jwks = JWKS(issuer.discovery_url, issuer=issuer.issuer, clock=clock)

        async def once() -> str:
            async with jwks:
                await jwks.refresh(force=True)
                return str((await jwks.verify_token(issuer.sign()))["sub"])

        for _ in range(3):
            assert asyncio.run(once()) == "alice"
            clock.advance(30)
        assert issuer.jwks_requests == 3


async def test_a_wait_that_was_ended_by_a_close_stays_ended(make: Make, issuer: FakeIssuer) -> None:
    """Though the verifier is entered again at once."""
    jwks = make()
    issuer.hang()
    waiting = asyncio.ensure_future(jwks.verify_token(issuer.sign()))
    await issuer.arrived(1)
    await jwks.close()
    issuer.release()
    async with jwks:
        with pytest.raises(RuntimeError, match="closed"):
            await waiting
        issuer.recover()
        assert await jwks.verify_token(issuer.sign())


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
