"""`auth_jwks.flask`: the guard, `@requires_scopes`, `current_claims`, the setting."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask, request
from flask.testing import FlaskClient
from flask.views import MethodView
from werkzeug.wrappers import Response

from auth_jwks import JWKS
from auth_jwks.errors import InsufficientScopeError
from auth_jwks.flask import JWTAuth, current_claims, requires_scopes
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeIssuer
from tests.web.recipes import NO_TOKEN, PAGES, TABLE
from tests.web.status_table import AUDIENCE, Answer, answers, challenge, repeated

TOLD = challenge("insufficient_scope", "Insufficient scope") + ', scope="things:write"'


@pytest.fixture
def verifier(issuer: FakeIssuer) -> Iterator[SyncJWKS]:
    """Return a verifier of the provider's tokens, which tries nothing twice."""
    settings: dict[str, Any] = {"issuer": issuer.issuer, "retries": 0, "timeout": 30}
    with SyncJWKS(issuer.discovery_url, AUDIENCE, **settings) as jwks:
        yield jwks


def me() -> dict[str, Any]:
    """Tell who asks."""
    return {"sub": current_claims()["sub"]}


def guarded(**setting: Any) -> Flask:
    """Return an application that answers `/me`, `/health` and `/things`."""
    app = Flask(__name__)
    app.config["AUTH_JWKS"] = {"REALM": "shop", **setting}
    JWTAuth(app)
    app.add_url_rule("/me", view_func=me)
    app.add_url_rule("/health", "health", lambda: {"status": "ok"})
    app.add_url_rule("/things", view_func=requires_scopes("things:write")(remove))
    return app


def remove() -> dict[str, bool]:
    """Remove nothing."""
    return {"removed": True}


@pytest.fixture
def client(verifier: SyncJWKS) -> FlaskClient:
    """Return a client of a guarded application."""
    return guarded(VERIFIER=verifier, PUBLIC_ENDPOINTS=["health"]).test_client()


def bearer(issuer: FakeIssuer, **claims: Any) -> dict[str, str]:
    """Return the headers of a request with a good token."""
    return {"Authorization": f"Bearer {issuer.sign(aud=AUDIENCE, **claims)}"}


def answer_of(response: Any) -> Answer:
    """Return what a refusal says, in the order of a row."""
    told = response.headers.getlist("WWW-Authenticate")
    return response.status_code, response.json["detail"], told


def test_good_tokens_are_let_in(client: FlaskClient, issuer: FakeIssuer) -> None:
    """The view finds their claims."""
    assert client.get("/me", headers=bearer(issuer, sub="bob")).json == {"sub": "bob"}


def test_what_is_refused(client: FlaskClient, issuer: FakeIssuer) -> None:
    """Bad credentials are answered as RFC 6750 asks."""
    found = {
        name: answer_of(client.get("/me", headers=repeated(row.headers(issuer))))
        for name, row in TABLE.items()
    }
    nobody = (401, "Not authenticated", [NO_TOKEN])
    # Under WSGI several headers arrive as one, and the first is of another scheme.
    assert found == answers(TABLE) | {"two schemes": nobody}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
@pytest.mark.parametrize("path", ["/me", "/nowhere", "/static/a.txt", "//health", "/health/"])
def test_all_else_needs_a_token(client: FlaskClient, path: str, method: str) -> None:
    """Also what leads nowhere, Flask's own endpoints and its own answers to OPTIONS."""
    assert client.open(path, method=method).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [{}, {"scope": "things:read"}, {"scp": "things:writer"}],
    ids=["no", "other", "longer"],
)
def test_scopes_are_required(
    client: FlaskClient, issuer: FakeIssuer, claims: dict[str, str]
) -> None:
    """A token without them is told what lacks, and the verifier hears of it."""
    assert answer_of(client.get("/things", headers=bearer(issuer, **claims))) == (
        403, "Insufficient scope", [TOLD],
    )  # fmt: skip
    granted = bearer(issuer, scope="things:read things:write")
    assert client.get("/things", headers=granted).json == {"removed": True}


def test_refusals_after_verification_are_counted(
    client: FlaskClient, issuer: FakeIssuer, verifier: SyncJWKS
) -> None:
    """A token that lacks a scope, or came without its proof, is in the verifier's numbers."""
    client.get("/things", headers=bearer(issuer))
    client.get("/me", headers=bearer(issuer, cnf={"jkt": "0ZcOCORZNYy"}))
    assert {"scope", "bound"} <= verifier.status().verifications.keys()


def test_the_granted_scopes_are_where_the_setting_says(
    verifier: SyncJWKS, issuer: FakeIssuer
) -> None:
    """A provider may name them differently."""

    def roles(claims: Mapping[str, Any]) -> list[str]:
        return list(claims["roles"])

    client = guarded(VERIFIER=verifier, SCOPES_FROM=roles).test_client()
    granted = bearer(issuer, roles=["things:write"])
    assert client.get("/things", headers=granted).status_code == 200
    refused = bearer(issuer, roles=[], scope="things:write")
    assert client.get("/things", headers=refused).status_code == 403


def test_nothing_is_looked_at_on_a_public_endpoint(client: FlaskClient, issuer: FakeIssuer) -> None:
    """Not even a bad token, and nothing is fetched."""
    junk = {"Authorization": "Bearer junk"}
    assert client.get("/health", headers=junk).json == {"status": "ok"}
    assert not issuer.requests


def test_a_public_endpoint_has_no_claims(verifier: SyncJWKS, issuer: FakeIssuer) -> None:
    """Views that ask for claims or scopes stay closed there, whoever asked before."""
    public = ["me", "remove"]
    client = guarded(VERIFIER=verifier, PUBLIC_ENDPOINTS=public).test_client()
    for headers in ({}, bearer(issuer, scope="things:write")):
        refused = client.get("/me", headers=headers)
        assert answer_of(refused) == (401, "Not authenticated", [NO_TOKEN])
        wanting = [NO_TOKEN + ', scope="things:write"']
        refused = client.get("/things", headers=headers)
        assert answer_of(refused) == (401, "Not authenticated", wanting)


def test_claims_are_those_of_the_request(verifier: SyncJWKS, issuer: FakeIssuer) -> None:
    """Not of an earlier one, nor of one within it, that has the same application context."""
    app = guarded(VERIFIER=verifier, PUBLIC_ENDPOINTS=["open_me"])
    app.add_url_rule("/open", "open_me", me)
    client = app.test_client()

    @app.get("/around")
    def around() -> list[str]:
        before = current_claims()["sub"]
        within = app.test_client().get("/me", headers=bearer(issuer, sub="bob")).json
        return [before, within["sub"], current_claims()["sub"]]  # type: ignore[index]

    with app.app_context():
        found = client.get("/around", headers=bearer(issuer)).json
        assert found == ["alice", "bob", "alice"]
        assert client.get("/open").status_code == 401


def test_blueprints_can_be_public(verifier: SyncJWKS) -> None:
    """A dot at the end of a name stands for a blueprint with those within it, and no other."""
    app = guarded(VERIFIER=verifier, PUBLIC_ENDPOINTS=["pages."])
    pages, within, others = (Blueprint(name, __name__) for name in ("pages", "inner", "pages2"))
    for each in (pages, within, others):
        each.add_url_rule("/home", "home", lambda: "home")
    pages.register_blueprint(within, url_prefix="/inner")
    app.register_blueprint(pages, url_prefix="/pages")
    app.register_blueprint(others, url_prefix="/others")
    client = app.test_client()
    found = [client.get(f"/{path}/home").status_code for path in ("pages", "pages/inner", "others")]
    assert found == [200, 200, 401]


def test_views_of_other_kinds(verifier: SyncJWKS, issuer: FakeIssuer) -> None:
    """A class of views lists the decorator; a function may raise the error itself."""
    app = guarded(VERIFIER=verifier)

    class Things(MethodView):
        decorators: ClassVar = [requires_scopes("things:write")]

        def get(self) -> str:
            return "things"

    @app.get("/raises")
    def raises() -> str:
        raise InsufficientScopeError

    app.add_url_rule("/class", view_func=Things.as_view("class"))
    client = app.test_client()
    headers = bearer(issuer, scope="things:write")
    assert client.get("/class", headers=headers).text == "things"
    assert client.get("/class", headers=bearer(issuer)).status_code == 403
    assert client.get("/raises", headers=headers).status_code == 403


def test_no_handler_of_a_blueprint_replaces_a_refusal(
    verifier: SyncJWKS, issuer: FakeIssuer
) -> None:
    """A blueprint that answers any exception itself would make a 500 of it."""
    pages = Blueprint("pages", __name__)
    pages.add_url_rule("/me", view_func=me)
    pages.add_url_rule("/things", view_func=requires_scopes("things:write")(remove))
    pages.register_error_handler(Exception, lambda _: ("a fault", 500))
    app = guarded(VERIFIER=verifier, PUBLIC_ENDPOINTS=["pages.remove"])
    app.register_blueprint(pages, url_prefix="/pages")
    client = app.test_client()
    assert answer_of(client.get("/pages/me")) == (401, "Not authenticated", [NO_TOKEN])
    assert client.get("/pages/things").status_code == 401
    closed = guarded(VERIFIER=verifier)
    closed.register_blueprint(pages, url_prefix="/pages")
    refused = closed.test_client().get("/pages/things", headers=bearer(issuer))
    assert answer_of(refused) == (403, "Insufficient scope", [TOLD])


def test_async_views_are_run_as_flask_runs_them(verifier: SyncJWKS, issuer: FakeIssuer) -> None:
    """The decorator leaves that to the application."""

    class Eager(Flask):
        def ensure_sync(self, func: Any) -> Any:
            return lambda: f"run: {func.__name__}"

    app = Eager(__name__)
    app.config["AUTH_JWKS"] = {"VERIFIER": verifier}
    JWTAuth(app)

    async def later() -> str:
        raise NotImplementedError

    guarded_later: Callable[[], object] = requires_scopes()(later)
    with app.test_request_context("/", headers=bearer(issuer)):
        app.extensions["auth_jwks"].authenticate()
        assert guarded_later() == "run: later"


def test_preflights_are_answered_before_the_guard(verifier: SyncJWKS) -> None:
    """The page's function lets them through, and nothing else."""
    [code] = re.findall(
        r"^```py\n(from flask .*?)^```$", PAGES["flask.md"], re.DOTALL | re.MULTILINE
    )
    app = Flask(__name__)
    app.config["AUTH_JWKS"] = {"VERIFIER": verifier}
    exec(code, {"app": app, "JWTAuth": JWTAuth})  # noqa: S102 - the page's own code
    app.add_url_rule("/me", view_func=me, methods=["GET", "DELETE"])
    client = app.test_client()
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "DELETE"}
    answer = client.options("/me", headers=asked)
    assert (answer.status_code, answer.data) == (200, b"")
    assert "DELETE" in answer.headers["Allow"]
    assert client.options("/me").status_code == 401
    assert client.delete("/me", headers=asked).status_code == 401


def test_an_application_without_the_guard_lets_nobody_in(issuer: FakeIssuer) -> None:
    """What asks for claims or scopes there is a fault of the program."""
    app = Flask(__name__)
    app.add_url_rule("/me", view_func=me)
    app.add_url_rule("/things", view_func=requires_scopes("things:write")(remove))
    client = app.test_client()
    for path in ("/me", "/things"):
        assert client.get(path, headers=bearer(issuer)).status_code == 500
    app.testing = True
    with pytest.raises(RuntimeError, match="expected it to guard this application"):
        client.get("/me")


def test_the_guard_of_another_application_counts_for_nothing(
    verifier: SyncJWKS, issuer: FakeIssuer
) -> None:
    """One application may pass its requests on to another, with what it has left in them."""
    outer, open_app = guarded(VERIFIER=verifier), Flask("open")
    open_app.add_url_rule("/me", view_func=me)
    open_app.add_url_rule("/things", view_func=requires_scopes()(remove))
    inner = {"open": open_app, "guarded": guarded(VERIFIER=verifier)}

    @outer.get("/<app>/<path>")
    def passed_on(app: str, path: str) -> Response:
        return Response.from_app(inner[app], request.environ | {"PATH_INFO": f"/{path}"})

    client, headers = outer.test_client(), bearer(issuer, sub="bob")
    assert client.get("/guarded/me", headers=headers).json == {"sub": "bob"}
    for path in ("me", "things"):
        assert client.get(f"/open/{path}", headers=headers).status_code == 500


class Mute:
    """A verifier that neither returns claims nor raises, as a slip in a wrapper may."""

    def verify_token(self, _token: str, /) -> dict[str, Any]:
        """Return nothing that says who it is."""
        return {}


def test_a_verifier_must_return_claims(issuer: FakeIssuer) -> None:
    """One that returns nothing lets nobody in."""
    client = guarded(VERIFIER=Mute()).test_client()
    assert client.get("/me", headers=bearer(issuer)).status_code == 500


def test_the_setting_holds_parameters_of_the_verifier(issuer: FakeIssuer) -> None:
    """They make one, in each application."""
    parameters = {"issuer": issuer.issuer, "aud": AUDIENCE, "retries": 0, "timeout": 30}
    app, other = (guarded(VERIFIER=parameters) for _ in range(2))
    made, late = (each.extensions["auth_jwks"].verifier for each in (app, other))
    with made, late:
        assert app.test_client().get("/me", headers=bearer(issuer)).json == {"sub": "alice"}
        issuer.outage(retry_after=60)
        refused = other.test_client().get("/me", headers=bearer(issuer))
    assert answer_of(refused) == (503, "Temporarily unavailable", [])
    assert int(refused.headers["Retry-After"]) >= 60


URL = {"issuer": "https://a.example"}


@pytest.mark.parametrize(
    ("setting", "fault", "text"),
    [
        (None, TypeError, "AUTH_JWKS: expected a mapping in app.config, got NoneType"),
        ({}, ValueError, "AUTH_JWKS: VERIFIER: expected parameters of a SyncJWKS, or a verifier"),
        ({"VERIFIER": URL, "OPEN": 1}, ValueError, "got 'OPEN'"),
        ({"VERIFIER": URL | {"audience": "a"}}, ValueError, "VERIFIER: expected only .*'audience'"),
        ({"VERIFIER": URL | {"aud": ""}}, ValueError, "aud: "),
        ({"VERIFIER": "https://a.example"}, TypeError, "VERIFIER: expected a SyncJWKS, or its"),
        (
            {"VERIFIER": JWKS(issuer=URL["issuer"])},
            TypeError,
            "VERIFIER: expected a SyncJWKS, got a JWKS",
        ),
        ({"VERIFIER": URL, "REALM": '"'}, ValueError, "realm: "),
        ({"VERIFIER": URL, "SCOPES_FROM": "roles"}, TypeError, "SCOPES_FROM: expected a function"),
        ({"VERIFIER": URL, "PUBLIC_ENDPOINTS": "a"}, TypeError, "PUBLIC_ENDPOINTS: expected a co"),
    ],
)
def test_wrong_settings(setting: object, fault: type[Exception], text: str) -> None:
    """The error names the setting, and what was expected."""
    app = Flask(__name__)
    if setting is not None:
        app.config["AUTH_JWKS"] = setting
    with pytest.raises(fault, match=text):
        JWTAuth(app)


@pytest.mark.parametrize("app", ["shop", Flask, Blueprint("pages", __name__)])
def test_only_an_application_can_be_guarded(app: Any) -> None:
    """A blueprint has no requests of its own."""
    with pytest.raises(TypeError, match=r"^app: expected a Flask, got "):
        JWTAuth(app)


def test_an_application_is_guarded_once(verifier: SyncJWKS) -> None:
    """One extension may guard several applications, but each of them once."""
    auth = JWTAuth()
    apps = Flask("one"), Flask("other")
    for app in apps:
        app.config["AUTH_JWKS"] = {"VERIFIER": verifier}
        auth.init_app(app)
    with pytest.raises(RuntimeError, match="app: expected one that is not guarded"):
        auth.init_app(apps[0])


@pytest.mark.parametrize("scopes", [["two words"], [""], [1], [me]])
def test_wrong_scopes(scopes: list[Any]) -> None:
    """They are found where they are written."""
    with pytest.raises((TypeError, ValueError), match=r"^scopes: "):
        requires_scopes(*scopes)


def test_without_flask(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of the import names the extra."""
    monkeypatch.setitem(sys.modules, "flask", None)
    monkeypatch.delitem(sys.modules, "auth_jwks.flask")
    with pytest.raises(ImportError, match=re.escape("install auth-jwks[flask]")):
        import_module("auth_jwks.flask")
