"""What the tests of issuers run on: a site for every host, and verifiers that ask it."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from auth_jwks import JWKS
from tests.issuers.sites import Site

Make = Callable[..., JWKS]


@pytest.fixture
def site() -> Iterator[Site]:
    """Return a site without documents."""
    with Site() as site:
        yield site


@pytest.fixture
async def make(site: Site) -> AsyncIterator[Make]:
    """Return what makes verifiers of the audience `api`, closed with the test."""
    made: list[JWKS] = []
    async with site.client() as client:

        def make(**options: Any) -> JWKS:
            defaults: dict[str, Any] = {"aud": "api", "retries": 0, "http_client": client}
            made.append(JWKS(**(defaults | options)))
            return made[-1]

        yield make
        for jwks in made:
            await jwks.close()
