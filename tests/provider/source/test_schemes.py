"""Certificates are checked wherever https is, and authorities are loaded for nothing else."""

import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from auth_jwks._clock import SYSTEM_CLOCK
from auth_jwks._provider.client import HTTP, FetchError
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.provider.source.asking import source

UNTRUSTED = r"certificate is not trusted: .+"


@pytest.fixture
def stranger() -> ssl.SSLContext:
    """Return how a server answers whose authority nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_keys_by_https_are_verified_after_discovery_by_http(
    provider: FakeIssuer, encrypted: FakeIssuer, stranger: ssl.SSLContext, key: SigningKey
) -> None:
    """The document names another scheme than its own: each is asked as is right for it."""
    asking = source(discovery_url=provider.discovery_url, fix_local_url=False)
    provider.announce(jwks_uri=encrypted.jwks_uri)
    assert (await asking.fetch(None)).uri == encrypted.jwks_uri
    with FakeIssuer(keys=[key], ssl_context=stranger) as other:
        provider.announce(jwks_uri=other.jwks_uri.replace("https:", "HTTPS:"))
        with pytest.raises(FetchError, match=UNTRUSTED):
            await asking.fetch(None)
        assert other.requests == ()


async def test_a_client_for_http_trusts_no_certificate(
    provider: FakeIssuer, encrypted: FakeIssuer
) -> None:
    """Not even one that is trusted else: should a request by https get there, it fails."""
    asking = HTTP(None, timeout=5.0, clock=SYSTEM_CLOCK)
    async with asking.client(provider.jwks_uri) as client:
        assert (await asking.get(client, provider.jwks_uri)).status == httpx.codes.OK
        with pytest.raises(FetchError, match=UNTRUSTED):
            await asking.get(client, encrypted.jwks_uri)
    async with asking.client(encrypted.jwks_uri) as client:
        assert (await asking.get(client, encrypted.jwks_uri)).status == httpx.codes.OK


async def test_a_redirect_to_https_is_not_followed(
    provider: FakeIssuer, encrypted: FakeIssuer
) -> None:
    """As none is. The target is not asked."""
    provider.redirect(encrypted.jwks_uri)
    with pytest.raises(FetchError, match="redirects are not followed"):
        await source(jwks_uri=provider.jwks_uri).fetch(None)
    assert encrypted.requests == ()


async def test_plain_http_needs_no_authorities(
    provider: FakeIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's may be unusable; loading them takes longer than the request."""
    (tmp_path / "junk.pem").write_text("junk")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "junk.pem"))
    assert (await source(jwks_uri=provider.jwks_uri).fetch(None)).uri == provider.jwks_uri
    with pytest.raises(FetchError, match="from the environment can't be used"):
        await source(jwks_uri=provider.jwks_uri.replace("http:", "https:")).fetch(None)
