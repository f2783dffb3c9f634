"""Sources without a network: what they return, and when they raise."""

import asyncio
import json
import os
import threading
from math import inf
from pathlib import Path

import pytest

from auth_jwks._clock import SYSTEM_CLOCK
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._jose.keys import KeySet
from auth_jwks._provider.client import MAX_BODY, FetchError
from auth_jwks._provider.document import Document
from auth_jwks._provider.local import FileSource, FixedSource
from auth_jwks.testing import FakeClock

ISSUER = "https://idp.test"


def source_of(path: Path | str) -> FileSource:
    """Return the source of a file."""
    return FileSource(str(path), issuer=IssuerNames((ISSUER,)), timeout=5.0, clock=SYSTEM_CLOCK)


def write(path: Path, content: bytes) -> None:
    """Write a file anew, with the times of the old one."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=times)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with a document."""
    path = tmp_path / "keys.json"
    path.write_bytes(b'{"keys": []}')
    return path


async def test_a_file_is_returned_as_it_is(path: Path) -> None:
    """With the configured issuer, under its path."""
    source = source_of(path)
    assert await source.fetch(None) == Document(str(path), ISSUER, b'{"keys": []}')
    assert repr(source) == f"FileSource({str(path)!r})"
    await source.aclose()


async def test_what_has_not_changed_is_the_same_document(path: Path) -> None:
    """The object itself, unless the caller wants another; any change of a byte makes a new one."""
    source = source_of(path)
    first = await source.fetch(None)
    os.utime(path, (1, 1))
    assert await source.fetch(first, past_caches=True) is first
    again = await source.fetch(first, revalidate=False)
    assert again == first
    assert again is not first
    write(path, b'{"keys": {}}')
    changed = await source.fetch(first)
    assert changed.jwks == b'{"keys": {}}'


@pytest.mark.parametrize(
    ("hint", "seconds"),
    [
        (600, 600.0), (0.5, 0.5), (10**400, 1e10), (0, None), (-1, None), ("600", None),
        (None, None), (False, None),
    ],
)  # fmt: skip
async def test_the_refresh_hint_of_a_bundle(path: Path, hint: object, seconds: float) -> None:
    """It is the document's `max-age`; what is no positive number is none."""
    document = json.dumps({"keys": [], "spiffe_refresh_hint": hint})
    write(path, document.encode("utf-8-sig"))
    assert (await source_of(path).fetch(None)).max_age == seconds


async def test_the_largest_file(path: Path) -> None:
    """As large as an answer of a provider, and no larger."""
    write(path, b"x" * MAX_BODY)
    assert len((await source_of(path).fetch(None)).jwks) == MAX_BODY
    write(path, b"x" * (MAX_BODY + 1))
    with pytest.raises(FetchError, match=r"^the file is larger than 524288 bytes$") as caught:
        await source_of(path).fetch(None)
    assert caught.value.kind == "content"


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.json", "No such file or directory"), ("a\0b", "ValueError")]
)
async def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, reason: str) -> None:
    """The reason is the system's, or else a class; no exception is behind it."""
    with pytest.raises(FetchError, match=f"^the file can't be read: {reason}$") as caught:
        await source_of(f"{tmp_path}/{name}").fetch(None)
    assert caught.value.kind == "file"
    assert caught.value.__context__ is None


@pytest.mark.posix
async def test_a_file_that_hangs(tmp_path: Path) -> None:
    """A deadline by the clock, one thread that hangs, and no loop; then it is read as ever."""
    path = tmp_path / "keys.json"
    os.mkfifo(path)  # nothing can be read of it until somebody writes
    clock = FakeClock()
    source = FileSource(str(path), issuer=IssuerNames((ISSUER,)), timeout=5.0, clock=clock)

    before = set(threading.enumerate())

    def hanging() -> int:
        begun = set(threading.enumerate()) - before
        return sum(thread.name == "auth_jwks file" for thread in begun)

    for _ in range(3):
        fetch = asyncio.ensure_future(source.fetch(None))
        await clock.until_sleeping()
        clock.advance(5)
        with pytest.raises(FetchError, match=r"^the file could not be read within 5 s$") as caught:
            await fetch
        assert caught.value.kind == "timeout"
        assert hanging() == 1
    fetch = asyncio.ensure_future(source.fetch(None))
    await asyncio.sleep(0)
    other = tmp_path / "other"
    other.write_bytes(b'{"keys": [1]}')
    with path.open("wb") as end:  # what hung reads this, which began too early to count
        other.replace(path)
        end.write(b'{"keys": [0]}')
    assert (await fetch).jwks == b'{"keys": [1]}'


async def test_what_is_given_never_changes() -> None:
    """The same document each time."""
    source = FixedSource(b'{"keys": []}', KeySet(()), issuer=IssuerNames(()))
    assert repr(source) == "FixedSource()"
    assert (source.name, source.check_interval) == ("jwks", inf)
    first = await source.fetch(None)
    assert first == Document("jwks", None, b'{"keys": []}')
    assert await source.fetch(None, revalidate=False, past_caches=True) is first
    await source.aclose()


def test_a_document_is_from_one_source(path: Path) -> None:
    """Another file's is not this one's."""
    for source in (source_of(path), FixedSource(b"", KeySet(()), issuer=IssuerNames(()))):
        assert source.fault_in(Document(source.name, ISSUER, b"")) is None
        assert source.fault_in(Document("/other", ISSUER, b"")) == "it is from another source"
