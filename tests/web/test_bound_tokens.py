"""Tokens that are bound to a key (`cnf`), where no proof of the key is looked at."""

import logging
from collections.abc import Callable
from typing import Annotated, Any

import httpx
import jwt
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from auth_jwks import JWKS
from auth_jwks.asgi import JWTAuthMiddleware
from auth_jwks.bearer import Challenge, unbound, verified
from auth_jwks.errors import BoundTokenError
from auth_jwks.fastapi import JWTBearer
from auth_jwks.profiles import AccessToken
from auth_jwks.starlette import JWTAuthBackend
from auth_jwks.testing import FakeIssuer
from tests.web.asgi.driving import EVERY_WAY, driven, websocket, whoami
from tests.web.status_table import answer_of, authorization, verifying

# Of DPoP (RFC 9449 §6.1), of a certificate (RFC 8705 §3.1), and what says nothing, or nonsense.
CONFIRMATIONS: list[Any] = [
    {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
    {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
    {},
    [],
    "",
    False,
    {"jkt": None},
]
INVALID = 'Bearer realm="api", error="invalid_token", error_description="Invalid token"'

Guard = Callable[..., Any]


def asgi(jwks: JWKS, **options: Any) -> Any:
    """Return an application behind the middleware."""
    return JWTAuthMiddleware(whoami, jwks, websocket=EVERY_WAY, **options)


def starlette(jwks: JWKS, **options: Any) -> Any:
    """Return an application behind Starlette's own."""

    async def me(request: Request) -> JSONResponse:
        return JSONResponse(request.user.identity)

    backend = JWTAuthBackend(jwks, **options)
    guard = Middleware(AuthenticationMiddleware, backend=backend, on_error=backend.on_error)
    return Starlette(routes=[Route("/", me)], middleware=[guard])


def fastapi(jwks: JWKS, **options: Any) -> Any:
    """Return an application with the dependency."""
    app, bearer = FastAPI(), JWTBearer(jwks, **options)

    @app.get("/")
    async def me(claims: Annotated[dict[str, Any], Depends(bearer)]) -> Any:
        return claims["sub"]

    return app


GUARDS = pytest.mark.parametrize("guard", [asgi, starlette, fastapi])


async def asked(app: Any, headers: dict[str, str]) -> httpx.Response:
    """Return the answer to a request."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        return await client.get("/", headers=headers)


def with_null(issuer: FakeIssuer) -> str:
    """Return a token whose confirmation is null."""
    claims = f'{{"iss":"{issuer.issuer}","sub":"a","aud":"api","iat":1,"exp":9e9,"cnf":null}}'
    return issuer.signing_key.sign(claims.encode())


@GUARDS
async def test_a_bound_token_is_no_bearer_token(
    issuer: FakeIssuer, jwks: JWKS, guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever its `cnf` says; seen before or not. The log has the reason, and nothing of it."""
    app = guard(jwks)
    tokens = [issuer.sign(aud="api", cnf=cnf) for cnf in CONFIRMATIONS] + [with_null(issuer)]
    with caplog.at_level(logging.DEBUG, "auth_jwks"):
        for token in tokens:
            assert "cnf" in await jwks.verify_token(token)
            for _ in range(2):
                refused = await asked(app, authorization(token))
                assert answer_of(refused) == (401, "Invalid token", [INVALID])
    assert caplog.text.count("refused a request: BoundTokenError: cnf: ") == 2 * len(tokens)
    assert "0ZcOCORZNYy" not in caplog.text


@GUARDS
async def test_it_is_let_in_where_the_proof_is_checked(
    issuer: FakeIssuer, jwks: JWKS, guard: Guard
) -> None:
    """With `allow_bound`; everything else is checked as before."""
    app = guard(jwks, allow_bound=True)
    for cnf in CONFIRMATIONS:
        assert (await asked(app, authorization(issuer.sign(aud="api", cnf=cnf)))).is_success
    assert (await asked(app, authorization(issuer.sign(aud="api")))).is_success
    for bad in (issuer.forge(aud="api", cnf={}), issuer.sign(aud="web", cnf={})):
        assert (await asked(app, authorization(bad))).status_code == 401


@GUARDS
@pytest.mark.parametrize("allow_bound", [False, True])
async def test_another_scheme_is_no_bearer(
    issuer: FakeIssuer, jwks: JWKS, guard: Guard, *, allow_bound: bool
) -> None:
    """`DPoP` in front of a token is not looked behind (RFC 9449 §7.1)."""
    token = issuer.sign(aud="api", cnf=CONFIRMATIONS[0])
    headers = {"Authorization": f"DPoP {token}"}
    answer = await asked(guard(jwks, allow_bound=allow_bound), headers)
    assert answer_of(answer) == (401, "Not authenticated", ['Bearer realm="api"'])


@GUARDS
@pytest.mark.parametrize("value", [None, 1, "yes"])
async def test_the_option_is_a_flag(jwks: JWKS, guard: Guard, value: object) -> None:
    """Nothing else turns the check off."""
    with pytest.raises(TypeError, match=r"^allow_bound: expected True or False"):
        guard(jwks, allow_bound=value)


@GUARDS
async def test_a_verifier_with_a_profile_needs_no_wrapper(issuer: FakeIssuer, guard: Guard) -> None:
    """Its tokens are let in, and no others; a fault of a check is nobody's 401."""
    faults: list[Exception] = []

    def check(_claims: dict[str, Any]) -> None:
        if faults:
            raise faults.pop()

    profile = AccessToken(check=check)
    access = {"aud": "api", "client_id": "web", "jti": "1"}
    good = authorization(issuer.sign(access, headers={"typ": "at+jwt"}))
    async with verifying(issuer, profile=profile) as jwks:
        app = guard(jwks)
        assert (await asked(app, good)).is_success
        assert (await asked(app, authorization(issuer.sign(access)))).status_code == 401
        faults.append(jwt.InvalidTokenError("suspended"))
        assert (await asked(app, good)).json() == {"detail": "Invalid token"}
        faults.append(KeyError("tenant"))
        with pytest.raises(KeyError):
            await asked(app, good)
        assert (await asked(app, good)).is_success


async def test_websockets_are_guarded_too(issuer: FakeIssuer, jwks: JWKS) -> None:
    """In whatever way they bring the token."""
    token = issuer.sign(aud="api", cnf=CONFIRMATIONS[0])
    header = websocket(f"Bearer {token}".encode())
    for scope in (
        header, websocket(query_string=f"access_token={token}".encode()),
        websocket(subprotocols=["bearer", token]),
    ):  # fmt: skip
        start, _ = await driven(asgi(jwks), scope)
        assert start["status"] == 401
    assert (await driven(asgi(jwks, allow_bound=True), header))[0]["type"] == "websocket.accept"


async def test_other_frameworks_have_the_same(issuer: FakeIssuer, jwks: JWKS) -> None:
    """In two functions."""
    values = [f"Bearer {issuer.sign(aud='api', cnf={})}"]
    with pytest.raises(BoundTokenError) as refused:
        await verified(jwks, values)
    assert Challenge().refusal(refused.value).status == 401
    claims = await verified(jwks, values, allow_bound=True)
    with pytest.raises(BoundTokenError):
        unbound(claims)
    del claims["cnf"]
    assert unbound(claims) is claims
