"""Packages of npm that tests need, installed as their lock file says."""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "win32":
    import fcntl

__all__ = ["install"]

COMMAND = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--engine-strict")
LIMITS = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=20000")
# No network, or a Node that a package can't run on; anything else is a failure.
CANNOT_INSTALL = re.compile(
    r"EAI_AGAIN|EBADENGINE|ECONN\w+|E(?:HOST|NET)UNREACH|ENOTFOUND|ETIMEDOUT|ERR_SOCKET_TIMEOUT"
)


def install(folder: Path) -> Path:
    """Install what the folder locks, once for each state of its lock file; return where it is.

    Test processes that come to it at once wait for the first.
    """
    with (folder / "package-lock.json").open("rb") as file:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX)
        _install(folder, hashlib.sha256(file.read()).hexdigest())
    return folder / "node_modules"


def _install(folder: Path, locked: str) -> None:
    stamp = folder / "node_modules" / ".installed"
    if stamp.is_file() and stamp.read_text() == locked:
        return
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"{folder.name} needs npm on the PATH")
    done = subprocess.run(
        [npm, *COMMAND, *LIMITS],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    if done.returncode and (why := CANNOT_INSTALL.search(done.stderr)):
        pytest.skip(f"npm ci can't install {folder.name}: {why[0]}")
    assert done.returncode == 0, done.stderr
    stamp.write_text(locked)
