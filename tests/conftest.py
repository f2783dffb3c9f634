"""What every test runs under: asyncio, a Hypothesis profile, and no skips in CI."""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

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
