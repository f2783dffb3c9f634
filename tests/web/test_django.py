"""The recipes for Django of docs/sync.md, behind gunicorn's workers and uvicorn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from auth_jwks.testing import FakeIssuer
from tests.web.recipes import (
    NO_TOKEN,
    PAGE,
    SECTIONS,
    Site,
    check_faults,
    check_good_token,
    check_public,
    check_scopes,
    expected,
    modules,
    refusals,
    served,
    serving,
    written,
)
from tests.web.status_table import answer_of

MIDDLEWARE, REST, ASGI = "Django", "Django REST framework", "Django under ASGI"
SETTINGS = """
SECRET_KEY = "of no use here"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
USE_TZ = True
"""
WSGI = """
import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
application = get_wsgi_application()
"""
OPEN = """

@api_view()
@permission_classes([AllowAny])
def whoami(request: Request) -> Response:
    return Response({"sub": request.user.pk})


urlpatterns.append(path("whoami", whoami))
"""
PROJECT = {"shop/settings.py": SETTINGS, "shop/wsgi.py": WSGI}
# Each recipe's module with the verifier, and what serves it.
RECIPES = {MIDDLEWARE: ("shop.middleware", "sync"), REST: ("shop.authentication", "gthread")}
WITHOUT_TOKEN = {
    MIDDLEWARE: "Not authenticated",
    REST: "Authentication credentials were not provided.",
}


@pytest.fixture(scope="module", params=RECIPES)
def section(request: pytest.FixtureRequest) -> str:
    """Return which recipe is served."""
    return str(request.param)


@pytest.fixture(scope="module")
def site(section: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve the recipe."""
    folder = tmp_path_factory.mktemp("django")
    rest = PROJECT | ({"shop/urls.py": OPEN} if section == REST else {})
    recipe, server = RECIPES[section]
    entry = "shop.wsgi:application"
    with served(section, server, folder, recipe=recipe, entry=entry, rest=rest) as site:
        yield site


def test_what_is_refused(section: str, site: Site) -> None:
    """Bad credentials are answered as RFC 6750 asks, with nothing of them."""
    assert refusals(site) == expected(WITHOUT_TOKEN[section])


def test_a_good_token_lets_in(site: Site) -> None:
    """The view finds the claims."""
    check_good_token(site)


def test_scopes(site: Site) -> None:
    """Who was granted too little is told what lacks."""
    check_scopes(site)


def test_public_views(site: Site) -> None:
    """They need no token, and look at none."""
    check_public(site)


def test_faults_of_others(site: Site) -> None:
    """They are no fault of the caller, and let no one in."""
    check_faults(site)


def test_what_leads_nowhere(section: str, site: Site) -> None:
    """A middleware answers for paths that are no view's; an authentication class can't."""
    for path in ("/nowhere", "/health/", "//health", "/health/x"):
        assert site.client.get(path).status_code == (401 if section == MIDDLEWARE else 404)
        assert site.client.get(path, headers=site.bearer()).status_code == 404


@pytest.mark.parametrize("section", [REST], indirect=True)
def test_open_views_of_the_rest_framework(site: Site) -> None:
    """Without a bearer token a request is anonymous where that is allowed, not with a bad one."""
    strange, forged = ({"Authorization": it} for it in ("Basic YTpi", "Bearer a.b.c"))
    answers = [
        site.client.get("/whoami", headers=headers)
        for headers in ({}, strange, site.bearer(), forged, site.by("down"))
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 401, 503]
    assert [answer.json() for answer in answers[:3]] == [
        {"sub": sub} for sub in (None, None, "alice")
    ]


def test_asgi(tmp_path: Path) -> None:
    """The middleware for ASGI guards Django, whose views find the claims in the scope."""
    with FakeIssuer(algorithm="ES256") as issuer:
        written(ASGI, tmp_path, issuer.url, {"shop/settings.py": SETTINGS})
        with serving(("uvicorn", "--fd", "{fd}", "shop.asgi:application"), tmp_path) as client:
            site = Site(client, issuer)
            check_good_token(site)
            assert client.get("/health").json() == {"status": "ok"}
            for path in ("/me", "/nowhere"):
                refused = client.get(path)
                assert answer_of(refused) == (401, "Not authenticated", [NO_TOKEN])


def test_no_module_goes_untested() -> None:
    """Each section that prints modules is served here or for Flask, and every module has a name."""
    served = {section for section in SECTIONS if modules(section)}
    assert served == {"Flask", *RECIPES, ASGI}
    assert PAGE.count("```py\n# shop/") == PAGE.count("```py\n")
