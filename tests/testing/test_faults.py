"""What a provider may suffer: each fault over real HTTP and through the transport."""

import asyncio
import gzip

import httpx
import pytest

from auth_jwks.testing import FakeClock, FakeIssuer


async def _statuses(client: httpx.AsyncClient, *urls: str) -> list[int]:
    return [(await client.get(url)).status_code for url in urls]


async def _read_into(received: bytearray, answer: httpx.Response) -> None:
    async for chunk in answer.aiter_raw():
        received += chunk


async def test_outage(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """An outage answers with an error and nothing else, on both documents, until `recover`."""
    issuer.outage()
    for url in (issuer.discovery_url, issuer.jwks_uri, issuer.jwks_uri):
        answer = await client.get(url)
        assert (answer.status_code, answer.content) == (503, b"")
        assert "retry-after" not in answer.headers
    issuer.recover()
    assert await _statuses(client, issuer.discovery_url, issuer.jwks_uri) == [200, 200]
    assert [request.status for request in issuer.requests] == [503, 503, 503, 200, 200]


@pytest.mark.parametrize("retry_after", [120, "Fri, 31 Dec 1999 23:59:59 GMT"])
async def test_outage_with_retry_after(
    retry_after: int | str, issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """Status and `Retry-After`, in seconds or as a date, can be chosen."""
    issuer.outage(429, retry_after)
    answer = await client.get(issuer.jwks_uri)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, str(retry_after))


async def test_fault_on_one_document(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """A fault with `on` leaves the other document alone."""
    issuer.outage(500, on="jwks")
    assert await _statuses(client, issuer.discovery_url, issuer.jwks_uri) == [200, 500]
    issuer.recover()
    issuer.outage(500, on="discovery")
    assert await _statuses(client, issuer.discovery_url, issuer.jwks_uri) == [500, 200]


async def test_fault_that_lifts_by_itself(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """A fault with `times` ends after that many requests for its document."""
    issuer.outage(times=2, on="jwks")
    urls = (issuer.jwks_uri, issuer.discovery_url, issuer.jwks_uri, issuer.jwks_uri)
    assert await _statuses(client, *urls) == [503, 200, 503, 200]


async def test_concurrent_requests_share_the_times(
    issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """Of many requests at once, exactly `times` meet the fault, and every one is recorded."""
    issuer.outage(times=7)
    statuses = await asyncio.gather(*(_statuses(client, issuer.jwks_uri) for _ in range(30)))
    assert sorted(statuses) == [[200]] * 23 + [[503]] * 7
    assert issuer.jwks_requests == 30


def test_scope_is_checked(issuer: FakeIssuer) -> None:
    """A misspelt document or argument is refused: the fault would never show."""
    with pytest.raises(ValueError, match="on: expected 'discovery' or 'jwks', got 'keys'"):
        issuer.outage(on="keys")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="time"):
        issuer.outage(time=1)  # type: ignore[call-arg]


async def test_refused_over_http(issuer: FakeIssuer, over_http: httpx.AsyncClient) -> None:
    """A refused request is recorded, and its connection ends without an answer."""
    issuer.refuse(times=1)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        await over_http.get(issuer.jwks_uri)
    assert await _statuses(over_http, issuer.jwks_uri) == [200]
    assert [request.status for request in issuer.requests] == [None, 200]


async def test_refused_by_transport(issuer: FakeIssuer, over_transport: httpx.AsyncClient) -> None:
    """The transport raises what httpx raises where nobody listens."""
    issuer.refuse(times=1)
    with pytest.raises(httpx.ConnectError):
        await over_transport.get(issuer.jwks_uri)
    assert await _statuses(over_transport, issuer.jwks_uri) == [200]
    assert [request.status for request in issuer.requests] == [None, 200]


async def test_held_request_is_answered_once_released(
    issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """A held request brings, late, the answer that was due when it came."""
    issuer.hang(on="jwks")
    held = asyncio.create_task(client.get(issuer.jwks_uri))
    await issuer.arrived()
    assert issuer.jwks_requests == 1
    issuer.recover()
    issuer.rotate()
    fresh = await client.get(issuer.jwks_uri)
    assert len(fresh.json()["keys"]) == 2
    assert not held.done()
    issuer.release()
    assert len((await held).json()["keys"]) == 1


async def test_release_does_not_end_the_fault(
    issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """Requests that come after `release` are held as well."""
    issuer.hang()
    for count in (1, 2):
        held = asyncio.create_task(client.get(issuer.jwks_uri))
        await issuer.arrived(count)
        assert not held.done()
        issuer.release()
        assert (await held).status_code == 200


async def test_cancelled_client_holds_up_nobody(
    issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """Of two held requests one may be given up; the other is answered."""
    issuer.hang()
    given_up, held = (asyncio.create_task(client.get(issuer.jwks_uri)) for _ in range(2))
    await issuer.arrived(2)
    given_up.cancel()
    await asyncio.wait([given_up])
    issuer.release()
    assert (await held).status_code == 200
    assert given_up.cancelled()


async def test_faults_add_up(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """A request that meets an outage and is held gets its 503 when it is released."""
    issuer.outage()
    issuer.hang()
    held = asyncio.create_task(client.get(issuer.jwks_uri))
    await issuer.arrived()
    issuer.recover()
    issuer.release()
    assert (await held).status_code == 503


@pytest.mark.parametrize(
    ("fault", "arguments"), [("redirect", ["/"]), ("junk", [b""]), ("outage", [])]
)
async def test_faults_keep_the_headers_of_the_provider(fault: str, arguments: list[object]) -> None:
    """Constructor headers are on faulty answers too, the caching headers of the key set are not."""
    issuer = FakeIssuer(keys=[], algorithm="ES256", headers={"Server": "example"})
    issuer.cache("max-age=60")
    getattr(issuer, fault)(*arguments)
    async with httpx.AsyncClient(transport=issuer.transport()) as client:
        headers = (await client.get(issuer.jwks_uri)).headers
    assert headers["server"] == "example"
    assert not {"cache-control", "etag"} & set(headers)


async def test_redirect(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """A redirect names its target; the status can be chosen."""
    issuer.redirect("https://evil.example/jwks", times=1)
    issuer.redirect("/elsewhere", 307, on="discovery")
    first = await client.get(issuer.jwks_uri)
    assert (first.status_code, first.headers["location"]) == (302, "https://evil.example/jwks")
    second = await client.get(issuer.discovery_url)
    assert (second.status_code, second.headers["location"]) == (307, "/elsewhere")


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"", b"\xff" * 5_000_000])
async def test_junk(body: bytes, issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """Any bytes can be the answer."""
    issuer.junk(body)
    answer = await client.get(issuer.jwks_uri)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")
    assert answer.content == body


async def test_junk_may_be_compressed(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """A body under `encoding` is sent as it is, so that a small one can unpack to a large one."""
    bomb = gzip.compress(b" " * 1_000_000)
    issuer.junk(bomb, "application/json", "gzip")
    async with client.stream("GET", issuer.jwks_uri) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert b"".join([chunk async for chunk in answer.aiter_raw()]) == bomb
    unpacked = await client.get(issuer.jwks_uri)
    assert len(unpacked.content) == 1_000_000


async def test_large_answers_come_in_pieces(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """A client may stop reading a large body after its first piece."""
    issuer.junk(b" " * 5_000_000)
    async with client.stream("GET", issuer.jwks_uri) as answer:
        piece = await anext(answer.aiter_raw())
    assert 0 < len(piece) <= 65_536
    issuer.recover()
    assert await _statuses(client, issuer.jwks_uri) == [200]


async def test_truncated(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """The connection ends after half of the body that was promised."""
    issuer.junk(b"0123456789")
    issuer.truncate(times=1)
    received = bytearray()
    async with client.stream("GET", issuer.jwks_uri) as answer:
        assert answer.headers["content-length"] == "10"
        with pytest.raises(httpx.RemoteProtocolError):
            await _read_into(received, answer)
    assert received == b"01234"
    assert (await client.get(issuer.jwks_uri)).content == b"0123456789"


async def test_slow_over_http(issuer: FakeIssuer, over_http: httpx.AsyncClient) -> None:
    """The server waits real seconds before it answers."""
    issuer.slow(0.05)
    answer = await over_http.get(issuer.jwks_uri)
    assert answer.elapsed.total_seconds() >= 0.05
    assert answer.status_code == 200


async def test_slow_by_transport(
    issuer: FakeIssuer, over_transport: httpx.AsyncClient, clock: FakeClock
) -> None:
    """The transport sleeps on the injected clock before it answers."""
    issuer.slow(5)
    slow = asyncio.create_task(over_transport.get(issuer.jwks_uri))
    await clock.until_sleeping()
    clock.advance(4.9)
    await asyncio.sleep(0)
    assert not slow.done()
    clock.advance(0.1)
    assert (await slow).status_code == 200


async def test_drip_over_http(issuer: FakeIssuer, over_http: httpx.AsyncClient) -> None:
    """The server sends one byte after the other, each after its wait."""
    issuer.junk(b"0123456789")
    issuer.drip(0.005)
    answer = await over_http.get(issuer.jwks_uri)
    assert answer.elapsed.total_seconds() >= 0.05
    assert answer.content == b"0123456789"


async def test_drip_by_transport(
    issuer: FakeIssuer, over_transport: httpx.AsyncClient, clock: FakeClock
) -> None:
    """The transport yields a byte a second, by the injected clock."""
    issuer.junk(b"0123")
    issuer.drip()
    received: list[bytes] = []

    async def read() -> None:
        async with over_transport.stream("GET", issuer.jwks_uri) as answer:
            received.extend([chunk async for chunk in answer.aiter_raw()])

    reading = asyncio.create_task(read())
    for _ in range(4):
        await clock.until_sleeping()
        assert not reading.done()
        clock.advance(1)
        await asyncio.sleep(0)
    await reading
    assert received == [b"0", b"1", b"2", b"3"]


async def test_waiting_for_arrivals(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """`arrived` returns as soon as so many requests have come, for each who waits."""
    issuer.hang()
    for_one, for_three = (asyncio.create_task(issuer.arrived(count)) for count in (1, 3))
    calls = [asyncio.create_task(client.get(issuer.jwks_uri))]
    await for_one
    await issuer.arrived(1)
    assert not for_three.done()
    calls += [asyncio.create_task(client.get(issuer.jwks_uri)) for _ in range(2)]
    await for_three
    assert len(issuer.requests) == 3
    issuer.release()
    await asyncio.gather(*calls)


async def test_waiting_in_vain_for_arrivals(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """Requests that never come fail the test, which says how many came; later ones do no harm."""
    with pytest.raises(TimeoutError, match="0 of 1 requests"):
        await issuer.arrived(within=0.01)
    assert await _statuses(client, issuer.jwks_uri) == [200]
    issuer.reset()
    with pytest.raises(TimeoutError, match="0 of 1 requests"):
        await issuer.arrived(within=0.01)
