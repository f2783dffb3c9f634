"""What every test runs under: asyncio, tiers, the same examples, no skips in CI; real servers."""

import os
import signal
import threading
from collections.abc import Generator, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import settings

from tests.servers import ValkeyServer, running

CI = bool(os.environ.get("CI"))

# The same examples on every machine; tests/fuzz.py looks for others.
settings.register_profile("same", settings.get_profile("ci"), max_examples=100)
settings.register_profile("fuzz", settings.get_profile("same"), derandomize=False, max_examples=500)
settings.load_profile("same")

POSIX = hasattr(os, "fork")

# A shell lets what runs in its background ignore ^C, and so would each program of a test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Whatever proxy this machine has, it leads to no server of a test.
DIRECT = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
os.environ["no_proxy"] = f"{DIRECT},127.0.0.1" if DIRECT else "127.0.0.1"

# The markers of whole files and folders; a class or a test among others has its marker beside it.
HERE = Path(__file__).parent
TIERS = {
    "full": (
        "fleet", "sync/test_forks.py", "test_benchmark*", "test_demo.py", "test_fleet_demo.py",
        "test_deploy.py", "test_logging_recipes.py", "test_oidc_provider.py", "test_packaging.py",
        "test_site.py", "test_start_pages.py", "test_workers.py", "testing/test_recipes.py",
        "web/mcp", "web/playground", "web/test_django.py", "web/test_fastapi_login.py",
        "web/test_flask.py", "web/test_frameworks.py", "web/test_gunicorn*.py",
        "web/test_sentry.py",
    ),
    "posix": ("cli/test_store.py", "stores/test_directory.py", "stores/file"),
    "once": (
        "provider_pages", "stores/test_gate_machine.py", "test_benchmark*", "test_demo.py",
        "test_deploy.py", "test_fleet_demo.py", "test_packaging.py", "test_site.py",
        "test_start_pages.py", "test_workers.py", "testing/test_recipes.py", "web/playground",
        "web/test_fastapi_login.py", "web/test_fastapi_page.py", "web/test_frameworks.py",
        "web/test_sentry.py",
    ),
}  # fmt: skip
SERVERS = {"redis_url", "valkey"}


def tiers(path: Path) -> set[str]:
    """Return the markers of a file or folder."""
    name = path.relative_to(HERE).as_posix() if path.is_relative_to(HERE) else ""
    return {tier for tier, names in TIERS.items() if any(fnmatchcase(name, each) for each in names)}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave a file alone, with what it imports, if all its tests are left out."""
    marks = tiers(collection_path)
    if "posix" in marks and not POSIX:
        return True
    return config.option.markexpr in {f"not {tier}" for tier in marks} or None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by its file, by the servers it asks for, and as random if a suite says so."""
    marks = set().union(*map(tiers, (item.path, *item.path.parents)))
    if SERVERS & {*getattr(item, "fixturenames", ())}:
        marks.add("full")
    if getattr(item, "originalname", None) == "test_interleavings":
        marks.add("hypothesis")
    for mark in marks:
        item.add_marker(mark)
    if not POSIX and item.get_closest_marker("posix"):
        item.add_marker(pytest.mark.skip(reason="needs a POSIX system"))


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    """See that a test closes its verifiers for threads: other tests count the threads of these."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name == "auth_jwks":
            thread.join(60)
            assert not thread.is_alive(), "a SyncJWKS is left open"


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
