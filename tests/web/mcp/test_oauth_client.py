"""The SDK's own OAuth client against a server: what makes it log in again, and what does not."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from tests.web.mcp.conftest import Service

REDIRECT = AnyUrl("http://localhost:3000/callback")


class LogsInError(Exception):
    """The client sends its user to the provider. Its argument is where to."""


class Client:
    """A client that is registered, and holds a token."""

    def __init__(self, service: Service, token: str) -> None:
        self.resource = service.resource
        self.issuer = service.provider.issuer
        self.token = OAuthToken(access_token=token)

    async def get_tokens(self) -> OAuthToken | None:
        """Return the token."""
        return self.token

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Take another."""
        self.token = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return what the provider knows of this client."""
        return OAuthClientInformationFull(
            client_id="editor", redirect_uris=[REDIRECT], issuer=self.issuer
        )

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Register once more, which nobody has to."""
        raise NotImplementedError(client_info.client_id)

    async def log_in(self, url: str) -> None:
        """Send the user to the provider."""
        raise LogsInError(url)

    async def logged_in(self) -> AuthorizationCodeResult:
        """Return what the user brings back, which never happens."""
        raise NotImplementedError

    async def ask(self) -> httpx2.Response:
        """Send a request to the server."""
        auth = OAuthClientProvider(
            self.resource,
            OAuthClientMetadata(redirect_uris=[REDIRECT]),
            self,
            self.log_in,
            self.logged_in,
        )
        headers = {"Accept": "application/json, text/event-stream"}
        body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        async with httpx2.AsyncClient(auth=auth, trust_env=False) as client:
            return await client.post(self.resource, json=body, headers=headers)


async def test_an_outage_makes_it_wait(service: Service) -> None:
    """It keeps its token, and sends nobody to the provider, which is down."""
    token = service.token()
    client = Client(service, token)
    service.provider.outage()
    assert (await client.ask()).status_code == 503
    assert client.token.access_token == token


@pytest.mark.parametrize("claims", [{"exp": 1}, {"scope": "notes:write"}], ids=["401", "403"])
async def test_a_refusal_leads_it_to_the_provider(service: Service, claims: Any) -> None:
    """By challenge and metadata, for this resource and for the scope that is required."""
    with pytest.raises(LogsInError) as raised:
        await Client(service, service.token(**claims)).ask()
    url = urlsplit(str(raised.value))
    asked = parse_qs(url.query)
    assert url.path == "/authorize"
    # Releases before 2.3 name no resource when they ask for more scopes.
    assert asked.get("resource", [service.resource]) == [service.resource]
    assert "notes:read" in asked["scope"][0].split()
