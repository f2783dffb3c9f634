"""Sources without a network: a key set that is given, and one in a file."""

import asyncio
import os
from codecs import BOM_UTF8
from concurrent.futures import Future
from math import inf
from pathlib import Path
from threading import Thread

from auth_jwks._clock import Clock, within
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._jose.jwk import SIGNATURES
from auth_jwks._jose.keys import KeySet
from auth_jwks._jose.strict_json import strict_object
from auth_jwks._provider.client import MAX_BODY, FetchError
from auth_jwks._provider.document import Document

__all__ = ["USES", "FileSource", "FixedSource"]

CHECK_INTERVAL = 1.0  # seconds: a file is checked so often, while tokens arrive
MAX_HINT = 10**10  # seconds, as long as a `max-age` may be
# SPIFFE's name for a key that verifies tokens (SPIFFE Trust Domain and Bundle §4.2.2).
USES: frozenset[str] = SIGNATURES | {"jwt-svid"}


class FixedSource:
    """A key set that was given, with its usable keys. It never changes."""

    name = key = "jwks"
    deadline = 0.0
    discovers = False
    is_fixed = True
    check_interval = inf
    uses = USES

    def __init__(self, jwks: bytes, keys: KeySet, *, issuer: IssuerNames) -> None:
        self.issuer = issuer
        self.keys = keys
        self.document = Document(self.name, _first(issuer), jwks)

    def __repr__(self) -> str:
        return "FixedSource()"

    async def fetch(self, _current: Document | None, **_manner: bool) -> Document:
        """Return the same document each time."""
        return self.document

    def fault_in(self, document: Document) -> str | None:
        """Return why a document can't be from this source; None if it can."""
        return _fault_in(document, self.name)

    async def aclose(self) -> None:
        """Close nothing."""


class FileSource:
    """A key set in a file, which is read again each time, so that no change is missed.

    It is read in a thread, because a network file system may hang. Then only one thread hangs.
    """

    discovers = False
    is_fixed = False
    check_interval = CHECK_INTERVAL
    uses = USES

    def __init__(self, path: str, *, issuer: IssuerNames, timeout: float, clock: Clock) -> None:
        self.name = self.key = path
        self.issuer = issuer
        self.deadline = timeout
        self._clock = clock
        self._reading: tuple[int, Future[bytes | FetchError]] | None = None

    def __repr__(self) -> str:
        return f"FileSource({self.name!r})"

    async def fetch(
        self, current: Document | None, *, revalidate: bool = True, **_manner: bool
    ) -> Document:
        """Return what the file holds, which is `current` itself if `revalidate` and it still does.

        Raises `FetchError`, within `deadline` seconds.
        """
        try:
            jwks = await within(self._clock, self.deadline, self._read())
        except TimeoutError:
            jwks = FetchError("timeout", f"the file could not be read within {self.deadline:g} s")
        if isinstance(jwks, FetchError):
            raise jwks
        if revalidate and current is not None and current.jwks == jwks:
            return current
        return Document(self.name, _first(self.issuer), jwks, max_age=_refresh_hint(jwks))

    def fault_in(self, document: Document) -> str | None:
        """Return why a document can't be from this source; None if it can."""
        return _fault_in(document, self.name)

    async def aclose(self) -> None:
        """Close nothing: a file is open only while it is read."""

    async def _read(self) -> bytes | FetchError:
        # One that hangs, or whose event loop has ended, began too early to be of use now.
        while (earlier := self._reading) and earlier[0] == os.getpid() and not earlier[1].done():
            await asyncio.wrap_future(earlier[1])
        reading = _begun(self.name)
        self._reading = os.getpid(), reading
        return await asyncio.wrap_future(reading)


def _begun(path: str) -> Future[bytes | FetchError]:
    """Begin to read a file in a thread that holds up neither an event loop nor the exit."""
    reading: Future[bytes | FetchError] = Future()
    reading.set_running_or_notify_cancel()  # from now on no caller cancels it for the next one
    thread = Thread(target=lambda: reading.set_result(_content(path)), name="auth_jwks file")
    thread.daemon = True
    thread.start()
    return reading


def _content(path: str) -> bytes | FetchError:
    """Return what the file holds, or why that can't be used: an exception would hold this frame."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BODY + 1)
    except (OSError, ValueError, MemoryError) as fault:
        reason = getattr(fault, "strerror", None) or type(fault).__name__
        return FetchError("file", f"the file can't be read: {reason}")
    if len(content) > MAX_BODY:
        return FetchError("content", f"the file is larger than {MAX_BODY} bytes")
    return content


def _refresh_hint(jwks: bytes) -> float | None:
    """Return the `spiffe_refresh_hint` in seconds (SPIFFE Trust Domain and Bundle §4.1.2)."""
    match strict_object(jwks.removeprefix(BOM_UTF8)):
        case {"spiffe_refresh_hint": int() | float() as hint} if hint > 0:
            return float(min(hint, MAX_HINT))
        case _:
            return None


def _fault_in(document: Document, name: str) -> str | None:
    return None if document.uri == name else "it is from another source"


def _first(issuer: IssuerNames) -> str | None:
    """Return the name under which the keys are shown; tokens may be of any."""
    return next(iter(issuer.names), None)
