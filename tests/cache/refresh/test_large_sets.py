"""Sets of many keys: parsed in turns with all else, and seen and adopted only as a whole."""

import asyncio

import pytest

from auth_jwks import JWKS
from auth_jwks._cache.outcome import Failed
from auth_jwks.stores import Newer
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.cache.refresh.storing import stored
from tests.cache.worker import FIRST, Hire, Worker
from tests.scripted_store import ScriptedStore

MANY = [SigningKey.generate("ES256", f"key {number}") for number in range(20)]


def has_stored(hire: Hire, issuer: FakeIssuer, *keys: SigningKey) -> Worker:
    """Return a worker that finds one key in the store at first, and these the next times."""
    newer = Newer(8, stored(issuer, *keys), 0.0, 1000.0)
    return hire(ScriptedStore(Newer(7, stored(issuer, FIRST), 10.0, 1000.0), newer, newer))


async def turns_of(task: asyncio.Task[object], most: int = 1000) -> int:
    """Return how many turns others have until the task is done, or `most`."""
    turns = 0
    while turns < most and not task.done():
        await asyncio.sleep(0)
        turns += 1
    return turns


async def test_others_have_their_turns(hire: Hire, issuer: FakeIssuer) -> None:
    """One before every eight keys, and none more for a set of few."""
    turns = []
    for keys in (MANY[:1], MANY[:8], MANY):
        worker = has_stored(hire, issuer, *keys)
        await worker.run()
        turns.append(await turns_of(asyncio.create_task(worker.run(None))))
        assert worker.kids == [key.kid for key in keys]
    assert turns == [turns[0], turns[0], turns[0] + 3]


async def test_a_refresh_that_is_lost_at_any_turn_has_seen_nothing(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """The old keys stay, and the next refresh gets the new ones: never some of each."""
    ended: list[bool] = []
    most = 0
    while not any(ended):
        worker = has_stored(hire, issuer, *MANY)
        await worker.run()
        task = asyncio.create_task(worker.run(None))
        await turns_of(task, most)
        ended.append(task.done())
        task.cancel()
        await asyncio.wait([task])
        before = ([key.kid for key in MANY], 8) if ended[-1] else (["first"], 7)
        assert (worker.kids, worker.refresher.known) == before
        await worker.run(None)
        assert worker.kids == [key.kid for key in MANY]
        most += 1
    assert len(ended) > 4, "among them three amid the parsing"


async def test_a_document_that_cannot_be_parsed_is_seen_once(
    hire: Hire, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the parser raises: the next refresh asks for a later one."""

    async def broken(*_: object) -> None:
        raise RecursionError

    worker = has_stored(hire, issuer, *MANY)
    await worker.run()
    monkeypatch.setattr("auth_jwks._cache.refresh.content_of", broken)
    assert isinstance(await worker.run(None), Failed)
    assert (worker.kids, worker.refresher.known) == (["first"], 8)


def test_a_loop_for_each_call_gets_a_large_set() -> None:
    """The first call brings it to the end."""
    with FakeIssuer(keys=MANY) as issuer:
        jwks = JWKS(issuer.discovery_url, "api", ["ES256"], issuer=issuer.issuer)
        for key in MANY:
            assert asyncio.run(jwks.verify_token(issuer.sign(aud="api", key=key)))
        assert issuer.jwks_requests == 1


def test_a_thread_gets_a_large_set() -> None:
    """It waits until all of it is parsed."""
    with (
        FakeIssuer(keys=MANY) as issuer,
        SyncJWKS(issuer.discovery_url, "api", ["ES256"], issuer=issuer.issuer) as jwks,
    ):
        for key in MANY:
            assert jwks.verify_token(issuer.sign(aud="api", key=key))
        assert issuer.jwks_requests == 1
