"""Tokens in a header of their own or in a cookie: where they are looked for, and how refused."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
from fastapi.openapi.models import OpenAPI
from fastapi.security import SecurityScopes
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from auth_jwks import JWKS
from auth_jwks._asgi.places import finder
from auth_jwks._asgi.scope import MAX_COOKIE_BYTES, MAX_COOKIES, MAX_FIELDS
from auth_jwks.asgi import CookieToken, HeaderToken, JWTAuthMiddleware
from auth_jwks.bearer import MAX_CREDENTIALS, bearer_token
from auth_jwks.errors import InvalidRequestError, MissingTokenError
from auth_jwks.fastapi import JWTBearer
from auth_jwks.starlette import JWTAuthBackend
from auth_jwks.testing import FakeIssuer
from tests.web import test_fastapi, test_starlette
from tests.web.asgi.driving import EVERY_WAY, SeenBy, driven, http, status, websocket, whoami
from tests.web.serving import serving
from tests.web.status_table import AUDIENCE, answer_of, challenge, denial, received, verifying
from tests.web.test_scope import few_steps

HEADER, COOKIE = HeaderToken("X-Goog-IAP-JWT-Assertion"), CookieToken("__Host-session")
PLACES = [HEADER, COOKIE]
# The name of the field in which a token is sent, and what stands in front of it.
FIELD = {HEADER: (b"x-goog-iap-jwt-assertion", b""), COOKIE: (b"cookie", b"__Host-session=")}

Place = HeaderToken | CookieToken


def asked(place: Place, *values: bytes, make: Any = http, **members: Any) -> dict[str, Any]:
    """Return the scope of a request with these values in the place, each in a field of its own."""
    name, prefix = FIELD[place]
    scope: dict[str, Any] = make(**members)
    scope["headers"] += [(name, prefix + value) for value in values]
    return scope


def carrying(place: Place, *tokens: str) -> list[tuple[str, str]]:
    """Return the fields of a request with these tokens in the place."""
    name, prefix = FIELD[place]
    return [(name.decode(), prefix.decode() + token) for token in tokens]


INTEGRATIONS: dict[str, Callable[[JWKS, Place], Any]] = {
    "asgi": lambda jwks, place: JWTAuthMiddleware(whoami, jwks, realm="shop", token_from=place),
    "starlette": lambda jwks, place: test_starlette.guard(
        JWTAuthBackend(jwks, realm="shop", token_from=place)
    ),
    "fastapi": lambda jwks, place: test_fastapi.guard(
        JWTBearer(jwks, realm="shop", token_from=place)
    ),
}


@pytest.mark.parametrize("place", PLACES, ids=["header", "cookie"])
@pytest.mark.parametrize("integration", INTEGRATIONS)
async def test_a_token_is_taken_from_its_place(
    integration: str, place: Place, jwks: JWKS, issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """Of a request and a handshake, and is refused as ever, with the challenge of Bearer."""
    app = INTEGRATIONS[integration](jwks, place)
    good = issuer.sign(aud=AUDIENCE, sub="alice", name="alice", scope="read")
    malformed = (400, "Malformed credentials")
    refused = {
        issuer.forge(aud=AUDIENCE): (401, "Invalid token", "invalid_token"),
        issuer.sign(aud=AUDIENCE, exp=1): (401, "The token has expired", "invalid_token"),
        f"Bearer {good}": (*malformed, "invalid_request"),
        f"{good},{good}": (*malformed, "invalid_request"),
    }
    async with serving(app) as address:
        url = f"http://{address}/"
        answer = await client.get(url, headers=carrying(place, good))
        assert (answer.status_code, "alice" in answer.text) == (200, True)
        assert "alice" in await received(f"{address}/feed", carrying(place, good))
        for token, (code, detail, error) in refused.items():
            answer = await client.get(url, headers=carrying(place, token))
            assert answer_of(answer) == (code, detail, [challenge(error, detail)])
        twice = await client.get(url, headers=carrying(place, good, good))
        assert answer_of(twice)[:2] == malformed
        denied = await denial(f"{address}/feed", carrying(place, good, good))
        assert denied.status_code == (403 if integration == "starlette" else 400)


@pytest.mark.parametrize("place", PLACES, ids=["header", "cookie"])
async def test_no_other_place_counts(place: Place) -> None:
    """Neither `Authorization`, nor the other place, nor another name."""
    verifier = SeenBy()
    app = JWTAuthMiddleware(whoami, verifier, token_from=place)
    other: Place = COOKIE if place == HEADER else HEADER
    near = {HEADER: (b"x-goog-iap-jwt-assertion-", b"a.b.c"), COOKIE: (b"cookie", b"host=a.b.c")}
    for scope in (http(b"Bearer a.b.c"), asked(other, b"a.b.c"), http()):
        scope["headers"].append(near[place])
        sent = await driven(app, scope)
        assert status(sent) == 401
        assert (b"www-authenticate", b'Bearer realm="api"') in sent[0]["headers"]
    assert verifier.asked == []
    both = asked(place, b"a.b.c")
    both["headers"].append((b"authorization", b"Bearer x.y.z"))
    assert status(await driven(app, both)) == 200
    assert verifier.asked == ["a.b.c"]


@pytest.mark.parametrize("place", PLACES, ids=["header", "cookie"])
async def test_an_optional_token_may_be_absent_and_not_bad(place: Place) -> None:
    """An empty one is not absent: it is refused as an empty `Authorization` is."""
    app = JWTAuthMiddleware(whoami, SeenBy(), token_from=place, optional=True)
    assert status(await driven(app, http(b"Bearer a.b.x"))) == 200
    for value, code in (
        (b"", 401),
        (b"a.b.x", 401),
        (b" ", 400),
        (b"a.b.c d", 400),
        (b"\xff", 400),
    ):
        assert status(await driven(app, asked(place, value))) == code


@pytest.mark.parametrize("place", PLACES, ids=["header", "cookie"])
async def test_a_handshake_has_one_token_in_all(place: Place) -> None:
    """In the place, or in a way that `websocket` allows: both are two."""
    app = JWTAuthMiddleware(whoami, SeenBy(), token_from=place, websocket=EVERY_WAY)
    query = {"query_string": b"access_token=a.b.c"}
    for scope, code in (
        (asked(place, b"a.b.c", make=websocket), None),
        (websocket(**query), None),
        (asked(place, b"a.b.c", make=websocket, **query), 400),
        (asked(place, b"", make=websocket, **query), 400),
    ):
        sent = await driven(app, scope)
        assert sent[0].get("status") == code


async def test_public_paths_and_preflights_need_no_token() -> None:
    """There the place is not looked at, or is empty."""
    app = JWTAuthMiddleware(
        whoami, SeenBy(), token_from=COOKIE, public_paths=["/things"], preflight=True
    )
    for values in ([], [b"a.b.x"], [b"", b""]):
        assert status(await driven(app, asked(COOKIE, *values))) == 200
    question = http(method="OPTIONS", path="/other")
    question["headers"] += [(b"origin", b"x"), (b"access-control-request-method", b"GET")]
    assert status(await driven(app, question)) == 200


async def test_a_dependency_may_be_anonymous() -> None:
    """If the place is empty, whatever is in `Authorization`."""
    bearer = JWTBearer(SeenBy(), token_from=COOKIE, auto_error=False)
    connection = HTTPConnection(http(b"Bearer a.b.c"))
    assert await bearer(connection, SecurityScopes()) is None


@pytest.mark.parametrize(
    ("place", "scheme"),
    [
        (None, {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}),
        (HEADER, {"type": "apiKey", "in": "header", "name": "X-Goog-IAP-JWT-Assertion"}),
        (COOKIE, {"type": "apiKey", "in": "cookie", "name": "__Host-session"}),
    ],
    ids=["default", "header", "cookie"],
)
async def test_openapi_says_where(jwks: JWKS, place: Place | None, scheme: dict[str, str]) -> None:
    """As an API key, as OpenAPI has bearer tokens in one header only; with the scopes."""
    bearer = JWTBearer(jwks, token_from=place, description="Ours.")
    document = test_fastapi.guard(bearer).openapi()
    OpenAPI.model_validate(document)
    schemes = document["components"]["securitySchemes"]
    assert schemes == {"JWTBearer": scheme | {"description": "Ours."}}
    assert document["paths"]["/things"]["get"]["security"] == [{"JWTBearer": ["read", "list"]}]


@pytest.mark.parametrize("kind", [HeaderToken, CookieToken])
@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a:b", "a;b", "a=b", "a,b", '"a"', "é", "a\n", "a\x00", "(a)", "a/b"]
)
def test_a_name_is_a_token(kind: type[Any], name: str) -> None:
    """Of RFC 9110 §5.6.2 and RFC 6265 §4.1.1, so that nothing else can be meant."""
    with pytest.raises(ValueError, match=r"^name: expected a name such as "):
        kind(name)
    for other in (None, b"a", 5):
        with pytest.raises(TypeError, match=r"^name: expected a string"):
            kind(other)


@pytest.mark.parametrize("name", ["Authorization", "authorization", "COOKIE"])
def test_a_header_is_the_tokens_own(name: str) -> None:
    """The one has a scheme in front, the other many values."""
    with pytest.raises(ValueError, match=r"^name: expected a header of the token's own"):
        HeaderToken(name)
    assert CookieToken(name).name == name


@pytest.mark.parametrize("value", ["session", ("cookie", "session"), CookieToken, HeaderToken, 5])
def test_what_is_no_place_is_refused(value: Any) -> None:
    """By name, by each integration."""
    makers: list[Callable[..., object]] = [
        lambda **options: JWTAuthMiddleware(whoami, SeenBy(), **options),
        lambda **options: JWTAuthBackend(SeenBy(), **options),
        lambda **options: JWTBearer(SeenBy(), **options),
    ]
    for make in makers:
        with pytest.raises(TypeError, match=r"^token_from: expected a HeaderToken, a CookieToken"):
            make(token_from=value)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([b"a" * (MAX_CREDENTIALS + 1)], InvalidRequestError),
        ([b"a.b.c" + b" " * MAX_CREDENTIALS + b"d"], InvalidRequestError),
        ([b" " * 1_048_576], InvalidRequestError),
        ([b"a" * 1_048_577], InvalidRequestError),
        ([b"a.b.c"] * (MAX_FIELDS - 1), InvalidRequestError),
        ([b"a.b.c"] * (MAX_FIELDS + 1), InvalidRequestError),
        ([b"a" * 4_000] * 900, InvalidRequestError),
        ([], MissingTokenError),
        ([b""], MissingTokenError),
    ],
    ids=lambda value: f"{len(value)} {len(b''.join(value))}" if isinstance(value, list) else None,
)
@pytest.mark.parametrize("place", PLACES, ids=["header", "cookie"])
def test_what_is_too_much_is_refused_by_a_look(
    place: Place, values: list[bytes], fault: type[Exception]
) -> None:
    """No more of it is decoded than shows that it is too much."""
    find, scope = finder(place), asked(place, *values)
    with few_steps(), pytest.raises(fault):
        bearer_token(find(scope))


def test_many_cookies_of_one_name_are_refused_by_a_look() -> None:
    """However they are written."""
    find = finder(CookieToken("s"))
    for value in (b"s;" * (MAX_COOKIES - 1), b"s=a.b.c;" * 900, b";" * (MAX_COOKIE_BYTES + 1)):
        with few_steps(), pytest.raises(InvalidRequestError):
            bearer_token(find({"headers": [(b"cookie", value)]}))


def cookies_found(values: Sequence[bytes]) -> list[bytes]:
    """Return all cookies of the name, found part by part."""
    pairs = [pair.strip(b" \t").partition(b"=") for pair in b";".join(values).split(b";")]
    return [content for name, _, content in pairs if name == b"s"]


@given(
    values=st.lists(
        st.lists(
            st.sampled_from([b"s", b"S", b"=", b";", b" ", b"\t", b"a.b.c", b"x", b"\xff"])
        ).map(b"".join),
        max_size=3,
    )
)
@example([b"s= s"])
def test_the_cookies_are_those_that_a_parser_finds(values: list[bytes]) -> None:
    """None of them is overseen, so that two are always refused."""
    found = finder(CookieToken("s"))({"headers": [(b"cookie", value) for value in values]})
    expected = cookies_found(values)
    assert len(found) == len(expected)
    if len(found) == 1:
        token = found[0].removeprefix("Bearer ").strip(" \t").encode("latin-1")
        assert token == expected[0].strip(b" \t"), "blanks around a value are no part of it"


@pytest.mark.parametrize("place", [None, *PLACES], ids=["default", "header", "cookie"])
async def test_the_longest_token_fits(
    place: Place | None, issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """What a verifier may take gets through a middleware, and a server that lets it."""
    token = issuer.sign(aud=AUDIENCE, pad="a" * 45_000)
    assert 60_000 < len(token) < 61_440
    headers = carrying(place, token) if place else [("authorization", f"Bearer {token}")]
    async with verifying(issuer, max_token_length=61_440) as jwks:
        app = JWTAuthMiddleware(whoami, jwks, token_from=place)
        async with serving(app, http="h11") as address:
            assert (await client.get(f"http://{address}", headers=headers)).status_code == 200
