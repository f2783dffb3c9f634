"""One look at each document of a provider, by the library's own client, and what came with it."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from auth_jwks._clock import SYSTEM_CLOCK, within
from auth_jwks._jose.strict_json import strict_object
from auth_jwks._provider.client import (
    HTTP,
    NOT_FOUND,
    FetchError,
    HTTPClient,
    HTTPResponse,
)
from auth_jwks._provider.places import WELL_KNOWN, fault_in_place, places_of
from auth_jwks._provider.urls import fault_in, repaired
from auth_jwks.cli._faults import UsageError

__all__ = ["TLS", "Answer", "Found", "looked_at"]

BOM = b"\xef\xbb\xbf"
TIMEOUT = 5.0  # seconds, that of `JWKS`


@dataclass(frozen=True, slots=True)
class TLS:
    """The connection's protocol, and what its certificate says."""

    version: str
    names: tuple[str, ...]
    expires: float | None


@dataclass(slots=True)
class Answer:
    """What one URL answered: its body, or why there is none that can be used."""

    url: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: TLS | None = None
    body: bytes = b""
    fault: FetchError | None = None

    @property
    def content(self) -> dict[str, Any] | None:
        """The JSON object in the body."""
        return strict_object(self.body.removeprefix(BOM))


@dataclass(frozen=True, slots=True)
class Found:
    """What is where a target leads: how it was read, and each document that was asked for.

    `jwks_uri` is where the keys are asked for, which may be a repaired local URL.
    """

    kind: str
    issuer: str | None
    discovery: tuple[Answer, ...]
    metadata: dict[str, Any] | None
    jwks_uri: str | None
    keys: Answer | None

    @property
    def answers(self) -> tuple[Answer, ...]:
        """Every answer, in the order in which they came."""
        return self.discovery if self.keys is None else (*self.discovery, self.keys)


class _Recorder:
    """A client that notes of each answer what the library itself has no use for."""

    def __init__(self, client: HTTPClient, answer: Answer) -> None:
        self._client = client
        self._answer = answer

    @property
    def headers(self) -> Mapping[str, str]:
        return self._client.headers

    def stream(self, method: str, url: str, **options: Any) -> AbstractAsyncContextManager[Any]:
        return self._noted(self._client.stream(method, url, **options))

    @asynccontextmanager
    async def _noted(
        self, request: AbstractAsyncContextManager[HTTPResponse]
    ) -> AsyncIterator[HTTPResponse]:
        async with request as response:
            answer = self._answer
            answer.status, answer.headers = response.status_code, response.headers
            answer.tls = _tls_of(response)
            yield response


class _Asker:
    """Asks as the library does, once for each document."""

    def __init__(self, timeout: float) -> None:
        self._http = HTTP(None, timeout=timeout, clock=SYSTEM_CLOCK)
        self._timeout = timeout

    async def asked(self, url: str) -> Answer:
        """Return what a URL answers."""
        answer = Answer(url)
        try:
            await within(SYSTEM_CLOCK, self._timeout, self._ask(url, answer))
        except FetchError as fault:
            answer.fault = fault
        except TimeoutError:
            answer.fault = FetchError("timeout", f"no answer within {self._timeout:g} s")
        return answer

    async def _ask(self, url: str, answer: Answer) -> None:
        async with self._http.client(url) as client:
            reply = await self._http.get(_Recorder(client, answer), url)
            answer.body = reply.body


async def looked_at(target: str, *, timeout: float = TIMEOUT) -> Found:  # noqa: ASYNC109 - of each
    """Return what an issuer, or the URL of discovery or of a key set, leads to.

    An issuer is tried at both places of discovery. What answers with keys is a key set. Raises
    `UsageError` if the target is no URL that can be asked.
    """
    fault = fault_in(target)
    if fault is not None:
        raise UsageError(f"ISSUER|URL: expected an http or https URL: {fault}")
    http = _Asker(timeout)
    is_place = fault_in_place(target) is None
    places = places_of(target) if is_place else (target,)
    answers = list[Answer]()
    for url in places:
        answers.append(await http.asked(url))
        if answers[-1].status != NOT_FOUND:
            break
    if is_place and answers[-1].status == NOT_FOUND:
        itself = await http.asked(target)
        if _has_keys(itself):
            return Found("jwks_uri", None, (), None, target, itself)
    last = answers[-1]
    if _has_keys(last):
        return Found("jwks_uri", None, (), None, last.url, last)
    kind = "issuer" if is_place else "discovery_url" if WELL_KNOWN in target else "url"
    return await _with_keys(http, kind, target if is_place else None, tuple(answers))


async def _with_keys(
    http: "_Asker", kind: str, issuer: str | None, answers: tuple[Answer, ...]
) -> Found:
    metadata = answers[-1].content
    uri = None if metadata is None else metadata.get("jwks_uri")
    if not isinstance(uri, str) or fault_in(uri) is not None:
        return Found(kind, issuer, answers, metadata, None, None)
    uri = repaired(uri, answers[-1].url)
    return Found(kind, issuer, answers, metadata, uri, await http.asked(uri))


def _has_keys(answer: Answer) -> bool:
    content = answer.content
    return content is not None and isinstance(content.get("keys"), list)


def _tls_of(response: HTTPResponse) -> TLS | None:
    stream = getattr(response, "extensions", {}).get("network_stream")
    connection = None if stream is None else stream.get_extra_info("ssl_object")
    if connection is None:
        return None
    certificate = connection.getpeercert() or {}
    names = [name for _, name in certificate.get("subjectAltName", ())]
    until = certificate.get("notAfter")
    expires = None if until is None else float(ssl.cert_time_to_seconds(until))
    return TLS(connection.version() or "TLS", tuple(names), expires)
