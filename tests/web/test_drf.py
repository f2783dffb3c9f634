"""`auth_jwks.drf`: the authentication class, its user, the permission, the OpenAPI document."""

from tests.web import django_site

# isort: split

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from auth_jwks.drf import TokenUser, has_scopes
from auth_jwks.testing import FakeIssuer
from tests.web.recipes import NO_TOKEN, TABLE
from tests.web.test_django_middleware import (
    SCOPE,
    TOLD,
    Broken,
    Mute,
    answer_of,
    bearer,
    down,
    expected,
    joined,
    settings_for,
)

NOBODY = (401, "Authentication credentials were not provided.", [NO_TOKEN])


@pytest.fixture(autouse=True)
def _no_middleware() -> Iterator[None]:
    """The class does it all, and nothing was counted before."""
    cache.clear()
    with override_settings(MIDDLEWARE=[]):
        yield


@pytest.fixture
def setting(issuer: FakeIssuer) -> Iterator[None]:
    """Configure the provider of the test."""
    with override_settings(AUTH_JWKS=settings_for(issuer)):
        yield


def got(path: str, headers: dict[str, str] | None = None) -> Any:
    """Return the answer to a request."""
    return APIClient().get(path, headers=headers or {})


@pytest.mark.usefixtures("setting")
def test_what_is_refused(issuer: FakeIssuer) -> None:
    """Bad credentials are answered as RFC 6750 asks; the framework has its own words for none."""
    told = {
        name: answer_of(got("/rest/me", joined(row.headers(issuer)))) for name, row in TABLE.items()
    }
    others = dict.fromkeys(("none", "another scheme", "two schemes"), NOBODY)
    assert {"none": answer_of(got("/rest/me")), **told} == expected() | others


@pytest.mark.usefixtures("setting")
def test_a_good_token_lets_in(issuer: FakeIssuer) -> None:
    """The view finds the claims, and a user who shows as its subject."""
    answer = got("/rest/me", bearer(issuer, sub="bob"))
    assert (answer.status_code, answer.json()) == (200, {"sub": "bob", "user": "bob"})


@pytest.mark.usefixtures("setting")
def test_scopes(issuer: FakeIssuer) -> None:
    """Who was granted too little is told what lacks; who brings no token, to bring one."""
    assert got("/rest/things", bearer(issuer, scope=SCOPE)).status_code == 200
    refused = answer_of(got("/rest/things", bearer(issuer, scope="things:read")))
    assert refused == (403, "Insufficient scope", [TOLD])
    assert answer_of(got("/rest/things")) == NOBODY
    with pytest.raises(ValueError, match="scopes: expected words"):
        has_scopes("a b")


@pytest.mark.usefixtures("setting")
def test_claims_of_another_class_grant_nothing(issuer: FakeIssuer) -> None:
    """What another authentication class says was not verified here."""
    assert got("/rest/strange").status_code == 403
    assert got("/rest/strange-first").status_code == 403
    headers = bearer(issuer, scope=SCOPE)
    assert got("/rest/strange", headers).status_code == 403
    assert got("/rest/strange-first", headers).status_code == 200


@pytest.mark.usefixtures("setting")
def test_claims_of_the_middleware(issuer: FakeIssuer) -> None:
    """Where the middleware verified the token, views of the framework find the claims too."""
    with override_settings(MIDDLEWARE=django_site.MIDDLEWARE):
        answer = got("/rest/passed", bearer(issuer, scope=SCOPE))
        assert (answer.status_code, answer.json()) == (200, {"sub": "alice"})
        assert got("/rest/passed", bearer(issuer)).status_code == 403


@pytest.mark.usefixtures("setting")
def test_permissions_of_the_framework(issuer: FakeIssuer) -> None:
    """They ask the user, who is neither staff nor has any permission."""
    for path in ("/rest/admins", "/rest/models"):
        assert got(path, bearer(issuer)).status_code == (403 if "admins" in path else 200)
        assert got(path).status_code == 401
    client = APIClient()
    posted = client.post("/rest/models", {}, headers=bearer(issuer))
    assert posted.status_code == 403


@pytest.mark.usefixtures("setting")
def test_throttles_count_by_the_subject(issuer: FakeIssuer) -> None:
    """Each subject has a count of its own."""
    told = [got("/rest/throttled", bearer(issuer, sub=sub)).status_code for sub in ("a", "b", "a")]
    assert told == [200, 200, 429]


@pytest.mark.usefixtures("setting")
def test_open_views_and_templates(issuer: FakeIssuer) -> None:
    """A template survives the user; without a token a request is anonymous, not with a bad one."""
    assert got("/rest/open", bearer(issuer)).json() == "alice/True/False/"
    assert got("/rest/open").json() == "AnonymousUser/False/False/"
    assert got("/rest/open", {"Authorization": "Basic YTpi"}).status_code == 200
    assert got("/rest/open", {"Authorization": "Bearer a.b.c"}).status_code == 401
    assert answer_of(APIClient().delete("/rest/open")) == (401, "Not authenticated", [NO_TOKEN])


def test_without_keys(issuer: FakeIssuer) -> None:
    """An outage is nobody's fault who asks, and told until when."""
    with override_settings(AUTH_JWKS=down(issuer)):
        answer = got("/rest/open", bearer(issuer))
    assert answer_of(answer) == (503, "Temporarily unavailable", [])
    assert 30 <= int(answer.headers["Retry-After"]) <= 300


@pytest.mark.parametrize("verifier", [Broken(), Mute()])
def test_a_fault_lets_nobody_in(monkeypatch: pytest.MonkeyPatch, verifier: object) -> None:
    """What blames no token is a fault of the program: 500."""
    monkeypatch.setitem(django_site.MADE, "verifier", verifier)
    with override_settings(AUTH_JWKS={"VERIFIER": django_site.made}):
        client = APIClient(raise_request_exception=False)
        assert client.get("/rest/open", headers={"Authorization": "Bearer a"}).status_code == 500


def test_wrong_settings() -> None:
    """They let nobody in."""
    with override_settings(AUTH_JWKS={}), pytest.raises(ImproperlyConfigured, match="VERIFIER"):
        got("/rest/open")


def test_users_of_django(issuer: FakeIssuer) -> None:
    """The function of the settings finds them; who is gone, or not there, is refused."""
    setting = settings_for(issuer, USER="tests.web.django_site.django_user")
    with override_settings(AUTH_JWKS=setting):
        assert got("/rest/admins", bearer(issuer, sub="dan")).json() == {
            "sub": "dan",
            "user": "dan",
        }
        for sub in ("bob", "carol"):
            for path in ("/rest/me", "/rest/open"):
                refused = got(path, bearer(issuer, sub=sub))
                assert (refused.status_code, refused.json()) == (401, {"detail": "Invalid token"})


@pytest.mark.usefixtures("setting")
def test_forced_authentication() -> None:
    """A test may say who it is; claims that it leaves out are not there."""
    client: Any = APIClient()  # its types know no user but Django's
    claims = {"sub": "bob", "scope": SCOPE}
    client.force_authenticate(user=TokenUser(claims), token=claims)
    assert client.get("/rest/things").json() == {"sub": "bob", "user": "bob"}
    client.force_authenticate(user=TokenUser(claims))
    assert client.get("/rest/things").status_code == 403
    assert client.get("/rest/me").status_code == 401


def test_a_token_user() -> None:
    """It has what Django and its apps ask of a user, and Django grants it nothing."""
    user = TokenUser({"iss": "https://a.example", "sub": "alice"})
    names = (user.pk, user.id, user.username, user.get_username(), str(user))
    assert names == ("alice",) * 5
    assert repr(user) == "TokenUser('alice')"
    assert (user.is_authenticated, user.is_active, user.is_anonymous) == (True, True, False)
    denied = (user.has_perm("auth.add_user"), user.has_perms(["auth.add_user"]))
    assert (user.is_staff, user.is_superuser, *denied) == (False,) * 4
    assert user.has_perms([])
    assert not user.has_module_perms("auth")
    granted = (user.get_all_permissions, user.get_user_permissions, user.get_group_permissions)
    assert [each() for each in granted] == [set()] * 3
    assert pickle.loads(pickle.dumps(user)) == user  # noqa: S301 - it was made here


def test_token_users_are_told_apart() -> None:
    """By issuer and subject: a subject is unique at its issuer only."""
    alice = TokenUser({"iss": "a", "sub": "alice", "exp": 1})
    assert len({alice, TokenUser({"iss": "a", "sub": "alice", "exp": 2})}) == 1
    assert alice != TokenUser({"iss": "b", "sub": "alice"})
    assert alice != "alice"
    assert [TokenUser({"sub": sub}).pk for sub in (7, None)] == ["7", ""]


def test_openapi() -> None:
    """drf-spectacular finds the scheme, without anybody telling it."""
    generator: Any = SchemaGenerator
    document = generator().get_schema(request=None, public=True)
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert document["components"]["securitySchemes"] == {"JWTBearer": scheme}
    assert document["paths"]["/rest/me"]["get"]["security"] == [{"JWTBearer": []}]
    assert {} in document["paths"]["/rest/open"]["get"]["security"]
