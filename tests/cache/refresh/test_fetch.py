"""The worker is the one to fetch: what it asks for, and what it tells."""

import asyncio
import json

import pytest

from auth_jwks._cache.outcome import Deferred, Done, Failed
from auth_jwks._provider.document import decode
from auth_jwks.events import (
    DocumentRejected,
    KeysRefreshed,
    LeaseChanged,
    RefreshFailed,
    StoreFailed,
)
from auth_jwks.stores import Answer, Cause, Cooling, MemoryKeyStore, Newer, Unchanged
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.cache.refresh.storing import DOWN, stored
from tests.cache.worker import FIRST, SECOND, Hire
from tests.scripted_store import ScriptedStore, granted

# The worker is the one to fetch.


async def test_what_is_fetched_is_shared(hire: Hire, issuer: FakeIssuer) -> None:
    """The document goes to the store under the lease, for as long as it may serve anybody."""
    store = ScriptedStore(granted(41, failures=2), commits=(41,))
    worker = hire(store)
    assert await worker.run() == Done()
    [(lease, payload, ttl, cooldown)] = store.commits
    document = decode(payload)
    assert document is not None
    assert (document.uri, document.issuer) == (issuer.jwks_uri, issuer.issuer)
    assert json.loads(document.jwks) == {"keys": [FIRST.jwk()]}
    assert (lease.fence, ttl, cooldown) == (41, 900 + 86_400, 10.0)
    assert worker.refresher.known == 41
    assert worker.kids == ["first"]


async def test_a_lease_request_says_why(hire: Hire) -> None:
    """The request names its cause, lasts three seconds and holds 128 random bits."""
    store = ScriptedStore(Cooling(5.0, "budget"))
    worker = hire(store)
    causes: list[Cause] = ["age", "unknown_kid", "forced"]
    for cause in causes:
        assert await worker.run(cause) == Deferred(5.0)
    assert [lease.cause for lease in store.leases] == causes
    assert {lease.ttl for lease in store.leases} == {3.0}
    assert {len(bytes.fromhex(lease.holder)) for lease in store.leases} == {16}


async def test_a_failure_is_shared(hire: Hire, issuer: FakeIssuer) -> None:
    """When the provider can't be had, nobody is to ask for a while."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    issuer.outage(503)
    outcome = await worker.run()
    assert isinstance(outcome, Failed)
    assert (outcome.retry_after, outcome.here, outcome.mismatch) == (5.0, True, False)
    assert [retry_after for _, retry_after, _ in store.fails] == [5.0]
    failed = RefreshFailed(issuer.jwks_uri, "status", outcome.reason, 5.0)
    assert worker.events == [LeaseChanged(issuer.jwks_uri, "granted"), failed]
    assert store.commits == []


@pytest.mark.parametrize(
    ("failures", "retry_after", "cooldown"),
    [
        (0, None, 5.0),
        (1, None, 10.0),
        (2, None, 20.0),
        (3, None, 30.0),
        (10_000, None, 30.0),
        (0, 50, 50.0),
        (0, 4000, 60.0),
        (1, 1, 10.0),
    ],
)
async def test_cool_downs_double_with_the_failures_of_the_fleet(
    hire: Hire, issuer: FakeIssuer, failures: int, retry_after: float | None, cooldown: float
) -> None:
    """Five seconds, doubling to half a minute; the provider's `Retry-After` may prolong them."""
    store = ScriptedStore(granted(1, failures))
    issuer.outage(503, retry_after)
    outcome = await hire(store).run()
    assert isinstance(outcome, Failed)
    assert outcome.retry_after == cooldown
    assert [retry_after for _, retry_after, _ in store.fails] == [cooldown]


async def test_cool_downs_are_jittered(hire: Hire, issuer: FakeIssuer) -> None:
    """At most a quarter is added, so that not all workers come back at once."""
    issuer.outage(503)
    outcome = await hire(ScriptedStore(granted(1)), uniform=max).run()
    assert isinstance(outcome, Failed)
    assert outcome.retry_after == 6.25


@pytest.mark.parametrize("body", [b'{"keys": []}', b"{}", b"<html>", b'{"keys": [{"kty": "oct"}]}'])
async def test_an_unusable_set_replaces_nothing(
    hire: Hire, issuer: FakeIssuer, body: bytes
) -> None:
    """What holds no usable key is a failure: it is neither held nor stored."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    issuer.junk(body)
    assert isinstance(await worker.run("forced"), Failed)
    assert worker.kids == ["first"]
    assert len(store.commits) == len(store.fails) == 1


async def test_a_set_without_a_usable_key_tells_why(hire: Hire, issuer: FakeIssuer) -> None:
    """The failure, the event and so the log count the reasons."""
    worker = hire(ScriptedStore(granted(1)))
    members = [SECOND.jwk(x="AQAB"), SECOND.jwk(kid="a", x="AQAB"), SECOND.jwk(use="enc")]
    issuer.junk(json.dumps({"keys": members}).encode())
    outcome = await worker.run()
    reason = (
        "the JWK Set has no usable key: its key material is malformed (2), its use is not sig (1)"
    )
    assert isinstance(outcome, Failed)
    assert outcome.reason == reason
    [failed] = worker.told(RefreshFailed)
    assert isinstance(failed, RefreshFailed)
    assert (failed.kind, failed.reason) == ("unusable_keys", reason)


@pytest.mark.parametrize(
    ("cause", "past_caches", "validated"),
    [("age", False, True), ("unknown_kid", True, True), ("forced", True, False)],
)
async def test_only_a_refresh_by_age_takes_what_a_cache_holds(
    hire: Hire, issuer: FakeIssuer, cause: Cause, *, past_caches: bool, validated: bool
) -> None:
    """A search wants a new key, and a forced fetch whatever there is now, down to the last key."""
    worker = hire(ScriptedStore(granted(1)))
    await worker.run()
    issuer.reset()
    worker.clock.advance(1)
    assert await worker.run(cause) == Done()
    headers = issuer.requests[-1].headers
    assert headers.get("cache-control") == ("no-cache" if past_caches else None)
    assert ("if-none-match" in headers) is validated


async def test_keys_for_others_are_shared_with_them(hire: Hire, issuer: FakeIssuer) -> None:
    """A worker whose algorithms fit no key fails alone: the set is stored, and nobody cools."""
    store = ScriptedStore(granted(1))
    worker = hire(store, algorithm="RS256")
    outcome = await worker.run()
    assert isinstance(outcome, Failed)
    assert (outcome.here, outcome.retry_after) == (True, 30.0)
    fitting = "no published key fits allowed_algorithms"
    assert outcome.reason == f"{fitting}: its algorithm is not allowed (1)"
    assert worker.told(RefreshFailed) == [
        RefreshFailed(issuer.jwks_uri, "no_fitting_keys", outcome.reason, 30.0)
    ]
    assert (len(store.commits), len(store.fails)) == (1, 0)
    assert worker.kids == []


async def test_keys_for_others_are_not_rejected(hire: Hire, issuer: FakeIssuer) -> None:
    """In the store, too, they are somebody's; what the worker holds is kept."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    worker.clock.advance(50)
    store.play(Newer(9, stored(issuer, SigningKey.generate("ES384")), 0.0, 1000.0))
    assert await worker.run(None) == Done()
    assert worker.kids == ["first"]
    assert worker.told(DocumentRejected) == []


async def test_keys_for_others_are_fetched_once_for_all_they_are_no_good_to(
    hire: Hire, issuer: FakeIssuer, clock: FakeClock
) -> None:
    """Whoever finds them in the store waits for others, as long as they are fresh."""
    store = MemoryKeyStore(timer=clock.monotonic)
    crew = [hire(store, algorithm="RS256") for _ in range(5)]
    for worker in crew * 2:
        assert isinstance(await worker.run(), Failed)
        assert len(worker.told(RefreshFailed)) > 0
    assert issuer.jwks_requests == 1
    issuer.rotate(SigningKey.generate("RS256", "third"))
    other = hire(store)
    assert await other.run("forced") == Done()
    assert await crew[0].run() == Done()
    assert crew[0].kids == ["third"]
    assert issuer.jwks_requests == 2
    clock.advance(900)
    assert await hire(store, algorithm="PS256").run() != Done()
    assert issuer.jwks_requests == 3


async def test_another_issuer_is_told_apart(hire: Hire, issuer: FakeIssuer) -> None:
    """A discovery document of another issuer is an answer and no outage; its keys are not used."""
    store = ScriptedStore(granted(1))
    worker = hire(store, discovers=True)
    issuer.announce(issuer="https://other.test")
    outcome = await worker.run()
    assert isinstance(outcome, Failed)
    assert outcome.mismatch
    [event] = worker.told(RefreshFailed)
    assert isinstance(event, RefreshFailed)
    assert event.mismatch
    assert worker.kids == []
    assert issuer.jwks_requests == 0
    assert [mismatch for _, _, mismatch in store.fails] == [True]


async def test_a_reply_that_comes_late_replaces_nothing(hire: Hire, issuer: FakeIssuer) -> None:
    """A set whose fetch began earlier gives way to the one at hand, whenever it arrives."""
    worker = hire(ScriptedStore(granted(1), commits=(None,)))
    issuer.hang(times=1)
    late = asyncio.ensure_future(worker.run())
    await issuer.arrived(1)
    worker.clock.advance(0.5)
    issuer.rotate(SECOND, keep=False)
    assert await worker.run("forced") == Done()
    issuer.release()
    assert await late == Done()
    assert worker.kids == ["second"]


async def test_the_etag_of_the_document_at_hand_is_sent(hire: Hire, issuer: FakeIssuer) -> None:
    """A set that did not change is not sent again, and committed exactly as it was."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    worker.clock.advance(1)
    assert await worker.run("age") == Done()
    assert issuer.not_modified == 1
    assert store.commits[0][1] == store.commits[1][1]
    assert worker.kids == ["first"]
    assert worker.refresher.current.life.fetched == worker.clock.monotonic()


async def test_the_etag_of_another_workers_document_is_sent_once_it_is_held(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """The `ETag` comes from the store with its document."""
    store = ScriptedStore(Newer(7, stored(issuer, FIRST, etag='"x"'), 700.0, 1000.0), granted(8))
    await hire(store).run()
    assert [request.headers.get("if-none-match") for request in issuer.requests] == ['"x"']


async def test_no_etag_is_sent_for_a_document_that_is_not_held(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """A cold worker, or one that rejected the stored document, wants the set itself."""
    store = ScriptedStore(Newer(7, stored(issuer, etag='"x"'), 0.0, 1000.0), granted(8))
    await hire(store).run()
    assert [request.headers.get("if-none-match") for request in issuer.requests] == [None]


# The commit goes wrong.


async def test_a_lost_reply_to_a_commit_costs_nothing(hire: Hire, issuer: FakeIssuer) -> None:
    """The keys are used at once; when the store shows them as newer, they are recognised."""
    store = ScriptedStore(granted(7), commits=(DOWN,))
    worker = hire(store)
    assert await worker.run() == Done()
    assert worker.told(StoreFailed) == [
        StoreFailed(issuer.jwks_uri, "ScriptedStore", "commit", "unavailable", "timed out")
    ]
    assert worker.refresher.known == 0
    worker.clock.advance(2)
    store.play(Newer(7, store.commits[0][1], 2.0, 1000.0))
    assert await worker.run(None) == Done()
    assert worker.refresher.known == 7
    assert len(worker.told(KeysRefreshed)) == 1


@pytest.mark.parametrize(("age", "kids"), [(1.0, ["second"]), (9.0, ["first"])])
async def test_a_superseded_worker_looks_at_what_superseded_it(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, age: float, kids: list[str]
) -> None:
    """The younger of the two sets is used, and the stored version is known from then on."""
    store = ScriptedStore(granted(7), commits=(None,))
    worker = hire(store)
    issuer.hang(times=1)
    task = asyncio.ensure_future(worker.run())
    await issuer.arrived(1)
    clock.advance(4)
    store.play(Newer(9, stored(issuer, SECOND), age, 1000.0))
    issuer.release()
    assert await task == Done()
    assert store.polls[-1] == (0, None)
    assert worker.kids == kids
    assert worker.refresher.known == 9


@pytest.mark.parametrize("answer", [DOWN, Unchanged()])
async def test_a_superseded_worker_goes_on_with_what_it_fetched(
    hire: Hire, answer: Answer | Exception
) -> None:
    """Nothing newer is shown: what was fetched serves."""
    store = ScriptedStore(granted(7), answer, commits=(None,))
    worker = hire(store)
    assert await worker.run() == Done()
    assert worker.kids == ["first"]


async def test_a_failure_that_cannot_be_shared_is_a_failure_all_the_same(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """The worker cools down by itself."""
    issuer.outage(503)
    worker = hire(ScriptedStore(granted(1), fails=(DOWN,)))
    assert isinstance(await worker.run(), Failed)
    assert worker.told(StoreFailed) == [
        StoreFailed(issuer.jwks_uri, "ScriptedStore", "fail", "unavailable", "timed out")
    ]
    assert len(worker.told(RefreshFailed)) == 1
