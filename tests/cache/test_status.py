"""`Status`: what an operator is shown; `key_cache/` has when each of it changes."""

import dataclasses
import json
from math import inf

import pytest

from auth_jwks import JWKS, KeysUnavailableError
from auth_jwks.stores import Cooling
from auth_jwks.testing import FakeIssuer
from tests.cache.worker import FIRST, Hire
from tests.scripted_store import ScriptedStore


async def test_a_status_can_be_shown_as_json(hire: Hire, issuer: FakeIssuer) -> None:
    """For a health check: plain values, without keys as with them, and after a failure."""
    worker = hire()
    states = [worker.cache.status()]
    await worker.verify()
    states.append(worker.cache.status())
    issuer.outage()
    await worker.run("forced")
    states.append(worker.cache.status())
    shown = [json.loads(json.dumps(state.as_dict(), allow_nan=False)) for state in states]
    assert [each["kids"] for each in shown] == [[], ["first"], ["first"]]
    assert [each["age"] for each in shown] == [None, 0.0, 0.0]
    assert [each["store"]["name"] for each in shown] == ["MemoryKeyStore"] * 3


async def test_a_status_is_of_its_moment(hire: Hire) -> None:
    """It stays as it was; who wants the state of now asks again."""
    worker = hire()
    before = worker.cache.status()
    assert before == worker.cache.status()
    await worker.verify()
    assert before.kids == ()
    assert before != worker.cache.status()
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.fresh = True  # type: ignore[misc]


async def test_it_is_ready_as_long_as_a_token_could_be_verified(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """An idle worker with stale keys too; also after a sleep that one clock didn't count."""
    worker = hire(max_stale=100.0)
    assert not worker.cache.status().ready
    await worker.verify()
    assert worker.cache.status().ready
    worker.clock.advance(999)
    assert (worker.cache.status().fresh, worker.cache.status().ready) == (False, True)
    worker.clock.advance(1)
    assert not worker.cache.status().ready
    issuer.recover()
    await worker.run()
    assert worker.cache.status().ready
    worker.clock.set_time(worker.clock.time() + 1001)
    assert not worker.cache.status().ready


async def test_stale_keys_of_another_issuer_are_not_ready(hire: Hire, issuer: FakeIssuer) -> None:
    """As a token would be refused. The kind and the age of the failure are told."""
    worker = hire()
    await worker.verify()
    issuer.announce(issuer="https://other.test")
    worker.clock.advance(899)
    await worker.cache.refresh(force=False)
    assert worker.cache.status().ready
    worker.clock.advance(1)
    status = worker.cache.status()
    assert (status.ready, status.failure_kind, status.failure_age) == (False, "issuer_mismatch", 1)


async def test_what_others_failed_at_is_told_apart(hire: Hire) -> None:
    """Then this worker has not tried."""
    worker = hire(ScriptedStore(Cooling(5.0, "failed")))
    with pytest.raises(KeysUnavailableError):
        await worker.cache.refresh(force=False)
    assert worker.cache.status().failure_kind == "elsewhere"


def test_keys_for_ever_are_json_too() -> None:
    """What is infinite has no number there."""
    status = JWKS(jwks={"keys": [FIRST.jwk()]}, issuer="https://issuer.test").status()
    assert (status.usable_for, status.ready) == (inf, True)
    assert status.as_dict()["usable_for"] is None
