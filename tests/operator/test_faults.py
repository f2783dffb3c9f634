"""What an operator sees in each fault: the table of docs/runbooks.md, row by row."""

import ast
import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import jwt
import pytest
import trustme

from auth_jwks import JWKS, FileKeyStore, RedisKeyStore
from auth_jwks.events import Event
from auth_jwks.stores import KeyStore, MemoryKeyStore, Newer, StoreUnavailable
from auth_jwks.testing import ChaosStore, FakeClock, FakeIssuer, SigningKey
from tests.fleet.ports import free_port
from tests.scripted_store import ScriptedStore, granted

PAGE = (Path(__file__).parents[2] / "docs" / "runbooks.md").read_text(encoding="utf-8")
HEAD = "| fault | in the log | in `status()` | events |\n|---|---|---|---|\n"
ROWS = {
    cells[0].strip(): cells[1:]
    for row in PAGE.partition(HEAD)[2].partition("\n\n")[0].splitlines()
    for cells in [row.strip("|").split("|")]
}
OOM = StoreUnavailable("refuses writes: out of memory (OutOfMemoryError)")
SECRET = "hunter2hunter2hunter2hunter2hunter2"


@dataclass
class Scene:
    """A provider and a verifier, and what was told."""

    issuer: FakeIssuer
    clock: FakeClock
    events: list[Event] = field(default_factory=list)
    made: list[JWKS] = field(default_factory=list)

    def verifier(self, store: KeyStore | None = None, **more: Any) -> JWKS:
        """Return the verifier of this scene."""
        options: dict[str, Any] = {
            "allowed_algorithms": ["ES256"],
            "retries": 0,
            "clock": self.clock,
            **more,
        }
        names: dict[str, Any] = {
            "issuer": self.issuer.issuer,
            "store": store,
            "observer": self.events.append,
        }
        self.made.append(JWKS(self.issuer.discovery_url, **names, **options))
        return self.made[0]

    async def verify(self, token: str | None = None) -> None:
        """Verify a token, which may be refused, and let what that starts end."""
        with suppress(jwt.InvalidTokenError):
            await self.made[0].verify_token(token or self.issuer.sign())
        with suppress(jwt.InvalidTokenError):
            await self.made[0].refresh()


async def cold(scene: Scene, fault: Callable[[FakeIssuer], object], **more: Any) -> None:
    """A worker starts amid a fault of the provider."""
    fault(scene.issuer)
    scene.verifier(**more)
    await scene.verify()


async def warm(scene: Scene, age: float) -> None:
    """A worker with keys finds the provider down."""
    scene.verifier()
    await scene.verify()
    scene.issuer.outage(503)
    scene.clock.advance(age)
    await scene.verify()


async def with_store(scene: Scene, store: KeyStore, *, down: bool = False) -> None:
    """A worker starts with that store."""
    if down:
        scene.issuer.outage(503)
    scene.verifier(store)
    await scene.verify()


def refused() -> ChaosStore:
    """Return a store that is down."""
    store = ChaosStore(MemoryKeyStore())
    store.refuse()
    return store


def full() -> ChaosStore:
    """Return a store that takes no document."""
    store = ChaosStore(MemoryKeyStore())
    store.refuse(OOM, on="commit")
    return store


def holding_junk() -> ScriptedStore:
    """Return a store with junk in it."""
    return ScriptedStore(Newer(7, b"junk", 1.0, 60.0), granted(8), commits=(8,))


async def without_store(scene: Scene) -> None:
    """A store breaks while the worker has keys."""
    store = ChaosStore(MemoryKeyStore(timer=scene.clock.monotonic))
    scene.verifier(store)
    await scene.verify()
    store.refuse()
    scene.clock.advance(899)
    await scene.verify()


async def with_redis(scene: Scene, url: str) -> None:
    """A worker starts with that URL for a Redis."""
    patient: dict[str, Any] = {"timeout": 0.75, "connect_timeout": 1.5}
    store = RedisKeyStore(url, integrity_key=SECRET, clock=scene.clock, **patient)
    scene.verifier(store)
    await scene.verify()
    scene.clock.advance(899)
    await scene.verify()
    await store.aclose()


async def unknown(scene: Scene) -> None:
    """Somebody brings a token of a key of his own."""
    scene.verifier()
    await scene.verify()
    await scene.verify(scene.issuer.sign(key=SigningKey.generate("ES256", "mine")))


async def with_directory(scene: Scene, tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    """A worker starts with a directory that something is wrong with since its store was made."""
    directory = tmp_path / "keys"
    store = FileKeyStore(directory)
    spoil(directory)
    await with_store(scene, store)


async def with_certificate(scene: Scene) -> None:
    """A worker starts with a Redis behind a certificate of an authority that it does not know."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(lambda *_streams: None, "127.0.0.1", 0, ssl=context)
    async with server:
        await with_redis(scene, f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}")


def with_part(url: str, *, user: str = "", database: int | None = None) -> str:
    """Return the URL with another user or database."""
    bare, _, path = url.partition("//")[2].partition("/")
    return f"redis://{user}{bare}/{path if database is None else database}"


SCENES: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "provider answers 503, no keys": partial(cold, fault=lambda issuer: issuer.outage(503)),
    "provider refuses the connection": partial(cold, fault=FakeIssuer.close),
    "provider sends junk": partial(cold, fault=lambda issuer: issuer.junk(b"<html>")),
    "provider names another issuer": partial(
        cold, fault=lambda issuer: issuer.announce(issuer="https://other.test")
    ),
    "no key fits `allowed_algorithms`": partial(cold, fault=repr, allowed_algorithms=["PS256"]),
    "provider down, keys fresh": partial(warm, age=899),
    "provider down, keys stale": partial(warm, age=1000),
    "store down, no keys": lambda scene: with_store(scene, refused()),
    "store down, keys in the worker": without_store,
    "store and provider down, no keys": lambda scene: with_store(scene, refused(), down=True),
    "store takes no writes": lambda scene: with_store(scene, full()),
    "store holds what is no document of ours": lambda scene: with_store(scene, holding_junk()),
    "Redis refuses the connection": lambda scene: with_redis(
        scene, f"redis://127.0.0.1:{free_port()}"
    ),
    "the host of Redis is unknown": lambda scene: with_redis(scene, "redis://nowhere.invalid"),
    "the certificate of Redis is not trusted": with_certificate,
    "a key that nobody publishes": unknown,
}
REDIS = {
    "Redis knows another password": {"user": "nobody:hunter2@"},
    "Redis has no such database": {"database": 999},
}
FILES: dict[str, Callable[[Path], object]] = {
    "the directory of the file store is gone": Path.rmdir,
    "others may write to the directory": lambda directory: directory.chmod(0o777),
}


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Return a provider on loopback, and a clock that stands still."""
    clock = FakeClock()
    with FakeIssuer(algorithm="ES256", clock=clock) as issuer:
        yield Scene(issuer, clock)


def test_the_table_has_a_scene_for_each_row() -> None:
    """No fault is told of without a test."""
    assert ROWS.keys() == {*SCENES, *REDIS, *FILES}


@pytest.mark.parametrize("fault", SCENES)
async def test_fault_is_seen(fault: str, scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """In the log at INFO, in `status()` and by events, as the table says."""
    await seen(fault, scene, caplog, SCENES[fault])


@pytest.mark.parametrize("fault", REDIS)
async def test_fault_of_a_real_server_is_seen(
    fault: str, scene: Scene, caplog: pytest.LogCaptureFixture, redis_url: str
) -> None:
    """Likewise; the password is nowhere."""
    url = with_part(redis_url, **REDIS[fault])  # type: ignore[arg-type]
    await seen(fault, scene, caplog, lambda scene: with_redis(scene, url))
    assert "hunter2" not in caplog.text + repr(scene.events) + repr(scene.made[0].status())


@pytest.mark.parametrize("fault", FILES)
async def test_fault_of_a_directory_is_seen(
    fault: str, scene: Scene, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Likewise."""
    spoil = FILES[fault]
    await seen(fault, scene, caplog, lambda scene: with_directory(scene, tmp_path, spoil))


async def seen(
    fault: str,
    scene: Scene,
    caplog: pytest.LogCaptureFixture,
    play: Callable[[Scene], Awaitable[None]],
) -> None:
    """Play a scene and hold the row to what is seen."""
    caplog.set_level(logging.INFO, "auth_jwks")
    await play(scene)
    log, status, events = (re.findall(r"`([^`]+)`", cell) for cell in ROWS[fault])
    assert [text for text in log if text not in caplog.text] == [], caplog.text
    for name, value in (each.split("=") for each in status):
        assert attrgetter(name)(scene.made[0].status()) == ast.literal_eval(value), name
    told = {type(event).__name__ for event in scene.events} - {"LeaseChanged"}
    assert told == set(events)
    await scene.made[0].close()
