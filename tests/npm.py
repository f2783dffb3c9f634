"""Packages of npm that tests need, installed as their lock file says."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["install"]

COMMAND = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--engine-strict")
LIMITS = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=20000")
# No network, or a Node that a package can't run on; anything else is a failure.
CANNOT_INSTALL = re.compile(
    r"EAI_AGAIN|EBADENGINE|ECONN\w+|E(?:HOST|NET)UNREACH|ENOTFOUND|ETIMEDOUT|ERR_SOCKET_TIMEOUT"
)


def install(folder: Path) -> Path:
    """Install what the folder locks, once for each state of its lock file; return where it is."""
    packages = folder / "node_modules"
    stamp = packages / ".installed"
    locked = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == locked:
        return packages
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"{folder.name} needs npm on the PATH")
    done = subprocess.run(
        [npm, *COMMAND, *LIMITS],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=80,
        check=False,
    )
    if done.returncode and (why := CANNOT_INSTALL.search(done.stderr)):
        pytest.skip(f"npm ci can't install {folder.name}: {why[0]}")
    assert done.returncode == 0, done.stderr
    stamp.write_text(locked)
    return packages
