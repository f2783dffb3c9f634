"""Fetches a provider's key set, after its discovery document if need be, within one deadline."""

import random
from codecs import BOM_UTF8
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from math import inf
from typing import TYPE_CHECKING, Final, TypeGuard

from auth_jwks._clock import Clock, within
from auth_jwks._jose.issuer import PLACEHOLDER, IssuerNames
from auth_jwks._jose.jwk import SIGNATURES
from auth_jwks._jose.strict_json import strict_object
from auth_jwks._provider.attempts import Attempts
from auth_jwks._provider.client import (
    HTTP,
    MAX_BODY,
    NOT_FOUND,
    NOT_MODIFIED,
    FetchError,
    HTTPClient,
    Reply,
)
from auth_jwks._provider.document import Document, store_key
from auth_jwks._provider.headers import entity_tag, max_age
from auth_jwks._provider.places import WELL_KNOWN
from auth_jwks._provider.urls import fault_in, is_https, redacted, repaired
from auth_jwks.errors import IssuerMismatchError

if TYPE_CHECKING:
    from auth_jwks._provider.made_client import MadeClient

__all__ = ["Source"]


class _Manner:
    """How one fetch asks: with which headers for any document, and until when."""

    __slots__ = ("ends_at", "headers", "revalidates")

    def __init__(self, headers: dict[str, str], *, revalidates: bool, ends_at: float) -> None:
        self.headers: Final = headers
        self.revalidates: Final = revalidates
        self.ends_at: Final = ends_at


class Source:
    """The source of one key set: a discovery URL, or a `jwks_uri` with or without an issuer.

    A `second_url` is asked for the discovery document where the first answers 404. `deadline` is
    in seconds, `key` is the key in the store, `name` is the URL for logs. Each document is asked
    for within the context `during()`.
    """

    is_fixed = False
    check_interval = inf
    uses = SIGNATURES

    def __init__(
        self,
        *,
        discovery_url: str | None,
        jwks_uri: str | None,
        issuer: IssuerNames,
        fix_local_url: bool,
        timeout: float,
        retries: int,
        http_client: HTTPClient | None,
        clock: Clock,
        second_url: str | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.url = jwks_uri or discovery_url or ""
        self.name = redacted(self.url)
        self.issuer = issuer
        self.discovers = jwks_uri is None
        self.during: Callable[[], AbstractContextManager[object]] = nullcontext
        self.deadline = timeout * (2 if self.discovers else 1)
        self.key = store_key(
            mode="discovery" if self.discovers else "direct",
            url=self.url, issuers=issuer.names, fix_local_url=fix_local_url,
        )  # fmt: skip
        self._second_url = second_url
        self._fix_local_url = fix_local_url
        self._http = HTTP(http_client, timeout=timeout, clock=clock)
        self._made = None if http_client is None else _made_client(http_client)
        self._timeout = timeout
        self._retries = retries
        self._clock = clock
        self._uniform = uniform

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    async def fetch(
        self,
        current: Document | None,
        *,
        past_caches: bool = False,
        revalidate: bool = True,
    ) -> Document:
        """Return what the provider publishes now. If it is still `current`, a 304 is enough.

        `past_caches` asks HTTP caches to ask the provider; without `revalidate` a 304 is not
        enough. Raises `FetchError` or `IssuerMismatchError`, within `deadline` seconds.
        """
        headers = {"cache-control": "no-cache"} if past_caches else {}
        ends_at = self._clock.monotonic() + self.deadline
        manner = _Manner(headers, revalidates=revalidate, ends_at=ends_at)
        try:
            return await within(self._clock, self.deadline, self._fetch(current, manner))
        except TimeoutError:
            pass
        raise FetchError("timeout", f"no answer within {self.deadline:g} s")

    def fault_in(self, document: Document) -> str | None:
        """Return why a document from a store can't be from this source; None if it can."""
        if self.discovers and not _is_issuer(document.issuer):
            return "it names no issuer"
        if not self._is_ours(document.issuer):
            return "it is from another issuer"
        if not self.discovers and document.uri != self.url:
            return "it is from another jwks_uri"
        if len(document.jwks) > MAX_BODY:
            return f"its key set is larger than {MAX_BODY} bytes"
        return self._fault_in_jwks_uri(document.uri)

    async def aclose(self) -> None:
        """Close the client that was made for this event loop; one that was handed in stays open."""
        if self._made is not None:
            await self._made.aclose()

    async def _fetch(self, current: Document | None, manner: _Manner) -> Document:
        async with self._http.client(self.url) as client:
            if not self.discovers:
                first = next(iter(self.issuer.names), None)
                return await self._keys(client, self.url, first, current, manner)
            issuer, uri = await self._discovery(client, manner)
            if is_https(uri) is is_https(self.url):
                return await self._keys(client, uri, issuer, current, manner)
        async with self._http.client(uri) as client:
            return await self._keys(client, uri, issuer, current, manner)

    async def _discovery(self, client: HTTPClient, manner: _Manner) -> tuple[str, str]:
        """Ask where the document should be, and if it is not there at the second place."""
        url, reply = self.url, None
        try:
            reply = await self._get(client, url, manner.headers, manner.ends_at)
        except FetchError as fault:
            if self._second_url is None or fault.status != NOT_FOUND:
                raise
            url = self._second_url
        reply = reply or await self._get(client, url, manner.headers, manner.ends_at)
        return self._discovered(reply, url)

    async def _keys(
        self,
        client: HTTPClient,
        uri: str,
        issuer: str | None,
        current: Document | None,
        manner: _Manner,
    ) -> Document:
        known = current if current is not None and current.uri == uri else None
        sent = manner.headers
        if known is not None and known.etag is not None and manner.revalidates:
            sent = {**sent, "if-none-match": known.etag}
        reply = await self._get(client, uri, sent, manner.ends_at)
        headers = reply.headers
        fresh_for = max_age(headers.get("cache-control", ""), headers.get("age", ""))
        if known is not None and reply.status == NOT_MODIFIED:
            # A header that the 304 lacks keeps its value (RFC 9111 §4.3.4).
            fresh_for = fresh_for if "cache-control" in headers else known.max_age
            return known._replace(issuer=issuer, max_age=fresh_for)
        tag = entity_tag(headers.get("etag", ""))
        return Document(uri, issuer, reply.body, tag, fresh_for)

    def _discovered(self, reply: Reply, url: str) -> tuple[str, str]:
        """Return the issuer and the `jwks_uri` (OpenID Discovery §4.3)."""
        document = strict_object(reply.body.removeprefix(BOM_UTF8))
        if document is None:
            raise self._unusable(url, f"is not a JSON object{self._hint}")
        issuer, uri = document.get("issuer"), document.get("jwks_uri")
        if not _is_issuer(issuer):
            raise self._unusable(url, f"names no issuer{self._hint}")
        if not self._is_ours(issuer):
            raise IssuerMismatchError(_mismatch(self.issuer, issuer))
        if not isinstance(uri, str) or not uri:
            raise self._unusable(url, "names no jwks_uri")
        if self._fix_local_url and fault_in(uri) is None:
            uri = repaired(uri, self.url)
        fault = self._fault_in_jwks_uri(uri)
        if fault is not None:
            raise FetchError("content", f"the advertised jwks_uri can't be used: {fault}")
        return issuer, uri

    def _fault_in_jwks_uri(self, uri: str) -> str | None:
        if is_https(self.url) and not is_https(uri):
            return "the scheme must be https, as in the discovery URL"
        return fault_in(uri)

    def _is_ours(self, issuer: str | None) -> bool:
        """Return whether a document may name that issuer."""
        names = self.issuer.names
        return issuer in names if names else self.discovers or issuer is None

    def _unusable(self, url: str, fault: str) -> FetchError:
        where = f" at {redacted(url)}" if url == self._second_url else ""
        return FetchError("content", f"the discovery document{where} {fault}")

    @property
    def _hint(self) -> str:
        if WELL_KNOWN in self.url:
            return ""
        return "; if discovery_url is the URL of the issuer, pass it as issuer="

    def _document_at(self, url: str, status: int | None) -> str:
        if url == self._second_url:
            where = f"neither at {self.name} nor at" if status == NOT_FOUND else "at"
            return f"discovery document, {where} {redacted(url)}"
        if url != self.url:
            return f"jwks_uri {redacted(url)[:200]}"
        return f"discovery document{self._hint if status == NOT_FOUND else ''}"

    async def _get(
        self, client: HTTPClient, url: str, headers: dict[str, str], ends_at: float
    ) -> Reply:
        attempts = Attempts(self._clock, self._uniform, self._retries, self._timeout, ends_at)
        try:
            with self.during():
                return await attempts.first_reply(lambda: self._http.get(client, url, headers))
        except FetchError as fault:
            failure = fault
        raise failure.at(self._document_at(url, failure.status)) if self.discovers else failure


def _made_client(client: HTTPClient) -> "MadeClient | None":
    """Return the client if it is one to be made; None for one that stays open."""
    from auth_jwks._provider.made_client import MadeClient

    return client if isinstance(client, MadeClient) else None


def _is_issuer(value: object) -> TypeGuard[str]:
    """Return whether the value is a string that is not blank."""
    return isinstance(value, str) and bool(value.strip())


def _mismatch(expected: IssuerNames, named: str) -> str:
    """Return what a discovery document names instead of the issuer, and what to do about it."""
    wanted = " or ".join(repr(redacted(name)) for name in expected.names)
    found = redacted(named)[:200]
    text = f"issuer: expected {wanted}, the discovery document names {found!r}"
    if expected.lacks_slash(named):
        return f"{text}: they differ in the slash at the end; pass issuer= with the provider's"
    if PLACEHOLDER in named:
        return f"{text}: a template for all tenants; pass it as issuer=, with tenants="
    if expected.tenant(named) is not None:
        return f"{text}: one tenant's; pass the discovery_url= of all tenants"
    return text
