"""The provider's server: connections, TLS, and an end without leftovers."""

import asyncio
import gc
import socket
import ssl
import threading
import time
import warnings

import httpx
import pytest
import trustme

from auth_jwks.testing import FakeIssuer, SigningKey


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Return the authority behind the provider's certificate."""
    return trustme.CA()


@pytest.fixture
def over_tls(es256: SigningKey, authority: trustme.CA) -> FakeIssuer:
    """Return a provider that will serve https."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return FakeIssuer(keys=[es256], ssl_context=context)


@pytest.fixture
def trusting(authority: trustme.CA) -> httpx.AsyncClient:
    """Return a client that trusts that authority, and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return httpx.AsyncClient(verify=context, trust_env=False)


def _port(url: str) -> int:
    return httpx.URL(url).port or 0


def _client_port(answer: httpx.Response) -> int:
    address: tuple[str, int] = answer.extensions["network_stream"].get_extra_info("client_addr")
    return address[1]


async def test_urls_are_those_of_the_server(
    issuer: FakeIssuer, over_http: httpx.AsyncClient
) -> None:
    """Once it serves, every URL and the issuer itself are on a free port of loopback."""
    assert issuer.url == f"http://127.0.0.1:{_port(issuer.url)}"
    assert issuer.issuer == issuer.url
    assert (await over_http.get(issuer.discovery_url)).json()["issuer"] == issuer.url


async def test_two_providers_side_by_side(issuer: FakeIssuer, over_http: httpx.AsyncClient) -> None:
    """Each provider has its own port, keys and record."""
    with FakeIssuer(algorithm="EdDSA") as other:
        answer = await over_http.get(other.jwks_uri)
        assert answer.json() == {"keys": [other.signing_key.jwk()]}
        assert (len(other.requests), len(issuer.requests)) == (1, 0)
        assert other.url != issuer.url


async def test_connections_are_kept_alive(issuer: FakeIssuer, over_http: httpx.AsyncClient) -> None:
    """Several answers, a 304 and an error among them, come over one connection."""
    etag = {"If-None-Match": "*"}
    answers = [await over_http.get(issuer.jwks_uri, headers=etag) for _ in range(2)]
    issuer.outage()
    answers += [await over_http.get(url) for url in (issuer.jwks_uri, issuer.url + "/x")]
    assert [answer.status_code for answer in answers] == [304, 304, 503, 404]
    assert len({_client_port(answer) for answer in answers}) == 1


async def test_the_body_of_a_request_is_no_request(
    issuer: FakeIssuer, over_http: httpx.AsyncClient
) -> None:
    """After a POST the next request on the same connection is understood."""
    refused = await over_http.post(issuer.jwks_uri, content=b"GET / HTTP/1.1\r\n\r\n")
    answer = await over_http.get(issuer.jwks_uri)
    assert (refused.status_code, answer.status_code) == (405, 200)
    assert _client_port(refused) == _client_port(answer)
    assert [request.method for request in issuer.requests] == ["POST", "GET"]


async def test_what_is_no_request_is_turned_away(
    issuer: FakeIssuer, over_http: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    """Methods that mean nothing here are answered with an error, unrecorded and unprinted."""
    assert (await over_http.request("BREW", issuer.jwks_uri)).status_code == 501
    assert issuer.requests == ()
    assert capfd.readouterr() == ("", "")


async def test_answers_over_https(over_tls: FakeIssuer, trusting: httpx.AsyncClient) -> None:
    """With an `ssl_context` the provider serves https, to clients that trust it."""
    with over_tls:
        assert over_tls.url.startswith("https://127.0.0.1:")
        async with trusting:
            answer = await trusting.get(over_tls.jwks_uri)
    assert answer.json() == {"keys": [over_tls.signing_key.jwk()]}


async def test_distrust_and_silence_disturb_nobody(
    over_tls: FakeIssuer, trusting: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    """A client that refuses the certificate, or never greets, leaves the others served."""
    with over_tls, socket.create_connection(("127.0.0.1", _port(over_tls.url))):
        distrusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        async with httpx.AsyncClient(verify=distrusting, trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(over_tls.jwks_uri)
        async with trusting:
            assert (await trusting.get(over_tls.jwks_uri)).status_code == 200
    assert capfd.readouterr() == ("", "")


async def test_nobody_listens_after_the_end(
    issuer: FakeIssuer, over_http: httpx.AsyncClient
) -> None:
    """`close` gives the port back, and may be called again."""
    assert (await over_http.get(issuer.jwks_uri)).status_code == 200
    issuer.close()
    issuer.close()
    with pytest.raises(httpx.ConnectError):
        await over_http.get(issuer.jwks_uri)


def test_a_provider_that_never_served_can_be_closed(issuer: FakeIssuer) -> None:
    """`close` without a server does nothing."""
    issuer.close()


@pytest.mark.parametrize(("fault", "arguments"), [("hang", []), ("slow", [60])])
async def test_the_end_waits_for_nobody(
    fault: str, arguments: list[object], issuer: FakeIssuer, over_http: httpx.AsyncClient
) -> None:
    """A request that waits for its answer is dropped when the server stops."""
    getattr(issuer, fault)(*arguments)
    pending = asyncio.create_task(over_http.get(issuer.jwks_uri, timeout=60))
    await issuer.arrived()
    began = time.monotonic()
    issuer.close()
    assert time.monotonic() - began < 0.5
    with pytest.raises(httpx.RemoteProtocolError):
        await pending


async def test_the_end_comes_amid_a_body(issuer: FakeIssuer, over_http: httpx.AsyncClient) -> None:
    """A body that would drip for minutes breaks off when the server stops."""
    issuer.drip(60)
    async with over_http.stream("GET", issuer.jwks_uri) as answer:
        began = time.monotonic()
        issuer.close()
        assert time.monotonic() - began < 0.5
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()


async def test_held_requests_of_the_transport_end_too(
    issuer: FakeIssuer, over_transport: httpx.AsyncClient
) -> None:
    """`close` drops what the transport holds."""
    issuer.hang()
    pending = asyncio.create_task(over_transport.get(issuer.jwks_uri))
    await issuer.arrived()
    issuer.close()
    with pytest.raises(httpx.ConnectError):
        await pending


async def test_the_end_leaves_nothing_behind(es256: SigningKey) -> None:
    """No thread, no open socket and no warning remains, with clients still connected."""
    before = set(threading.enumerate())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with httpx.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as client:
            with FakeIssuer(keys=[es256]) as issuer:
                idle = socket.create_connection(("127.0.0.1", _port(issuer.url)))
                await client.get(issuer.jwks_uri)
                issuer.hang()
                held = asyncio.create_task(client.get(issuer.jwks_uri))
                await issuer.arrived(2)
            left = set(threading.enumerate()) - before
            await asyncio.wait([held])
            assert idle.recv(1) == b""
            idle.close()
        del issuer
        gc.collect()
    assert isinstance(held.exception(), httpx.RemoteProtocolError)
    assert left == set()
    assert [str(warning.message) for warning in caught] == []


async def test_a_client_that_goes_away_is_no_error(
    issuer: FakeIssuer, over_http: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    """A client that leaves amid a body leaves no trace, and the next one is served."""
    issuer.junk(b" " * 5_000_000)
    with socket.create_connection(("127.0.0.1", _port(issuer.url))) as rude:
        rude.sendall(b"GET /jwks HTTP/1.1\r\n\r\n")
        await issuer.arrived()
    issuer.recover()
    assert (await over_http.get(issuer.jwks_uri)).status_code == 200
    issuer.close()
    assert capfd.readouterr() == ("", "")
