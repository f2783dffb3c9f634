"""What a request says, and whose client sends it."""

from types import ModuleType

import httpx
import httpx2
import pytest

from auth_jwks import __version__
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.provider.source.asking import SECRET, source


async def test_requests_say_who_asks_and_for_what(provider: FakeIssuer) -> None:
    """JSON, gzip at most, and a name of our own."""
    await source(discovery_url=provider.discovery_url).fetch(None)
    for request in provider.requests:
        assert request.headers["user-agent"] == f"auth-jwks/{__version__}"
        assert request.headers["accept"].startswith("application/json, application/jwk-set+json")
        assert request.headers["accept-encoding"] == "gzip, identity;q=0.5"


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("agent", [None, "my-service/2"])
async def test_a_client_handed_in_is_used(
    provider: FakeIssuer,
    library: ModuleType,
    agent: str | None,
) -> None:
    """Its headers go along, its `User-Agent` instead of ours, and it is left open."""
    headers = {"X-Api-Key": SECRET} | ({"User-Agent": agent} if agent else {})
    async with library.AsyncClient(headers=headers) as client:
        asking = source(discovery_url=provider.discovery_url, http_client=client)
        held = await asking.fetch(None)
        assert await asking.fetch(held) == held
        assert not client.is_closed
    for request in provider.requests:
        assert request.headers["x-api-key"] == SECRET
        assert request.headers["user-agent"] == (agent or f"auth-jwks/{__version__}")
        assert request.headers["accept-encoding"] == "gzip, identity;q=0.5"


async def test_requests_carry_a_timeout_of_their_own(key: SigningKey) -> None:
    """That of a client handed in does not matter."""
    timeouts: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"])
        return httpx.Response(200, json={"keys": [key.jwk()]})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), timeout=60) as client:
        await source(jwks_uri="https://x.example/", http_client=client, timeout=3.0).fetch(None)
    assert timeouts == [dict.fromkeys(("connect", "read", "write", "pool"), 3.0)]
