"""The application of docs/flask.md, behind gunicorn's workers."""

from collections.abc import Iterator

import pytest

from tests.web.recipes import (
    SERVERS,
    Site,
    check_faults,
    check_good_token,
    check_public,
    check_scopes,
    expected,
    refusals,
    served,
)


@pytest.fixture(scope="module", params=SERVERS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Serve the recipe."""
    folder = tmp_path_factory.mktemp("flask")
    with served("An application", request.param, folder, factory="shop.app:create_app") as site:
        yield site


def test_what_is_refused(site: Site) -> None:
    """Bad credentials are answered as RFC 6750 asks, with nothing of them."""
    assert refusals(site) == expected("Not authenticated")


def test_a_good_token_lets_in(site: Site) -> None:
    """The view finds the claims."""
    check_good_token(site)


def test_scopes(site: Site) -> None:
    """Who was granted too little is told what lacks."""
    check_scopes(site)


def test_public_endpoints(site: Site) -> None:
    """They need no token, and look at none."""
    check_public(site)


def test_faults_of_others(site: Site) -> None:
    """They are no fault of the caller, and let no one in."""
    check_faults(site)


@pytest.mark.parametrize("path", ["/nowhere", "/health/", "//health", "/me/../health/x"])
def test_no_other_path_is_public(site: Site, path: str) -> None:
    """What leads nowhere needs a token too."""
    assert site.client.get(path).status_code == 401
    assert site.client.get(path, headers=site.bearer()).status_code == 404
