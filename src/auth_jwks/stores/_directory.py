"""A directory of our own: whole files in it, and locks that end with the process holding them."""

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
# Their locks are another machine's, late, or nobody's.
NETWORKS = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs",
    "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
    "ocfs2", "orangefs", "smb3", "smbfs",
})  # fmt: skip
ABSENT = frozenset({errno.ENOENT, errno.ELOOP, errno.EACCES, errno.ENXIO})


class Descriptor:
    """An open file, and the lock on it that ends when it is closed or its process dies.

    A lock by `flock` belongs to what was opened, so two handles of one process exclude each other,
    which they would not by `lockf`. A fork shares it: there it is closed, not to outlive us.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        _OPEN.add(self)

    def __repr__(self) -> str:
        return f"Descriptor({self.number})"

    def __del__(self) -> None:
        self.drop()

    def lock(self) -> bool:
        """Lock it for us alone; tell whether that was possible without waiting."""
        try:
            fcntl.flock(self.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Unlock it first: a process being started may have a copy until its program runs."""
        if self.number >= 0:
            fcntl.flock(self.number, fcntl.LOCK_UN)
        self.drop()

    def drop(self) -> None:
        """Close it, and leave the lock to those who share it."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)


class Directory:
    """An open directory, and the lock on one name in it, until both are closed."""

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
        """Return why others could write here, if they could."""
        return unsafe(os.fstat(self._own.number), os.geteuid())

    def unfit(self) -> str | None:
        """Return why no store can be kept here, if none can."""
        folder = Path("/proc/self")
        kind = None
        with suppress(OSError):
            told = (folder / "fdinfo" / str(self._own.number)).read_text()
            kind = file_system(told, (folder / "mountinfo").read_text(errors="replace"))
        may_write = os.access(".", os.R_OK | os.W_OK | os.X_OK, dir_fd=self._own.number)
        return self.unsafe() or unfit(kind, may_write=may_write)

    def lock(self, name: str) -> bool:
        """Lock a file for us alone; tell whether that was possible without waiting.

        A file, since whoever may read the directory could lock that; and only as long as it is
        linked, since who sweeps the directory would let a second one in.
        """
        with suppress(FileNotFoundError):
            if not _is_ours(os.stat(name, dir_fd=self._own.number, follow_symlinks=False)):
                os.unlink(name, dir_fd=self._own.number)
        self._locked = Descriptor(_open(name, os.O_RDONLY | os.O_CREAT, self._own.number))
        return self._locked.lock() and os.fstat(self._locked.number).st_nlink > 0

    def read(self, name: str, limit: int) -> bytes:
        """Return what is in a file, nothing for one that is missing, longer, or not ours alone."""
        try:
            file = Descriptor(_open(name, os.O_RDONLY, self._own.number))
        except OSError as fault:
            if fault.errno in ABSENT:
                return b""
            raise
        try:
            status = os.fstat(file.number)
            trusted = _is_ours(status) and status.st_size <= limit
            return os.read(file.number, limit) if trusted else b""
        finally:
            file.drop()

    def write(self, name: str, data: bytes) -> None:
        """Replace a file as a whole, under the lock.

        The temporary one has one name, so that the next write clears away what a killed one left.
        It isn't forced to the disk: when the machine crashes, its boot and all records of it end.
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

    def claim(self, name: str) -> Descriptor:
        """Lock a new file under that name: the one before may be locked by a stalled process."""
        file = Descriptor(self._created(name))
        file.lock()
        return file

    def is_abandoned(self, name: str) -> bool:
        """Tell whether the process that claimed the name is gone; to be asked under the lock."""
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
    """Return the absolute path of a directory, made if it is missing, that is fit for a store."""
    if fcntl is None:
        raise ValueError("directory: there is no flock on this system; use another store")
    if not isinstance(directory, (str, os.PathLike)):
        raise TypeError(f"directory: expected a path, got {type(directory).__name__}")
    if not os.fspath(directory):
        raise ValueError("directory: it is empty; expected the path of a directory")
    path = Path(directory).absolute()
    try:
        with suppress(FileExistsError):
            path.mkdir(0o700)
        with Directory(path) as opened:
            fault = opened.unfit()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(
            f"directory: can't use '{path}' ({reason}); expected a directory of this user's own, "
            "no symbolic link, or a new one in a directory that exists"
        ) from error
    if fault is not None:
        raise ValueError(f"directory: '{path}' {fault}")
    return path


def unsafe(status: os.stat_result, uid: int) -> str | None:
    """Return why others than that user could write to a file or directory, if they could."""
    if status.st_uid != uid:
        return f"belongs to uid {status.st_uid}, not to {uid}; name one of this user's own"
    if status.st_mode & 0o022:
        mode = stat.S_IMODE(status.st_mode)
        return f"is writable by others (mode {mode:o}); chmod it to 700, or name one inside it"
    return None


def unfit(kind: str | None, *, may_write: bool) -> str | None:
    """Return why a directory on that kind of file system won't do, if so."""
    if kind in NETWORKS:
        return f"is on a network file system ({kind}); name a local one, such as in /run"
    return None if may_write else "is not writable; make it so, or name another"


def file_system(descriptor: str, mounts: str) -> str | None:
    """Return the kind of file system of an open file, from its fdinfo and the mountinfo."""
    _, _, mount = descriptor.partition("mnt_id:")
    for line in mounts.splitlines() if mount else ():
        head, _, tail = line.partition(" - ")
        if head.split()[:1] == mount.split()[:1]:
            return tail.partition(" ")[0]
    return None


def _is_ours(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and unsafe(status, os.geteuid()) is None


def _open(path: str | Path, flags: int, directory: int | None = None) -> int:
    # Not to wait for the writer of a pipe that someone put there, O_NONBLOCK.
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    return os.open(path, flags, 0o600, dir_fd=directory)


_OPEN: WeakSet[Descriptor] = WeakSet()


def _forked() -> None:
    for descriptor in list(_OPEN):
        descriptor.drop()


with suppress(AttributeError):  # Windows again
    os.register_at_fork(after_in_child=_forked)
