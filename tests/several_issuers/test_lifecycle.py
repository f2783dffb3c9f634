"""Refreshes, the end, and what several verifiers share."""

import asyncio

import httpx
import jwt
import pytest

from auth_jwks import JWKS, IssuerMismatchError, Issuers, KeysUnavailableError, MemoryKeyStore
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.several_issuers.pair import KEYS, Make, fetches

Pair = tuple[FakeIssuer, FakeIssuer]


async def test_refresh_warms_all_up(issuers: Issuers, pair: Pair) -> None:
    """Once, unless it is forced."""
    await issuers.refresh()
    await issuers.refresh()
    assert fetches(pair) == (2, 2)
    assert [status.fresh for status in issuers.status()] == [True, True]
    await issuers.refresh(force=True)
    assert fetches(pair) == (4, 4)
    with pytest.raises(TypeError, match=r"^force: "):
        await issuers.refresh(force=1)  # type: ignore[arg-type]


async def test_refreshes_run_at_the_same_time(issuers: Issuers, pair: Pair) -> None:
    """Nobody waits for a provider that hangs, but the call."""
    a, b = pair
    a.hang()
    refresh = asyncio.ensure_future(issuers.refresh())
    await a.arrived()
    await b.arrived(2)
    assert (await issuers.verify_token(b.sign()))["sub"] == "alice"
    assert not refresh.done()
    a.recover()
    a.release()
    await refresh
    assert [status.fresh for status in issuers.status()] == [True, True]


@pytest.mark.parametrize("down", [0, 1])
async def test_a_failure_keeps_no_other_from_its_refresh(
    issuers: Issuers, pair: Pair, down: int
) -> None:
    """It is raised once all have ended, the first one's first."""
    pair[down].outage()
    with pytest.raises(KeysUnavailableError, match="503"):
        await issuers.refresh()
    assert [status.fresh for status in issuers.status()] == [down == 1, down == 0]
    pair[1 - down].announce(issuer="https://other.example")
    with pytest.raises(KeysUnavailableError if down == 0 else IssuerMismatchError):
        await issuers.refresh(force=True)


async def test_a_refresh_that_is_cancelled_ends(issuers: Issuers, pair: Pair) -> None:
    """As the caller wants."""
    pair[0].hang()
    refresh = asyncio.ensure_future(issuers.refresh())
    await pair[0].arrived()
    refresh.cancel()
    with pytest.raises(asyncio.CancelledError):
        await refresh
    pair[0].release()


@pytest.mark.parametrize("name", ["close", "aclose"])
async def test_use_after_close_is_refused(issuers: Issuers, pair: Pair, name: str) -> None:
    """By each part, and for tokens of nobody's; closing twice is fine."""
    a, _ = pair
    token = a.sign()
    await issuers.verify_token(token)
    for _ in range(2):
        await getattr(issuers, name)()
    for each in (token, a.sign(iss="https://c.example"), "junk"):
        with pytest.raises(RuntimeError, match="closed"):
            await issuers.verify_token(each)
    for force in (False, True):
        with pytest.raises(RuntimeError, match="closed"):
            await issuers.refresh(force=force)
    assert [status.kids for status in issuers.status()] == [("first",), ()]
    assert repr(issuers).count("closed") == 2


async def test_a_block_closes_and_opens(make: Make, pair: Pair) -> None:
    """As often as one likes, with all parts; keys are kept."""
    parts = [make(each) for each in pair]
    issuers, token = Issuers(*parts), pair[0].sign()
    for _ in range(3):
        async with issuers as same:
            assert same is issuers
            await issuers.verify_token(token)
            await issuers.verify_token(pair[1].sign())
        for refresh in (issuers.refresh, *(part.refresh for part in parts)):
            with pytest.raises(RuntimeError, match="closed"):
                await refresh()
    assert fetches(pair) == (2, 2)


async def test_a_part_that_is_closed_alone_says_so(make: Make, pair: Pair) -> None:
    """The tokens of the others are verified."""
    a, b = (make(each) for each in pair)
    issuers = Issuers(a, b)
    await a.close()
    with pytest.raises(RuntimeError, match="closed"):
        await issuers.verify_token(pair[0].sign())
    assert await issuers.verify_token(pair[1].sign())


class Faulty(JWKS):
    """A verifier whose first end fails."""

    failed = False

    async def close(self) -> None:
        """Close, and fail."""
        await super().close()
        if not self.failed:
            self.failed = True
            raise OSError("an end that fails")


async def test_an_end_that_fails_keeps_no_other_from_its_end(make: Make, pair: Pair) -> None:
    """It is raised when all have ended."""
    parts = [make(pair[0], kind=Faulty), make(pair[1])]
    with pytest.raises(OSError, match="fails"):
        await Issuers(*parts).close()
    assert ["closed" in repr(part) for part in parts] == [True, True]


async def test_one_store_and_one_client_do_for_all(clock: FakeClock) -> None:
    """Each issuer has a record of its own in the store, and nobody closes what was handed in."""
    a, b = (FakeIssuer(keys=[key], clock=clock) for key in KEYS)
    with a, b:
        store = MemoryKeyStore(timer=clock.monotonic)
        async with httpx.AsyncClient(trust_env=False) as client:

            def worker() -> Issuers:
                return Issuers(
                    *(
                        JWKS(
                            each.discovery_url, issuer=each.issuer, retries=0, store=store,
                            http_client=client, clock=clock,
                        )
                        for each in (a, b)
                    )
                )  # fmt: skip

            for _ in range(3):
                async with worker() as issuers:
                    for each, other in ((a, b), (b, a)):
                        assert await issuers.verify_token(each.sign())
                        assert await issuers.verify_token(each.sign())
                        with pytest.raises(jwt.InvalidSignatureError):
                            # One that has expired begins no search.
                            await issuers.verify_token(other.sign(iss=each.issuer, exp=1))
            assert not client.is_closed
            assert fetches((a, b)) == (2, 2)
