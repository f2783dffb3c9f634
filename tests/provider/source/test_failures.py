"""The provider, over HTTP: what is asked, what is believed, and what every bad answer becomes."""

import asyncio
import contextlib
import dataclasses
import gzip
import json
import re
import socket
import ssl
import time
import traceback
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from email.utils import formatdate
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest
import trustme

from auth_jwks._clock import SYSTEM_CLOCK
from auth_jwks._provider.client import MAX_BODY, FetchError
from auth_jwks._provider.document import Document
from auth_jwks._provider.source import Source
from auth_jwks.errors import IssuerMismatchError
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey

SECRET = "c2VjcmV0"
ISSUER = "https://idp.example.com"
URI = "https://idp.example.com/jwks"
DISCOVERY = "/.well-known/openid-configuration"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
SILENCE = b""
STAMMER = ANSWER[:-1]
CERTIFICATES = "CA certificates (SSL_CERT_FILE, SSL_CERT_DIR)"
TOO_LARGE = "the response is larger than 524288 bytes"
DEFAULTS: dict[str, Any] = {
    "discovery_url": None,
    "jwks_uri": None,
    "issuer": None,
    "fix_local_url": True,
    "timeout": 5.0,
    "retries": 0,
    "http_client": None,
    "clock": SYSTEM_CLOCK,
}


def source(**settings: object) -> Source:
    """Return a source with these settings, which retries nothing unless told to."""
    return Source(**{**DEFAULTS, **settings})


def client_of(issuer: FakeIssuer, asked: list[str] | None = None) -> httpx.AsyncClient:
    """Return a client of the provider whatever the host; it notes every URL in `asked`."""

    async def note(request: httpx.Request) -> None:
        if asked is not None:
            asked.append(str(request.url))

    return httpx.AsyncClient(transport=issuer.transport(), event_hooks={"request": [note]})


def answering(*answers: httpx.Response | Exception) -> httpx.AsyncClient:
    """Return a client whose transport gives these answers, one after the other."""
    left = list(answers)

    def answer(_: httpx.Request) -> httpx.Response:
        first = left.pop(0)
        if isinstance(first, Exception):
            raise first
        return first

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def said(fault: BaseException) -> str:
    """Return all that a log or a debugger would show of an exception and of what led to it."""
    assert fault.__cause__ is None
    assert fault.__context__ is None
    return "".join([*traceback.format_exception(fault), repr(fault), repr(vars(fault))])


class SkippingClock(FakeClock):
    """Time that passes by itself while someone pauses; the deadline of 5 s stays ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Note a pause, and have it over at once."""
        if seconds >= DEFAULTS["timeout"]:
            await super().sleep(seconds)
        self.pauses.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)


class Wire:
    """A server that sends the same bytes to each request, and knows who still listens."""

    def __init__(self, answer: bytes) -> None:
        self.url = ""
        self.requests = 0
        self.asked = asyncio.Event()
        self._answer = answer
        self._connections: list[asyncio.Event] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the client goes away."""
        gone = asyncio.Event()
        self._connections.append(gone)
        with contextlib.suppress(ConnectionError, EOFError):
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                writer.write(self._answer)
                self.asked.set()
                await writer.drain()
        gone.set()
        writer.close()

    async def deserted(self) -> None:
        """Return once every client has gone away; `TimeoutError` if one stays."""
        async with asyncio.timeout(5):
            for connection in self._connections:
                await connection.wait()


@contextlib.asynccontextmanager
async def wire(answer: bytes) -> AsyncIterator[Wire]:
    """Serve those bytes on a free port of loopback."""
    served = Wire(answer)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    async with server:
        served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
        yield served


def chunked(pieces: Iterable[bytes]) -> bytes:
    """Return a response without a Content-Length."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@pytest.fixture(scope="session")
def key() -> SigningKey:
    """Return a key that is quick to make."""
    return SigningKey.generate("ES256", kid="first")


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """Return the only authority that a client of our own trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where its certificate is."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(autouse=True)
def _environment(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def provider(key: SigningKey) -> Iterator[FakeIssuer]:
    """Return a provider that serves on loopback."""
    with FakeIssuer(keys=[key]) as issuer:
        yield issuer


@pytest.fixture
def clock() -> SkippingClock:
    """Return a clock that skips pauses."""
    return SkippingClock()


async def test_discovery_leads_to_the_keys(provider: FakeIssuer, key: SigningKey) -> None:
    """In discovery mode the document comes from where the provider says, with its issuer."""
    provider.cache("max-age=600", age=100)
    document = await source(discovery_url=provider.discovery_url).fetch(None)
    assert json.loads(document.jwks) == {"keys": [key.jwk()]}
    assert (document.uri, document.issuer) == (provider.jwks_uri, provider.issuer)
    assert document.max_age == 500
    assert document.etag is not None
    assert [r.path for r in provider.requests] == ["/.well-known/openid-configuration", "/jwks"]


@pytest.mark.parametrize("issuer", [None, "https://idp.example.com"])
@pytest.mark.parametrize("discovery_url", [None, "https://idp.example.com/discovery"])
async def test_a_jwks_uri_is_asked_directly(
    provider: FakeIssuer, issuer: str | None, discovery_url: str | None
) -> None:
    """A `jwks_uri` wins over a discovery URL; the issuer is the configured one, or unknown."""
    direct = source(jwks_uri=provider.jwks_uri, discovery_url=discovery_url, issuer=issuer)
    document = await direct.fetch(None)
    assert (document.uri, document.issuer) == (provider.jwks_uri, issuer)
    assert [request.path for request in provider.requests] == ["/jwks"]


def test_a_source_tells_where_it_asks_and_how_long() -> None:
    """Its name holds no query; there is one `timeout` for each document."""
    discovery = source(discovery_url=f"https://idp.example.com/discovery?key={SECRET}")
    assert discovery.name == "https://idp.example.com/discovery"
    assert repr(discovery) == "Source('https://idp.example.com/discovery')"
    assert discovery.deadline == 10
    assert source(jwks_uri=URI).deadline == 5


def test_sources_share_a_key_only_if_nothing_differs() -> None:
    """The name in a store depends on mode, URL, issuer and `fix_local_url`."""
    url = "https://idp.example.com/x"
    differing: list[dict[str, object]] = [
        {"discovery_url": url},
        {"jwks_uri": url},
        {"jwks_uri": url + "/"},
        {"jwks_uri": url, "issuer": url},
        {"jwks_uri": url, "fix_local_url": False},
    ]
    assert len({source(**settings).key for settings in differing}) == len(differing)
    assert source(jwks_uri=url).key == source(jwks_uri=url, timeout=1.0, retries=9).key


@pytest.mark.parametrize(
    "named",
    [
        "https://idp.example.com/",
        "https://IDP.example.com",
        "https://idp.example.com:443",
        "http://idp.example.com",
        "https://idp.example.com.evil.example",
        " https://idp.example.com",
    ],
)
async def test_an_issuer_must_be_the_configured_one_exactly(
    provider: FakeIssuer, named: str
) -> None:
    """Any difference is a mismatch, and no key is asked for."""
    provider.announce(issuer=named)
    configured = source(discovery_url=provider.discovery_url, issuer=ISSUER)
    with pytest.raises(IssuerMismatchError, match=re.escape(f"issuer: expected {ISSUER!r}")):
        await configured.fetch(None)
    assert provider.jwks_requests == 0


@pytest.mark.parametrize("member", ["issuer", "jwks_uri"])
@pytest.mark.parametrize("value", [None, "", 7, ["https://idp.example.com"], {}, True])
async def test_discovery_must_name_issuer_and_keys(
    provider: FakeIssuer, member: str, value: object
) -> None:
    """A discovery document without one of the two members is no good."""
    provider.announce(**{member: value})
    with pytest.raises(FetchError) as caught:
        await source(discovery_url=provider.discovery_url).fetch(None)
    assert caught.value.reason == f"the discovery document names no {member}"
    assert provider.jwks_requests == 0


async def test_blanks_are_no_issuer(provider: FakeIssuer) -> None:
    """They are no more of a name than nothing."""
    provider.announce(issuer=" \t")
    with pytest.raises(FetchError, match="names no issuer"):
        await source(discovery_url=provider.discovery_url).fetch(None)


@pytest.mark.parametrize("body", [b"<html>", b"", b"{}", b"[]", b"null", b"\xff", b'{"issuer":'])
async def test_discovery_must_be_a_json_object(provider: FakeIssuer, body: bytes) -> None:
    """Whatever else answers with 200 is not taken for a discovery document."""
    provider.junk(body, on="discovery")
    told = "names no issuer" if body == b"{}" else "is not a JSON object"
    with pytest.raises(FetchError, match=f"the discovery document {told}"):
        await source(discovery_url=provider.discovery_url).fetch(None)


async def test_any_content_type_will_do(provider: FakeIssuer) -> None:
    """Key sets are served as text/plain, too; whether a body is one is judged elsewhere."""
    provider.junk(b'{"keys": []}', "text/plain", on="jwks")
    document = await source(discovery_url=provider.discovery_url).fetch(None)
    assert document.jwks == b'{"keys": []}'


@pytest.mark.parametrize(
    ("reached", "advertised", "asked"),
    [
        ("http://localhost:8080", "http://keycloak:8080/jwks", "http://localhost:8080/jwks"),
        ("http://localhost:18080", "http://localhost:8080/jwks", "http://localhost:18080/jwks"),
        (
            "http://keycloak:8080",
            "https://sso.example.com/jwks?v=1",
            "http://keycloak:8080/jwks?v=1",
        ),
        ("https://sso.example.com", "http://10.0.0.5:80/jwks", "https://sso.example.com/jwks"),
    ],
)
async def test_local_set_ups_are_repaired(
    key: SigningKey, reached: str, advertised: str, asked: str
) -> None:
    """If one of the hosts is local, the keys are asked for where discovery was reached."""
    issuer, urls = FakeIssuer(keys=[key]), list[str]()
    issuer.announce(jwks_uri=advertised)
    discovery_url = reached + DISCOVERY
    async with client_of(issuer, urls) as client:
        repaired = await source(discovery_url=discovery_url, http_client=client).fetch(None)
    assert urls == [discovery_url, asked]
    assert repaired.uri == asked


@pytest.mark.parametrize(
    ("reached", "advertised", "fix_local_url"),
    [
        ("https://accounts.google.com", "https://www.googleapis.com/oauth2/v3/certs", True),
        ("http://sso.example.com", "http://keys.example.com/jwks", True),
        ("http://localhost:8080", "http://localhost:8080/jwks", True),
        ("https://sso.example.com", "HTTPS://sso.example.com/jwks", True),
        ("http://localhost:8080", "http://keycloak:8080/jwks", False),
        ("HTTPS://sso.example.com", "https://10.0.0.5/jwks", False),
    ],
)
async def test_other_set_ups_are_left_alone(
    key: SigningKey, reached: str, advertised: str, *, fix_local_url: bool
) -> None:
    """Between two public hosts, or with the repair switched off, the advertised URL is asked."""
    issuer, urls = FakeIssuer(keys=[key], jwks_path=httpx.URL(advertised).path), list[str]()
    issuer.announce(jwks_uri=advertised)
    async with client_of(issuer, urls) as client:
        untouched = source(
            discovery_url=reached + DISCOVERY, fix_local_url=fix_local_url, http_client=client
        )
        document = await untouched.fetch(None)
    assert document.uri == advertised
    assert urls[1] == str(httpx.URL(advertised))


@pytest.mark.parametrize("fix_local_url", [True, False])
@pytest.mark.parametrize(
    ("advertised", "fault"),
    [
        ("http://keys.example.com/jwks", "the scheme must be https, as that of the discovery doc"),
        ("https://user:c2VjcmV0@sso.example.com/jwks", "it must not hold credentials"),
        ("https://c2VjcmV0@localhost/jwks", "it must not hold credentials"),
        ("file:///etc/passwd", "the scheme must be https"),
        ("https:///c2VjcmV0", "not a valid URL"),
        ("https://[c2VjcmV0/jwks", "not a valid URL"),
        ("https://sso.example.com/\r\nx", "not a valid URL"),
        ("/jwks", "the scheme must be https"),
        (" ", "the scheme must be https"),
    ],
)
@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
async def test_a_dangerous_jwks_uri_is_refused(
    key: SigningKey, scheme: str, advertised: str, fault: str, *, fix_local_url: bool
) -> None:
    """An https discovery leads to https alone, in either mode, and to no credentials."""
    issuer, urls = FakeIssuer(keys=[key]), list[str]()
    issuer.announce(jwks_uri=advertised)
    async with client_of(issuer, urls) as client:
        secured = source(
            discovery_url=f"{scheme}://sso.example.com{DISCOVERY}",
            fix_local_url=fix_local_url,
            http_client=client,
        )
        with pytest.raises(FetchError) as caught:
            await secured.fetch(None)
    assert f"the advertised jwks_uri can't be used: {fault}" in caught.value.reason
    assert SECRET not in said(caught.value)
    assert len(urls) == 1


async def test_plain_http_discovery_refuses_other_schemes(provider: FakeIssuer) -> None:
    """Without TLS there still is http alone."""
    provider.announce(jwks_uri="ftp://keys.example.com/jwks")
    with pytest.raises(FetchError, match="the scheme must be http or https"):
        await source(discovery_url=provider.discovery_url).fetch(None)


@pytest.mark.parametrize(
    ("fault", "arguments", "reason"),
    [
        ("outage", {"status": 500}, "HTTP status 500"),
        ("outage", {"status": 404}, "HTTP status 404"),
        ("outage", {"status": 429}, "HTTP status 429"),
        ("outage", {"status": 304}, "HTTP status 304"),
        ("outage", {"status": 204}, "HTTP status 204"),
        ("junk", {"body": bytes(5 * 2**20)}, TOO_LARGE),
        ("junk", {"body": b"{}", "encoding": "br"}, "the response has an unknown content encoding"),
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
        (socket.gaierror(SECRET), "the host's name can't be resolved"),
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


@pytest.mark.parametrize("size", [MAX_BODY, MAX_BODY + 1])
@pytest.mark.parametrize("encoding", [None, "gzip"])
async def test_a_body_is_limited(provider: FakeIssuer, size: int, encoding: str | None) -> None:
    """512 KiB are accepted, decompressed, and not one byte more."""
    body = bytes(size) if encoding is None else gzip.compress(bytes(size))
    provider.junk(body, encoding=encoding)
    fetch = source(jwks_uri=provider.jwks_uri).fetch(None)
    if size <= MAX_BODY:
        assert (await fetch).jwks == bytes(size)
    else:
        with pytest.raises(FetchError, match=TOO_LARGE):
            await fetch


async def test_a_body_of_unknown_length_is_limited() -> None:
    """Without a Content-Length the limit is the same, and the rest is left on the wire."""
    async with wire(chunked([bytes(2**16)] * 80)) as served:
        with pytest.raises(FetchError, match=TOO_LARGE):
            await source(jwks_uri=served.url).fetch(None)
        await served.deserted()


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        (" GZip ", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
    ],
)
async def test_a_compressed_body_is_read(
    provider: FakeIssuer, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    """Both of HTTP's zlib encodings are understood, though only gzip is asked for."""
    provider.junk(compress(b'{"keys": []}'), encoding=encoding)
    document = await source(jwks_uri=provider.jwks_uri).fetch(None)
    assert document.jwks == b'{"keys": []}'


def bomb() -> bytes:
    """Return 16 KiB that become 16 MiB."""
    deflate = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return b"".join(deflate.compress(bytes(2**20)) for _ in range(16)) + deflate.flush()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(bomb(), id="zip bomb"),
        pytest.param(gzip.compress(b"{}") + bytes(2**23), id="junk behind the end"),
        pytest.param(b"\x1f\x8b\x08\x08" + b"a" * 2**23, id="endless file name"),
        pytest.param(bytes(2**23), id="plain"),
    ],
)
async def test_memory_stays_bounded(provider: FakeIssuer, body: bytes) -> None:
    """Whatever is sent, a fetch takes no more than a few times the limit."""
    asking = source(jwks_uri=provider.jwks_uri)
    await asking.fetch(None)  # what is imported and made once does not count
    provider.junk(body, encoding="identity" if body[:1] == b"\0" else "gzip")
    tracemalloc.start()
    try:
        with pytest.raises(FetchError, match=TOO_LARGE):
            await asking.fetch(None)
        assert tracemalloc.get_traced_memory()[1] < 8 * MAX_BODY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("mode", ["discovery_url", "jwks_uri"])
@pytest.mark.parametrize("fault", ["hang", "drip"])
async def test_the_deadline_ends_every_fetch(provider: FakeIssuer, mode: str, fault: str) -> None:
    """No answer, or one byte at a time: the fetch ends at the deadline, and not before."""
    getattr(provider, fault)()
    clock = FakeClock()
    asking = source(**{mode: getattr(provider, mode)}, clock=clock)
    fetch = asyncio.ensure_future(asking.fetch(None))
    await provider.arrived()
    clock.advance(asking.deadline - 0.1)
    await asyncio.sleep(0.01)
    assert not fetch.done()
    clock.advance(0.1)
    with pytest.raises(FetchError) as caught:
        await fetch
    assert caught.value.reason == f"no answer within {asking.deadline:g} s"
    said(caught.value)


@pytest.mark.parametrize(("fault", "arguments"), [("hang", ()), ("drip", (0.01,)), ("slow", (9,))])
async def test_the_deadline_holds_on_the_real_clock(
    provider: FakeIssuer, fault: str, arguments: tuple[float, ...]
) -> None:
    """A read timeout of httpx's, which starts anew with every byte, is not enough."""
    getattr(provider, fault)(*arguments)
    began = time.monotonic()
    with pytest.raises(FetchError):
        await source(jwks_uri=provider.jwks_uri, timeout=0.05, retries=3).fetch(None)
    assert 0.04 < time.monotonic() - began < 2


@pytest.mark.parametrize("status", [429, 500, 501, 502, 503, 504, 522, 599])
@pytest.mark.parametrize("pick", [min, max])
async def test_what_may_pass_is_tried_again(
    key: SigningKey, clock: SkippingClock, status: int, pick: Callable[[float, float], float]
) -> None:
    """429 and 5xx: up to `retries` more attempts, after a back-off that doubles, with jitter."""
    issuer = FakeIssuer(keys=[key])
    issuer.outage(status)
    async with client_of(issuer) as client:
        asking = source(
            jwks_uri=issuer.jwks_uri, http_client=client, retries=5, clock=clock, uniform=pick
        )
        with pytest.raises(FetchError, match=f"HTTP status {status}"):
            await asking.fetch(None)
    assert issuer.jwks_requests == 6
    share = pick(0.5, 1.0)
    assert clock.pauses == pytest.approx([share * pause for pause in (0.1, 0.2, 0.4, 0.8, 1.0)])


async def test_the_back_off_is_drawn_at_random(provider: FakeIssuer, clock: SkippingClock) -> None:
    """By default, between half of it and all of it."""
    provider.outage(times=2)
    await source(jwks_uri=provider.jwks_uri, retries=2, clock=clock).fetch(None)
    assert [round(pause, 9) for pause in clock.pauses] != [0.1, 0.2]
    assert 0.05 <= clock.pauses[0] <= 0.1 <= clock.pauses[1] <= 0.2


@pytest.mark.parametrize("status", [204, 302, 304, 400, 401, 403, 404, 410])
async def test_what_will_not_pass_is_not_tried_again(
    key: SigningKey, clock: SkippingClock, status: int
) -> None:
    """Other answers are final."""
    issuer = FakeIssuer(keys=[key])
    issuer.outage(status)
    async with client_of(issuer) as client:
        asking = source(jwks_uri=issuer.jwks_uri, http_client=client, retries=3, clock=clock)
        with pytest.raises(FetchError, match=f"HTTP status {status}"):
            await asking.fetch(None)
    assert (issuer.jwks_requests, clock.pauses) == (1, [])


async def test_each_document_has_its_attempts(provider: FakeIssuer, clock: SkippingClock) -> None:
    """An answer that comes in the end is as good as one that comes at once."""
    provider.outage(times=2, on="discovery")
    provider.refuse(times=1, on="jwks")
    provider.truncate(times=2, on="jwks")
    asking = source(discovery_url=provider.discovery_url, retries=2, clock=clock)
    await asking.fetch(None)
    assert (provider.discovery_requests, provider.jwks_requests) == (3, 3)


async def test_without_retries_there_is_one_attempt(
    provider: FakeIssuer, clock: SkippingClock
) -> None:
    """`retries=0` means it."""
    provider.outage(times=1)
    with pytest.raises(FetchError):
        await source(jwks_uri=provider.jwks_uri, retries=0, clock=clock).fetch(None)
    assert (provider.jwks_requests, clock.pauses) == (1, [])


async def test_attempts_end_with_the_deadline(key: SigningKey, clock: SkippingClock) -> None:
    """A pause that would outlast the deadline is not begun."""
    issuer, began = FakeIssuer(keys=[key]), clock.monotonic()
    issuer.outage()
    async with client_of(issuer) as client:
        asking = source(
            jwks_uri=issuer.jwks_uri, http_client=client, retries=10**6, clock=clock, uniform=max
        )
        with pytest.raises(FetchError, match="HTTP status 503"):
            await asking.fetch(None)
    assert clock.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1, 1])
    assert clock.monotonic() - began < asking.deadline


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("in_seconds", [True, False])
async def test_retry_after_is_obeyed(
    provider: FakeIssuer, clock: SkippingClock, status: int, *, in_seconds: bool
) -> None:
    """In seconds or as a date, it replaces the back-off."""
    date = formatdate(clock.time() + 2, usegmt=True)
    provider.outage(status, retry_after=2 if in_seconds else date, times=1)
    await source(jwks_uri=provider.jwks_uri, retries=3, clock=clock).fetch(None)
    assert clock.pauses == [2]


@pytest.mark.parametrize("value", ["0", "soon", "-1", "Thu, 01 Jan 1970 00:00:00 GMT"])
async def test_a_useless_retry_after_is_ignored(
    provider: FakeIssuer, clock: SkippingClock, value: str
) -> None:
    """Nobody is asked again without a pause."""
    provider.outage(retry_after=value, times=1)
    await source(jwks_uri=provider.jwks_uri, retries=3, clock=clock, uniform=max).fetch(None)
    assert clock.pauses == [0.1]


@pytest.mark.parametrize("status", [429, 503, 404])
async def test_a_long_retry_after_gives_up_at_once(
    provider: FakeIssuer, clock: SkippingClock, status: int
) -> None:
    """Beyond the deadline there is nothing to wait for; the error says when to come back."""
    provider.outage(status, retry_after=5)
    with pytest.raises(FetchError) as caught:
        await source(jwks_uri=provider.jwks_uri, retries=3, clock=clock).fetch(None)
    assert caught.value.retry_after == 5
    assert (provider.jwks_requests, clock.pauses) == (1, [])


@pytest.mark.parametrize(
    ("headers", "body"),
    [({"Content-Encoding": "br"}, b"<html>"), ({}, bytes(MAX_BODY + 1))],
    ids=["unknown encoding", "too large"],
)
async def test_the_body_of_an_error_does_not_matter(
    headers: dict[str, str], body: bytes, clock: SkippingClock
) -> None:
    """An error page that could not be read as a key set still is an outage, with its date."""
    page = httpx.ByteStream(body)
    fault = httpx.Response(503, headers={**headers, "Retry-After": "1"}, stream=page)
    async with answering(fault, httpx.Response(200, json={})) as client:
        asking = source(jwks_uri=URI, http_client=client, retries=1, clock=clock)
        await asking.fetch(None)
    assert clock.pauses == [1]


async def test_a_document_at_hand_is_not_sent_again(provider: FakeIssuer) -> None:
    """Its `ETag` goes with the request for the keys alone; a 304 returns the same document."""
    asking = source(discovery_url=provider.discovery_url)
    held = await asking.fetch(None)
    provider.reset()
    assert await asking.fetch(held) == held
    discovery, jwks = provider.requests
    assert "if-none-match" not in discovery.headers
    assert (jwks.headers["if-none-match"], jwks.status) == (held.etag, 304)


async def test_a_304_has_no_body_to_read() -> None:
    """Whatever it says of one."""
    unchanged = httpx.Response(
        304, headers={"Content-Encoding": "br"}, stream=httpx.ByteStream(b"")
    )
    held = Document(URI, None, b'{"keys": []}', '"1"')
    async with answering(unchanged) as client:
        assert await source(jwks_uri=URI, http_client=client).fetch(held) == held


async def test_a_changed_document_is_sent(provider: FakeIssuer) -> None:
    """Keys that were rotated have another `ETag`."""
    asking = source(jwks_uri=provider.jwks_uri)
    held = await asking.fetch(None)
    provider.rotate()
    document = await asking.fetch(held)
    assert document.etag != held.etag
    assert len(json.loads(document.jwks)["keys"]) == 2


@pytest.mark.parametrize("changes", [{"uri": "https://other.example.com/jwks"}, {"etag": None}])
async def test_only_an_etag_of_the_same_document_is_sent(
    provider: FakeIssuer, changes: dict[str, Any]
) -> None:
    """One from another `jwks_uri` says nothing of this one; without one there is no condition."""
    asking = source(jwks_uri=provider.jwks_uri)
    document = await asking.fetch(None)
    held = dataclasses.replace(document, **changes)
    assert await asking.fetch(held) == document
    assert "if-none-match" not in provider.requests[-1].headers
    provider.outage(304)
    with pytest.raises(FetchError, match="HTTP status 304"):
        await asking.fetch(held)


@pytest.mark.parametrize("etag", ["", "two words", "x" * 513, "\u00e9"])
async def test_an_etag_that_cannot_be_sent_back_is_dropped(etag: str) -> None:
    """Nothing is stored that would make a header unfit."""
    headers = [(b"ETag", etag.encode("latin-1"))]
    async with answering(httpx.Response(200, headers=headers, json={})) as client:
        asking = source(jwks_uri=URI, http_client=client)
        assert (await asking.fetch(None)).etag is None


async def test_the_issuer_is_checked_before_a_304_counts(provider: FakeIssuer) -> None:
    """Unchanged keys of another issuer are refused, or are that issuer's if none is configured."""
    trusting = source(discovery_url=provider.discovery_url)
    strict = source(discovery_url=provider.discovery_url, issuer=provider.issuer)
    held = await strict.fetch(None)
    provider.announce(issuer="https://other.example.com")
    with pytest.raises(IssuerMismatchError):
        await strict.fetch(held)
    document = await trusting.fetch(held)
    assert document == dataclasses.replace(held, issuer="https://other.example.com")
    assert provider.not_modified == 1


@pytest.mark.parametrize(
    ("control", "expected"), [("max-age=120", 120), ("no-cache", None), (None, 60)]
)
async def test_a_304_says_how_long_it_is_fresh(
    provider: FakeIssuer, control: str | None, expected: float | None
) -> None:
    """What it doesn't say stays as it was."""
    provider.cache("max-age=60")
    asking = source(jwks_uri=provider.jwks_uri)
    held = await asking.fetch(None)
    provider.cache(control)
    assert (await asking.fetch(held)).max_age == expected
    assert provider.not_modified == 1


@pytest.mark.parametrize(
    ("control", "age", "expected"),
    [
        ("public, max-age=300", None, 300),
        ("max-age=300", 100, 200),
        ("max-age=300", 500, 0),
        ("no-store, max-age=300", None, None),
        ("junk", 7, None),
        (None, None, None),
    ],
)
async def test_how_long_an_answer_is_fresh(
    provider: FakeIssuer, control: str | None, age: int | None, expected: float | None
) -> None:
    """`max-age` less `Age`, None if the provider doesn't say."""
    provider.cache(control, age)
    assert (await source(jwks_uri=provider.jwks_uri).fetch(None)).max_age == expected


async def test_requests_say_who_asks_and_for_what(provider: FakeIssuer) -> None:
    """JSON, gzip at most, and a name of our own."""
    await source(discovery_url=provider.discovery_url).fetch(None)
    for request in provider.requests:
        assert request.headers["user-agent"] == "auth-jwks"
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
        assert request.headers["user-agent"] == (agent or "auth-jwks")
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


async def test_a_body_that_was_read_already_is_used(provider: FakeIssuer) -> None:
    """Event hooks of a client may read it."""

    async def read(response: httpx.Response) -> None:
        await response.aread()

    provider.junk(gzip.compress(b"{}"), encoding="gzip")
    async with httpx.AsyncClient(event_hooks={"response": [read]}) as client:
        asking = source(jwks_uri=provider.jwks_uri, http_client=client)
        assert (await asking.fetch(None)).jwks == b"{}"


async def test_a_body_in_memory_is_limited_too() -> None:
    """As mock transports have it."""
    full, over = (httpx.Response(200, content=bytes(MAX_BODY + more)) for more in (0, 1))
    async with answering(full, over) as client:
        asking = source(jwks_uri=URI, http_client=client)
        assert len((await asking.fetch(None)).jwks) == MAX_BODY
        with pytest.raises(FetchError, match=TOO_LARGE):
            await asking.fetch(None)


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
        ("junk", {"body": SECRET.encode(), "encoding": SECRET}),
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
    provider: FakeIssuer,
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
    asking = source(jwks_uri=provider.jwks_uri)
    with pytest.raises(FetchError) as caught:
        await asking.fetch(None)
    assert caught.value.reason == f"the {part} of the environment can't be used: {failure}"
    assert SECRET not in said(caught.value)
    monkeypatch.delenv(variable)
    await asking.fetch(None)


@pytest.mark.parametrize(
    "answer",
    [ANSWER, ANSWER.replace(b"200", b"500"), chunked([bytes(MAX_BODY)] * 2), STAMMER],
    ids=["success", "failure", "too large", "deadline"],
)
async def test_no_connection_outlives_a_fetch(answer: bytes) -> None:
    """A client of our own leaves nothing open, whatever came of it."""
    async with wire(answer) as served:
        clock = FakeClock()
        fetch = asyncio.ensure_future(source(jwks_uri=served.url, clock=clock).fetch(None))
        await served.asked.wait()
        if answer == STAMMER:
            clock.advance(5)
        with contextlib.suppress(FetchError):
            await fetch
        await served.deserted()


@pytest.mark.parametrize("answer", [SILENCE, STAMMER], ids=["before the answer", "amid the body"])
async def test_a_cancelled_fetch_stops_at_once(answer: bytes) -> None:
    """The cancellation is passed on, not turned into a failure, and the connection is closed."""
    async with wire(answer) as served:
        fetch = asyncio.ensure_future(source(jwks_uri=served.url, retries=3).fetch(None))
        await served.asked.wait()
        fetch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetch
        await served.deserted()
    assert served.requests == 1


async def test_a_cancellation_by_the_client_is_passed_on(clock: SkippingClock) -> None:
    """It is no failure of the provider's, and not tried again."""

    def answer(_: httpx.Request) -> httpx.Response:
        raise asyncio.CancelledError

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        asking = source(jwks_uri=URI, http_client=client, retries=1, clock=clock)
        with pytest.raises(asyncio.CancelledError):
            await asking.fetch(None)
    assert clock.pauses == []


def test_a_source_outlives_its_event_loop(provider: FakeIssuer) -> None:
    """A second loop can go on where the first one ended."""
    asking = source(discovery_url=provider.discovery_url)
    held = asyncio.run(asking.fetch(None))
    assert asyncio.run(asking.fetch(held)) == held
    assert asyncio.run(asking.fetch(None)) == held


@pytest.mark.parametrize(
    ("settings", "uri", "issuer", "fault"),
    [
        ({"jwks_uri": URI}, URI, None, None),
        ({"jwks_uri": URI}, URI, ISSUER, "it is of another issuer"),
        ({"jwks_uri": URI}, URI + "/", None, "it is from another jwks_uri"),
        ({"jwks_uri": URI, "issuer": ISSUER}, URI, ISSUER, None),
        ({"jwks_uri": URI, "issuer": ISSUER}, URI, ISSUER + "/", "it is of another issuer"),
        ({"jwks_uri": URI, "issuer": ISSUER}, URI, None, "it is of another issuer"),
        ({"discovery_url": ISSUER}, URI, ISSUER, None),
        ({"discovery_url": ISSUER}, URI, "https://other.example.com", None),
        ({"discovery_url": ISSUER}, URI, None, "it names no issuer"),
        ({"discovery_url": ISSUER}, URI, "", "it names no issuer"),
        ({"discovery_url": ISSUER}, URI, " ", "it names no issuer"),
        ({"discovery_url": ISSUER, "issuer": ISSUER}, URI, ISSUER, None),
        ({"discovery_url": ISSUER, "issuer": ISSUER}, URI, "x", "it is of another issuer"),
        ({"discovery_url": ISSUER, "issuer": ISSUER}, URI, None, "it names no issuer"),
        (
            {"discovery_url": ISSUER},
            "http://idp.example.com/jwks",
            ISSUER,
            "the scheme must be https, as that of the discovery document",
        ),
        (
            {"discovery_url": ISSUER},
            "https://u:p@x.example/",
            ISSUER,
            "it must not hold credentials",
        ),
        ({"discovery_url": "http://localhost"}, "http://keycloak:8080/jwks", ISSUER, None),
        (
            {"discovery_url": "http://localhost"},
            "file:///jwks",
            ISSUER,
            "the scheme must be http or https",
        ),
    ],
)
def test_what_a_store_holds_is_checked_like_an_answer(
    settings: dict[str, object], uri: str, issuer: str | None, fault: str | None
) -> None:
    """A document that this source could not have fetched is not its own."""
    assert source(**settings).fault_in(Document(uri, issuer, b"{}")) == fault
