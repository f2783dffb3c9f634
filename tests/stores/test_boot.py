"""Which boot of the host this is, and the time since it."""

import inspect
import sys
import time
from pathlib import Path

import pytest

from auth_jwks.stores._boot import BOOTTIME, boot, since_boot
from auth_jwks.stores.file import FileKeyStore


def test_time_is_since_the_boot() -> None:
    """All processes of this host count it alike, and wherever there is no such clock another."""
    assert time.monotonic() - 1 < since_boot(None) <= time.monotonic() <= since_boot() + 1
    assert since_boot() <= since_boot()
    began = time.process_time()
    assert began <= since_boot(time.CLOCK_PROCESS_CPUTIME_ID) <= time.process_time()
    assert inspect.signature(FileKeyStore).parameters["timer"].default is since_boot


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such clock")
def test_time_counts_while_the_machine_sleeps() -> None:
    """On Linux; elsewhere the age of a key set stands still meanwhile."""
    assert time.CLOCK_BOOTTIME == BOOTTIME
    assert time.clock_gettime(time.CLOCK_BOOTTIME) == pytest.approx(since_boot(), abs=1)


def test_boot_has_a_name(tmp_path: Path) -> None:
    """One that stays; where the system has none, it is about when it was."""
    assert boot() == boot()
    assert abs(int(boot(str(tmp_path / "none"))) * 600 - time.time() + time.monotonic()) < 700
