"""`auth-jwks store`: what a fleet shares, told and changed, in a real server and a directory."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis

from auth_jwks import JWKS, FileKeyStore, KeyStore, RedisKeyStore
from auth_jwks.stores import Granted, LeaseRequest
from auth_jwks.testing import FakeIssuer
from tests.cli.conftest import Command, Run

KEY, OLDER, OTHER = "k" * 32, "o" * 32, "x" * 32


@pytest.fixture
def prefix(redis_url: str) -> Iterator[str]:
    """Return a prefix of this test's own, with characters that a pattern would heed."""
    name = f"cli*[{uuid4().hex}]"
    yield name
    with Redis.from_url(redis_url) as client:
        left = [key for key in client.scan_iter() if key.startswith(name.encode())]
        if left:
            client.delete(*left)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory for a store."""
    (tmp_path / "store").mkdir(0o700)
    return tmp_path / "store"


def fill(store: KeyStore, provider: FakeIssuer) -> None:
    """Let a worker fetch the keys into the store."""

    async def work() -> None:
        async with JWKS(issuer=provider.issuer, aud="api", store=store) as jwks:
            await jwks.refresh()
        await store.aclose()

    asyncio.run(work())


def redis_store(url: str, prefix: str, *keys: str) -> RedisKeyStore:
    """Return the store of a worker."""
    return RedisKeyStore(url, prefix=prefix, integrity_key=keys or None)


def row(run: Run, name: str) -> str:
    """Return the line of that name."""
    [line] = [line for line in run.out.splitlines() if line.split()[:1] == [name]]
    return " ".join(line.split()[1:])


def test_show(redis_url: str, prefix: str, provider: FakeIssuer, command: Command) -> None:
    """Each source is named by its URL and issuer, though its key is a digest."""
    fill(redis_store(redis_url, prefix), provider)
    run = command("store", "show", redis_url, "--prefix", prefix)
    assert (run.status, run.err) == (0, "")
    assert run.out.splitlines()[0] == provider.jwks_uri
    assert row(run, "issuer") == repr(provider.issuer)
    assert row(run, "age").endswith(" s")
    assert (row(run, "seal"), row(run, "lease"), row(run, "cool-down")) == ("none",) * 3
    assert row(run, "budget") == "2 of 2 unscheduled refreshes"
    assert max(map(len, run.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("given", "seal"),
    [
        ([], "unchecked"),
        ([KEY], "made with the first of your keys"),
        ([OTHER, KEY], "made with the second of your keys"),
        ([OTHER, OLDER, "y" * 32, KEY], "made with the 4th of your keys"),
        ([OTHER, OLDER], "broken: its seal was not made with one of our keys"),
    ],
)
def test_seal(
    given: list[str],
    seal: str,
    redis_url: str,
    prefix: str,
    provider: FakeIssuer,
    command: Command,
    tmp_path: Path,
) -> None:
    """It is told by which of the keys at hand the document was sealed."""
    fill(redis_store(redis_url, prefix, KEY), provider)
    options = ["store", "show", redis_url, "--prefix", prefix, "--json"]
    for number, key in enumerate(given):
        (tmp_path / f"{number}").write_text(f"{key}\n")
        options += ["--integrity-key-file", str(tmp_path / f"{number}")]
    [source] = command(*options).json["sources"]
    assert (source["sealed"], source["seal"].partition(": give")[0]) == (True, seal)
    assert (source["jwks_uri"], source["issuer"]) == (provider.jwks_uri, provider.issuer)


def test_keys_from_the_environment(
    redis_url: str,
    prefix: str,
    provider: FakeIssuer,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So is the store's URL, which `ps` would show to others."""
    fill(redis_store(redis_url, prefix, KEY), provider)
    monkeypatch.setenv("AUTH_JWKS_INTEGRITY_KEY", f"{OTHER} {KEY}")
    monkeypatch.setenv("AUTH_JWKS_STORE_URL", redis_url)
    [source] = command("store", "show", "--prefix", prefix, "--json").json["sources"]
    assert source["seal"] == "made with the second of your keys"


def test_spoiled_seal(redis_url: str, prefix: str, provider: FakeIssuer, command: Command) -> None:
    """What is wrong with it is told, though another key may not fit at all."""
    fill(redis_store(redis_url, prefix, KEY), provider)
    with Redis.from_url(redis_url) as client:
        [name] = [key for key in client.scan_iter() if key.startswith(prefix.encode())]
        version = int(client.hget(name, "version") or 0)
        client.hset(name, "version", version - 1)
    for keys in (f"{OTHER} {KEY}", f"{KEY} {OTHER}"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AUTH_JWKS_INTEGRITY_KEY", keys)
            run = command("store", "show", redis_url, "--prefix", prefix)
        assert row(run, "seal") == "broken: its seal is for another version"


async def leased(store: KeyStore) -> Granted:
    """Return a lease of the store."""
    request = LeaseRequest("0123456789abcdef", 30.0, "forced")
    answer = await store.poll("v1:x", known=0, lease=request)
    assert isinstance(answer, Granted)
    return answer


@pytest.mark.parametrize("kind", ["redis", "file"])
@pytest.mark.parametrize(
    "reason",
    [None, "a fetch failed", "another issuer is named"],
)
def test_gate(
    kind: str,
    reason: str | None,
    prefix: str,
    redis_url: str,
    directory: Path,
    command: Command,
) -> None:
    """A lease is told with its holder, shortened, and a cool-down with its reason."""
    store: KeyStore
    if kind == "redis":
        store, where = redis_store(redis_url, prefix), [redis_url, "--prefix", prefix]
    else:
        store, where = FileKeyStore(directory), [str(directory)]

    async def work() -> None:
        granted = await leased(store)
        if reason is not None:
            mismatch = "issuer" in reason
            await store.fail(granted.lease, retry_after=20.0, mismatch=mismatch)
        await store.aclose()

    asyncio.run(work())
    run = command("store", "show", *where)
    assert row(run, "budget").startswith("1 of 2")
    assert (row(run, "version"), row(run, "size")) == ("none", "0 bytes")
    if reason is None:
        assert row(run, "lease").startswith("held by '01234567...', ")
        assert row(run, "cool-down") == "none"
    else:
        assert row(run, "lease") == "none"
        assert row(run, "cool-down").endswith(f"s left, as {reason} (1 in a row)")


def test_several_sources(
    redis_url: str, prefix: str, provider: FakeIssuer, command: Command
) -> None:
    """Each has its part; what is not ours is left alone, and junk harms nobody."""
    fill(redis_store(redis_url, prefix), provider)
    with Redis.from_url(redis_url) as client:
        client.hset(f"{prefix}:2:{{v1:junk}}", mapping={"version": "x", "expires": "9" * 20})
        client.set(f"{prefix}:2:{{v1:junk}}:gate", "junk")
        client.hset(f"{prefix}-other:2:{{v1:x}}", "version", 1)
    run = command("store", "show", redis_url, "--prefix", prefix)
    assert run.out.count("\n\n") == 1
    assert f"{prefix}:2:{{v1:junk}}\n" in run.out


def test_directory(directory: Path, provider: FakeIssuer, command: Command) -> None:
    """The files of a directory are read as Redis is. What another boot left does not count."""
    fill(FileKeyStore(directory), provider)
    (directory / f"2-{'0' * 64}").write_bytes(b"junk")
    (directory / "README").write_text("junk")
    run = command("store", "show", str(directory))
    assert run.out.splitlines()[0] == provider.jwks_uri


def test_empty_store(directory: Path, command: Command) -> None:
    """That there is nothing is said beside the payload."""
    run = command("store", "show", str(directory))
    assert (run.status, run.out) == (0, "")
    assert "The store holds nothing" in run.err
    assert command("store", "show", str(directory), "--json").json == {"sources": []}


@pytest.mark.parametrize("kind", ["redis", "file"])
def test_refresh(
    kind: str,
    prefix: str,
    redis_url: str,
    directory: Path,
    provider: FakeIssuer,
    command: Command,
) -> None:
    """The keys are fetched and stored, and it is told when the fleet has them."""
    where = [redis_url, "--prefix", prefix] if kind == "redis" else [str(directory)]
    fill(redis_store(redis_url, prefix) if kind == "redis" else FileKeyStore(directory), provider)
    provider.rotate(keep=False)
    run = command("store", "refresh", *where, "--issuer", provider.issuer)
    assert run.status == 0
    assert run.out.startswith(f"{provider.jwks_uri}: version ")
    assert "adopt it within 75 s" in run.words
    assert "nothing under that source" not in run.words
    parsed = command("store", "refresh", *where, "--issuer", provider.issuer, "--json").json
    assert (parsed["keys"], parsed["adopted_within"], len(parsed["sources"])) == (1, 75.0, 1)
    assert provider.jwks_requests == 3


def test_refresh_of_another_source(directory: Path, provider: FakeIssuer, command: Command) -> None:
    """Options that differ from the fleet's lead to a record that nobody reads, which is said."""
    fill(FileKeyStore(directory), provider)
    run = command("store", "refresh", str(directory), "--jwks-uri", provider.jwks_uri)
    assert run.status == 0
    assert "The store had nothing under that source." in run.err


@pytest.mark.parametrize(("given", "words"), [("", "a key"), (OTHER, "another key")])
def test_refresh_of_a_sealed_store(
    given: str,
    words: str,
    redis_url: str,
    prefix: str,
    provider: FakeIssuer,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is written that every worker would reject."""
    fill(redis_store(redis_url, prefix, KEY), provider)
    monkeypatch.setenv("AUTH_JWKS_INTEGRITY_KEY", given)
    arguments = ("store", "refresh", redis_url, "--prefix", prefix, "--issuer", provider.issuer)
    run = command(*arguments)
    assert (run.status, provider.jwks_requests) == (2, 1)
    assert f"expected {words}, as the fleet seals" in run.words
    monkeypatch.setenv("AUTH_JWKS_INTEGRITY_KEY", KEY)
    assert command(*arguments).status == 0


def test_refresh_that_fails(directory: Path, provider: FakeIssuer, command: Command) -> None:
    """An outage is one, and another issuer is a fault of the configuration."""
    run = command("store", "refresh", str(directory), "--issuer", f"{provider.issuer}/")
    assert run.status == 1
    assert "slash at the end" in run.words
    provider.outage(404)
    run = command("store", "refresh", str(directory), "--issuer", provider.issuer)
    assert (run.status, "HTTP status 404" in run.words) == (3, True)


def test_refresh_into_a_store_that_is_broken(
    directory: Path, provider: FakeIssuer, command: Command
) -> None:
    """What was fetched and not stored is no refresh of the fleet."""
    fill(FileKeyStore(directory), provider)
    [record] = [each for each in directory.iterdir() if len(each.name) == 66]
    (directory / f"{record.name}.lock").unlink()
    (directory / f"{record.name}.lock").mkdir()
    run = command("store", "refresh", str(directory), "--issuer", provider.issuer)
    assert run.status == 3
    assert "fetched, but not shared" in run.words


@pytest.mark.parametrize("kind", ["redis", "file"])
def test_purge(
    kind: str,
    prefix: str,
    redis_url: str,
    directory: Path,
    provider: FakeIssuer,
    command: Command,
) -> None:
    """Without `--yes` it says what would go."""
    where = [redis_url, "--prefix", prefix] if kind == "redis" else [str(directory)]
    fill(redis_store(redis_url, prefix) if kind == "redis" else FileKeyStore(directory), provider)
    run = command("store", "purge", *where)
    assert (run.status, run.out) == (2, f"would delete {provider.jwks_uri}\n")
    assert "Nothing was deleted" in run.err
    assert command("store", "purge", *where, "--yes").out == f"deleted {provider.jwks_uri}\n"
    parsed = command("store", "purge", *where, "--yes", "--json")
    assert (parsed.json, parsed.status) == ({"purged": True, "sources": []}, 0)


def test_purge_amid_a_refresh(directory: Path, provider: FakeIssuer, command: Command) -> None:
    """A record whose lock another process holds stays."""
    fill(FileKeyStore(directory), provider)
    [record] = [each for each in directory.iterdir() if len(each.name) == 66]
    fcntl = pytest.importorskip("fcntl")
    with (directory / f"{record.name}.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = command("store", "purge", str(directory), "--yes")
    assert (run.status, record.exists()) == (3, True)
    assert run.err.endswith(": locked\n")


def test_redis_that_is_down(command: Command) -> None:
    """The store is named, and the password is not."""
    run = command("store", "show", "redis://operator:secret@127.0.0.1:9/0")
    assert run.status == 3
    assert run.err.startswith("auth-jwks: redis://127.0.0.1:9/0: ")
    assert "secret" not in run.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: ACTION"),
        (["show"], "or AUTH_JWKS_STORE_URL"),
        (["show", "/none"], "a redis://, rediss:// or unix:// URL, or a directory that exists"),
        (["show", "http://:secret@x"], "STORE: expected a URL of the form redis://host:port/db"),
        (["show", "redis://:secret@x/y"], "STORE: expected a database number"),
        (["show", "redis://x", "--prefix", "{"], "--prefix: expected a string without braces"),
        (["show", "redis://x", "--integrity-key-file", "/none"], "can't be read: No such file"),
        (["show", "redis://x", "--integrity-key-file", "\0"], "can't be read: no name of a file"),
        (["show", "redis://x", "--integrity-key-file", __file__ + "/.."], "can't be read: "),
        (["melt", "redis://:secret@x"], "expected one of those (choose from"),
    ],
)
def test_bad_command_line(arguments: list[str], words: str, command: Command) -> None:
    """It is told what was expected, and no secret is shown."""
    run = command("store", *arguments)
    assert (run.status, run.out) == (2, "")
    assert words in run.words
    assert "secret" not in run.err


def test_key_that_is_too_short(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its length is told, and not the key."""
    monkeypatch.setenv("AUTH_JWKS_INTEGRITY_KEY", "hunter2")
    run = command("store", "show", "redis://x")
    assert run.status == 2
    assert "--integrity-key-file: expected at least 32 bytes" in run.words
    assert "hunter2" not in run.err


def test_without_redis(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra that is needed is named."""
    monkeypatch.setitem(sys.modules, "auth_jwks.stores._driver", None)
    run = command("store", "show", "redis://:secret@x")
    assert run.status == 2
    assert "install auth-jwks[redis]" in run.words
