"""What the tests of the Redis store run on: stores under a prefix of each test's own."""

import os
from collections.abc import AsyncIterator

import pytest

from auth_jwks import RedisKeyStore
from tests.stores.redis.storing import SECRET, Keys


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Return a prefix of this test's own."""
    return f"test-{os.getpid()}-{request.node.name}".replace("{", "(").replace("}", ")")


@pytest.fixture
async def store(redis_url: str, prefix: str) -> AsyncIterator[RedisKeyStore]:
    """Return a store without a seal."""
    async with RedisKeyStore(redis_url, prefix=prefix) as store:
        yield store


@pytest.fixture
async def sealed(redis_url: str, prefix: str) -> AsyncIterator[RedisKeyStore]:
    """Return a store that seals."""
    async with RedisKeyStore(redis_url, prefix=prefix, integrity_key=SECRET) as store:
        yield store


@pytest.fixture
def keys(redis_url: str, prefix: str) -> Keys:
    """Return the record as others see it."""
    return Keys(redis_url, prefix)
