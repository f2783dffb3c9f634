"""The recipes of docs/http.md: each runs as it is printed, but for the values at its top."""

import asyncio
import contextlib
import json
import re
import runpy
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from auth_jwks.testing import FakeIssuer, SigningKey
from tests.tunnel import Tunnel

DOCUMENT = (Path(__file__).parents[1] / "docs" / "http.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL))
CLUSTER = "https://kubernetes.default.svc.cluster.local"

Recipe = Callable[..., dict[str, Any]]


def blocks(title: str, language: str) -> list[str]:
    """Return the code blocks of a section."""
    fenced = rf"^```{language}\n(.*?)^```$"
    return re.findall(fenced, SECTIONS[title], re.MULTILINE | re.DOTALL)


def with_values(code: str, assignment: str, values: dict[str, str]) -> str:
    """Return the code with these values for the ones at its top, each of which is there once."""
    lines = code.splitlines()
    for name, value in values.items():
        start = assignment.format(name)
        [at] = [at for at, line in enumerate(lines) if line.startswith(start)]
        lines[at] = start + value
    return "\n".join(lines)


def environment(title: str, index: int, **values: str) -> dict[str, str]:
    """Return what a shell block of a section exports."""
    code = with_values(blocks(title, "sh")[index], "export {}=", values)
    return dict(re.findall(r"^export (\w+)=(.*)$", code, re.MULTILINE))


async def answer(url: str, **settings: Any) -> int:
    """Return the status that a client with these settings gets."""
    async with httpx.AsyncClient(**settings) as client:
        return (await client.get(url)).status_code


class ApiServer:
    """A cluster's API server: two documents, for those who present the right bearer token."""

    def __init__(self, key: SigningKey) -> None:
        self.port = 0
        self.bearer = ""
        self.statuses: list[int] = []
        self._documents = {
            "/.well-known/openid-configuration": {
                "issuer": CLUSTER,
                "jwks_uri": "https://172.16.0.2:6443/openid/v1/jwks",
            },
            "/openid/v1/jwks": {"keys": [key.jwk()]},
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        request, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        body = json.dumps(self._documents[request.split()[1]]).encode()
        status = 200 if f"Authorization: Bearer {self.bearer}" in headers else 401
        self.statuses.append(status)
        length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(f"HTTP/1.1 {status} \r\n{length}".encode() + body)
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


@pytest.fixture(scope="session")
def key() -> SigningKey:
    """Return a key that is quick to make."""
    return SigningKey.generate("ES256", kid="first")


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """Return an authority that nobody trusts by default."""
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> str:
    """Return where its certificate is."""
    path = str(tmp_path / "ca.pem")
    ca.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def server_context(ca: trustme.CA) -> ssl.SSLContext:
    """Return the TLS of a server on loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def provider(key: SigningKey, server_context: ssl.SSLContext) -> Iterator[FakeIssuer]:
    """Return a provider that serves https."""
    with FakeIssuer(keys=[key], ssl_context=server_context) as issuer:
        yield issuer


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without proxies and authorities, whatever this machine has."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def recipe(provider: FakeIssuer, tmp_path: Path) -> Recipe:
    """Return what runs the recipe of a section, for the provider unless told otherwise."""

    def run(title: str, **values: str) -> dict[str, Any]:
        [code] = blocks(title, "python")
        if "DISCOVERY_URL = " in code:
            values = {"DISCOVERY_URL": provider.discovery_url, "ISSUER": provider.issuer} | values
        literals = {name: repr(value) for name, value in values.items()}
        path = tmp_path / "recipe.py"
        path.write_text(with_values(code, "{} = ", literals), encoding="utf-8")
        return runpy.run_path(str(path))

    return run


@pytest.fixture
async def tunnel() -> AsyncIterator[Tunnel]:
    """Return a proxy on loopback."""
    proxy = Tunnel()
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy


@pytest.fixture
async def api_server(key: SigningKey, server_context: ssl.SSLContext) -> AsyncIterator[ApiServer]:
    """Return an API server on loopback."""
    api = ApiServer(key)
    async with await asyncio.start_server(api.serve, "127.0.0.1", 0, ssl=server_context) as server:
        api.port = server.sockets[0].getsockname()[1]
        yield api


def test_every_section_has_one_recipe() -> None:
    """And every block of code is tested here: these, and what a shell exports."""
    recipes = [len(blocks(title, "python")) for title in SECTIONS if title != "Where to go next"]
    assert recipes == [1] * 8
    assert len(re.findall("^```[a-z]", DOCUMENT, re.MULTILINE)) == 8 + 2


async def test_the_environment_names_the_authorities(
    provider: FakeIssuer, recipe: Recipe, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SSL_CERT_FILE` makes a private CA known, which nobody trusts otherwise."""
    with pytest.raises(httpx.ConnectError):
        await answer(provider.discovery_url)
    for name, value in environment("The environment", 0, SSL_CERT_FILE=ca_file).items():
        monkeypatch.setenv(name, value)
    async with recipe("The environment")["verifier"]() as jwks:
        assert (await jwks.verify_token(provider.sign(aud="my-api")))["sub"] == "alice"


@pytest.mark.parametrize(
    ("exempt", "requests"),
    [("internal.example.com", 1), ("127.0.0.1", 0), ("127.0.0.0/8", 1), ("*", 0)],
)
async def test_the_environment_names_the_proxy(
    provider: FakeIssuer,
    recipe: Recipe,
    ca_file: str,
    tunnel: Tunnel,
    monkeypatch: pytest.MonkeyPatch,
    exempt: str,
    requests: int,
) -> None:
    """`HTTPS_PROXY` is asked, even for loopback, but not for what `NO_PROXY` lists."""
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    proxy = f"http://127.0.0.1:{tunnel.port}"
    exported = environment("The environment", 1, HTTPS_PROXY=proxy, NO_PROXY=exempt)
    for name, value in exported.items():
        monkeypatch.setenv(name, value)
    async with recipe("The environment")["verifier"]() as jwks:
        await jwks.verify_token(provider.sign(aud="my-api"))
    assert len(tunnel.requests) == requests


async def test_a_custom_ca(provider: FakeIssuer, recipe: Recipe, ca_file: str) -> None:
    """A context of one's own trusts a private CA, which nobody trusts otherwise."""
    with pytest.raises(httpx.ConnectError):
        await answer(provider.discovery_url)
    async with recipe("Custom CA", CA_FILE=ca_file)["verifier"]() as jwks:
        assert (await jwks.verify_token(provider.sign(aud="my-api")))["sub"] == "alice"


@pytest.fixture
def files(ca: trustme.CA, server_context: ssl.SSLContext, tmp_path: Path) -> dict[str, str]:
    """Return where a client's certificate is, without which nobody is answered."""
    ca.configure_trust(server_context)
    server_context.verify_mode = ssl.CERT_REQUIRED
    certificate, private_key = str(tmp_path / "service.pem"), str(tmp_path / "service.key")
    issued = ca.issue_cert("service@example.com")
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(private_key)
    return {"CERTIFICATE_FILE": certificate, "KEY_FILE": private_key}


async def test_a_client_certificate(
    ca_file: str, files: dict[str, str], provider: FakeIssuer, recipe: Recipe
) -> None:
    """A provider that answers nobody without one is satisfied."""
    async with recipe("Client certificate", CA_FILE=ca_file, **files)["verifier"]() as jwks:
        assert (await jwks.verify_token(provider.sign(aud="my-api")))["sub"] == "alice"
    with pytest.raises((httpx.TransportError, ssl.SSLError)):  # httpx lets some of the latter by
        await answer(provider.discovery_url, verify=ssl.create_default_context(cafile=ca_file))
    assert len(provider.requests) == 2


def test_threads(ca_file: str, files: dict[str, str], provider: FakeIssuer, recipe: Recipe) -> None:
    """A certificate, a private authority and a header, without an event loop."""
    with recipe("Threads", CA_FILE=ca_file, **files)["verifier"]() as jwks:
        assert jwks.verify_token(provider.sign(aud="my-api"))["sub"] == "alice"
    assert [request.headers["x-tenant"] for request in provider.requests] == ["blue"] * 2


async def test_a_proxy(
    provider: FakeIssuer,
    recipe: Recipe,
    ca_file: str,
    tunnel: Tunnel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is asked with the credentials of its URL, which go no further."""
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    url = f"http://user:password@127.0.0.1:{tunnel.port}"
    async with recipe("Proxy", PROXY_URL=url)["verifier"]() as jwks:
        await jwks.verify_token(provider.sign(aud="my-api"))
    [request] = tunnel.requests
    assert request.startswith(f"CONNECT {provider.url.removeprefix('https://')} ")
    assert f"Proxy-Authorization: Basic {b64encode(b'user:password').decode()}\r\n" in request
    assert not any("proxy-authorization" in request.headers for request in provider.requests)


async def test_headers(
    provider: FakeIssuer, recipe: Recipe, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They go along with both requests, as printed."""
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    names = recipe("Headers")
    async with names["verifier"]() as jwks:
        await jwks.verify_token(provider.sign(aud="my-api"))
    assert len(provider.requests) == 2
    for request in provider.requests:
        sent = {name: request.headers[name.lower()] for name in names["HEADERS"]}
        assert sent == {"User-Agent": "my-service/2", "X-Tenant": "blue"}


async def test_a_client_of_httpx2(
    provider: FakeIssuer, recipe: Recipe, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does what httpx's does."""
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    async with recipe("httpx2")["verifier"]() as jwks:
        assert (await jwks.verify_token(provider.sign(aud="my-api")))["sub"] == "alice"


async def test_kubernetes(
    key: SigningKey, recipe: Recipe, ca_file: str, api_server: ApiServer, tmp_path: Path
) -> None:
    """Tokens of the cluster are verified; the bearer token may be replaced at any time."""
    token_file = tmp_path / "token"
    api_server.bearer = "first"
    token_file.write_text("first\n")
    names = recipe(
        "Kubernetes",
        API_SERVER=f"https://127.0.0.1:{api_server.port}",
        CA_FILE=ca_file,
        TOKEN_FILE=str(token_file),
    )
    assert names["ISSUER"] == CLUSTER
    pod = FakeIssuer(issuer=CLUSTER, keys=[key])
    async with names["verifier"]() as jwks:
        claims = await jwks.verify_token(pod.sign(aud="my-service"))
        assert claims["iss"] == CLUSTER
        api_server.bearer = "second"
        token_file.write_text("second\n")
        await jwks.refresh(force=True)
    context = ssl.create_default_context(cafile=ca_file)
    url = f"{names['API_SERVER']}/.well-known/openid-configuration"
    assert await answer(url, verify=context) == 401
    assert api_server.statuses == [200, 200, 200, 200, 401]


@pytest.mark.parametrize(
    "url",
    [
        "https://oidc.example.com/keys",
        "http://kubernetes.default.svc/openid/v1/jwks",
        "https://kubernetes.default.svc:8443/openid/v1/jwks",
        "https://kubernetes.default.svc.example.com/openid/v1/jwks",
    ],
)
def test_kubernetes_token_goes_to_the_api_server_alone(recipe: Recipe, url: str) -> None:
    """No other origin gets it, whatever the discovery document names."""
    auth: httpx.Auth = recipe("Kubernetes")["ServiceAccount"]()
    [request] = auth.auth_flow(httpx.Request("GET", url))
    assert "Authorization" not in request.headers
