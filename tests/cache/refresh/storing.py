"""What the tests of a refresh find in a store."""

import asyncio
import json

from auth_jwks._cache.outcome import Outcome
from auth_jwks._provider.document import Document, encode
from auth_jwks.stores import StoreUnavailable
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.cache.worker import spin

DOWN = StoreUnavailable("timed out")


def stored(issuer: FakeIssuer, *keys: SigningKey, etag: str | None = None) -> bytes:
    """Return what a worker of the same source keeps in the store."""
    jwks = json.dumps({"keys": [key.jwk() for key in keys]}).encode()
    return encode(Document(issuer.jwks_uri, issuer.issuer, jwks, etag))


async def elapsed(clock: FakeClock, task: asyncio.Task[Outcome]) -> float:
    """Let time pass until the task is done; return how much, to a hundredth of a second."""
    began = clock.monotonic()
    while not task.done():
        clock.advance(0.01)
        await spin()
    return clock.monotonic() - began
