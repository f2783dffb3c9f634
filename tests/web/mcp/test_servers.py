"""Servers of the MCP SDK and of FastMCP, asked by their own clients and judged by mcp-authlab."""

import json
import subprocess
import sys
from collections import Counter
from typing import Any

import anyio
import fastmcp
import httpx2
import mcp
from mcp.client.streamable_http import streamable_http_client

from tests.web.mcp.conftest import Service


async def told(service: Service, token: str) -> Any:
    """Return what the tool tells each kind of client, which must be the same."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False) as http:
        transport = streamable_http_client(service.resource, http_client=http)
        async with mcp.Client(transport) as client:
            first = (await client.call_tool("whoami", {})).structured_content
    async with fastmcp.Client(service.resource, auth=token) as other:
        second = (await other.call_tool("whoami", {})).structured_content
    assert first == second
    return first


async def test_good_tokens_are_served(service: Service) -> None:
    """Both clients learn what their token says, over HTTP."""
    assert await told(service, service.token(sub="bob")) == {"subject": "bob", "client": "editor"}


async def test_bad_tokens_are_refused(service: Service) -> None:
    """With the challenge of RFC 6750 that names scopes and metadata, by the guard alone."""
    metadata = service.resource.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
    rest = f'scope="notes:read", resource_metadata="{metadata}"'
    for token, status, code in [
        (None, 401, None),
        ("junk", 401, "invalid_token"),
        (service.provider.forge(aud=service.resource), 401, "invalid_token"),
        (service.token(aud="https://other.example/mcp"), 401, "invalid_token"),
        (service.token(exp=1), 401, "invalid_token"),
        (service.token(scope="notes:write"), 403, "insufficient_scope"),
    ]:
        answer = await service.post(token)
        challenge = answer.headers["WWW-Authenticate"]
        assert answer.status_code == status
        assert challenge.startswith('Bearer realm="api", ')
        assert challenge.endswith(rest)
        assert (f'error="{code}"' in challenge) == (code is not None)


async def test_an_outage_is_a_503(service: Service) -> None:
    """It says when to come again, and has no challenge: clients keep their tokens."""
    service.provider.outage(retry_after=60)
    answer = await service.post(service.token())
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 60
    assert "WWW-Authenticate" not in answer.headers


async def test_only_the_metadata_and_the_public_paths_are_open(service: Service) -> None:
    """A token that comes to a public path is not looked at."""
    url = service.resource.removesuffix("/mcp")
    headers = {"Authorization": "Bearer junk"}
    health = await service.client.get(f"{url}/health", headers=headers)
    assert health.json() == {"status": "ok"}
    metadata = await service.client.get(f"{url}/.well-known/oauth-protected-resource/mcp")
    assert metadata.json()["resource"] == service.resource
    for path in ("/", "/.well-known/oauth-protected-resource", "/mcp/", "/health/"):
        assert (await service.client.get(f"{url}{path}")).status_code == 401


async def test_the_scanner_finds_nothing(service: Service) -> None:
    """But plain http, which is loopback's, and what needs a login."""
    command = [sys.executable, "-m", "mcp_authlab", "scan", "--no-login", "--format", "json"]
    command += ["--token", service.token(), service.resource]
    command += ["--foreign-token", service.token(aud="https://other.example/mcp")]
    run = await anyio.run_process(command, check=False, stderr=subprocess.PIPE)
    report = json.loads(run.stdout)
    results = report["results"]
    assert [each["id"] for each in results if each["status"] in {"fail", "error"}] == []
    assert [each["id"] for each in results if each["status"] == "warn"] == ["TLS-01"]
    assert Counter(each["status"] for each in results)["pass"] >= 26
