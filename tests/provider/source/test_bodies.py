"""How much of a body is read, and in which encodings."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import httpx
import pytest

from auth_jwks._provider.client import MAX_BODY, FetchError
from auth_jwks.testing import FakeIssuer
from tests.provider.source.asking import TOO_LARGE, URI, answering, source
from tests.provider.source.wire import chunked, wire


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
        ("", bytes),
        (" ", bytes),
        (",", bytes),
        ("utf-8", bytes),
        ("none", bytes),
        ("aws-chunked", bytes),
        ("x" * 9000, bytes),
        ("aws-chunked,gzip", gzip.compress),
        ("gzip, aws-chunked", gzip.compress),
        ("identity, X-GZip, ", gzip.compress),
    ],
)
async def test_a_compressed_body_is_read(
    provider: FakeIssuer, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    """Both of HTTP's zlib encodings are understood, though only gzip is asked for.

    A name that is not registered stands for none: object stores keep that of an upload.
    """
    provider.junk(compress(b'{"keys": []}'), encoding=encoding)
    document = await source(jwks_uri=provider.jwks_uri).fetch(None)
    assert document.jwks == b'{"keys": []}'


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("br", "br"),
        ("ZSTD", "zstd"),
        ("compress", "compress"),
        ("x-compress", "compress"),
        ("dcb", "dcb"),
        ("dcz", "dcz"),
        ("aws-chunked, br", "br"),
        ("gzip, br", "gzip, br"),
        ("br, c2VjcmV0", "br"),
        (", ".join(["gzip"] * 999), "gzip, gzip, gzip, gzip"),
    ],
)
async def test_another_compression_is_named(provider: FakeIssuer, encoding: str, told: str) -> None:
    """It is one that exists, so no text of the provider's is repeated."""
    provider.junk(b"{}", encoding=encoding)
    with pytest.raises(FetchError) as caught:
        await source(jwks_uri=provider.jwks_uri).fetch(None)
    assert caught.value.reason == f"the response is compressed by {told}, which is not understood"
    assert not caught.value.transient


@pytest.mark.parametrize("encoding", ["aws-chunked", "", "aws-chunked, gzip"])
async def test_a_body_of_any_encoding_is_limited(provider: FakeIssuer, encoding: str) -> None:
    """As one without a name for it."""
    body = bytes(MAX_BODY + 1)
    provider.junk(gzip.compress(body) if "gzip" in encoding else body, encoding=encoding)
    with pytest.raises(FetchError, match=TOO_LARGE):
        await source(jwks_uri=provider.jwks_uri).fetch(None)


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
