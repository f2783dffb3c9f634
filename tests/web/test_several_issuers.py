"""`Issuers` where a `JWKS` stands: every integration takes it as it is."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Security
from fastapi.openapi.models import OpenAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from auth_jwks import JWKS, Issuers
from auth_jwks.asgi import JWTAuthMiddleware
from auth_jwks.cloudflare import CfaAuthMiddleware
from auth_jwks.fastapi import JWTBearer
from auth_jwks.starlette import JWTAuthBackend
from auth_jwks.sync import SyncIssuers, SyncJWKS
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.several_issuers.members import ISSUED, crossed, verifiers
from tests.web.serving import serving
from tests.web.status_table import AUDIENCE, REFUSED, UNAVAILABLE, answer_of, authorization

Make = Callable[[Issuers], Any]


async def whose(request: Request) -> JSONResponse:
    """Tell who issued the token."""
    state, user = request.state, request.scope.get("user")
    claims = user.claims if user else getattr(state, "claims", None) or state.user
    return JSONResponse(claims["iss"])


def asgi(issuers: Issuers) -> Any:
    """Return an application behind the middleware for any of them."""
    return JWTAuthMiddleware(Starlette(routes=[Route("/", whose)]), issuers, realm="shop")


def starlette(issuers: Issuers) -> Any:
    """Return an application of Starlette's."""
    backend = JWTAuthBackend(issuers, realm="shop")
    wiring = Middleware(AuthenticationMiddleware, backend=backend, on_error=backend.on_error)
    return Starlette(routes=[Route("/", whose)], middleware=[wiring])


def fastapi(issuers: Issuers) -> FastAPI:
    """Return an application of FastAPI's."""
    app, bearer = FastAPI(), JWTBearer(issuers, realm="shop")

    @app.get("/")
    async def me(claims: Annotated[dict[str, Any], Depends(bearer)]) -> Any:
        return claims["iss"]

    app.get("/things", dependencies=[Security(bearer, scopes=["read"])])(lambda: None)
    return app


def cloudflare(issuers: Issuers) -> Any:
    """Return an application behind two teams' Access."""
    app = Starlette(routes=[Route("/", whose)])
    app.add_middleware(
        CfaAuthMiddleware, verify_token=issuers.verify_token, header_name="X-Access-Token"
    )
    return app


@pytest.fixture
def other(issuer: FakeIssuer) -> Iterator[FakeIssuer]:
    """Return another provider, whose key has the `kid` of the first one's."""
    with FakeIssuer(keys=[SigningKey.generate("ES256", issuer.signing_key.kid)]) as other:
        yield other


@pytest.fixture
async def issuers(issuer: FakeIssuer, other: FakeIssuer) -> AsyncIterator[Issuers]:
    """Return a verifier of both providers' tokens."""
    parts = (
        JWKS(each.discovery_url, AUDIENCE, issuer=each.issuer, retries=0)
        for each in (issuer, other)
    )
    async with Issuers(*parts) as issuers:
        yield issuers


def credentials(token: str) -> dict[str, str]:
    """Return the headers of a request, for Cloudflare's place too."""
    return authorization(token) | {"X-Access-Token": token}


@pytest.mark.parametrize("make", [asgi, starlette, fastapi, cloudflare])
async def test_each_issuer_s_tokens_let_in(
    make: Make,
    issuers: Issuers,
    issuer: FakeIssuer,
    other: FakeIssuer,
    client: httpx.AsyncClient,
) -> None:
    """Signed by its own keys; anything else is a 401, and an outage a 503 of one issuer alone."""
    async with serving(make(issuers)) as address:

        async def answer(token: str) -> tuple[int, Any]:
            got = await client.get(f"http://{address}/", headers=credentials(token))
            return got.status_code, got.json()

        for here, there in ((issuer, other), (other, issuer)) * 2:
            assert await answer(here.sign(aud=AUDIENCE)) == (200, here.issuer)
            for bad in (  # those with a bad signature have expired, and so begin no search
                there.sign(aud=AUDIENCE, iss=here.issuer, exp=1),
                here.sign(aud=AUDIENCE, iss="https://a.example"),
                here.sign(aud="web"),
                here.forge(aud=AUDIENCE, exp=1),
            ):
                assert (await answer(bad))[0] == 401
        other.rotate()
        other.outage()
        assert await answer(other.sign(aud=AUDIENCE)) == UNAVAILABLE
        assert await answer(issuer.sign(aud=AUDIENCE)) == (200, issuer.issuer)
        for bad in (issuer.forge(aud=AUDIENCE), other.sign(aud=AUDIENCE, iss=issuer.issuer)):
            assert (await answer(bad))[0] == 401


@pytest.mark.parametrize("make", [asgi, starlette, fastapi, cloudflare])
async def test_nothing_crosses_from_one_kind_of_member_to_another(
    make: Make, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Profiles, keys without a network, tenants: and callers are told nothing of why."""
    with verifiers(JWKS, tmp_path) as members:
        async with Issuers(*members) as issuers, serving(make(issuers)) as address:
            url, answers = f"http://{address}/", set[str]()
            for _ in range(2):
                for each in ISSUED.values():
                    let_in = await client.get(url, headers=credentials(each.sign()))
                    assert (let_in.status_code, let_in.json()) == (200, each.issuer)
                for what, token in crossed().items():
                    refused = await client.get(url, headers=credentials(token))
                    assert refused.status_code == 401, what
                    answers.add(refused.text)
            assert len(answers) == 1


@pytest.mark.parametrize("make", [asgi, starlette, fastapi])
async def test_what_is_refused_is_refused_as_ever(
    make: Make, issuers: Issuers, issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """With the status, the text and the challenge of a single verifier."""
    async with serving(make(issuers)) as address:
        for name, row in REFUSED.items():
            headers = [("Authorization", value) for value in row.headers(issuer)]
            answer = await client.get(f"http://{address}/", headers=headers)
            assert answer_of(answer) == (row.status, row.detail, [row.challenge]), name


async def test_openapi_knows_one_scheme(issuers: Issuers) -> None:
    """Whoever issued a token, it is brought in one way."""
    document = fastapi(issuers).openapi()
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert document["components"]["securitySchemes"] == {"JWTBearer": scheme}
    routes = {path: item["get"]["security"] for path, item in document["paths"].items()}
    assert routes == {"/": [{"JWTBearer": []}], "/things": [{"JWTBearer": ["read"]}]}
    OpenAPI.model_validate(document)


@pytest.mark.parametrize("make", [asgi, starlette, fastapi])
def test_one_for_threads_is_refused(make: Callable[[Any], Any]) -> None:
    """It would block the event loop for all others while it waits for keys."""
    threads = SyncIssuers(SyncJWKS("https://idp.test", "api", issuer="https://idp.test"))
    with pytest.raises(TypeError, match="verifier: expected a JWKS, got a SyncIssuers, which"):
        make(threads)
