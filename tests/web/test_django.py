"""The examples of docs/django.md as they are deployed: behind each of gunicorn's own workers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from auth_jwks.testing import FakeIssuer
from tests.web.recipes import (
    NO_TOKEN,
    SECTIONS,
    Site,
    check_good_token,
    check_scopes,
    expected,
    modules,
    refusals,
    serving,
    written,
)
from tests.web.status_table import answer_of

MIDDLEWARE, REST, AROUND = "Django", "Django REST framework", "Under ASGI"
SETTINGS = """
SECRET_KEY = "of no use here"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
"""
# What the page leaves out of the settings, as every project has it.
REST_SETTINGS = """
INSTALLED_APPS += ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"]
"""
ENTRY = """
import os

from django.core.{kind} import get_{kind}_application

os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
application = get_{kind}_application()
"""
GUNICORN = ("gunicorn", "--no-control-socket", "--bind", "fd://{fd}")
SERVERS = {
    "sync": (MIDDLEWARE, (*GUNICORN, "-k", "sync", "--preload", "shop.wsgi:application")),
    "asgi": (MIDDLEWARE, (*GUNICORN, "-k", "asgi", "shop.asgi:application")),
    "gthread": (REST, (*GUNICORN, "-k", "gthread", "--threads", "4", "shop.wsgi:application")),
}
WITHOUT_TOKEN = {
    MIDDLEWARE: "Not authenticated",
    REST: "Authentication credentials were not provided.",
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    """Return which worker serves."""
    return str(request.param)


@pytest.fixture(scope="module")
def section(server: str) -> str:
    """Return which example it serves."""
    return SERVERS[server][0]


@pytest.fixture(scope="module")
def site(server: str, section: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve the example."""
    folder = tmp_path_factory.mktemp("django")
    kind = "asgi" if server == "asgi" else "wsgi"
    rest = {
        "shop/settings.py": SETTINGS + (REST_SETTINGS if section == REST else ""),
        f"shop/{kind}.py": ENTRY.format(kind=kind),
    }
    with FakeIssuer(algorithm="ES256") as issuer:
        written(section, folder, issuer.url, rest)
        with serving(SERVERS[server][1], folder) as client:
            yield Site(client, issuer)


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
    for headers in ({}, {"Authorization": "Bearer junk"}):
        assert site.client.get("/health", headers=headers).json() == {"status": "ok"}


def test_what_leads_nowhere(section: str, site: Site) -> None:
    """A middleware answers for paths that are no view's; an authentication class can't."""
    for path in ("/nowhere", "/health/", "//health", "/health/x", "/me/../health/x"):
        assert site.client.get(path).status_code == (401 if section == MIDDLEWARE else 404)
        assert site.client.get(path, headers=site.bearer()).status_code == 404


def test_one_verifier_serves_all(site: Site) -> None:
    """No request asks the provider for keys that one before it had, whatever thread it gets."""
    counts = set()
    for number in range(8):
        headers = site.bearer(sub=str(number))
        assert site.client.get("/me", headers=headers).status_code == 200
        counts.add((site.issuer.discovery_requests, site.issuer.jwks_requests))
    assert len(counts) == 1


def test_around_the_application(tmp_path: Path) -> None:
    """The middleware for ASGI guards Django, whose views find the claims in the scope."""
    with FakeIssuer(algorithm="ES256") as issuer:
        written(AROUND, tmp_path, issuer.url, {"shop/settings.py": SETTINGS})
        with serving(("uvicorn", "--fd", "{fd}", "shop.asgi:application"), tmp_path) as client:
            site = Site(client, issuer)
            check_good_token(site)
            assert client.get("/health").json() == {"status": "ok"}
            for path in ("/me", "/nowhere"):
                refused = client.get(path)
                assert answer_of(refused) == (401, "Not authenticated", [NO_TOKEN])


def test_no_module_goes_untested() -> None:
    """Each section that prints a module is served here or for Flask."""
    served = {section for section in SECTIONS if modules(section)}
    assert served == {"An application", MIDDLEWARE, REST, AROUND}
