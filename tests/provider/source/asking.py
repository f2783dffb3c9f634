"""What the tests of a source ask with: a source, clients, a clock that skips pauses."""

import asyncio
import traceback
from typing import Any

import httpx

from auth_jwks._clock import SYSTEM_CLOCK
from auth_jwks._provider.attempts import SLOW_SHARE
from auth_jwks._provider.source import Source
from auth_jwks._settings import checked_issuer
from auth_jwks.testing import FakeClock, FakeIssuer

SECRET = "c2VjcmV0"
ISSUER = "https://idp.example.com"
URI = "https://idp.example.com/jwks"
TOO_LARGE = "the response is larger than 524288 bytes"
DEFAULTS: dict[str, Any] = {
    "discovery_url": None,
    "jwks_uri": None,
    "fix_local_url": True,
    "timeout": 5.0,
    "retries": 0,
    "http_client": None,
    "clock": SYSTEM_CLOCK,
}


def source(**settings: object) -> Source:
    """Return a source with these settings, which retries nothing unless told to.

    `issuer` is one name, or several.
    """
    issuer = settings.pop("issuer", None)
    names = (issuer,) if isinstance(issuer, str) else issuer or ()
    return Source(**{**DEFAULTS, **settings, "issuer": checked_issuer(names or None)})


def client_of(issuer: FakeIssuer, asked: list[str] | None = None) -> httpx.AsyncClient:
    """Return a client of the provider whatever the host; it notes every URL in `asked`."""

    async def note(request: httpx.Request) -> None:
        if asked is not None:
            asked.append(str(request.url))

    return httpx.AsyncClient(transport=issuer.transport(), event_hooks={"request": [note]})


def answering(*answers: httpx.Response | Exception) -> httpx.AsyncClient:
    """Return a client whose transport gives these answers, one after the other."""
    left = list(answers)

    def answer(_: httpx.Request) -> httpx.Response:
        first = left.pop(0)
        if isinstance(first, Exception):
            raise first
        return first

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def said(fault: BaseException) -> str:
    """Return all that a log or a debugger would show of an exception and of what led to it."""
    assert fault.__cause__ is None
    assert fault.__context__ is None
    return "".join([*traceback.format_exception(fault), repr(fault), repr(vars(fault))])


class SkippingClock(FakeClock):
    """Time that passes by itself while someone pauses; the deadline of 5 s stays ahead.

    So does the time after which an attempt without an answer counts as slow.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Note a pause, and have it over at once."""
        if seconds >= DEFAULTS["timeout"] or seconds == DEFAULTS["timeout"] * SLOW_SHARE:
            await super().sleep(seconds)
        self.pauses.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)
