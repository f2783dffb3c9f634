"""Sealed documents: HMAC-SHA-256 (RFC 2104), so that who can write to a store can't mint keys.

A sealed document is one line, `auth-jwks-seal-1 version fetched_at expires_at mac`, and the
document. Source and issuer are sealed through the store key, which is a digest of them, and
through the document, which names them.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["BrokenSealError", "Opened", "Sealer", "checked_keys"]

MARK = b"auth-jwks-seal-1"
LEEWAY = 60.0
MIN_KEY = 32


class BrokenSealError(Exception):
    """The document is not to be trusted; the argument says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A document whose seal holds, and its age by the wall clock, less what clocks may differ."""

    document: bytes
    age: float


class Sealer:
    """Seals with the first key, opens with any of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def __repr__(self) -> str:
        return f"Sealer(keys={len(self._keys)})"

    def seal(
        self, document: bytes, *, name: str, version: int, fetched_at: float, expires_at: float
    ) -> bytes:
        """Return the document sealed for one store key and version; times are wall clock."""
        head = b"%s %d %d %d" % (MARK, version, int(fetched_at), int(expires_at))
        mac = _mac(self._keys[0], name, head, document)
        return b"%s %s\n%s" % (head, mac.encode(), document)

    def opened(self, sealed: bytes, *, name: str, version: int, now: float) -> Opened:
        """Return the document; `BrokenSealError` unless it was sealed for this key and version."""
        line, _, document = sealed.partition(b"\n")
        head, _, mac = line.rpartition(b" ")
        mark, *numbers = head.split(b" ")
        if mark != MARK or len(numbers) != 3:
            raise BrokenSealError("it is not sealed")
        own = [_mac(key, name, head, document).encode() for key in self._keys]
        # All are compared, so that the time tells nothing of which key it was.
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
    """Return the keys of one or several `bytes` or `str`, each of at least 32 bytes."""
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
    """Return the MAC over parts that their lengths keep apart."""
    mac = hmac.new(key, digestmod="sha256")
    for part in (name.encode(), head, document):
        mac.update(b"%d:" % len(part))
        mac.update(part)
    return mac.hexdigest()
