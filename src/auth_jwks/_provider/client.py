"""GETs within strict limits, with the user's client or one of our own. It alone imports httpx."""

import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib import import_module
from typing import Final, Protocol, TypeGuard
from urllib.parse import urljoin

import httpx

from auth_jwks._causes import cause_of
from auth_jwks._clock import Clock
from auth_jwks._provider.headers import compressions, retry_after
from auth_jwks._provider.tls import SharedTLS
from auth_jwks._provider.urls import fault_in, is_https, redacted
from auth_jwks._version import __version__
from auth_jwks.events import RefreshFault

__all__ = [
    "HTTP",
    "MAX_BODY",
    "NOT_FOUND",
    "NOT_MODIFIED",
    "ClientMaker",
    "ClosableClient",
    "FetchError",
    "HTTPClient",
    "HTTPResponse",
    "Reply",
    "is_client",
]

ACCEPT = "application/json, application/jwk-set+json, */*;q=0.1"
MAX_BODY = 512 * 1024
MAX_SHOWN_CODINGS = 4
MAX_SHOWN_URL = 200  # characters
NOT_FOUND = httpx.codes.NOT_FOUND
NOT_MODIFIED = httpx.codes.NOT_MODIFIED
USER_AGENT = f"auth-jwks/{__version__}"


class HTTPResponse(Protocol):
    """The part of `httpx.Response` that is used; httpx2's fits too."""

    @property
    def status_code(self) -> int:
        """The status code."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; the names are case-insensitive."""
        ...

    @property
    def is_stream_consumed(self) -> bool:
        """Whether the body was read already, as by a mock transport or an event hook."""
        ...

    @property
    def content(self) -> bytes:
        """The body if it was read, decompressed."""
        ...

    def aiter_raw(self) -> AsyncIterator[bytes]:
        """Read the body in chunks, still compressed."""
        ...


class HTTPClient(Protocol):
    """The part of `httpx.AsyncClient` that is used; httpx2's fits too."""

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
        """Send a request. The body of the response is read within the context."""
        ...


class ClosableClient(HTTPClient, Protocol):
    """A client that can be closed, as `httpx.AsyncClient`."""

    async def aclose(self) -> None:
        """Close its connections."""
        ...


ClientMaker = Callable[[], ClosableClient]


def is_client(value: object) -> TypeGuard[ClosableClient]:
    """Return whether the value is a client, and not one for threads, nor a class of clients."""
    methods = (getattr(value, name, None) for name in ("stream", "aclose"))
    return not isinstance(value, type) and all(map(callable, methods))


class FetchError(Exception):
    """A document could not be fetched, or could not be used.

    `status` is the status of an error answer. `transient`: a retry may help.
    """

    def __init__(
        self,
        kind: RefreshFault,
        reason: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        transient: bool = False,
    ) -> None:
        super().__init__(reason)
        self.kind: RefreshFault = kind
        self.status = status
        self.retry_after = retry_after
        self.transient = transient

    @property
    def reason(self) -> str:
        """The reason, for people; it may be reworded."""
        return str(self)

    def at(self, document: str) -> "FetchError":
        """Return the same error with the name of the document in its reason."""
        return FetchError(
            self.kind, f"{self.reason} ({document})",
            status=self.status, retry_after=self.retry_after, transient=self.transient,
        )  # fmt: skip


class Reply:
    """An answer: 200 with a body, or 304 without."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status: Final = status
        self.headers: Final = headers
        self.body: Final = body


class HTTP:
    """Makes single attempts, with the user's client or with a new one of our own for each use."""

    def __init__(self, client: HTTPClient | None, *, timeout: float, clock: Clock) -> None:
        self._client = client
        self._timeout = timeout
        self._clock = clock

    @asynccontextmanager
    async def client(self, url: str) -> AsyncIterator[HTTPClient]:
        """Yield a client for one use: none of our sockets outlives it, or moves to another loop.

        It is for URLs with the scheme of this one. Raises `FetchError`.
        """
        if self._client is not None:
            yield self._client
            return
        async with await self._own_client(secure=is_https(url)) as client:
            yield client

    async def _own_client(self, *, secure: bool) -> httpx.AsyncClient:
        part = "CA certificates (SSL_CERT_FILE, SSL_CERT_DIR)"
        try:
            context = await _TLS.context(_load_backend) if secure else _trusting_nobody()
            part = "proxy"
            return httpx.AsyncClient(verify=context)
        except (OSError, ValueError, ImportError, httpx.InvalidURL) as fault:
            failure = type(fault).__name__
        raise FetchError("environment", f"the {part} from the environment can't be used: {failure}")

    async def get(
        self, client: HTTPClient, url: str, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """GET once. Raises `FetchError` for all but 200, and 304 if `headers` ask for it.

        Neither the error nor its context holds anything of the request.
        """
        try:
            return await self._exchange(client, url, headers or {})
        except FetchError:
            raise
        except Exception as fault:  # noqa: BLE001 - the user's client may raise anything
            # Raised below, outside the handler: httpx's exceptions carry the request's headers.
            failure = _description(fault)
        raise FetchError("connection", f"the request failed: {failure}", transient=True)

    async def _exchange(self, client: HTTPClient, url: str, headers: Mapping[str, str]) -> Reply:
        sent = {"accept": ACCEPT, "accept-encoding": "gzip, identity;q=0.5", **headers}
        if client.headers.get("user-agent", "python-httpx").startswith("python-httpx"):
            sent["user-agent"] = USER_AGENT
        request = client.stream(
            "GET", url, headers=sent, timeout=self._timeout, follow_redirects=False
        )
        async with request as response:
            status = response.status_code
            if "if-none-match" in sent and status == NOT_MODIFIED:
                return Reply(status, response.headers, b"")
            if status != httpx.codes.OK:
                raise self._status_error(status, response.headers, url)
            return Reply(status, response.headers, await _body(response))

    def _status_error(self, status: int, headers: Mapping[str, str], url: str) -> FetchError:
        wait = retry_after(headers.get("retry-after", ""), self._clock.time())
        transient = status == httpx.codes.TOO_MANY_REQUESTS or httpx.codes.is_server_error(status)
        reason = f"HTTP status {status}"
        if httpx.codes.is_redirect(status) and status != NOT_MODIFIED:
            reason += f": redirects are not followed{_destination(headers, url)}"
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            reason += ": if it wants credentials, pass a client that has them as http_client="
        return FetchError("status", reason, status=status, retry_after=wait, transient=transient)


def _destination(headers: Mapping[str, str], url: str) -> str:
    """Return where a redirect leads, without what may be secret; nothing if that is nowhere."""
    location = headers.get("location", "")
    try:
        target = redacted(urljoin(url, location))
    except ValueError:
        return ""
    if not location or fault_in(target) is not None:
        return ""
    return f", this one leads to {target[:MAX_SHOWN_URL]}"


_TLS = SharedTLS(httpx.create_ssl_context)


def _trusting_nobody() -> ssl.SSLContext:
    """Return a context for plain http, which is quick to make. With it no https request succeeds.

    It checks certificates, and knows no authority that may have issued one.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _load_backend() -> None:
    """Let httpx load what its first connection needs, which takes as long as to make a context."""
    with suppress(Exception):  # its own affair, which comes again at that connection
        httpx.AsyncHTTPTransport(verify=_trusting_nobody())
        import_module("anyio").get_cancelled_exc_class()


def _description(fault: Exception) -> str:
    """Return the fault's class, and its cause in fixed words if it is a common one."""
    name, cause = type(fault).__name__, cause_of(fault)
    return name if cause is None else f"{name} ({cause})"


async def _body(response: HTTPResponse) -> bytes:
    """Return the body, decompressed. The decoder stops at the limit (no zip bombs)."""
    if response.is_stream_consumed:
        _raise_if_too_large(len(response.content))
        return response.content
    inflate = _decompressor(response.headers.get("content-encoding", ""))
    sent, body = 0, bytearray()
    async for chunk in response.aiter_raw():
        sent += len(chunk)
        body += chunk if inflate is None else inflate.decompress(chunk, MAX_BODY + 1)
        # The bytes sent count too: a decoder may buffer any number of them.
        _raise_if_too_large(max(sent, len(body)))
    return bytes(body)


def _decompressor(content_encoding: str) -> "zlib._Decompress | None":
    names = compressions(content_encoding)
    if not names:
        return None
    if names in (["gzip"], ["deflate"]):
        return zlib.decompressobj(zlib.MAX_WBITS | 32)
    shown = ", ".join(names[:MAX_SHOWN_CODINGS])
    raise FetchError("content", f"the response is compressed by {shown}, which is not understood")


def _raise_if_too_large(size: int) -> None:
    if size > MAX_BODY:
        raise FetchError("content", f"the response is larger than {MAX_BODY} bytes")
