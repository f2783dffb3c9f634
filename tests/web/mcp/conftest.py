"""The examples of examples/mcp, each behind a real uvicorn, beside a provider."""

import asyncio
import importlib.util
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import uvicorn

from auth_jwks.testing import FakeIssuer

EXAMPLES = Path(__file__).parents[3] / "examples" / "mcp"

App = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class Service:
    """A server that runs."""

    module: ModuleType
    provider: FakeIssuer
    resource: str
    client: httpx.AsyncClient

    def token(self, **claims: Any) -> str:
        """Return a token that the server takes, but for what is given."""
        good = {"aud": self.resource, "scope": "notes:read", "client_id": "editor"}
        return self.provider.sign(**(good | claims))

    async def post(self, token: str | None) -> httpx.Response:
        """Ask for the tools, without a session."""
        headers = {"Accept": "application/json, text/event-stream"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        return await self.client.post(self.resource, json=body, headers=headers)


def loaded(name: str) -> ModuleType:
    """Import an example anew, as each has its settings from the environment."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def listening(make: Callable[[str], App]) -> AsyncIterator[str]:
    """Serve the application that `make` returns for the server's URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(make(url), log_config=None, access_log=False)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield url
        finally:
            server.should_exit = True
            await task


@pytest.fixture(params=["sdk", "fast"])
async def service(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    issuer: FakeIssuer,
    client: httpx.AsyncClient,
) -> AsyncIterator[Service]:
    """Return an example that serves."""
    modules: list[ModuleType] = []
    issuer.announce(
        authorization_endpoint=f"{issuer.url}/authorize",
        token_endpoint=f"{issuer.url}/token",
        registration_endpoint=f"{issuer.url}/register",
        response_types_supported=["code"],
        code_challenge_methods_supported=["S256"],
        authorization_response_iss_parameter_supported=True,
    )

    def make(url: str) -> App:
        monkeypatch.setenv("ISSUER", issuer.issuer)
        monkeypatch.setenv("RESOURCE", f"{url}/mcp")
        modules.append(loaded(request.param))
        app: App = modules[0].app
        return app

    async with listening(make) as url:
        yield Service(modules[0], issuer, f"{url}/mcp", client)
        await modules[0].jwks.close()
