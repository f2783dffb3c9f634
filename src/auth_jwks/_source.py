"""The provider, over HTTP: discovery and the JWK Set, within one deadline and strict limits."""

import random
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from itertools import count
from ssl import SSLContext
from typing import Any, Protocol

import httpx

from auth_jwks._clock import Clock, within
from auth_jwks._document import Document, store_key
from auth_jwks._headers import entity_tag, max_age, retry_after
from auth_jwks._json import strict_object
from auth_jwks._urls import fault_in, redacted, repaired
from auth_jwks.errors import IssuerMismatchError

__all__ = ["FetchError", "HTTPClient", "Source"]

USER_AGENT = "auth-jwks"
MAX_BODY = 512 * 1024
FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 1.0
TRANSIENT = frozenset((429, 500, 502, 503, 504))


class HTTPClient(Protocol):
    """The part that is used of `httpx.AsyncClient`, or of httpx2's: hence the loose types."""

    @property
    def headers(self) -> Any:  # noqa: ANN401
        """The headers that every request of the client carries."""
        ...

    def stream(self, *args: Any, **kwargs: Any) -> AbstractAsyncContextManager[Any]:  # noqa: ANN401
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
        issuer = self.issuer or document.issuer if self.discovers else self.issuer
        if document.issuer != issuer or issuer == "":
            return "it is of another issuer"
        if not self.discovers and document.uri != self.url:
            return "it is from another jwks_uri"
        return self._fault_in_jwks_uri(document.uri)

    async def _fetch(self, held: Document | None) -> Document:
        give_up = self._clock.monotonic() + self.deadline
        if self._client is not None:
            return await self._documents(self._client, held, give_up)
        try:
            async with self._own_client() as client:
                return await self._documents(client, held, give_up)
        except OSError as fault:
            # Without a CA bundle there is no client: SSL_CERT_FILE names a file that can't be read.
            failure = type(fault).__name__
        raise FetchError(f"no HTTP client: {failure}")

    def _own_client(self) -> httpx.AsyncClient:
        """Make a client for one refresh: no socket outlives it, or passes to another loop."""
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
        return httpx.AsyncClient(verify=self._tls)

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
            return replace(known, issuer=issuer, max_age=fresh_for)
        tag = entity_tag(headers.get("etag", ""))
        return Document(uri, issuer, reply.body, tag, fresh_for)

    def _discovered(self, reply: _Reply) -> tuple[str, str]:
        """Return the issuer and where its keys are (OpenID Discovery §4.3)."""
        document = strict_object(reply.body) or {}
        issuer, uri = document.get("issuer"), document.get("jwks_uri")
        if not isinstance(issuer, str) or not issuer:
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
        if self.url.startswith("https:") and not uri.startswith("https:"):
            return "the scheme must be https, as that of the discovery document"
        return fault_in(uri)

    async def _get(
        self, client: HTTPClient, url: str, etag: str | None, give_up: float
    ) -> _Reply:
        """GET with jittered back-off between attempts, as long as one may still help."""
        for attempt in count():
            try:
                return await self._attempt(client, url, etag)
            except FetchError as fault:
                backoff = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2**attempt)
                pause = fault.retry_after or backoff * self._uniform(0.5, 1.0)
                late = self._clock.monotonic() + pause >= give_up
                if not fault.transient or attempt >= self._retries or late:
                    raise
            await self._clock.sleep(pause)
        raise AssertionError("unreachable")

    async def _attempt(self, client: HTTPClient, url: str, etag: str | None) -> _Reply:
        try:
            reply = await self._exchange(client, url, etag)
        except FetchError:
            raise
        except Exception as fault:  # noqa: BLE001 - a handed-in client may raise anything
            # Raised below, outside the handler: httpx's exceptions carry the request's headers.
            failure = type(fault).__name__
        else:
            return self._accepted(reply, conditional=etag is not None)
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
            return _Reply(response.status_code, response.headers, await _body(response))

    def _accepted(self, reply: _Reply, *, conditional: bool) -> _Reply:
        if reply.status == httpx.codes.OK or (
            conditional and reply.status == httpx.codes.NOT_MODIFIED
        ):
            return reply
        wait = retry_after(reply.headers.get("retry-after", ""), self._clock.time())
        transient = reply.status in TRANSIENT
        raise FetchError(f"HTTP status {reply.status}", retry_after=wait, transient=transient)


async def _body(response: Any) -> bytes:  # noqa: ANN401 - httpx.Response or httpx2's
    """Return the body, decompressed by a decoder that stops at the limit (no zip bombs)."""
    if response.is_stream_consumed:  # a mock transport's, already in memory
        return _bounded(response.content)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip", "deflate"}:
        raise FetchError("the response has an unknown content encoding")
    inflate = None if encoding == "identity" else zlib.decompressobj(zlib.MAX_WBITS | 32)
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk if inflate is None else inflate.decompress(chunk, MAX_BODY + 1)
        _bounded(body)
    return body


def _bounded(body: bytes) -> bytes:
    if len(body) > MAX_BODY:
        raise FetchError(f"the response is larger than {MAX_BODY} bytes")
    return body
