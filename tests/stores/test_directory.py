"""A directory is refused unless it is local and our own, and so is each file in it."""

import fcntl
import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from auth_jwks.stores._directory import Directory, file_system, prepared, unfit, unsafe

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
44 22 0:40 / /srv/a\\040b rw,relatime shared:9 master:2 - nfs4 host:/srv rw,vers=4.2
"""


def status(uid: int, mode: int) -> os.stat_result:
    """Return what the system tells of a file of that user and mode."""
    return os.stat_result((mode, 1, 1, 1, uid, 0, 0, 0, 0, 0))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory of this user's own."""
    tmp_path.chmod(0o700)
    return tmp_path


def foreign(directory: Path) -> Path:
    """Return a directory of another user; root makes one, and has one for the others."""
    if os.geteuid() == 0:
        os.chown(directory, 12345, 12345)
        return directory
    return Path("/")


def test_missing_directory_is_made(directory: Path) -> None:
    """For this user alone."""
    made = prepared(directory / "keys")
    assert made == directory / "keys"
    assert made.stat().st_mode & 0o777 == 0o700
    assert prepared(str(made)) == made


def test_relative_path_is_fixed(directory: Path) -> None:
    """A later change of the working directory does not matter."""
    with chdir(directory):
        assert prepared("keys") == directory / "keys"


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_directory_open_to_others_is_refused(directory: Path, mode: int) -> None:
    """Writable by the group or others, sticky or not; the error says what to do."""
    directory.chmod(mode)
    with pytest.raises(ValueError, match=rf"directory: .* \(mode {mode:o}\); chmod it to 700"):
        prepared(directory)


def test_directory_of_another_user_is_refused(directory: Path) -> None:
    """Who owns it can do with it what he likes."""
    with pytest.raises(ValueError, match=r"directory: .* is owned by uid .*; name one that this"):
        prepared(foreign(directory))


def test_path_that_is_no_directory_is_refused(directory: Path) -> None:
    """Neither a file, nor a link to a directory, nor one without a parent, nor an empty path."""
    (directory / "file").touch()
    (directory / "link").symlink_to(directory)
    for name in ("file", "link", "missing/keys"):
        with pytest.raises(ValueError, match=r"directory: can't use .*; expected a directory"):
            prepared(directory / name)
    with pytest.raises(ValueError, match="path of a directory, got an empty one"):
        prepared("")


def test_what_is_no_path_is_refused() -> None:
    """The parameter is named."""
    number: Any = 1
    with pytest.raises(TypeError, match=r"^directory: expected a path, got int"):
        prepared(number)


WINDOWS = """
import os, sys
import auth_jwks.stores.file
for name in ("file", "_directory"):
    del sys.modules["auth_jwks.stores." + name]
del os.register_at_fork
sys.modules["fcntl"] = None
import auth_jwks.stores.file
try:
    auth_jwks.stores.file.FileKeyStore("keys")
except ValueError as refused:
    print(refused)
"""


def test_module_can_be_imported_on_windows() -> None:
    """Who imports the package need not use this store; it says that there is no such lock."""
    command = [sys.executable, "-W", "error", "-c", WINDOWS]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert told == "directory: there is no flock on this system; use another store\n"


@pytest.mark.parametrize(
    ("uid", "mode", "told"),
    [
        (5, 0o40700, None),
        (5, 0o41755, None),
        (5, 0o100600, None),
        (5, 0o40720, "is writable by others (mode 720)"),
        (5, 0o100602, "is writable by others (mode 602)"),
        (0, 0o40700, "is owned by uid 0, not by 5"),
    ],
)
def test_what_others_can_write_is_unsafe(uid: int, mode: int, told: str | None) -> None:
    """What they can read is not: keys are public."""
    fault = unsafe(status(uid, mode), 5)
    assert (fault and fault.partition(";")[0]) == told


@pytest.mark.parametrize(
    ("kind", "may_write", "told"),
    [
        ("ext4", True, None),
        ("tmpfs", True, None),
        (None, True, None),
        ("nfs4", True, "is on a network file system (nfs4)"),
        ("fuse.sshfs", False, "is on a network file system (fuse.sshfs)"),
        ("ext4", False, "is not writable"),
    ],
)
def test_network_and_read_only_are_unfit(
    kind: str | None, told: str | None, *, may_write: bool
) -> None:
    """The lock of a network file system is late, or nobody's."""
    fault = unfit(kind, may_write=may_write)
    assert (fault and fault.partition(";")[0]) == told


@pytest.mark.parametrize(
    ("descriptor", "kind"),
    [
        ("pos:\t0\nflags:\t0100000\nmnt_id:\t44\nino:\t3\n", "nfs4"),
        ("mnt_id:\t22\n", "ext4"),
        ("mnt_id:\t4\n", None),
        ("mnt_id:\t\n", None),
        ("pos:\t0\n", None),
    ],
)
def test_file_system_is_found_by_its_mount(descriptor: str, kind: str | None) -> None:
    """The device would not tell: there are file systems with several."""
    assert file_system(descriptor, MOUNTS) == kind


def test_file_comes_back_whole(directory: Path) -> None:
    """It is for this user alone, and nothing else is left in the directory."""
    with Directory(directory) as opened:
        opened.write("one", b"first")
        opened.write("one", b"second")
        assert opened.read("one", 6) == b"second"
    assert [path.name for path in directory.iterdir()] == ["one"]
    assert (directory / "one").stat().st_mode & 0o777 == 0o600


def test_what_a_killed_writer_left_is_cleared_away(directory: Path) -> None:
    """The next write of the same file takes its place, even of a link."""
    target = directory / "target"
    target.write_bytes(b"not ours to write to")
    (directory / "one.new").symlink_to(target)
    with Directory(directory) as opened:
        opened.write("one", b"whole")
    assert sorted(path.name for path in directory.iterdir()) == ["one", "target"]
    assert target.read_bytes() == b"not ours to write to"


def test_file_that_is_not_ours_alone_is_absent(directory: Path) -> None:
    """So is a missing or longer one, a link, a pipe, a directory; none of them blocks."""
    (directory / "open").write_bytes(b"keys")
    (directory / "open").chmod(0o666)
    (directory / "own").write_bytes(b"keys")
    (directory / "own").chmod(0o600)
    (directory / "link").symlink_to("own")
    (directory / "folder").mkdir()
    os.mkfifo(directory / "pipe", 0o600)
    names = ("open", "link", "folder", "pipe", "missing")
    with Directory(directory) as opened:
        assert [opened.read(name, 100) for name in names] == [b""] * 5
        assert [opened.read("own", limit) for limit in (3, 4)] == [b"", b"keys"]


def test_failed_write_leaves_nothing(directory: Path) -> None:
    """Neither the temporary file nor a change of the other."""
    (directory / "folder").mkdir()
    with Directory(directory) as opened, pytest.raises(IsADirectoryError):
        opened.write("folder", b"keys")
    assert [path.name for path in directory.iterdir()] == ["folder"]


def test_one_handle_holds_the_lock(directory: Path) -> None:
    """Two of one process exclude each other, until the first is closed."""
    with Directory(directory) as second:
        with Directory(directory) as first:
            assert first.lock("one")
            assert not second.lock("one")
        assert second.lock("one")


def test_names_are_locked_each_for_itself(directory: Path) -> None:
    """Whoever stalls under the lock of one key holds up no other."""
    with Directory(directory) as first, Directory(directory) as second:
        assert first.lock("one")
        assert second.lock("two")


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_lock_that_others_made_is_replaced(directory: Path, mode: int) -> None:
    """They could hold it for ever; what a link leads to is left alone."""
    (directory / "file").touch(mode)
    (directory / "file").chmod(mode)
    (directory / "link").symlink_to("file")
    name = "file" if mode == 0o666 else "link"
    with (directory / "file").open() as others, Directory(directory) as opened:
        fcntl.flock(others, fcntl.LOCK_EX)
        assert opened.lock(name)
    assert (directory / name).lstat().st_mode == 0o100600


def test_claim_is_abandoned_when_it_is_closed(directory: Path) -> None:
    """A name nobody claimed is not; a later claim is not undone by the earlier holder."""
    with Directory(directory) as opened:
        assert not opened.is_abandoned("one")
        earlier = opened.claim("one")
        assert not opened.is_abandoned("one")
        later = opened.claim("one")
        earlier.close()
        earlier.close()
        assert not opened.is_abandoned("one")
        later.close()
        assert opened.is_abandoned("one")


def test_state_is_told(directory: Path) -> None:
    """By its descriptor, -1 for what is closed."""
    with Directory(directory) as opened:
        assert repr(opened).startswith("Directory(Descriptor(")
    assert repr(opened) == "Directory(Descriptor(-1))"
