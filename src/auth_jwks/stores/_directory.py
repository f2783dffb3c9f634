"""A private directory: atomic files in it, and locks that end with the process that holds them."""

import errno
import os
import stat
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Self
from weakref import WeakSet

__all__ = ["Descriptor", "Directory", "file_system", "prepared", "unsafe"]

# Windows has none: `prepared` says so.
fcntl: Any = None
with suppress(ModuleNotFoundError):
    fcntl = import_module("fcntl")
# File systems on which `flock` is remote, delayed or not enforced.
NETWORK_FILE_SYSTEMS = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs",
    "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
    "ocfs2", "orangefs", "smb3", "smbfs",
})  # fmt: skip
ABSENT_ERRNOS = frozenset({errno.ENOENT, errno.ELOOP, errno.EACCES, errno.ENXIO})


class Descriptor:
    """An open file and the lock on it, which ends when the file is closed or its process dies.

    `flock` locks the open file description, so two handles of one process exclude each other;
    with `lockf` they would not. A forked child shares the lock. It closes its copy, or the lock
    would outlive the parent.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        _OPEN.add(self)

    def __repr__(self) -> str:
        return f"Descriptor({self.number})"

    def __del__(self) -> None:
        self.drop()

    def lock(self) -> bool:
        """Lock the file exclusively without waiting; return whether that succeeded."""
        try:
            fcntl.flock(self.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Unlock and close the file: a process being started may hold a copy until its exec."""
        if self.number >= 0:
            fcntl.flock(self.number, fcntl.LOCK_UN)
        self.drop()

    def drop(self) -> None:
        """Close the file and leave the lock to the other holders of a copy."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)


class Directory:
    """An open directory and the lock on one name in it; leaving the context closes both."""

    def __init__(self, path: Path) -> None:
        self._own = Descriptor(_open(path, os.O_RDONLY | os.O_DIRECTORY))
        self._locked: Descriptor | None = None

    def __repr__(self) -> str:
        return f"Directory({self._own})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._locked is not None:
            self._locked.close()
        self._own.drop()

    def unsafe(self) -> str | None:
        """Return why other users could write here, None if they can't."""
        return unsafe(os.fstat(self._own.number), os.geteuid())

    def unfit(self) -> str | None:
        """Return why this directory can't hold a store, None if it can."""
        folder = Path("/proc/self")
        kind = None
        with suppress(OSError):
            fdinfo = (folder / "fdinfo" / str(self._own.number)).read_text()
            kind = file_system(fdinfo, (folder / "mountinfo").read_text(errors="replace"))
        may_write = os.access(".", os.R_OK | os.W_OK | os.X_OK, dir_fd=self._own.number)
        return self.unsafe() or unfit(kind, may_write=may_write)

    def lock(self, name: str) -> bool:
        """Lock a file exclusively without waiting; return whether that succeeded.

        It is a file, since anyone who may read the directory could lock the directory itself. It
        must still be linked: after a sweep of the directory, another worker could lock a new one.
        """
        with suppress(FileNotFoundError):
            if not _is_ours(os.stat(name, dir_fd=self._own.number, follow_symlinks=False)):
                os.unlink(name, dir_fd=self._own.number)
        self._locked = Descriptor(_open(name, os.O_RDONLY | os.O_CREAT, self._own.number))
        return self._locked.lock() and os.fstat(self._locked.number).st_nlink > 0

    def read(self, name: str, limit: int) -> bytes:
        """Return a file's content; empty if it is missing, above `limit`, or writable by others."""
        try:
            file = Descriptor(_open(name, os.O_RDONLY, self._own.number))
        except OSError as fault:
            if fault.errno in ABSENT_ERRNOS:
                return b""
            raise
        try:
            status = os.fstat(file.number)
            trusted = _is_ours(status) and status.st_size <= limit
            return os.read(file.number, limit) if trusted else b""
        finally:
            file.drop()

    def write(self, name: str, data: bytes) -> None:
        """Replace a file atomically; the caller holds the lock.

        The temporary file has a fixed name, so the next write removes the remains of a killed one.
        It is not synced to disk: after a crash the boot is another, and no record of it counts.
        """
        temporary = f"{name}.new"
        try:
            with os.fdopen(self._created(temporary), "wb") as file:
                file.write(data)
            os.replace(temporary, name, src_dir_fd=self._own.number, dst_dir_fd=self._own.number)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=self._own.number)
            raise

    def delete(self, name: str) -> None:
        """Delete a file, if it is there; the caller holds the lock."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._own.number)

    def claim(self, name: str) -> Descriptor:
        """Lock a new file under that name: a stalled process may still have locked the old one."""
        file = Descriptor(self._created(name))
        file.lock()
        return file

    def is_abandoned(self, name: str) -> bool:
        """Return whether the process that claimed the name is gone; the caller holds the lock."""
        try:
            file = Descriptor(_open(name, os.O_RDONLY, self._own.number))
        except FileNotFoundError:
            return False
        try:
            return file.lock()
        finally:
            file.close()

    def _created(self, name: str) -> int:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._own.number)
        return _open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._own.number)


def prepared(directory: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a directory that can hold a store; create a missing one."""
    if fcntl is None:
        raise ValueError("directory: there is no flock on this system; use another store")
    if not isinstance(directory, (str, os.PathLike)):
        raise TypeError(f"directory: expected a path, got {type(directory).__name__}")
    if not os.fspath(directory):
        raise ValueError("directory: expected the path of a directory, got an empty one")
    path = Path(directory).absolute()
    try:
        with suppress(FileExistsError):
            path.mkdir(0o700)
        with Directory(path) as opened:
            fault = opened.unfit()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(
            f"directory: can't use '{path}' ({reason}); expected a directory that this user "
            "owns, not a symbolic link, or a new one in an existing directory"
        ) from error
    if fault is not None:
        raise ValueError(f"directory: '{path}' {fault}")
    return path


def unsafe(status: os.stat_result, uid: int) -> str | None:
    """Return why users other than `uid` could write to a file or directory, None if they can't."""
    if status.st_uid != uid:
        return f"is owned by uid {status.st_uid}, not by {uid}; name one that this user owns"
    if status.st_mode & 0o022:
        mode = stat.S_IMODE(status.st_mode)
        return f"is writable by others (mode {mode:o}); chmod it to 700, or name a subdirectory"
    return None


def unfit(kind: str | None, *, may_write: bool) -> str | None:
    """Return why a directory can't hold a store, None if it can. `kind` is its file system."""
    if kind in NETWORK_FILE_SYSTEMS:
        return f"is on a network file system ({kind}); name a local directory, such as one in /run"
    return None if may_write else "is not writable; change its mode or name another"


def file_system(descriptor: str, mounts: str) -> str | None:
    """Return the type of the file system of an open file, from its fdinfo and the mountinfo."""
    _, _, mount = descriptor.partition("mnt_id:")
    for line in mounts.splitlines() if mount else ():
        head, _, tail = line.partition(" - ")
        if head.split()[:1] == mount.split()[:1]:
            return tail.partition(" ")[0]
    return None


def _is_ours(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and unsafe(status, os.geteuid()) is None


def _open(path: str | Path, flags: int, directory: int | None = None) -> int:
    # O_NONBLOCK: opening a FIFO that someone put there must not wait for its writer.
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    return os.open(path, flags, 0o600, dir_fd=directory)


_OPEN: WeakSet[Descriptor] = WeakSet()


def _forked() -> None:
    for descriptor in list(_OPEN):
        descriptor.drop()


with suppress(AttributeError):  # Windows has no fork
    os.register_at_fork(after_in_child=_forked)
