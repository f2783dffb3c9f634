"""What every bad answer becomes, and every fault of a client; none tells a secret."""

import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from auth_jwks._provider.client import MAX_BODY, FetchError
from auth_jwks.errors import IssuerMismatchError
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.provider.source.asking import (
    SECRET,
    TOO_LARGE,
    URI,
    SkippingClock,
    answering,
    said,
    source,
)

COMPRESSED = "the response is compressed by"
UNREAD = "which is not understood"
CERTIFICATES = "CA certificates (SSL_CERT_FILE, SSL_CERT_DIR)"


@pytest.mark.parametrize(
    ("fault", "arguments", "reason"),
    [
        ("outage", {"status": 500}, "HTTP status 500"),
        ("outage", {"status": 404}, "HTTP status 404"),
        ("outage", {"status": 429}, "HTTP status 429"),
        ("outage", {"status": 304}, "HTTP status 304"),
        ("outage", {"status": 204}, "HTTP status 204"),
        ("junk", {"body": bytes(5 * 2**20)}, TOO_LARGE),
        ("junk", {"body": b"{}", "encoding": "br"}, f"{COMPRESSED} br, {UNREAD}"),
        ("junk", {"body": b"{}", "encoding": "gzip, GZIP"}, f"{COMPRESSED} gzip, gzip, {UNREAD}"),
        ("junk", {"body": b"{}", "encoding": "gzip"}, "the request failed: error"),
        ("refuse", {}, "the request failed: RemoteProtocolError"),
        ("truncate", {}, "the request failed: RemoteProtocolError"),
    ],
)
@pytest.mark.parametrize("on", ["discovery", "jwks"])
async def test_a_bad_answer_fails_the_fetch(
    provider: FakeIssuer, fault: str, arguments: dict[str, Any], reason: str, on: str
) -> None:
    """The reason says what was wrong, and with which document."""
    getattr(provider, fault)(**arguments, on=on)
    with pytest.raises(FetchError) as caught:
        await source(discovery_url=provider.discovery_url).fetch(None)
    where = "discovery document" if on == "discovery" else f"jwks_uri {provider.jwks_uri}"
    assert caught.value.reason == f"{reason} ({where})"
    assert caught.value.args == (caught.value.reason,)


async def test_the_only_document_needs_no_name(provider: FakeIssuer) -> None:
    """Without discovery there is one, which every message names already."""
    provider.outage(404)
    with pytest.raises(FetchError) as caught:
        await source(jwks_uri=provider.jwks_uri).fetch(None)
    assert caught.value.reason == "HTTP status 404"


async def test_a_server_that_is_gone_fails_the_fetch(provider: FakeIssuer) -> None:
    """By whatever name and address of it, the reason says that nobody listens."""
    provider.close()
    for host in ("127.0.0.1", "localhost"):
        uri = provider.jwks_uri.replace("127.0.0.1", host)
        with pytest.raises(FetchError) as caught:
            await source(jwks_uri=uri).fetch(None)
        assert caught.value.reason == "the request failed: ConnectError (connection refused)"


@pytest.mark.parametrize(
    ("lowest", "told"),
    [
        (socket.gaierror(SECRET), "the host name can't be resolved"),
        (ExceptionGroup(SECRET, [ConnectionRefusedError(SECRET)]), "connection refused"),
    ],
    ids=["unknown host", "several addresses"],
)
async def test_a_usual_cause_is_told(lowest: Exception, told: str) -> None:
    """However deep below httpx's exception that is."""
    raised = httpx.ConnectError(SECRET)
    raised.__cause__ = OSError(SECRET)
    raised.__cause__.__context__ = lowest
    async with answering(raised) as client:
        with pytest.raises(FetchError) as caught:
            await source(jwks_uri=URI, http_client=client).fetch(None)
    assert caught.value.reason == f"the request failed: ConnectError ({told})"


async def test_tls_where_there_is_none_is_told(provider: FakeIssuer) -> None:
    """A port that speaks plain HTTP."""
    uri = provider.jwks_uri.replace("http:", "https:")
    with pytest.raises(FetchError) as caught:
        await source(jwks_uri=uri).fetch(None)
    assert caught.value.reason == "the request failed: ConnectError (TLS failed)"


@pytest.mark.parametrize("trusted", [True, False])
async def test_certificates_are_verified(ca: trustme.CA, key: SigningKey, *, trusted: bool) -> None:
    """An https provider is asked for keys only if an authority of the machine vouches for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (ca if trusted else trustme.CA()).issue_cert("127.0.0.1").configure_cert(context)
    with FakeIssuer(keys=[key], ssl_context=context) as issuer:
        fetch = source(discovery_url=issuer.discovery_url).fetch(None)
        if trusted:
            assert (await fetch).uri == issuer.jwks_uri
        else:
            with pytest.raises(FetchError, match=r"certificate is not trusted: .+"):
                await fetch
        assert len(issuer.requests) == (2 if trusted else 0)


async def test_a_redirect_is_not_followed(provider: FakeIssuer, key: SigningKey) -> None:
    """Not even by a client that follows them by default: the target is never asked."""
    with FakeIssuer(keys=[key]) as other:
        provider.redirect(other.jwks_uri)
        async with httpx.AsyncClient(follow_redirects=True) as client:
            with pytest.raises(FetchError, match="HTTP status 302"):
                await source(jwks_uri=provider.jwks_uri, http_client=client).fetch(None)
        assert other.requests == ()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://sso.example.com/jwks", ", this one leads to https://sso.example.com/jwks"),
        ("//sso.example.com/a", ", this one leads to http://sso.example.com/a"),
        ("/new?key=c2VjcmV0#c2VjcmV0", ", this one leads to {url}/new"),
        ("https://user:c2VjcmV0@sso.example.com", ", this one leads to https://sso.example.com"),
        ("https://a.example/" + "x" * 9999, ", this one leads to https://a.example/" + "x" * 182),
        ("https://[c2VjcmV0/", ""),
        ("ftp://c2VjcmV0/a", ""),
        ("", ""),
    ],
)
async def test_a_redirect_tells_where_it_leads(
    provider: FakeIssuer, status: int, location: str, told: str
) -> None:
    """Without what may be secret, and not at any length."""
    provider.redirect(location, status)
    with pytest.raises(FetchError) as caught:
        await source(jwks_uri=provider.jwks_uri).fetch(None)
    told = told.format(url=provider.url)
    assert caught.value.reason == f"HTTP status {status}: redirects are not followed{told}"


async def test_a_redirect_to_nowhere_is_told() -> None:
    """Without a `Location`, or without a status that needs one."""
    async with answering(httpx.Response(302), httpx.Response(300)) as client:
        for status in (302, 300):
            with pytest.raises(FetchError) as caught:
                await source(jwks_uri=URI, http_client=client).fetch(None)
            assert caught.value.reason == f"HTTP status {status}: redirects are not followed"


@pytest.mark.parametrize(
    "raised",
    [
        httpx.ConnectTimeout(SECRET),
        httpx.InvalidURL(SECRET),
        ssl.SSLCertVerificationError(1, SECRET),
        KeyError(SECRET),
        TimeoutError(SECRET),
        ExceptionGroup(SECRET, [OSError(SECRET)]),
    ],
    ids=lambda raised: type(raised).__name__,
)
async def test_whatever_a_client_raises_is_a_fetch_error(
    clock: SkippingClock, raised: Exception
) -> None:
    """It is told in fixed words, and tried again."""
    raised.__cause__ = ValueError(SECRET)
    raised.__cause__.__cause__ = raised
    async with answering(raised, raised) as client:
        asking = source(jwks_uri=URI, http_client=client, retries=1, clock=clock)
        with pytest.raises(FetchError) as caught:
            await asking.fetch(None)
    cause = " (TLS failed)" if isinstance(raised, ssl.SSLError) else ""
    assert caught.value.reason == f"the request failed: {type(raised).__name__}{cause}"
    assert SECRET not in said(caught.value)
    assert len(clock.pauses) == 1


async def test_a_closed_client_is_a_fetch_error(provider: FakeIssuer) -> None:
    """As is every other misuse of it that shows in use only."""
    client = httpx.AsyncClient()
    await client.aclose()
    with pytest.raises(FetchError, match="the request failed: RuntimeError"):
        await source(jwks_uri=provider.jwks_uri, http_client=client).fetch(None)


@pytest.mark.parametrize(
    ("fault", "arguments"),
    [
        ("outage", {"status": 401}),
        ("outage", {"status": 503}),
        ("redirect", {"location": f"https://idp.example.com/?key={SECRET}"}),
        ("redirect", {"location": f"https://{SECRET}:x/"}),
        ("junk", {"body": SECRET.encode(), "encoding": f"{SECRET}, br"}),
        ("redirect", {"location": f"https://user:{SECRET}@idp.example.com/#{SECRET}"}),
        ("junk", {"body": SECRET.encode(), "encoding": "gzip"}),
        ("junk", {"body": SECRET.encode() * MAX_BODY}),
        ("refuse", {}),
        ("truncate", {}),
    ],
)
async def test_no_secret_is_told(
    provider: FakeIssuer, clock: SkippingClock, fault: str, arguments: dict[str, Any]
) -> None:
    """Neither headers of a client nor a URL's query are in an error, or in what led to it."""
    getattr(provider, fault)(**arguments)
    url = f"{provider.jwks_uri}?key={SECRET}"
    async with httpx.AsyncClient(headers={"Authorization": SECRET}) as client:
        asking = source(jwks_uri=url, http_client=client, retries=1, clock=clock)
        with pytest.raises(FetchError) as caught:
            await asking.fetch(None)
    assert provider.requests[0].headers["authorization"] == SECRET
    assert SECRET not in said(caught.value) + repr(asking)


async def test_no_secret_of_an_issuer_is_told(provider: FakeIssuer) -> None:
    """A mismatch names both issuers without credentials and queries, and not at any length."""
    provider.announce(issuer=f"https://user:{SECRET}@other.example.com/{'x' * 500}?key={SECRET}")
    issuer = f"https://user:{SECRET}@idp.example.com?key={SECRET}"
    with pytest.raises(IssuerMismatchError) as caught:
        await source(discovery_url=provider.discovery_url, issuer=issuer).fetch(None)
    assert SECRET not in said(caught.value)
    assert "expected 'https://idp.example.com'" in str(caught.value)
    assert "names 'https://other.example.com/xxx" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("variable", "value", "part", "failure"),
    [
        ("SSL_CERT_FILE", f"{SECRET}.pem", CERTIFICATES, "SSLError"),
        ("https_proxy", f"gopher://user:{SECRET}@127.0.0.1:1", "proxy", "ValueError"),
        ("https_proxy", f"http://{SECRET}:port", "proxy", "InvalidURL"),
        ("https_proxy", f"socks5://user:{SECRET}@127.0.0.1:1", "proxy", "ImportError"),
    ],
)
async def test_an_environment_without_a_client_fails_the_fetch(
    encrypted: FakeIssuer,
    ca_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    part: str,
    failure: str,
) -> None:
    """Certificates that are none, or a proxy that makes no sense: mended, it works again."""
    (tmp_path / f"{SECRET}.pem").write_text("junk")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv(variable, value)
    asking = source(jwks_uri=encrypted.jwks_uri)
    with pytest.raises(FetchError) as caught:
        await asking.fetch(None)
    assert caught.value.reason == f"the {part} from the environment can't be used: {failure}"
    assert SECRET not in said(caught.value)
    monkeypatch.setenv(variable, str(ca_file) if variable == "SSL_CERT_FILE" else "")
    await asking.fetch(None)
