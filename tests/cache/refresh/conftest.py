"""What the tests of a refresh run on: workers that know their `jwks_uri`."""

import pytest

from tests.cache.worker import Hire


@pytest.fixture
def hire(hire: Hire) -> Hire:
    """Return what makes workers that know their `jwks_uri`."""
    return lambda store, **more: hire(store, **{"discovers": False, **more})
