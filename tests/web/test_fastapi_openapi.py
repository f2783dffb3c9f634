"""What the OpenAPI document of a FastAPI application says of a login and of refusals."""

from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.openapi.models import OpenAPI

from auth_jwks import JWKS
from auth_jwks.asgi import CookieToken
from auth_jwks.bearer import ANSWERS
from auth_jwks.fastapi import JWTBearer
from auth_jwks.testing import FakeIssuer
from tests.web.status_table import authorization

DISCOVERY = "https://login.example.com/.well-known/openid-configuration"
CODE = {
    "authorizationUrl": "https://login.example.com/authorize",
    "tokenUrl": "https://login.example.com/oauth/token",
    "scopes": {"read": "Read things"},
}
FLOWS: dict[str, Any] = {"flows": {"authorizationCode": CODE}}
CONNECT: dict[str, Any] = {"openid_connect_url": DISCOVERY}
COOKIE: dict[str, Any] = {"token_from": CookieToken("session")}


def described(bearer: JWTBearer[Any]) -> FastAPI:
    """Return an application with an open route, a guarded one, and guarded ones with a scope."""
    app = FastAPI()
    bearer.describe_refusals(app)
    router = APIRouter(prefix="/things", dependencies=[Security(bearer, scopes=["read"])])

    @app.get("/open")
    async def hello() -> None: ...

    @app.get("/me")
    async def me(claims: Annotated[dict[str, Any], Depends(bearer)]) -> str:
        return str(claims["sub"])

    @router.get("/{number}")
    async def thing(number: int) -> int:
        return number

    @router.put("/{number}", responses={403: {"description": "Own."}})
    async def change(number: int) -> None: ...

    app.include_router(router)
    return app


def asking(app: FastAPI) -> httpx.AsyncClient:
    """Return a client of an application, without a server."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")


def statuses(document: dict[str, Any]) -> dict[str, list[str]]:
    """Return the statuses that each operation lists, in its order."""
    return {
        f"{method} {path}": [*operation["responses"]]
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def scheme(bearer: JWTBearer[Any]) -> dict[str, Any]:
    """Return the security scheme that the document has."""
    document = described(bearer).openapi()
    OpenAPI.model_validate(document)
    [found] = document["components"]["securitySchemes"].values()
    return dict(found)


# Refusals.


async def test_guarded_routes_list_their_refusals(jwks: JWKS) -> None:
    """401 and 503 wherever a token is asked for, 403 where a scope is, none where nothing is."""
    document = described(JWTBearer(jwks)).openapi()
    assert statuses(document) == {
        "get /open": ["200"],
        "get /me": ["200", "401", "503"],
        "get /things/{number}": ["200", "401", "403", "422", "503"],
        "put /things/{number}": ["200", "401", "403", "422", "503"],
    }
    OpenAPI.model_validate(document)


async def test_refusals_have_a_body_and_headers(jwks: JWKS) -> None:
    """Each has a reference to one schema, a text that is really answered, and its header."""
    document = described(JWTBearer(jwks, scheme_name="Staff.v2")).openapi()
    responses = document["paths"]["/things/{number}"]["get"]["responses"]
    texts = {(status, detail) for _, status, detail, _ in ANSWERS}
    headers = {}
    for status in ("401", "403", "503"):
        content = responses[status]["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Staff.v2Refusal"}
        assert (int(status), content["example"]["detail"]) in texts
        headers[status] = [*responses[status]["headers"]]
    assert headers == {
        "401": ["WWW-Authenticate"], "403": ["WWW-Authenticate"], "503": ["Retry-After"],
    }  # fmt: skip
    body = document["components"]["schemas"]["Staff.v2Refusal"]
    assert (body["required"], body["properties"]["detail"]["type"]) == (["detail"], "string")


async def test_refusals_are_as_the_document_says(issuer: FakeIssuer, jwks: JWKS) -> None:
    """What is answered has the header and the member that the document lists."""
    app = described(JWTBearer(jwks))
    listed = app.openapi()["paths"]["/things/{number}"]["get"]["responses"]
    issuer.outage()
    async with asking(app) as client:
        nobody = await client.get("/things/1")
        outage = await client.get("/things/1", headers=authorization(issuer.sign(aud="api")))
        issuer.recover()
        await jwks.refresh(force=True)
        lacking = await client.get("/things/1", headers=authorization(issuer.sign(aud="api")))
    for answer, status in ((nobody, 401), (outage, 503), (lacking, 403)):
        assert answer.status_code == status
        assert all(name in answer.headers for name in listed[str(status)]["headers"])
        assert [*answer.json()] == ["detail"]


async def test_what_a_route_lists_itself_stays(jwks: JWKS) -> None:
    """A response of the user's own is not overwritten."""
    responses = described(JWTBearer(jwks)).openapi()["paths"]["/things/{number}"]["put"][
        "responses"
    ]
    assert responses["403"] == {"description": "Own."}


async def test_two_bearers_describe_one_application(jwks: JWKS) -> None:
    """Each route lists the refusals of the one that guards it; the document is made once."""
    app = FastAPI()
    for name in ("Staff", "Partner"):
        bearer = JWTBearer(jwks, scheme_name=name)
        bearer.describe_refusals(app)
        app.get(f"/{name}", dependencies=[Depends(bearer)])(lambda: None)
    document = app.openapi()
    assert statuses(document) == {
        f"get /{name}": ["200", "401", "503"] for name in ("Staff", "Partner")
    }
    assert {*document["components"]["schemas"]} == {"StaffRefusal", "PartnerRefusal"}
    assert app.openapi() is document


async def test_a_document_of_the_applications_own(jwks: JWKS) -> None:
    """A path may have a summary and parameters beside its operations."""
    app = FastAPI()
    app.get("/me", dependencies=[Depends(bearer := JWTBearer(jwks))])(lambda: None)
    made = app.openapi

    def own() -> dict[str, Any]:
        document = made()
        document["paths"]["/me"] |= {"summary": "Who", "parameters": []}
        return document

    app.openapi = own  # type: ignore[method-assign]
    bearer.describe_refusals(app)
    assert [*app.openapi()["paths"]["/me"]["get"]["responses"]] == ["200", "401", "503"]


@pytest.mark.parametrize("app", [APIRouter(), FastAPI, None])
async def test_only_an_application_has_a_document(app: Any, jwks: JWKS) -> None:
    """A router has none, and the class would get one for all its applications."""
    with pytest.raises(TypeError, match=r"^app: expected a FastAPI, got "):
        JWTBearer(jwks).describe_refusals(app)


async def test_without_the_call_nothing_is_listed(jwks: JWKS) -> None:
    """The document of an application that wasn't described is FastAPI's own."""
    app = FastAPI(dependencies=[Depends(JWTBearer(jwks))])
    app.get("/")(lambda: None)
    assert statuses(app.openapi()) == {"get /": ["200"]}


async def test_an_application_without_routes(jwks: JWKS) -> None:
    """Nothing is listed where there is nothing."""
    app = FastAPI()
    JWTBearer(jwks).describe_refusals(app)
    assert app.openapi()["paths"] == {}


# The login.


async def test_flows_are_an_oauth2_scheme(jwks: JWKS) -> None:
    """The scheme has the flow as it was given, with extensions; routes keep their scopes."""
    bearer = JWTBearer(jwks, flows={"authorizationCode": CODE | {"x-own": 1}}, description="Ours.")
    assert scheme(bearer) == {
        "type": "oauth2",
        "description": "Ours.",
        "flows": {"authorizationCode": CODE | {"x-own": 1}},
    }
    security = described(bearer).openapi()["paths"]["/things/{number}"]["get"]["security"]
    assert security == [{"JWTBearer": ["read"]}]


async def test_a_flow_without_scopes_has_none(jwks: JWKS) -> None:
    """OpenAPI wants the member, if only an empty one."""
    flow = {"tokenUrl": "https://login.example.com/oauth/token"}
    made = scheme(JWTBearer(jwks, flows={"clientCredentials": flow}))
    assert made["flows"] == {"clientCredentials": flow | {"scopes": {}}}


async def test_a_discovery_document_is_an_open_id_connect_scheme(
    issuer: FakeIssuer, jwks: JWKS
) -> None:
    """The scheme has the URL, which is fetched by nobody here."""
    made = scheme(JWTBearer(jwks, openid_connect_url=issuer.discovery_url, description="Ours."))
    assert made == {
        "type": "openIdConnect", "description": "Ours.", "openIdConnectUrl": issuer.discovery_url,
    }  # fmt: skip
    assert len(issuer.requests) == 0


@pytest.mark.parametrize("options", [FLOWS, CONNECT], ids=["flows", "discovery"])
async def test_a_login_changes_nothing_else(
    options: dict[str, Any], issuer: FakeIssuer, jwks: JWKS
) -> None:
    """Tokens are read from `Authorization`, and refused, as without it."""
    token = issuer.sign(aud="api", scope="read")
    async with asking(described(JWTBearer(jwks, **options))) as client:
        good = await client.get("/things/1", headers=authorization(token))
        nobody = await client.get("/things/1")
    assert (good.status_code, good.json()) == (200, 1)
    assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="api", scope="read"'


@pytest.mark.parametrize(
    ("flows", "fault"),
    [
        ({}, "got no flow"),
        ({"implicit": None}, "got no flow"),
        ({"x-own": {}}, "got no flow"),
        ({"authorization_code": CODE}, "unknown: authorization_code"),
        ({"authorizationCode": CODE | {"scope": "a"}}, "unknown: authorizationCode.scope"),
        ({"authorizationCode": None, "clientCredentials": {"scopes": {}}},
         "missing or of another type: clientCredentials.tokenUrl"),
        ({"authorizationCode": CODE | {"scopes": ["read"]}},
         "missing or of another type: authorizationCode.scopes"),
    ],
)  # fmt: skip
async def test_flows_have_the_form_of_openapi(flows: Any, fault: str, jwks: JWKS) -> None:
    """A misspelt member is named, as FastAPI's model would pass it on."""
    with pytest.raises(ValueError, match=f"^flows: expected OpenAPI's form, .*; {fault}$"):
        JWTBearer(jwks, flows=flows)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://a:b@example.com", "//a/b"])
async def test_urls_of_a_flow_are_for_a_browser(url: str, jwks: JWKS) -> None:
    """The document publishes them; one of the service itself may be relative."""
    JWTBearer(jwks, flows={"authorizationCode": CODE | {"refreshUrl": "token"}})
    for name in ("authorizationUrl", "tokenUrl", "refreshUrl"):
        with pytest.raises(
            ValueError, match=f"^flows: authorizationCode.{name}: (it must|the scheme must)"
        ):
            JWTBearer(jwks, flows={"authorizationCode": CODE | {name: url}})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"flows": []}, TypeError, "flows: expected a dict, got list"),
        ({"openid_connect_url": ""}, ValueError, "openid_connect_url: expected an http"),
        ({"openid_connect_url": "example.com"}, ValueError, "openid_connect_url: the scheme"),
        ({"openid_connect_url": 1}, TypeError, "openid_connect_url: expected a URL, got int"),
        (COOKIE | FLOWS, ValueError, "flows: expected None beside token_from"),
        (COOKIE | CONNECT, ValueError, "openid_connect_url: expected None beside token_from"),
        (FLOWS | CONNECT, ValueError, "openid_connect_url: expected None beside flows"),
    ],
)
async def test_misuse(
    options: dict[str, Any], error: type[Exception], message: str, jwks: JWKS
) -> None:
    """What can't work is refused at construction."""
    with pytest.raises(error, match=f"^{message}"):
        JWTBearer(jwks, **options)
