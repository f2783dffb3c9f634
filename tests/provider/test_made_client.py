"""A client that a function makes: when, how often, who closes it, and what goes wrong."""

import asyncio
import gc
import os
from collections.abc import Callable, Iterator
from functools import partial
from threading import Thread

import httpx
import pytest

from auth_jwks._provider.client import FetchError
from auth_jwks._provider.made_client import ClientMaker, MadeClient, is_client
from auth_jwks.testing import FakeIssuer


class Maker:
    """Makes clients of a provider, and remembers them."""

    def __init__(self, issuer: FakeIssuer) -> None:
        self._issuer = issuer
        self.made: list[httpx.AsyncClient] = []

    def __call__(self) -> httpx.AsyncClient:
        """Make one more."""
        headers = {"x-client": str(len(self.made))}
        self.made.append(httpx.AsyncClient(transport=self._issuer.transport(), headers=headers))
        return self.made[-1]

    @property
    def closed(self) -> list[bool]:
        """Which of them are closed."""
        return [client.is_closed for client in self.made]


@pytest.fixture
def issuer() -> FakeIssuer:
    """Return a provider."""
    return FakeIssuer(algorithm="ES256")


@pytest.fixture
def maker(issuer: FakeIssuer) -> Maker:
    """Return what makes its clients."""
    return Maker(issuer)


async def ask(client: MadeClient, issuer: FakeIssuer) -> int:
    """Return the status of an answer."""
    request = client.stream("GET", issuer.jwks_uri, headers={}, timeout=5.0, follow_redirects=False)
    async with request as response:
        return response.status_code


async def test_it_is_made_when_it_is_needed(maker: Maker, issuer: FakeIssuer) -> None:
    """Once in a loop, and anew after it was closed; closing twice is fine."""
    client = MadeClient(maker)
    await client.aclose()
    assert (maker.made, repr(client)) == ([], "MadeClient(made=0)")
    for _ in range(2):
        assert client.headers["x-client"] == "0"
        assert await ask(client, issuer) == 200
    for _ in range(2):
        await client.aclose()
    assert maker.closed == [True]
    assert client.headers["x-client"] == "1"
    assert (maker.closed, repr(client)) == ([True, False], "MadeClient(made=1)")
    await client.aclose()


def test_each_loop_has_one_that_ends_with_it(maker: Maker, issuer: FakeIssuer) -> None:
    """It is closed while its loop still runs, whoever forgets to."""
    client = MadeClient(maker)
    for number in range(3):
        assert asyncio.run(ask(client, issuer)) == 200
        assert maker.closed == [True] * (number + 1)
    assert repr(client) == "MadeClient(made=1)", "those of loops that are gone are forgotten"


class WatchedLoop(asyncio.SelectorEventLoop):
    """A loop that does something whenever somebody looks whether it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Callable[[], object] = bool

    def is_closed(self) -> bool:
        """Return whether it is."""
        self.seen()
        return super().is_closed()


def test_two_threads_make_theirs_at_once(maker: Maker, issuer: FakeIssuer) -> None:
    """Neither forgets that of the other, which would be closed amid a request."""
    client = MadeClient(maker)
    watched, mine, other = WatchedLoop(), asyncio.new_event_loop(), asyncio.new_event_loop()
    watched.run_until_complete(ask(client, issuer))

    def meanwhile() -> None:
        watched.seen = bool
        thread = Thread(target=lambda: other.run_until_complete(ask(client, issuer)))
        thread.start()
        thread.join()

    async def asked() -> int:
        watched.seen = meanwhile
        return await ask(client, issuer)

    mine.run_until_complete(asked())
    assert repr(client) == "MadeClient(made=3)"
    for loop in (watched, mine, other):
        loop.run_until_complete(client.aclose())
        loop.close()
    assert maker.closed == [True] * 3


def test_a_loop_that_is_closed_by_hand(maker: Maker, issuer: FakeIssuer) -> None:
    """Without an end for its generators: the client is let go, without a word."""
    client = MadeClient(maker)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(ask(client, issuer))
    loop.close()
    assert asyncio.run(ask(client, issuer)) == 200
    maker.made.clear()
    gc.collect()


@pytest.mark.posix
def test_a_child_makes_its_own(maker: Maker, issuer: FakeIssuer) -> None:
    """And leaves that of its parent alone, which it would cut off, at the end of the loop too."""
    client = MadeClient(maker)
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(ask(client, issuer)) == 200
    if child := os.fork():
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert maker.closed == [False]
        loop.run_until_complete(loop.shutdown_asyncgens())
        assert maker.closed == [True]
        loop.close()
        return
    try:
        loop.run_until_complete(ask(client, issuer))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        os._exit(0 if maker.closed == [False, True] else 1)


class FaultyClient(httpx.AsyncClient):
    """A client that can't be closed."""

    async def aclose(self) -> None:
        """Fail."""
        await super().aclose()
        raise OSError


async def test_a_client_that_cannot_be_closed(issuer: FakeIssuer) -> None:
    """It is not used again, and nobody hears of it."""
    client = MadeClient(partial(FaultyClient, transport=issuer.transport()))
    assert await ask(client, issuer) == 200
    await client.aclose()


def _raises() -> httpx.AsyncClient:
    raise ValueError("hunter2")


async def _coroutine() -> None:
    """Make nothing, were it awaited."""


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_raises, "the function failed: ValueError"),
        (lambda _: None, "the function failed: TypeError"),
        (lambda: None, "expected the function to make an httpx.AsyncClient, got NoneType"),
        (lambda: httpx.AsyncClient, "expected the function to make an httpx.AsyncClient, got type"),
        (_coroutine, "expected the function to make an httpx.AsyncClient, got coroutine"),
    ],
)
async def test_what_a_function_may_do_wrong(make: ClientMaker, reason: str) -> None:
    """A fault that names the parameter, without what the function said; it is asked again."""
    client = MadeClient(make)
    for _ in range(2):
        with pytest.raises(FetchError, match=f"^http_client: {reason}$") as caught:
            assert client.headers
        assert (caught.value.kind, caught.value.transient) == ("http_client", False)
        assert caught.value.__context__ is None
    await client.aclose()


@pytest.fixture
def threads_client() -> Iterator[httpx.Client]:
    """Return a client that waits for each answer."""
    with httpx.Client() as client:
        yield client


async def test_what_is_a_client(threads_client: httpx.Client) -> None:
    """Neither a class of them nor one for threads."""
    async with httpx.AsyncClient() as client:
        assert is_client(client)
    assert not is_client(httpx.AsyncClient)
    assert not is_client(threads_client)
