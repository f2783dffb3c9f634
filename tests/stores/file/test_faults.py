"""What is wrong with the files, the directory or the system, and what the file store says."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from auth_jwks.stores._boot import boot
from auth_jwks.stores.base import Busy, Newer, StoreUnavailable, Unchanged
from auth_jwks.stores.file import FileKeyStore
from tests.stores.file.leasing import KEY, MIB, calls, granted, record_of, stored, wish


def remove(directory: Path) -> None:
    """Take it away, and what is in it."""
    directory.rename(directory.with_name("elsewhere"))


def open_to_all(directory: Path) -> None:
    """Let everybody write there."""
    directory.chmod(0o777)


@pytest.mark.parametrize("raw", [b"", b"garbage", b"{}\n", b"\x80\x04N.", b"x" * 2 * MIB], ids=len)
async def test_garbage_is_absent(store: FileKeyStore, directory: Path, raw: bytes) -> None:
    """It is replaced by the next lease, whose fence is above what the caller knows."""
    version = await stored(store)
    record_of(directory).write_bytes(raw)
    assert await store.poll(KEY, known=0, lease=None) == Unchanged()
    assert (await granted(store, wish(), known=version)).fence > version


async def test_record_of_another_boot_is_absent(store: FileKeyStore, directory: Path) -> None:
    """Its clock began anew."""
    await stored(store)
    path = record_of(directory)
    path.write_bytes(path.read_bytes().replace(boot().encode(), b"yesterday"))
    assert await store.poll(KEY, known=0, lease=None) == Unchanged()


async def test_removed_holder_file_leaves_the_lease(
    store: FileKeyStore, other: FileKeyStore, directory: Path
) -> None:
    """Who sweeps the directory ends no lease that still may be in use."""
    await granted(store, wish())
    record_of(directory).with_suffix(".held").unlink()
    assert await other.poll(KEY, known=0, lease=wish("two")) == Busy(3)


@pytest.mark.parametrize("want", ["room", "descriptors"])
def test_want_is_told(directory: Path, want: str) -> None:
    """A full disk leaves the document whole; when there are descriptors again, all is well."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "tests.stores.file.starved",
        want,
        str(directory),
    ]
    assert subprocess.run(command, check=False).returncode == 0


async def test_removed_directory_is_told(store: FileKeyStore, directory: Path) -> None:
    """Every call says so; when it is there again, the store shares anew."""
    lease = await granted(store, wish())
    remove(directory)
    for call in calls(store, lease):
        with pytest.raises(StoreUnavailable, match=r"^no such file or directory \(enoent\)$"):
            await call()
    FileKeyStore(directory)
    await granted(store, wish())


async def test_directory_opened_to_others_is_no_longer_used(
    store: FileKeyStore, directory: Path
) -> None:
    """It was safe when the store was made."""
    lease = await granted(store, wish())
    open_to_all(directory)
    for call in calls(store, lease):
        with pytest.raises(StoreUnavailable, match=r"^unsafe directory$"):
            await call()


async def test_what_cannot_be_replaced_is_told(store: FileKeyStore, directory: Path) -> None:
    """A directory in the place of a record."""
    await stored(store)
    path = record_of(directory)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreUnavailable, match=r"\(eisdir\)$"):
        await granted(store, wish())


async def test_formats_are_apart(store: FileKeyStore, directory: Path) -> None:
    """Workers of two releases don't overwrite each other's records while both run."""
    await stored(store)
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    assert record_of(directory).name == f"2-{digest}"
    (directory / digest).write_bytes(b"of another format")
    assert isinstance(await store.poll(KEY, known=0, lease=None), Newer)
