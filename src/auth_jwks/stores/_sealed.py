"""Sealed documents (HMAC-SHA-256, RFC 2104): writing to a store is not enough to forge keys.

A sealed document is one line, `auth-jwks-seal-1 version fetched_at expires_at mac`, and then
the document. The seal covers source and issuer too: the store key is a digest of them, and the
document names them.
"""

import hmac
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["BrokenSealError", "Opened", "Sealer", "checked_keys"]

MARK = b"auth-jwks-seal-1"
LEEWAY = 60.0
MIN_KEY = 32


class BrokenSealError(Exception):
    """The document can't be trusted. The argument says why, in a few words."""


class Opened(NamedTuple):
    """A document with a valid seal, and its age by the wall clock, less a leeway for skew."""

    document: bytes
    age: float


class Sealer:
    """Seals with the first key and opens with any of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def __repr__(self) -> str:
        return f"Sealer(keys={len(self._keys)})"

    def seal(
        self, document: bytes, *, name: str, version: int, fetched_at: float, expires_at: float
    ) -> bytes:
        """Return the document sealed for one store key and version. Times are of the wall clock."""
        head = b"%s %d %d %d" % (MARK, version, int(fetched_at), int(expires_at))
        mac = _mac(self._keys[0], name, head, document)
        return b"%s %s\n%s" % (head, mac.encode(), document)

    def opened(self, sealed: bytes, *, name: str, version: int, now: float) -> Opened:
        """Return the document, or raise `BrokenSealError` if it is not sealed for these."""
        line, _, document = sealed.partition(b"\n")
        head, _, mac = line.rpartition(b" ")
        mark, *numbers = head.split(b" ")
        if mark != MARK or len(numbers) != 3:
            raise BrokenSealError("it is not sealed")
        own = [_mac(key, name, head, document).encode() for key in self._keys]
        # Every key is compared, so that the time taken does not reveal which one matched.
        matches = [hmac.compare_digest(mac, candidate) for candidate in own]
        if not any(matches):
            raise BrokenSealError("its seal was not made with one of our keys")
        sealed_for, fetched_at, expires_at = map(int, numbers)
        if sealed_for != version:
            raise BrokenSealError("its seal is for another version")
        if now >= expires_at + LEEWAY:
            raise BrokenSealError("its seal has expired")
        return Opened(document, now - fetched_at - LEEWAY)


def checked_keys(name: str, value: object) -> tuple[bytes, ...]:
    """Return the keys in one or several `bytes` or `str`, each of at least 32 bytes."""
    members = (value,) if isinstance(value, (bytes, str)) else value
    if not isinstance(members, Sequence):
        raise TypeError(f"{name}: expected bytes, or a sequence of them")
    keys = tuple(_checked_key(name, member) for member in members)
    if not keys:
        raise ValueError(f"{name}: expected at least one key, or None for no seal")
    return keys


def _checked_key(name: str, value: object) -> bytes:
    key = value.encode() if isinstance(value, str) else value
    if not isinstance(key, bytes):
        raise TypeError(f"{name}: expected bytes, got {type(value).__name__}")
    if len(key) < MIN_KEY:
        found = (
            f"got {len(key)}; python -c 'import secrets; print(secrets.token_hex(32))' makes one"
        )
        raise ValueError(f"{name}: expected at least {MIN_KEY} bytes, {found}")
    return key


def _mac(key: bytes, name: str, head: bytes, document: bytes) -> str:
    """Return the MAC over the parts, each prefixed with its length to keep them apart."""
    mac = hmac.new(key, digestmod="sha256")
    for part in (name.encode(), head, document):
        mac.update(b"%d:" % len(part))
        mac.update(part)
    return mac.hexdigest()
