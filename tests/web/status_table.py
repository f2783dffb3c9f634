"""Requests that a guard refuses, and its answers: the rows of docs/web.md and docs/errors.md."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from auth_jwks import JWKS
from auth_jwks.testing import FakeIssuer, SigningKey

AUDIENCE = "api"


@dataclass(frozen=True)
class Row:
    """The `Authorization` headers of a request, and how it is refused by realm `shop`."""

    headers: Callable[[FakeIssuer], Sequence[str]]
    status: int
    detail: str
    challenge: str


def challenge(error: str, description: str) -> str:
    """Return the value of `WWW-Authenticate`."""
    return f'Bearer realm="shop", error="{error}", error_description="{description}"'


def malformed(headers: Callable[[FakeIssuer], Sequence[str]]) -> Row:
    """Return the row of a malformed request."""
    detail = "Malformed credentials"
    return Row(headers, 400, detail, challenge("invalid_request", detail))


def invalid(token: Callable[[FakeIssuer], str], detail: str = "Invalid token") -> Row:
    """Return the row of a bad token."""

    def headers(issuer: FakeIssuer) -> Sequence[str]:
        return [f"Bearer {token(issuer)}"]

    return Row(headers, 401, detail, challenge("invalid_token", detail))


def unknown(issuer: FakeIssuer) -> str:
    """Return a token of a key that was never published."""
    return issuer.sign(aud=AUDIENCE, key=SigningKey.generate("ES256"))


STRANGE = Row(lambda _: ["Basic YWxpY2U6c2VjcmV0"], 401, "Not authenticated", 'Bearer realm="shop"')

REFUSED = {
    "another scheme": STRANGE,
    "several headers": malformed(lambda issuer: [f"Bearer {issuer.sign(aud=AUDIENCE)}"] * 2),
    "two schemes": malformed(lambda issuer: [*STRANGE.headers(issuer), "Bearer a.b.c"]),
    "no token": malformed(lambda _: ["Bearer"]),
    "two tokens": malformed(lambda issuer: [f"Bearer {issuer.sign(aud=AUDIENCE)} a.b.c"]),
    "junk": invalid(lambda _: "junk"),
    "forged": invalid(lambda issuer: issuer.forge(aud=AUDIENCE)),
    "unsigned": invalid(lambda issuer: issuer.sign(aud=AUDIENCE, headers={"alg": "none"})),
    "unknown kid": invalid(unknown),
    "expired": invalid(lambda issuer: issuer.sign(aud=AUDIENCE, exp=1), "The token has expired"),
    "early": invalid(lambda issuer: issuer.sign(aud=AUDIENCE, nbf=99_999_999_999)),
    "another issuer": invalid(lambda issuer: issuer.sign(aud=AUDIENCE, iss="https://a.example")),
    "another audience": invalid(lambda issuer: issuer.sign(aud="web")),
    "bound": invalid(lambda issuer: issuer.sign(aud=AUDIENCE, cnf={"jkt": "0ZcOCORZNYy"})),
    "a proof": invalid(lambda issuer: issuer.sign(aud=AUDIENCE, headers={"typ": "dpop+jwt"})),
    "nobody's": invalid(lambda issuer: issuer.sign(aud=AUDIENCE, sub=None)),
}


# What is answered while the keys can't be had.
UNAVAILABLE = (503, {"detail": "Temporarily unavailable"})


@asynccontextmanager
async def verifying(issuer: FakeIssuer, /, **options: Any) -> AsyncIterator[JWKS]:
    """Make a verifier of the provider's tokens, which tries nothing twice."""
    settings = {"issuer": issuer.issuer, "retries": 0, **options}
    async with JWKS(issuer.discovery_url, AUDIENCE, **settings) as jwks:
        yield jwks


Answer = tuple[int, str, list[str]]


def answer_of(response: httpx.Response) -> Answer:
    """Return what a refusal says, in the order of a row."""
    challenges = response.headers.get_list("WWW-Authenticate")
    return response.status_code, response.json()["detail"], challenges


def answers(rows: Mapping[str, Row]) -> dict[str, Answer]:
    """Return what the rows say."""
    return {name: (row.status, row.detail, [row.challenge]) for name, row in rows.items()}


class BrokenVerifier:
    """A verifier that fails in a way that blames no token."""

    async def verify_token(self, token: str, /) -> dict[str, Any]:
        """Raise what a fault in the program would."""
        raise LookupError(token[:0])


class MuteVerifier:
    """A verifier that neither returns claims nor raises, as a slip in a wrapper may."""

    async def verify_token(self, _token: str, /) -> dict[str, Any]:
        """Return nothing that says who it is."""
        return {}


def wired_wrong(claims: Mapping[str, Any]) -> None:
    """Raise what a fault in the program would, once a token was verified."""
    raise LookupError(len(claims))


def authorization(token: str) -> dict[str, str]:
    """Return the headers of a request with a token."""
    return {"Authorization": f"Bearer {token}"}


def repeated(values: Sequence[str]) -> list[tuple[str, str]]:
    """Return a header for each value."""
    return [("Authorization", value) for value in values]


async def received(address: str, headers: Any = ()) -> str:
    """Return the first message of a websocket."""
    async with connect(f"ws://{address}", additional_headers=headers, proxy=None) as socket:
        return str(await socket.recv())


async def denial(address: str, headers: Any = ()) -> httpx.Response:
    """Return the answer to the handshake of a websocket, which is refused."""
    with pytest.raises(InvalidStatus) as caught:
        await received(address, headers)
    refused = caught.value.response
    fields = list(refused.headers.raw_items())
    return httpx.Response(refused.status_code, headers=fields, content=bytes(refused.body))
