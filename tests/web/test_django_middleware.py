"""`auth_jwks.django`: the middleware in both modes, `@requires_scopes`, the setting, its check."""

from tests.web import django_site

# isort: split

import os
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from threading import Barrier
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import AsyncClient, Client, RequestFactory, override_settings

from auth_jwks import JWKS
from auth_jwks.django import JWTAuthMiddleware, claims_of, requires_scopes, verifier
from auth_jwks.django._configured import current
from auth_jwks.errors import InsufficientScopeError
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeIssuer
from tests.web.recipes import NO_TOKEN, PAGES, TABLE
from tests.web.status_table import (
    AUDIENCE,
    Answer,
    BrokenVerifier,
    MuteVerifier,
    answers,
    challenge,
)

SCOPE = "things:write"
TOLD = challenge("insufficient_scope", "Insufficient scope") + f', scope="{SCOPE}"'


def settings_for(issuer: FakeIssuer, **others: Any) -> dict[str, Any]:
    """Return a setting that verifies the provider's tokens, and tries nothing twice."""
    parameters = {
        "discovery_url": issuer.discovery_url, "aud": AUDIENCE, "issuer": issuer.issuer,
        "retries": 0,
    }  # fmt: skip
    return {"VERIFIER": parameters, "REALM": "shop", **others}


@pytest.fixture
def setting(issuer: FakeIssuer) -> Iterator[dict[str, Any]]:
    """Configure the provider of the test."""
    setting = settings_for(issuer, PUBLIC_PATHS=["/health"])
    with override_settings(AUTH_JWKS=setting):
        yield setting


def bearer(issuer: FakeIssuer, **claims: Any) -> dict[str, str]:
    """Return the headers of a request with a good token."""
    return {"Authorization": f"Bearer {issuer.sign(aud=AUDIENCE, **claims)}"}


def answer_of(response: Any) -> Answer:
    """Return what a refusal says, in the order of a row."""
    told = response.headers.get("WWW-Authenticate")
    return response.status_code, response.json()["detail"], [told] if told else []


def joined(headers: Any) -> dict[str, str]:
    """Return repeated headers as every server of Django joins them."""
    return {"Authorization": ",".join(headers)}


def expected() -> dict[str, Answer]:
    """Return how bad requests are refused."""
    nobody = (401, "Not authenticated", [NO_TOKEN])
    return {"none": nobody, **answers(TABLE)}


def down(issuer: FakeIssuer) -> dict[str, Any]:
    """Return the setting for a provider whose keys can't be had."""
    issuer.outage(retry_after=60)
    return settings_for(issuer)


@pytest.mark.usefixtures("setting")
def test_what_is_refused(issuer: FakeIssuer) -> None:
    """Bad credentials are answered as RFC 6750 asks, with nothing of them."""
    client = Client()
    refused = {
        name: answer_of(client.get("/me", headers=joined(row.headers(issuer))))
        for name, row in TABLE.items()
    }
    assert {"none": answer_of(client.get("/me")), **refused} == expected()


@pytest.mark.usefixtures("setting")
async def test_what_is_refused_on_an_event_loop(issuer: FakeIssuer) -> None:
    """The same, by a `JWKS`."""
    client = AsyncClient()
    refused = {
        name: answer_of(await client.get("/later", headers=joined(row.headers(issuer))))
        for name, row in TABLE.items()
    }
    assert {"none": answer_of(await client.get("/later")), **refused} == expected()


@pytest.mark.usefixtures("setting")
async def test_a_good_token_lets_in(issuer: FakeIssuer) -> None:
    """Views of both kinds find the claims, whatever mode the middleware is in."""
    headers = bearer(issuer, sub="bob")
    sync, later = Client(), AsyncClient()
    for path in ("/me", "/later"):
        assert (await later.get(path, headers=headers)).json() == {"sub": "bob"}
    with override_settings(MIDDLEWARE=[*django_site.MIDDLEWARE]):
        answers_of_threads = [
            await sync_to_async(sync.get)(path, headers=headers) for path in ("/me", "/later")
        ]
    assert [answer.json() for answer in answers_of_threads] == [{"sub": "bob"}] * 2


@pytest.mark.usefixtures("setting")
@pytest.mark.parametrize("path", ["/things", "/later/things", "/class", "/later/class"])
def test_scopes(issuer: FakeIssuer, path: str) -> None:
    """Who was granted too little is told what lacks."""
    client = Client()
    assert client.get(path, headers=bearer(issuer, scope="a things:write")).status_code == 200
    for claims in ({}, {"scope": "things:read"}, {"scp": "things:writer"}):
        answer = client.get(path, headers=bearer(issuer, **claims))
        assert answer_of(answer) == (403, "Insufficient scope", [TOLD])


def refused_later(issuer: FakeIssuer) -> list[dict[str, str]]:
    """Return the headers of tokens that are verified, and refused all the same."""
    return [bearer(issuer), bearer(issuer, cnf={})]


@pytest.mark.usefixtures("setting")
def test_the_verifier_is_told_of_what_is_refused_after_it(issuer: FakeIssuer) -> None:
    """Its log and its counts have them."""
    for headers in refused_later(issuer):
        Client().get("/things", headers=headers)
    made = verifier()
    assert isinstance(made, SyncJWKS)
    assert made.status().verifications == {"ok": 2, "seen": 0, "bound": 1, "scope": 1}


@pytest.mark.usefixtures("setting")
async def test_the_verifier_of_a_loop_is_told_too(issuer: FakeIssuer) -> None:
    """The same there."""
    for headers in refused_later(issuer):
        await AsyncClient().get("/things", headers=headers)
    made = current().async_verifier
    assert isinstance(made, JWKS)
    assert made.status().verifications == {"ok": 2, "seen": 0, "bound": 1, "scope": 1}


@pytest.mark.usefixtures("setting")
async def test_scopes_on_an_event_loop(issuer: FakeIssuer) -> None:
    """The same there."""
    client = AsyncClient()
    good, poor = bearer(issuer, scope=SCOPE), bearer(issuer)
    for path in ("/things", "/later/things", "/class", "/later/class"):
        assert (await client.get(path, headers=good)).status_code == 200
        assert answer_of(await client.get(path, headers=poor))[0] == 403


@pytest.mark.usefixtures("setting")
def test_views_keep_their_arguments(issuer: FakeIssuer) -> None:
    """A decorated view gets what its path names, and a token is all that no scope asks for."""
    headers = bearer(issuer, scope=SCOPE)
    for path in ("/things/one", "/later/things/one"):
        assert Client().get(path, headers=headers).json() == {"removed": "one"}
    assert Client().get("/members", headers=bearer(issuer)).status_code == 200
    assert answer_of(Client().get("/members")) == (401, "Not authenticated", [NO_TOKEN])


@pytest.mark.usefixtures("setting")
def test_public_paths(issuer: FakeIssuer) -> None:
    """They answer anyone and look at no token; no other spelling of them is public."""
    for headers in ({}, {"Authorization": "Bearer junk"}, bearer(issuer)):
        assert Client().get("/health", headers=headers).json() == {"claims": None}
    for path in ("/nowhere", "/health/", "//health", "/me/../health", "/%68ealth/x", "/health;a"):
        assert Client().get(path).status_code == 401
        assert Client().get(path, headers=bearer(issuer)).status_code == 404


async def test_a_cache_of_pages_tells_tokens_apart(issuer: FakeIssuer) -> None:
    """Django's own shows nobody the page of another, nor a page to whoever has no good token."""
    cached = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *django_site.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    alice, bob = (bearer(issuer, sub=sub) for sub in ("alice", "bob"))
    setting = settings_for(issuer, PUBLIC_PATHS=["/health"])
    with override_settings(AUTH_JWKS=setting, MIDDLEWARE=cached):
        get = sync_to_async(Client().get)
        for each in (get, AsyncClient().get):
            told = [(await each("/later", headers=headers)) for headers in (alice, bob, alice)]
            assert [answer.json()["sub"] for answer in told] == ["alice", "bob", "alice"]
            assert told[0].headers["Vary"] == "Authorization"
            assert (await each("/later")).status_code == 401
            assert "Vary" not in (await each("/health")).headers
            varied = await each("/varying", headers=alice)
            assert varied.headers["Vary"] == "Accept, Authorization"
    with override_settings(AUTH_JWKS={**setting, "OPTIONAL": True}):
        assert (await get("/whoever")).headers["Vary"] == "Authorization"


def test_public_prefixes(issuer: FakeIssuer) -> None:
    """They open what is below them, and views there that need claims answer 401."""
    with override_settings(AUTH_JWKS=settings_for(issuer, PUBLIC_PREFIXES=["/things", "/me"])):
        told = f'{NO_TOKEN}, scope="{SCOPE}"'
        for headers in ({}, bearer(issuer, scope=SCOPE)):
            refused = answer_of(Client().get("/things/one", headers=headers))
            assert refused == (401, "Not authenticated", [told])
            refused = answer_of(Client().get("/me", headers=headers))
            assert refused == (401, "Not authenticated", [NO_TOKEN])


async def test_optional(issuer: FakeIssuer) -> None:
    """Without any credentials a request passes, and nobody is anonymous with some."""
    with override_settings(AUTH_JWKS=settings_for(issuer, OPTIONAL=True)):
        client = AsyncClient()
        assert (await client.get("/whoever")).json() == {"claims": None}
        assert answer_of(await client.get("/later")) == (401, "Not authenticated", [NO_TOKEN])
        told = f'{NO_TOKEN}, scope="{SCOPE}"'
        refused = answer_of(await client.get("/later/things"))
        assert refused == (401, "Not authenticated", [told])
        for value, status in (("", 401), ("Basic YTpi", 401), ("Bearer", 400), ("Bearer x", 401)):
            answer = await client.get("/whoever", headers={"Authorization": value})
            assert answer.status_code == status
        assert (await client.get("/later", headers=bearer(issuer))).status_code == 200


async def test_without_keys(issuer: FakeIssuer) -> None:
    """An outage is nobody's fault who asks, and told until when."""
    with override_settings(AUTH_JWKS=down(issuer)):
        headers = bearer(issuer)
        told = [
            await sync_to_async(Client().get)("/me", headers=headers),
            await AsyncClient().get("/later", headers=headers),
        ]
    for answer in told:
        assert answer_of(answer) == (503, "Temporarily unavailable", [])
        assert 30 <= int(answer.headers["Retry-After"]) <= 300


def test_a_misled_discovery(issuer: FakeIssuer) -> None:
    """Discovery that names another issuer is a fault of the service."""
    setting = settings_for(issuer)
    issuer.announce(issuer="https://other.example")
    with override_settings(AUTH_JWKS=setting):
        answer = Client().get("/me", headers=bearer(issuer))
    assert answer_of(answer) == (503, "Temporarily unavailable", [])
    assert "Retry-After" not in answer.headers


class Broken:
    """A verifier of threads that fails in a way that blames no token."""

    def verify_token(self, token: str, /) -> dict[str, Any]:
        """Raise what a fault in the program would."""
        raise LookupError(token[:0])


class Mute:
    """One that neither returns claims nor raises."""

    def verify_token(self, _token: str, /) -> dict[str, Any]:
        """Return nothing that says who it is."""
        return {}


FACTORY = {"VERIFIER": "tests.web.django_site.made", "ASYNC_VERIFIER": django_site.made}


@pytest.mark.parametrize("verifier", [Broken(), Mute()])
def test_a_fault_lets_nobody_in(monkeypatch: pytest.MonkeyPatch, verifier: object) -> None:
    """What blames no token is a fault of the program: 500."""
    monkeypatch.setitem(django_site.MADE, "verifier", verifier)
    with override_settings(AUTH_JWKS=dict(FACTORY)):
        client = Client(raise_request_exception=False)
        assert client.get("/me", headers={"Authorization": "Bearer a.b.c"}).status_code == 500


@pytest.mark.parametrize("verifier", [BrokenVerifier(), MuteVerifier()])
async def test_a_fault_lets_nobody_in_on_a_loop(
    monkeypatch: pytest.MonkeyPatch, verifier: object
) -> None:
    """The same there."""
    monkeypatch.setitem(django_site.MADE, "verifier", verifier)
    with override_settings(AUTH_JWKS=dict(FACTORY)):
        client = AsyncClient(raise_request_exception=False)
        answer = await client.get("/later", headers={"Authorization": "Bearer a.b.c"})
        assert answer.status_code == 500


@pytest.mark.usefixtures("setting")
def test_exceptions_of_views(issuer: FakeIssuer) -> None:
    """Those that refuse a request are answered, all others are left alone."""
    client = Client(raise_request_exception=False)
    assert client.get("/broken", headers=bearer(issuer)).status_code == 500
    middleware = JWTAuthMiddleware(lambda _request: None)
    refused = middleware.process_exception(RequestFactory().get("/"), InsufficientScopeError())
    assert refused is not None
    assert refused.status_code == 403


@pytest.mark.usefixtures("setting")
def test_a_view_without_the_middleware_stays_closed(issuer: FakeIssuer) -> None:
    """Then nothing was verified, which is a fault of the settings."""
    with (
        override_settings(MIDDLEWARE=[]),
        pytest.raises(ImproperlyConfigured, match="JWTAuthMiddleware: expected it in MIDDLEWARE"),
    ):
        Client().get("/things", headers=bearer(issuer, scope=SCOPE))
    with pytest.raises(ImproperlyConfigured, match="MIDDLEWARE"):
        claims_of(RequestFactory().get("/", headers=bearer(issuer)))


def test_scopes_are_checked_where_they_are_asked_for() -> None:
    """What is no scope is refused when the view is defined, and so is a forgotten call."""
    with pytest.raises(ValueError, match="scopes: expected words"):
        requires_scopes("a b")
    with pytest.raises(TypeError, match="scopes: expected"):
        requires_scopes(django_site.me)  # type: ignore[arg-type] # it was not called


def test_scopes_of_another_provider(issuer: FakeIssuer) -> None:
    """The function of the settings reads them."""
    setting = settings_for(issuer, SCOPES_FROM="tests.web.django_site.roles")
    with override_settings(AUTH_JWKS=setting):
        told = [
            Client().get("/things", headers=bearer(issuer, **claims)).status_code
            for claims in ({"roles": [SCOPE]}, {"scope": SCOPE}, {"roles": None})
        ]
    assert told == [200, 403, 403]


def test_a_verifier_of_a_function(issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made once, and its maker closes it."""
    with SyncJWKS(issuer.discovery_url, AUDIENCE, issuer=issuer.issuer) as jwks:
        monkeypatch.setitem(django_site.MADE, "verifier", jwks)
        with override_settings(AUTH_JWKS=dict(FACTORY)):
            assert verifier() is jwks
            assert Client().get("/me", headers=bearer(issuer)).status_code == 200
        assert jwks.verify_token(issuer.sign(aud=AUDIENCE))["sub"] == "alice"


@pytest.mark.usefixtures("setting")
def test_one_verifier_per_process_and_settings(issuer: FakeIssuer) -> None:
    """Tests may bring other settings, and get the verifier of before when they leave."""
    first = verifier()
    assert Client().get("/me", headers=bearer(issuer)).status_code == 200
    with FakeIssuer(algorithm="ES256") as other:
        client = Client()
        with override_settings(AUTH_JWKS=settings_for(other)):
            second = verifier()
            assert second is verifier() is not first
            assert client.get("/me", headers=bearer(other)).status_code == 200
            assert client.get("/me", headers=bearer(issuer)).status_code == 401
        with pytest.raises(RuntimeError, match="closed"):
            second.verify_token(other.sign(aud=AUDIENCE))
        assert client.get("/me", headers=bearer(other)).status_code == 401
    assert verifier() is first
    with override_settings(USE_TZ=False):
        assert client.get("/me", headers=bearer(issuer)).status_code == 200
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no dictionary": (lambda _: [1], "AUTH_JWKS: expected a dictionary in the settings, got list"),
    "nothing": (lambda _: None, "AUTH_JWKS: expected a dictionary in the settings, got NoneType"),
    "no verifier": (lambda _: {"REALM": "a"}, "AUTH_JWKS: VERIFIER: expected parameters"),
    "an unknown name": (lambda good: {**good, "REALMS": "a"}, "got 'REALMS'"),
    "a bad realm": (lambda good: {**good, "REALM": '"'}, "AUTH_JWKS: REALM: expected printable"),
    "a bad path": (lambda good: {**good, "PUBLIC_PATHS": ["health"]}, "AUTH_JWKS: PUBLIC_PATHS: "),
    "no flag": (lambda good: {**good, "OPTIONAL": 1}, "AUTH_JWKS: OPTIONAL: expected True"),
    "an unknown parameter": (
        lambda _: {"VERIFIER": {"audience": "api"}},
        "AUTH_JWKS: VERIFIER: got 'audience', expected only allowed_algorithms, aud,",
    ),
    "a bad parameter": (lambda _: {"VERIFIER": {"aud": "api"}}, "AUTH_JWKS: VERIFIER: "),
    "a path to nothing": (
        lambda _: {"VERIFIER": "tests.web.django_site.nothing"},
        'AUTH_JWKS: VERIFIER: Module "tests.web.django_site" does not define',
    ),
    "no function": (lambda good: {**good, "USER": 1}, "AUTH_JWKS: USER: expected a function"),
    "a coroutine": (
        lambda _: {"VERIFIER": "tests.web.django_site.made_later"},
        "AUTH_JWKS: VERIFIER: expected a plain function",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("setting")
def test_threads_get_the_same_verifier() -> None:
    """Also those that are the first to ask, all at once."""
    start = Barrier(8)

    def asked(_number: int) -> int:
        start.wait(timeout=60)
        return id(verifier())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(asked, range(8)))) == 1


@pytest.mark.parametrize(("change", "text"), WRONG.values(), ids=WRONG)
def test_wrong_settings(
    issuer: FakeIssuer, change: Callable[[dict[str, Any]], Any], text: str
) -> None:
    """They are an error of the check, with an id, and no server starts with them."""
    with override_settings(AUTH_JWKS=change(settings_for(issuer))):
        [error] = [each for each in run_checks() if str(each.id).startswith("auth_jwks")]
        assert (error.id, text in error.msg) == ("auth_jwks.E001", True)
        for handler in (WSGIHandler, ASGIHandler):
            with pytest.raises(ImproperlyConfigured) as caught:
                handler()
            assert text in str(caught.value)
    assert issuer.discovery_requests == 0


def test_the_page_names_each_setting() -> None:
    """The table of docs/django.md is what the setting may hold."""
    table = PAGES["django.md"].partition("### The setting")[2].partition("\n\nPublic paths")[0]
    with (
        override_settings(AUTH_JWKS={"names": ()}),
        pytest.raises(ImproperlyConfigured) as caught,
    ):
        verifier()
    told = ", ".join(sorted(re.findall(r"^\| `([A-Z_]+)` ", table, re.MULTILINE)))
    assert str(caught.value) == f"AUTH_JWKS: got 'names', expected only {told}"


@pytest.mark.usefixtures("setting")
def test_good_settings_pass_the_check(issuer: FakeIssuer) -> None:
    """Without a word, and without a request to the provider."""
    assert [each for each in run_checks() if str(each.id).startswith("auth_jwks")] == []
    assert issuer.discovery_requests == 0


def test_the_app_needs_no_other() -> None:
    """Without drf-spectacular it is there too, and brings no models."""
    with override_settings(INSTALLED_APPS=["auth_jwks.django"]):
        app = apps.get_app_config("auth_jwks")
        assert (app.name, list(app.get_models())) == ("auth_jwks.django", [])


def test_a_verifier_of_the_other_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `JWKS` is refused for threads, a `SyncJWKS` for an event loop, and none at all for ASGI."""
    url = "https://login.example/jwks"
    monkeypatch.setitem(django_site.MADE, "verifier", JWKS(jwks_uri=url))
    with override_settings(AUTH_JWKS=dict(FACTORY)):
        with pytest.raises(ImproperlyConfigured, match="expected a SyncJWKS, got JWKS"):
            WSGIHandler()
        ASGIHandler()
    monkeypatch.setitem(django_site.MADE, "verifier", SyncJWKS(jwks_uri=url))
    with (
        override_settings(AUTH_JWKS=dict(FACTORY)),
        pytest.raises(ImproperlyConfigured, match="ASYNC_VERIFIER: verifier: expected a JWKS"),
    ):
        ASGIHandler()
    with (
        override_settings(AUTH_JWKS={"VERIFIER": "tests.web.django_site.made"}),
        pytest.raises(ImproperlyConfigured, match="ASYNC_VERIFIER: expected the path"),
    ):
        ASGIHandler()
    monkeypatch.setitem(django_site.MADE, "verifier", object())
    with (
        override_settings(AUTH_JWKS=dict(FACTORY)),
        pytest.raises(ImproperlyConfigured, match="expected a SyncJWKS, got object"),
    ):
        verifier()


@pytest.mark.posix
@pytest.mark.usefixtures("setting")
def test_a_fork_keeps_the_keys(issuer: FakeIssuer) -> None:
    """A verifier that was made and used before a fork works after it, with the keys it had."""
    headers = bearer(issuer)
    assert Client().get("/me", headers=headers).status_code == 200
    child = os.fork()
    if child == 0:
        os._exit(Client().get("/me", headers=bearer(issuer, sub="b")).status_code - 200)
    assert os.waitpid(child, 0)[1] == 0
    assert issuer.jwks_requests == 1


@pytest.mark.parametrize(
    ("name", "missing", "extra"),
    [("django", "django", "django"), ("drf", "rest_framework.request", "drf")],
)
def test_without_the_framework_the_import_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, name: str, missing: str, extra: str
) -> None:
    """And says what is missing."""
    monkeypatch.delitem(sys.modules, f"auth_jwks.{name}")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"install auth-jwks\[{extra}\]$"):
        import_module(f"auth_jwks.{name}")
