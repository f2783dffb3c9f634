"""What the tests of the file store run on: a directory, two handles of it, workers."""

from collections.abc import Generator
from pathlib import Path

import pytest

from auth_jwks.stores.file import FileKeyStore
from tests.stores.file.leasing import Timer
from tests.stores.file.processes import Hire, Worker


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory of this user's own."""
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture
def timer() -> Timer:
    """Return the clock of both handles."""
    return Timer()


@pytest.fixture
def store(directory: Path, timer: Timer) -> FileKeyStore:
    """Return one handle."""
    return FileKeyStore(directory, timer=timer)


@pytest.fixture
def other(directory: Path, timer: Timer) -> FileKeyStore:
    """Return another handle of the same directory."""
    return FileKeyStore(directory, timer=timer)


@pytest.fixture
def hire(directory: Path) -> Generator[Hire]:
    """Return what starts worker processes, which are ended with the test."""
    staff: list[Worker] = []

    def start(number: int) -> list[Worker]:
        new = [Worker(directory) for _ in range(number)]
        staff.extend(new)
        assert [worker.told() for worker in new] == ["ready"] * number
        return new

    yield start
    for worker in staff:
        worker.end()
