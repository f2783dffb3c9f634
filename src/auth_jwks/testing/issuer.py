"""An OpenID provider for tests: its two documents, its keys, and faults on demand."""

import ssl
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import cache
from http import HTTPStatus
from typing import Any, Self, Unpack

import httpx

from auth_jwks._clock import SYSTEM_CLOCK, Clock
from auth_jwks.testing._answer import Answer, discovery, key_set, kid_of, with_etag, without_none
from auth_jwks.testing._faults import Document, Faults, Scope
from auth_jwks.testing._server import Server
from auth_jwks.testing._traffic import Request, Traffic
from auth_jwks.testing._transport import IssuerTransport
from auth_jwks.testing.keys import SigningKey

__all__ = ["FakeIssuer"]

_DISCOVERY_PATH = "/.well-known/openid-configuration"


class FakeIssuer:
    """A provider that answers on loopback inside `with`, and through `transport()` always.

    Faults last until `recover()` or for `times` requests, and apply to one document or to both.
    They add up: after `outage()` and `hang()` a request is held, and answered 503 on release.
    """

    def __init__(
        self,
        *,
        issuer: str | None = None,
        keys: Iterable[SigningKey] | None = None,
        algorithm: str = "RS256",
        clock: Clock = SYSTEM_CLOCK,
        ssl_context: ssl.SSLContext | None = None,
        jwks_path: str = "/jwks",
        headers: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Publish `keys`, of which the first signs; by default one new key for `algorithm`.

        `issuer` is the `iss` of tokens and the `issuer` of discovery, by default the base URL.
        `headers` are sent with every answer. Inside `with` it listens at `host`, a name or an
        address of IPv4, and `port`; 0 is a free one.
        """
        first = [SigningKey.generate(algorithm)] if keys is None else list(keys)
        self._signing_key = first[0] if first else SigningKey.generate(algorithm)
        self._members: list[object] = [*first]
        self._issuer = issuer
        self._clock = clock
        self._ssl_context = ssl_context
        self._paths: dict[str, Document] = {_DISCOVERY_PATH: "discovery", jwks_path: "jwks"}
        self._jwks_path = jwks_path
        self._headers = dict(headers or {})
        self._address = host, port
        self._announced: dict[str, object] = {}
        self._faults = Faults()
        self._traffic = Traffic()
        self._server: Server | None = None
        self._url = "https://issuer.test"
        self.cache()

    def __repr__(self) -> str:
        return f"FakeIssuer({self.issuer!r}, keys={len(self.keys)}, requests={len(self.requests)})"

    def __enter__(self) -> Self:
        self._server = Server(self._receive, self._ssl_context, *self._address)
        self._url = self._server.url
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and drop the held requests."""
        server, self._server = self._server, None
        if server:
            server.closing.set()
        self._traffic.release(answered=False)
        if server:
            server.stop()

    def transport(self) -> httpx.AsyncBaseTransport:
        """Return a transport to this provider, for `httpx.AsyncClient(transport=...)`."""
        return IssuerTransport(self._receive, self._clock)

    @property
    def issuer(self) -> str:
        """The `iss` of its tokens, and the `issuer` of its discovery document."""
        return self._url if self._issuer is None else self._issuer

    @property
    def url(self) -> str:
        """The base URL; inside `with` it has the port."""
        return self._url

    @property
    def discovery_url(self) -> str:
        """The URL of the discovery document (OpenID Connect Discovery §4)."""
        return self._url + _DISCOVERY_PATH

    @property
    def jwks_uri(self) -> str:
        """The URL of the key set."""
        return self._url + self._jwks_path

    @property
    def keys(self) -> tuple[SigningKey, ...]:
        """The signing keys that are published, oldest first."""
        return tuple(member for member in self._members if isinstance(member, SigningKey))

    @property
    def signing_key(self) -> SigningKey:
        """The key that `sign` uses, published or not."""
        return self._signing_key

    def sign(
        self,
        claims: Mapping[str, Any] | None = None,
        *,
        key: SigningKey | None = None,
        headers: Mapping[str, Any] | bytes | None = None,
        **extra: object,
    ) -> str:
        """Return a token valid for five minutes, apart from the changes in the arguments.

        A claim of `None` is left out. `headers` are as in `SigningKey.sign`.
        """
        now = int(self._clock.time())
        valid = {"iss": self.issuer, "sub": "alice", "iat": now, "exp": now + 300}
        merged = valid | dict(claims or {}) | extra
        present = {name: value for name, value in merged.items() if value is not None}
        return (key or self._signing_key).sign(present, headers)

    def forge(
        self,
        claims: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, Any] | bytes | None = None,
        **extra: object,
    ) -> str:
        """Return a token with the signing key's `kid` and algorithm, but signed by another key."""
        forger = replace(_forger(self._signing_key.algorithm), kid=self._signing_key.kid)
        return self.sign(claims, key=forger, headers=headers, **extra)

    def rotate(self, key: SigningKey | None = None, *, keep: bool = True) -> SigningKey:
        """Publish and sign with a key, by default a new one; `keep=False` withdraws the others."""
        key = key or SigningKey.generate(self._signing_key.algorithm)
        gone = [key] if keep else [key, *self.keys]
        self._members = [member for member in self._members if member not in gone] + [key]
        self._signing_key = key
        return key

    def publish(self, member: object) -> None:
        """Add anything to the key set: a `SigningKey` not used yet, a JWK, junk."""
        self._members = [*self._members, member]

    def withdraw(self, kid: str) -> None:
        """Remove every key with that `kid` from the set; `sign` may still use it."""
        left = [member for member in self._members if kid_of(member) != kid]
        if len(left) == len(self._members):
            message = f"no published key has kid={kid!r}"
            raise ValueError(message)
        self._members = left

    def announce(self, **members: object) -> None:
        """Change members of the discovery document; `None` removes one."""
        self._announced = {**self._announced, **members}

    def cache(
        self, control: str | None = None, age: int | None = None, *, etag: bool = True
    ) -> None:
        """Set the key set's `Cache-Control` and `Age`, and whether it has an `ETag`."""
        self._caching = without_none({"Cache-Control": control, "Age": age})
        self._etag = etag

    def outage(
        self, status: int = 503, retry_after: float | str | None = None, **scope: Unpack[Scope]
    ) -> None:
        """Answer with an error; `retry_after` is in seconds, or an HTTP date."""
        headers = without_none({"Retry-After": retry_after})
        self._faults.add({"status": status, "headers": headers, "body": b""}, **scope)

    def redirect(self, location: str, status: int = 302, **scope: Unpack[Scope]) -> None:
        """Send the client elsewhere."""
        headers = {"Location": location}
        self._faults.add({"status": status, "headers": headers, "body": b""}, **scope)

    def junk(
        self,
        body: bytes,
        content_type: str = "text/html",
        encoding: str | None = None,
        **scope: Unpack[Scope],
    ) -> None:
        """Answer 200 with that body, sent unchanged whatever `encoding` says."""
        headers = without_none({"Content-Type": content_type, "Content-Encoding": encoding})
        self._faults.add({"status": 200, "headers": headers, "body": body}, **scope)

    def refuse(self, **scope: Unpack[Scope]) -> None:
        """Drop the connection without an answer; `httpx.ConnectError` from the transport."""
        self._faults.add({"refused": True}, **scope)

    def hang(self, **scope: Unpack[Scope]) -> None:
        """Hold each request until `release()`; its answer is fixed when it arrives."""
        self._faults.add({"held": True}, **scope)

    def slow(self, seconds: float, **scope: Unpack[Scope]) -> None:
        """Wait before the answer: real seconds at the server, the clock's with the transport."""
        self._faults.add({"delay": seconds}, **scope)

    def drip(self, seconds_per_byte: float = 1.0, **scope: Unpack[Scope]) -> None:
        """Send the body one byte at a time, with that wait before each."""
        self._faults.add({"seconds_per_byte": seconds_per_byte}, **scope)

    def truncate(self, **scope: Unpack[Scope]) -> None:
        """Drop the connection after half of the body."""
        self._faults.add({"truncated": True}, **scope)

    def recover(self) -> None:
        """End every fault; held requests stay held until `release()`."""
        self._faults.clear()

    def release(self) -> None:
        """Answer the held requests."""
        self._traffic.release(answered=True)

    @property
    def requests(self) -> tuple[Request, ...]:
        """The requests since the last `reset()`, in order of arrival."""
        return self._traffic.requests

    @property
    def discovery_requests(self) -> int:
        """How many requests asked for the discovery document."""
        return self._count("discovery")

    @property
    def jwks_requests(self) -> int:
        """How many requests asked for the key set."""
        return self._count("jwks")

    @property
    def not_modified(self) -> int:
        """How many requests were answered 304."""
        return sum(request.status == HTTPStatus.NOT_MODIFIED for request in self.requests)

    def reset(self) -> None:
        """Count from zero again; keys, faults and held requests stay."""
        self._traffic.reset()

    async def arrived(self, count: int = 1, *, within: float = 10.0) -> None:
        """Return once `count` requests have arrived since the last `reset()`, answered or not.

        Raises `TimeoutError` after `within` real seconds, so that a test fails instead of hanging.
        """
        await self._traffic.arrived(count, within)

    def _count(self, name: Document) -> int:
        return sum(self._document(request.path) == name for request in self.requests)

    def _document(self, target: str) -> Document | None:
        return self._paths.get(target.partition("?")[0])

    def _receive(
        self, method: str, target: str, headers: Mapping[str, str]
    ) -> tuple[Answer, Future[bool] | None]:
        answer = self._answer(method, self._document(target), headers)
        answer = replace(answer, headers={**self._headers, **answer.headers})
        status = None if answer.refused else answer.status
        request = Request(method, target, headers, status)
        return answer, self._traffic.record(request, held=answer.held)

    def _answer(self, method: str, name: Document | None, headers: Mapping[str, str]) -> Answer:
        if name is None:
            return Answer(HTTPStatus.NOT_FOUND)
        if method != "GET":
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET"})
        plain = self._discovery() if name == "discovery" else self._jwks(headers)
        return self._faults.apply(plain, name)

    def _discovery(self) -> Answer:
        algorithm = self._signing_key.algorithm
        return discovery(self.issuer, self.jwks_uri, algorithm, self._announced)

    def _jwks(self, headers: Mapping[str, str]) -> Answer:
        answer = key_set(self._members)
        answer = replace(answer, headers={**answer.headers, **self._caching})
        return with_etag(answer, headers.get("if-none-match", "")) if self._etag else answer


@cache
def _forger(algorithm: str) -> SigningKey:
    return SigningKey.generate(algorithm)
