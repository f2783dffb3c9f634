"""`Status`: what an operator is shown; `key_cache/` has when each of it changes."""

import dataclasses
import json

import pytest

from auth_jwks.testing import FakeIssuer
from tests.cache.worker import Hire


async def test_a_status_can_be_shown_as_json(hire: Hire, issuer: FakeIssuer) -> None:
    """For a health check: plain values, without keys as with them, and after a failure."""
    worker = hire()
    states = [worker.cache.status()]
    await worker.verify()
    states.append(worker.cache.status())
    issuer.outage()
    await worker.run("forced")
    states.append(worker.cache.status())
    shown = [json.loads(json.dumps(dataclasses.asdict(state), allow_nan=False)) for state in states]
    assert [each["kids"] for each in shown] == [[], ["first"], ["first"]]
    assert [each["age"] for each in shown] == [None, 0.0, 0.0]


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
