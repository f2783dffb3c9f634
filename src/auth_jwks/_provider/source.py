"""Fetches a provider's key set, after its discovery document if need be, within one deadline."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import TypeGuard

from auth_jwks._clock import Clock, within
from auth_jwks._jose.strict_json import strict_object
from auth_jwks._provider.client import HTTP, NOT_MODIFIED, FetchError, HTTPClient, Reply
from auth_jwks._provider.document import Document, store_key
from auth_jwks._provider.headers import entity_tag, max_age
from auth_jwks._provider.urls import fault_in, redacted, repaired
from auth_jwks.errors import IssuerMismatchError

__all__ = ["Source"]

FIRST_BACKOFF = 0.1
MAX_BACKOFF = 1.0


class Source:
    """The source of one key set: a discovery URL, or a `jwks_uri` with or without an issuer.

    `deadline` is in seconds, `key` is the key in the store, `name` is the URL for logs.
    """

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
        self._http = HTTP(http_client, timeout=timeout, clock=clock)
        self._retries = retries
        self._clock = clock
        self._uniform = uniform

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    async def fetch(self, current: Document | None) -> Document:
        """Return what the provider publishes now. If it is still `current`, a 304 is enough.

        Raises `FetchError` or `IssuerMismatchError`, within `deadline` seconds.
        """
        try:
            return await within(self._clock, self.deadline, self._fetch(current))
        except TimeoutError:
            pass
        raise FetchError("timeout", f"no answer within {self.deadline:g} s")

    def fault_in(self, document: Document) -> str | None:
        """Return why a document from a store can't be from this source; None if it can."""
        if self.discovers and not _is_issuer(document.issuer):
            return "it names no issuer"
        if document.issuer != self.issuer and not (self.discovers and self.issuer is None):
            return "it is from another issuer"
        if not self.discovers and document.uri != self.url:
            return "it is from another jwks_uri"
        return self._fault_in_jwks_uri(document.uri)

    async def _fetch(self, current: Document | None) -> Document:
        ends_at = self._clock.monotonic() + self.deadline
        async with self._http.client() as client:
            return await self._documents(client, current, ends_at)

    async def _documents(
        self, client: HTTPClient, current: Document | None, ends_at: float
    ) -> Document:
        issuer, uri = self.issuer, self.url
        if self.discovers:
            issuer, uri = self._discovered(await self._get(client, self.url, None, ends_at))
        known = current if current is not None and current.uri == uri else None
        etag = known.etag if known is not None else None
        reply = await self._get(client, uri, etag, ends_at)
        headers = reply.headers
        fresh_for = max_age(headers.get("cache-control", ""), headers.get("age", ""))
        if known is not None and reply.status == NOT_MODIFIED:
            # A header that the 304 lacks keeps its value (RFC 9111 §4.3.4).
            fresh_for = fresh_for if "cache-control" in headers else known.max_age
            return replace(known, issuer=issuer, max_age=fresh_for)
        tag = entity_tag(headers.get("etag", ""))
        return Document(uri, issuer, reply.body, tag, fresh_for)

    def _discovered(self, reply: Reply) -> tuple[str, str]:
        """Return the issuer and the `jwks_uri` (OpenID Discovery §4.3)."""
        document = strict_object(reply.body)
        if document is None:
            raise FetchError("content", "the discovery document is not a JSON object")
        issuer, uri = document.get("issuer"), document.get("jwks_uri")
        if not _is_issuer(issuer):
            raise FetchError("content", "the discovery document names no issuer")
        if self.issuer is not None and issuer != self.issuer:
            expected, named = redacted(self.issuer), redacted(issuer)[:200]
            message = f"issuer: expected {expected!r}, the discovery document names {named!r}"
            raise IssuerMismatchError(message)
        if not isinstance(uri, str) or not uri:
            raise FetchError("content", "the discovery document names no jwks_uri")
        if self._fix_local_url and fault_in(uri) is None:
            uri = repaired(uri, self.url)
        fault = self._fault_in_jwks_uri(uri)
        if fault is not None:
            raise FetchError("content", f"the advertised jwks_uri can't be used: {fault}")
        return issuer, uri

    def _fault_in_jwks_uri(self, uri: str) -> str | None:
        if _is_https(self.url) and not _is_https(uri):
            return "the scheme must be https, as in the discovery URL"
        return fault_in(uri)

    def _document_at(self, url: str) -> str:
        return "discovery document" if url == self.url else f"jwks_uri {redacted(url)[:200]}"

    async def _get(self, client: HTTPClient, url: str, etag: str | None, ends_at: float) -> Reply:
        """GET, and retry with jittered back-off while a retry may help and there is time."""
        backoff, left = FIRST_BACKOFF, self._retries
        headers = None if etag is None else {"if-none-match": etag}
        while True:
            try:
                return await self._http.get(client, url, headers)
            except FetchError as fault:
                pause = fault.retry_after or backoff * self._uniform(0.5, 1.0)
                late = self._clock.monotonic() + pause >= ends_at
                if not fault.transient or not left or late:
                    raise fault.at(self._document_at(url)) if self.discovers else fault from None
            backoff, left = min(MAX_BACKOFF, backoff * 2), left - 1
            await self._clock.sleep(pause)


def _is_issuer(value: object) -> TypeGuard[str]:
    """Return whether the value is a string that is not blank."""
    return isinstance(value, str) and bool(value.strip())


def _is_https(url: str) -> bool:
    return url.lower().startswith("https:")
