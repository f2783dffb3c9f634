"""The provider, over HTTP: discovery and the JWK Set, within one deadline and strict limits."""

import asyncio
import random
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeGuard

import httpx

from auth_jwks._clock import Clock, within
from auth_jwks._document import Document, store_key
from auth_jwks._headers import entity_tag, max_age, retry_after
from auth_jwks._json import strict_object
from auth_jwks._urls import fault_in, redacted, repaired
from auth_jwks.errors import IssuerMismatchError

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["FetchError", "HTTPClient", "HTTPResponse", "Source"]

USER_AGENT = "auth-jwks"
MAX_BODY = 512 * 1024
FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 1.0


class HTTPResponse(Protocol):
    """The part that is used of `httpx.Response`, or of httpx2's."""

    @property
    def status_code(self) -> int:
        """The status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by name in any case."""
        ...

    @property
    def is_stream_consumed(self) -> bool:
        """Whether the body was read already: by a mock transport, or an event hook."""
        ...

    @property
    def content(self) -> bytes:
        """The body that was read, decompressed."""
        ...

    def aiter_raw(self) -> AsyncIterator[bytes]:
        """Read the body as it comes, still compressed."""
        ...


class HTTPClient(Protocol):
    """The part that is used of `httpx.AsyncClient`, or of httpx2's."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that every request of the client carries."""
        ...

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        timeout: float,
        follow_redirects: bool,
    ) -> AbstractAsyncContextManager[HTTPResponse]:
        """Send a request; the response's body is read within the context."""
        ...


class FetchError(Exception):
    """The provider could not be asked, or its answer not be used; the argument says why."""

    def __init__(
        self, reason: str, *, retry_after: float | None = None, transient: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        self.transient = transient


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Source:
    """Where one key set comes from: a discovery URL, or a `jwks_uri` with or without an issuer."""

    def __init__(
        self,
        *,
        discovery_url: str | None,
        jwks_uri: str | None,
        issuer: str | None,
        fix_local_url: bool,
        timeout: float,
        retries: int,
        http_client: HTTPClient | None,
        clock: Clock,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.url = jwks_uri or discovery_url or ""
        self.name = redacted(self.url)
        self.issuer = issuer
        self.discovers = jwks_uri is None
        self.deadline = timeout * (2 if self.discovers else 1)
        self.key = store_key(
            mode="discovery" if self.discovers else "direct",
            url=self.url, issuer=issuer, fix_local_url=fix_local_url,
        )  # fmt: skip
        self._fix_local_url = fix_local_url
        self._timeout = timeout
        self._retries = retries
        self._client = http_client
        self._clock = clock
        self._uniform = uniform
        self._tls: SSLContext | None = None

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    async def fetch(self, held: Document | None) -> Document:
        """Return what the provider publishes now; `held` spares the transfer if it still does.

        Raises `FetchError` or `IssuerMismatchError`, within `deadline` seconds.
        """
        try:
            return await within(self._clock, self.deadline, self._fetch(held))
        except TimeoutError:
            pass
        raise FetchError(f"no answer within {self.deadline:g} s")

    def fault_in(self, document: Document) -> str | None:
        """Say why a document from a store can't be this source's; None if it can."""
        if self.discovers and not _is_issuer(document.issuer):
            return "it names no issuer"
        if document.issuer != self.issuer and not (self.discovers and self.issuer is None):
            return "it is of another issuer"
        if not self.discovers and document.uri != self.url:
            return "it is from another jwks_uri"
        return self._fault_in_jwks_uri(document.uri)

    async def _fetch(self, held: Document | None) -> Document:
        give_up = self._clock.monotonic() + self.deadline
        if self._client is not None:
            return await self._documents(self._client, held, give_up)
        async with await self._own_client() as client:
            return await self._documents(client, held, give_up)

    async def _own_client(self) -> httpx.AsyncClient:
        """Make a client for one refresh: no socket outlives it, or passes to another loop."""
        try:
            if self._tls is None:
                # Reading the CA certificates takes 50 ms, which are not the event loop's.
                self._tls = await asyncio.to_thread(httpx.create_ssl_context)
            return httpx.AsyncClient(verify=self._tls)
        except (OSError, ValueError, ImportError, httpx.InvalidURL) as fault:
            # The environment: a CA file that can't be read, a proxy that httpx doesn't know.
            failure = type(fault).__name__
        raise FetchError(f"no HTTP client: {failure}")

    async def _documents(
        self, client: HTTPClient, held: Document | None, give_up: float
    ) -> Document:
        issuer, uri = self.issuer, self.url
        if self.discovers:
            issuer, uri = self._discovered(await self._get(client, self.url, None, give_up))
        known = held if held is not None and held.uri == uri else None
        etag = known.etag if known is not None else None
        reply = await self._get(client, uri, etag, give_up)
        headers = reply.headers
        fresh_for = max_age(headers.get("cache-control", ""), headers.get("age", ""))
        if known is not None and reply.status == httpx.codes.NOT_MODIFIED:
            # What a 304 doesn't say stays as it was (RFC 9111 §4.3.4).
            fresh_for = fresh_for if "cache-control" in headers else known.max_age
            return replace(known, issuer=issuer, max_age=fresh_for)
        tag = entity_tag(headers.get("etag", ""))
        return Document(uri, issuer, reply.body, tag, fresh_for)

    def _discovered(self, reply: _Reply) -> tuple[str, str]:
        """Return the issuer and where its keys are (OpenID Discovery §4.3)."""
        document = strict_object(reply.body) or {}
        issuer, uri = document.get("issuer"), document.get("jwks_uri")
        if not _is_issuer(issuer):
            raise FetchError("the discovery document names no issuer")
        if self.issuer is not None and issuer != self.issuer:
            expected, named = redacted(self.issuer), redacted(issuer)[:200]
            message = f"issuer: expected {expected!r}, the discovery document names {named!r}"
            raise IssuerMismatchError(message)
        if not isinstance(uri, str) or not uri:
            raise FetchError("the discovery document names no jwks_uri")
        if self._fix_local_url and fault_in(uri) is None:
            uri = repaired(uri, self.url)
        fault = self._fault_in_jwks_uri(uri)
        if fault is not None:
            raise FetchError(f"the advertised jwks_uri can't be used: {fault}")
        return issuer, uri

    def _fault_in_jwks_uri(self, uri: str) -> str | None:
        if _is_https(self.url) and not _is_https(uri):
            return "the scheme must be https, as that of the discovery document"
        return fault_in(uri)

    async def _get(self, client: HTTPClient, url: str, etag: str | None, give_up: float) -> _Reply:
        """GET with jittered back-off between attempts, as long as one may still help."""
        backoff, left = FIRST_BACKOFF, self._retries
        while True:
            try:
                return await self._attempt(client, url, etag)
            except FetchError as fault:
                pause = fault.retry_after or backoff * self._uniform(0.5, 1.0)
                late = self._clock.monotonic() + pause >= give_up
                if not fault.transient or not left or late:
                    raise
            backoff, left = min(LONGEST_BACKOFF, backoff * 2), left - 1
            await self._clock.sleep(pause)

    async def _attempt(self, client: HTTPClient, url: str, etag: str | None) -> _Reply:
        try:
            return await self._exchange(client, url, etag)
        except FetchError:
            raise
        except Exception as fault:  # noqa: BLE001 - a handed-in client may raise anything
            # Raised below, outside the handler: httpx's exceptions carry the request's headers.
            failure = type(fault).__name__
        raise FetchError(f"the request failed: {failure}", transient=True)

    async def _exchange(self, client: HTTPClient, url: str, etag: str | None) -> _Reply:
        headers = {"accept": "application/json, application/jwk-set+json, */*;q=0.1"}
        headers["accept-encoding"] = "gzip, identity;q=0.5"
        if client.headers.get("user-agent", "python-httpx").startswith("python-httpx"):
            headers["user-agent"] = USER_AGENT
        if etag is not None:
            headers["if-none-match"] = etag
        request = client.stream(
            "GET", url, headers=headers, timeout=self._timeout, follow_redirects=False
        )
        async with request as response:
            status = response.status_code
            if etag is not None and status == httpx.codes.NOT_MODIFIED:
                return _Reply(status, response.headers, b"")
            if status != httpx.codes.OK:
                raise self._refused(status, response.headers)
            return _Reply(status, response.headers, await _body(response))

    def _refused(self, status: int, headers: Mapping[str, str]) -> FetchError:
        wait = retry_after(headers.get("retry-after", ""), self._clock.time())
        transient = status == httpx.codes.TOO_MANY_REQUESTS or httpx.codes.is_server_error(status)
        return FetchError(f"HTTP status {status}", retry_after=wait, transient=transient)


async def _body(response: HTTPResponse) -> bytes:
    """Return the body, decompressed by a decoder that stops at the limit (no zip bombs)."""
    if response.is_stream_consumed:
        _refuse_oversize(len(response.content))
        return response.content
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in {"identity", "gzip", "x-gzip", "deflate"}:
        raise FetchError("the response has an unknown content encoding")
    inflate = None if encoding == "identity" else zlib.decompressobj(zlib.MAX_WBITS | 32)
    sent, body = 0, bytearray()
    async for chunk in response.aiter_raw():
        sent += len(chunk)
        body += chunk if inflate is None else inflate.decompress(chunk, MAX_BODY + 1)
        # What was sent counts too: a decoder may swallow, and keep, bytes without end.
        _refuse_oversize(max(sent, len(body)))
    return bytes(body)


def _refuse_oversize(size: int) -> None:
    if size > MAX_BODY:
        raise FetchError(f"the response is larger than {MAX_BODY} bytes")


def _is_issuer(value: object) -> TypeGuard[str]:
    """Tell whether a provider names itself by more than blanks."""
    return isinstance(value, str) and bool(value.strip())


def _is_https(url: str) -> bool:
    return url.lower().startswith("https:")
