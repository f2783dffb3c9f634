"""`http_client` in threads: a function makes one client for the background loop."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
import trustme

from auth_jwks import JWKS, KeysUnavailableError
from auth_jwks.events import Event, RefreshFailed, TokenRefused
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeIssuer
from tests.sync.threads import KEY

AUTHORITY = trustme.CA()


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without proxies and authorities, whatever this machine has."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def secured() -> Iterator[FakeIssuer]:
    """Return a provider of a private authority that answers whom it has certified, and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    AUTHORITY.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with FakeIssuer(keys=[KEY], ssl_context=context) as issuer:
        yield issuer


def trusting(*, certified: bool = True) -> httpx.AsyncClient:
    """Return a client that knows the authority, and is known to it."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if certified:
        AUTHORITY.issue_cert("service@example.com").configure_cert(context)
    return httpx.AsyncClient(verify=context, headers={"x-tenant": "blue"})


def verifier(issuer: FakeIssuer, http_client: Any, **options: Any) -> SyncJWKS:
    """Return a verifier of a provider."""
    defaults: dict[str, Any] = {"issuer": issuer.issuer, "retries": 0}
    return SyncJWKS(issuer.discovery_url, http_client=http_client, **(defaults | options))


def test_a_private_authority_a_certificate_and_a_header(secured: FakeIssuer) -> None:
    """Whoever has them is answered; the client is made once, and closed with the verifier."""
    made: list[httpx.AsyncClient] = []

    def make() -> httpx.AsyncClient:
        made.append(trusting())
        return made[-1]

    with verifier(secured, make) as jwks:
        assert made == []
        assert jwks.verify_token(secured.sign())["sub"] == "alice"
        jwks.refresh(force=True)
        assert [client.is_closed for client in made] == [False]
    assert [client.is_closed for client in made] == [True]
    assert {request.headers["x-tenant"] for request in secured.requests} == {"blue"}
    with jwks:
        jwks.refresh(force=True)
    assert [client.is_closed for client in made] == [True, True]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (None, "the certificate is not trusted"),
        (httpx.AsyncClient, "the certificate is not trusted"),
        (partial(trusting, certified=False), "the request failed"),
    ],
    ids=["none", "class", "nobody"],
)
def test_whoever_lacks_them_is_not(
    secured: FakeIssuer, make: Callable[[], httpx.AsyncClient] | None, reason: str
) -> None:
    """It is an outage of the provider."""
    with (
        verifier(secured, make) as jwks,
        pytest.raises(KeysUnavailableError, match=reason),
    ):
        jwks.verify_token(secured.sign())


def _raises() -> httpx.AsyncClient:
    raise ValueError("hunter2")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_raises, "the function failed: ValueError"),
        (httpx.Client, "expected the function to make an httpx.AsyncClient, got Client"),
    ],
)
def test_a_function_that_makes_none(
    make: Any, reason: str, provider: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a failed refresh, told without a word of the function's."""
    events: list[Event] = []
    with verifier(provider, make, observer=events.append, aud="api") as jwks:
        with pytest.raises(KeysUnavailableError, match=f"unavailable: http_client: {reason}"):
            jwks.verify_token(provider.sign(aud="api"))
        assert (jwks.status().failure or "").startswith(f"http_client: {reason}")
    event, refused = events
    assert isinstance(event, RefreshFailed)
    assert event.kind == "http_client"
    assert isinstance(refused, TokenRefused)
    assert provider.requests == ()
    assert "hunter2" not in f"{caplog.text}{events}"


async def _coroutine() -> None:
    """Make nothing, were it awaited."""


@pytest.mark.parametrize("verifier", [JWKS, SyncJWKS])
def test_a_coroutine_function_is_refused(verifier: Any) -> None:
    """By both kinds of verifiers."""
    with pytest.raises(TypeError, match=r"^http_client: expected a plain function, "):
        verifier("https://idp.test", http_client=_coroutine)


def test_with_asyncio_too(issuer: FakeIssuer) -> None:
    """One client for each loop, which is closed with the verifier or with its loop."""
    made: list[httpx.AsyncClient] = []

    def make() -> httpx.AsyncClient:
        made.append(httpx.AsyncClient(transport=issuer.transport()))
        return made[-1]

    jwks = JWKS(issuer.discovery_url, issuer=issuer.issuer, http_client=make)

    async def forced(*, closes: bool) -> None:
        await jwks.refresh(force=True)
        if closes:
            await jwks.close()
            assert made[-1].is_closed

    asyncio.run(forced(closes=False))
    assert [client.is_closed for client in made] == [True]
    asyncio.run(forced(closes=True))
    assert [client.is_closed for client in made] == [True, True]
    assert issuer.jwks_requests == 2


PROGRAM = """
import os, sys, warnings
warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)
import logging
import httpx
from auth_jwks.sync import SyncJWKS

logging.getLogger("asyncio").setLevel(logging.ERROR)  # a slow machine is no fault
url, issuer, token = sys.argv[1:]
made = []

def make():
    made.append(os.getpid())
    return httpx.AsyncClient(trust_env=False)

jwks = SyncJWKS(url, issuer=issuer, http_client=make, aud="api")
jwks.verify_token(token)
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    jwks.refresh(force=True)
    assert made == [os.getpid()]
    jwks.close()
    print("parent")
else:
    try:
        jwks.refresh(force=True)
        assert made == [os.getppid(), os.getpid()]
        jwks.close()
        print("child", flush=True)
    finally:
        os._exit(0)
"""


@pytest.mark.posix
def test_a_child_makes_its_own(provider: FakeIssuer) -> None:
    """The parent goes on with the connection that it has."""
    words = [provider.discovery_url, provider.issuer, provider.sign(aud="api")]
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, *words]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.stderr, run.stdout.split()) == ("", ["child", "parent"])
