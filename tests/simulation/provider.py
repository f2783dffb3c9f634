"""The provider, with its whole history, and what else may answer under its name."""

import json
from dataclasses import dataclass, field
from math import inf

from auth_jwks.stores.base import MAX_COOLDOWN
from tests.simulation.keyring import ISSUER, OTHER_ISSUER, Credential, Keyring

__all__ = ["DISCOVERY_URL", "JWKS_URL", "Answer", "Edition", "Provider", "UnreachableError"]

DISCOVERY_URL = f"{ISSUER}/.well-known/openid-configuration"
JWKS_URL = f"{ISSUER}/jwks"


class UnreachableError(Exception):
    """Nothing listens there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Edition:
    """One key set as it was published from a moment on."""

    mark: str
    since: float
    keys: tuple[Credential, ...]
    body: bytes = field(repr=False)


class Provider:
    """Publishes key sets; its past is what the oracle judges by.

    `outage` is a status, with `retry_after`; or -1: it refuses connections, -2: it never answers,
    -3: what it sends is no JSON. `rests_until`: until when its `Retry-After` holds.
    """

    def __init__(self, ring: Keyring, *, max_age: float, names_keys: bool) -> None:
        self._ring = ring
        self._max_age = max_age
        self._names_keys = names_keys
        self._odd: list[object] = []
        self._used = 0
        self.editions: list[Edition] = []
        self.outage = 0
        self.retry_after = 0.0
        self.rests_until = -inf
        self.signer = self._next()
        self.publish(0.0, (self.signer,))

    def __repr__(self) -> str:
        return f"Provider(keys={[str(key) for key in self.current.keys]}, outage={self.outage})"

    @property
    def current(self) -> Edition:
        """What is published now."""
        return self.editions[-1]

    @property
    def credentials(self) -> tuple[Credential, ...]:
        """All that were ever published, in order."""
        return tuple(dict.fromkeys(key for edition in self.editions for key in edition.keys))

    def is_published(self, key: Credential) -> bool:
        """Whether it is in the current set."""
        return key in self.current.keys

    def published_since(self, key: Credential) -> float:
        """Return since when it is in every set; infinity if it is not in the current one."""
        since = inf
        for edition in reversed(self.editions):
            if key not in edition.keys:
                break
            since = edition.since
        return since

    def withdrawn_since(self, key: Credential) -> float:
        """Return since when it is in no set; infinity if it is in the current one."""
        since = inf
        for edition in reversed(self.editions):
            if key in edition.keys:
                break
            since = edition.since
        return since

    def edition(self, mark: str) -> Edition | None:
        """Return the set with that mark."""
        number = mark.removeprefix("set ")
        return self.editions[int(number)] if number.isdecimal() else None

    def rotate(self, now: float) -> None:
        """Replace all keys by a new one."""
        self.signer = self._next()
        self.publish(now, (self.signer,))

    def add(self, now: float) -> None:
        """Publish one key more, and sign with it."""
        self.signer = self._next()
        self.publish(now, (*self.current.keys, self.signer))

    def retire(self, now: float) -> None:
        """Withdraw all keys but the one that signs."""
        self.publish(now, (self.signer,))

    def reuse_kid(self, now: float) -> None:
        """Replace all keys by a new one under the name of the old."""
        self.signer = Credential(self._next().number, self.signer.kid)
        self.publish(now, (self.signer,))

    def add_odd_member(self, now: float, number: int) -> None:
        """Publish what is no key beside the keys."""
        odd: tuple[object, ...] = (None, {"kty": "AKP", "kid": "pq"}, {"kty": "oct", "k": "AA"}, 7)
        self._odd.append(odd[number % len(odd)])
        self.publish(now, self.current.keys)

    def publish(self, now: float, keys: tuple[Credential, ...]) -> None:
        """Publish a set."""
        mark = f"set {len(self.editions)}"
        members = [self._ring.jwk(key) for key in keys]
        body = json.dumps({"keys": [*members, *self._odd, self._ring.mark(mark)]}).encode()
        self.editions.append(Edition(mark, now, keys, body))

    def answer(self, url: str, etag: str | None, now: float) -> Answer:
        """Answer one request; raises `UnreachableError`."""
        if self.outage == -1:
            raise UnreachableError("connection refused")
        if self.outage == -3:
            return Answer(200, {}, b"<html>Sorry</html>")
        if self.outage:
            wait = {"retry-after": f"{self.retry_after:.0f}"} if self.retry_after else {}
            self.rests_until = max(self.rests_until, now + min(self.retry_after, MAX_COOLDOWN))
            return Answer(self.outage, wait, b"")
        headers = {"cache-control": f"max-age={self._max_age:.0f}"} if self._max_age else {}
        if url == DISCOVERY_URL:
            document = {"issuer": ISSUER, "jwks_uri": JWKS_URL}
            return Answer(200, headers, json.dumps(document).encode())
        tag = f'"{self.current.mark}"'
        if etag == tag:
            return Answer(304, headers, b"")
        return Answer(200, {**headers, "etag": tag}, self.current.body)

    def _next(self) -> Credential:
        number = self._used % self._ring.size
        self._used += 1
        return Credential(number, f"k{number}" if self._names_keys else None)


def portal(url: str, ring: Keyring) -> Answer:
    """Answer as another issuer would that is found under the provider's name."""
    if url == DISCOVERY_URL:
        document = {"issuer": OTHER_ISSUER, "jwks_uri": f"{OTHER_ISSUER}/jwks"}
        return Answer(200, {}, json.dumps(document).encode())
    return Answer(200, {}, json.dumps({"keys": [ring.mark("portal")]}).encode())
