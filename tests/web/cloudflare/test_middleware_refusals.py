"""`CfaAuthMiddleware`: whom it refuses, how, and what is told of it."""

import logging
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import httpx
import pytest

from auth_jwks.cloudflare import CfaAuthMiddleware, CloudFlareTokenValidation
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.web.cloudflare.access_edge import CERTS, MACHINE, PERSON, Edge
from tests.web.cloudflare.guard import (
    COOKIE,
    FAILED,
    HEADER,
    NONE_CAME,
    Answer,
    Fields,
    collector,
    connecting,
    cookie,
    guard,
    raising,
    raw,
    summary,
    unreached,
)
from tests.web.serving import SERVERS, serving
from tests.web.status_table import denial


def of_others(team: FakeIssuer) -> str:
    """Return a good token for another of the team's applications."""
    return team.sign(PERSON, aud="other")


BAD_TOKENS: dict[str, Callable[[FakeIssuer], str]] = {
    "junk": lambda _: "junk",
    "latin": lambda _: "\xe9.\xe9.\xe9",
    "forged": lambda team: team.forge(PERSON),
    "unsigned": lambda team: team.sign(PERSON, headers={"alg": "none"}),
    "unknown kid": lambda team: team.sign(PERSON, key=SigningKey.generate("ES256")),
    "expired": lambda team: team.sign(PERSON, exp=1),
    "early": lambda team: team.sign(PERSON, nbf=99_999_999_999),
    "another team": lambda team: team.sign(PERSON, iss="https://other.cloudflareaccess.com"),
    "another application": of_others,
    "machine": lambda team: team.sign(MACHINE),
    "nobody": lambda team: team.sign(PERSON, sub=None),
    "two": lambda team: f"{team.sign(PERSON)}, {team.sign(PERSON)}",
}


def refused(team: FakeIssuer) -> dict[str, tuple[Fields, Answer]]:
    """Return requests that are refused, and how."""
    good = team.sign(PERSON)
    bad = {name: sign(team) for name, sign in BAD_TOKENS.items()}
    return {
        "nothing": ([], NONE_CAME),
        "an address": ([("Cf-Access-Authenticated-User-Email", "alice@example.com")], NONE_CAME),
        "a bearer token": ([("Authorization", f"Bearer {good}")], NONE_CAME),
        "other cookies": ([("Cookie", f"a=b; X{COOKIE}={good}; {COOKIE}X={good}")], NONE_CAME),
        "cookies of other case": (cookie(good, name=COOKIE.lower()), NONE_CAME),
        "a bare name": ([("Cookie", COOKIE)], NONE_CAME),
        "an empty cookie": (cookie("", good), NONE_CAME),
        "an empty header": ([(HEADER, ""), *cookie(good)], NONE_CAME),
        "two headers": ([(HEADER, good), (HEADER, good)], FAILED),
        "two headers, one empty": ([(HEADER, ""), (HEADER, good)], FAILED),
        "two cookies": (cookie("junk", good), FAILED),
        **{f"header: {name}": ([(HEADER, token)], FAILED) for name, token in bad.items()},
        **{
            f"no way back: {name}": ([(HEADER, token), *cookie(good)], FAILED)
            for name, token in bad.items()
        },
        **{f"cookie: {name}": (cookie(token), FAILED) for name, token in bad.items()},
    }


async def test_what_is_refused(
    cfa: CloudFlareTokenValidation,
    edge: Edge,
    team: FakeIssuer,
    client: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each bad request gets its fixed answer, and no endpoint; its token is told nowhere."""
    table = refused(team)
    app = guard(verify_token=cfa.verify_user)
    answers, told = {}, ""
    with caplog.at_level(logging.DEBUG):
        async with serving(app) as address:
            for name, (fields, _) in table.items():
                response = await client.get(f"http://{address}/", headers=raw(fields))
                answers[name] = summary(response)
                told += response.text + str(response.headers)
    assert answers == {name: expected for name, (_, expected) in table.items()}
    assert app.state.reached == 0
    assert set(edge.paths) == {CERTS}
    told += caplog.text
    for fields, _ in table.values():
        assert [
            part for _, value in fields for part in signature_parts(value) if part in told
        ] == []


def signature_parts(value: str) -> Iterator[str]:
    """Yield each dozen of characters of a token's signature."""
    signature = value.rpartition(".")[2]
    return (signature[at : at + 12] for at in range(len(signature) - 11))


@pytest.mark.parametrize("server", SERVERS)
async def test_websockets_that_are_refused(
    server: Any, cfa: CloudFlareTokenValidation, team: FakeIssuer
) -> None:
    """The handshake gets the same answers; no endpoint sees it."""
    table = {
        name: (fields, expected)
        for name, (fields, expected) in refused(team).items()
        if name in {"nothing", "an empty header", "two headers", "header: forged",
                    "no way back: expired", "cookie: machine"}
    }  # fmt: skip
    assert len(table) == 6
    app = guard(verify_token=cfa.verify_user)
    async with serving(app, ws=server) as address:
        answers = {
            name: summary(await denial(f"{address}/feed", fields))
            for name, (fields, _) in table.items()
        }
    assert answers == {name: expected for name, (_, expected) in table.items()}
    assert app.state.reached == 0


async def test_a_server_without_denial_responses_closes(
    cfa: CloudFlareTokenValidation,
) -> None:
    """Then the handshake ends with 1008, which the server makes a 403 of."""
    sent: list[MutableMapping[str, Any]] = []
    scope = {"type": "websocket", "path": "/", "headers": []}
    middleware = CfaAuthMiddleware(unreached, verify_token=cfa.verify_user)
    await middleware(scope, connecting, collector(sent))
    assert [(each["type"], each["code"]) for each in sent] == [("websocket.close", 1008)]


async def test_refusals_do_not_fill_the_log(
    cfa: CloudFlareTokenValidation,
    team: FakeIssuer,
    client: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A refused request is a line at DEBUG, of the error's class and words."""
    await cfa.refresh()
    app = guard(verify_token=cfa.verify_user)
    async with serving(app) as address:
        with caplog.at_level(logging.DEBUG, "auth_jwks"):
            for headers in ({HEADER: team.sign(PERSON, exp=1)}, {}):
                await client.get(f"http://{address}/", headers=headers)
    lines = [each for each in caplog.records if "refused a request" in each.message]
    assert len(caplog.records) == len(lines) + 2, "of the token: one at DEBUG, one at WARNING"
    assert [(each.levelname, each.message, each.exc_info) for each in lines] == [
        ("DEBUG", f"refused a request: {name}", None)
        for name in (
            "ExpiredSignatureError: the token expired more than 1000000000 s ago (exp)",
            "MissingTokenError: no token",
        )
    ]


@pytest.mark.parametrize("field", [(HEADER, "a" * 70_000), ("Cookie", "a=b;" * 17_000)])
async def test_what_is_too_long_is_refused_unread(field: tuple[str, str]) -> None:
    """No function of the user's is called with it."""
    app = CfaAuthMiddleware(unreached, verify_token=raising(AssertionError()))
    name, value = field
    sent: list[Any] = []
    scope = {"type": "http", "headers": [(name.lower().encode(), value.encode())]}
    await app(scope, connecting, collector(sent))
    assert sent[0]["status"] == 401
    assert sent[1]["body"] == b'{"detail":"CFA token verification failed"}'
