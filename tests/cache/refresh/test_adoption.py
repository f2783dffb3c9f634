"""Keys from the store: adopted, seen and not used, or rejected."""

import json
from collections.abc import Callable

import pytest

from auth_jwks._cache.outcome import Done, Failed
from auth_jwks._cache.purpose import FindKey
from auth_jwks._provider.document import Document, encode
from auth_jwks.events import DocumentRejected, KeysRefreshed
from auth_jwks.stores import (
    Answer,
    LeaseRequest,
    MemoryKeyStore,
    Newer,
    StoreUnavailable,
    Unchanged,
)
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.cache.refresh.storing import stored
from tests.cache.worker import FIRST, SECOND, Hire, token_of
from tests.scripted_store import ScriptedStore, granted

# The store has keys.


async def test_newer_keys_are_taken_from_the_store(hire: Hire, issuer: FakeIssuer) -> None:
    """What another worker fetched is used, with the age it has, and the provider not asked."""
    store = ScriptedStore(Newer(7, stored(issuer, SECOND), age=100.0, ttl_left=1000.0))
    worker = hire(store)
    assert await worker.run() == Done()
    assert worker.kids == ["second"]
    assert worker.refresher.known == 7
    left = worker.refresher.current.life.dies - worker.clock.monotonic()
    assert worker.events == [KeysRefreshed(issuer.jwks_uri, "store", 1, (), 100.0, 7, left)]
    assert worker.refresher.current.life.fetched == worker.clock.monotonic() - 100
    assert issuer.requests == ()


async def test_a_worker_asks_for_what_it_has_not_seen(hire: Hire, issuer: FakeIssuer) -> None:
    """`known` is the highest version seen."""
    store = ScriptedStore(Newer(7, stored(issuer, FIRST), 0.0, 1000.0), Unchanged())
    worker = hire(store)
    await worker.run()
    assert await worker.run(None) == Done()
    assert store.polls[1] == (7, None)


async def test_keys_from_the_store_that_are_too_old_are_fetched_anew(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """A stored set beyond its refresh point is held, and leased over."""
    store = ScriptedStore(Newer(7, stored(issuer, SECOND), 700.0, 1000.0), granted(8))
    worker = hire(store)
    assert await worker.run() == Done()
    assert [known for known, _ in store.polls] == [0, 7]
    assert [event.origin for event in worker.events if isinstance(event, KeysRefreshed)] == [
        "store",
        "provider",
    ]


async def test_an_older_document_is_seen_and_not_used(hire: Hire, issuer: FakeIssuer) -> None:
    """A document that was fetched before the worker's own set replaces nothing."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    worker.clock.advance(50)
    store.play(Newer(9, stored(issuer, SECOND), 60.0, 1000.0))
    assert await worker.run(None) == Done()
    assert worker.kids == ["first"]
    assert worker.refresher.known == 9


async def test_a_younger_document_replaces_the_keys_at_hand(hire: Hire, issuer: FakeIssuer) -> None:
    """A document that was fetched after the worker's own set is used, withdrawn keys and all."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    worker.clock.advance(50)
    store.play(Newer(9, stored(issuer, SECOND), 40.0, 1000.0))
    assert await worker.run(None) == Done()
    assert worker.kids == ["second"]


def late(clock: FakeClock, newer: Newer) -> Callable[[str, LeaseRequest | None], Answer]:
    """Answer that to a question that took a while to reach the store."""

    def answer(_key: str, _request: LeaseRequest | None) -> Answer:
        clock.advance(0.4)
        return newer

    return answer


@pytest.mark.parametrize("origin", ["provider", "store"])
async def test_a_late_question_hides_no_younger_set(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, origin: str
) -> None:
    """A key published between two fetches is found, though the age leaves open which was first.

    Else its tokens would cost another search, or be refused for want of one.
    """
    first = Newer(1, stored(issuer, FIRST), 0.0, 1000.0) if origin == "store" else granted(1)
    store = ScriptedStore(first)
    worker = hire(store)
    await worker.run()
    before, began = worker.refresher.current, clock.monotonic()
    asked = len(issuer.requests)
    clock.advance(0.2)
    # Fetched 0.1 s after ours, which is 0.5 s ago when the question arrives.
    store.play(late(clock, Newer(2, stored(issuer, SECOND), 0.5, 1000.0)))
    purpose = FindKey(token_of("second"), before, clock.monotonic())
    assert await worker.refresher.run(purpose) == Done()
    assert worker.kids == ["second"]
    assert worker.refresher.current.life.fetched == began
    assert len(issuer.requests) == asked


async def test_a_late_question_hides_no_older_set(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """What was certainly fetched before ours is not used, whatever its version."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    store.play(late(clock, Newer(2, stored(issuer, SECOND), 0.4, 1000.0)))
    assert await worker.run(None) == Done()
    assert worker.kids == ["first"]


@pytest.mark.parametrize("commit", [None, StoreUnavailable("down")])
async def test_a_set_without_a_version_stays_if_it_may_be_younger(
    hire: Hire, clock: FakeClock, issuer: FakeIssuer, commit: Exception | None
) -> None:
    """What could not be stored has no place in the order of versions."""
    store = ScriptedStore(granted(1), Unchanged(), commits=(commit,))
    worker = hire(store)
    await worker.run()
    clock.advance(0.2)
    store.play(late(clock, Newer(2, stored(issuer, SECOND), 0.5, 1000.0)))
    assert await worker.run(None) == Done()
    assert worker.kids == ["first"]


# What the store holds can't be used.


def rejected_documents(issuer: FakeIssuer) -> dict[str, bytes]:
    """Return documents of every kind that must not be trusted."""
    jwks = json.dumps({"keys": [SECOND.jwk()]}).encode()
    return {
        "no document": b"\x00\xff",
        "another format": b'{"format": 2}',
        "another issuer": encode(Document(issuer.jwks_uri, "https://evil.test", jwks)),
        "another source": encode(Document("https://evil.test/jwks", issuer.issuer, jwks)),
        "no key set": encode(Document(issuer.jwks_uri, issuer.issuer, b"[]")),
        "no usable key": stored(issuer),
        "large key set": encode(Document(issuer.jwks_uri, issuer.issuer, jwks.ljust(2**19 + 1))),
    }


@pytest.mark.parametrize(
    "kind",
    ["no document", "another format", "another issuer", "another source", "no key set",
     "no usable key", "large key set"],
)  # fmt: skip
async def test_an_unusable_document_is_seen_and_leased_over(
    hire: Hire, issuer: FakeIssuer, kind: str
) -> None:
    """What comes out of the store is checked like an answer of the provider's."""
    payload = rejected_documents(issuer)[kind]
    store = ScriptedStore(Newer(7, payload, 0.0, 1000.0), granted(8), commits=(8,))
    worker = hire(store)
    assert await worker.run() == Done()
    assert [known for known, _ in store.polls] == [0, 7]
    assert worker.kids == ["first"]
    [rejection] = worker.told(DocumentRejected)
    assert isinstance(rejection, DocumentRejected)
    assert rejection.reason
    assert worker.refresher.known == 8


async def test_a_document_that_its_store_does_not_vouch_for_is_rejected(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """The store says why, and the event repeats it; the worker may lease over it."""
    forged = Newer(4, stored(issuer, SECOND), 1.0, 1000.0, fault="it is not sealed")
    store = ScriptedStore(forged, granted(5), commits=(5,))
    worker = hire(store)
    assert await worker.run() == Done()
    assert worker.kids == ["first"]
    assert worker.told(DocumentRejected) == [
        DocumentRejected(issuer.jwks_uri, "seal", "it is not sealed")
    ]


@pytest.mark.parametrize(("over", "fetches"), [(0, 0), (1, 1)])
async def test_a_document_has_at_most_2_mib(
    hire: Hire, issuer: FakeIssuer, over: int, fetches: int
) -> None:
    """Room for the largest key set that is fetched, escaped; more is not even parsed."""
    document = stored(issuer, SECOND).ljust(2 * 1024 * 1024 + over)
    worker = hire(ScriptedStore(Newer(4, document, 1.0, 1000.0), granted(5), commits=(5,)))
    assert await worker.run() == Done()
    assert len(worker.told(DocumentRejected)) == fetches
    assert worker.kids == ["first" if fetches else "second"]


async def test_a_rejected_document_takes_no_keys_away(hire: Hire) -> None:
    """A worker with young keys rejects the document, and leases it over."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    worker.clock.advance(50)
    store.play(Newer(9, b"junk", 0.0, 1000.0), granted(10))
    assert await worker.run(None) == Done()
    assert worker.kids == ["first"]
    assert store.leases[-1].cause == "repair"
    assert store.commits[-1][0].fence == 10
    assert len(worker.told(DocumentRejected)) == 1


async def test_a_store_that_repeats_itself_is_not_asked_without_end(
    hire: Hire, issuer: FakeIssuer
) -> None:
    """A version that is not newer than the one known is a broken contract."""
    store = ScriptedStore(Newer(9, b"junk", 0.0, 1000.0))
    outcome = await hire(store).run()
    assert isinstance(outcome, Failed)
    assert len(store.polls) == 2
    assert issuer.requests == ()


async def test_a_store_that_alternates_is_not_asked_without_end(hire: Hire) -> None:
    """Two documents in turn, both of no use, would keep it busy for as long as it may wait."""
    polls = [Newer(version, b"junk", 1.0, 10.0) for version in (2, 1, 2)]
    store = ScriptedStore(*polls)
    assert await hire(store).run() == Failed("the key store returned the same version twice", 1.0)
    assert len(store.polls) == 3


async def test_a_store_whose_clock_went_back_is_used_again(
    hire: Hire, issuer: FakeIssuer, clock: FakeClock
) -> None:
    """It ignores a version that lies more than a day ahead, and so does the worker."""
    ahead = 2 * 86_400.0
    store = MemoryKeyStore(timer=lambda: clock.monotonic() + ahead)
    worker, other = hire(store), hire(store)
    assert await worker.run() == Done()
    await store.aclose()
    ahead = 0.0
    assert await other.run() == Done()
    clock.advance(700)
    for count in (2, 3):
        for each in (worker, other):
            assert await each.run() == Done()
            assert each.is_young()
        assert issuer.jwks_requests == count + 1
        clock.advance(700)


async def test_a_look_that_finds_junk_becomes_a_repair(hire: Hire, issuer: FakeIssuer) -> None:
    """A worker whose keys are due leases the document over, within the unscheduled budget."""
    store = ScriptedStore(granted(1))
    worker = hire(store)
    await worker.run()
    worker.clock.advance(700)
    store.play(Newer(9, b"junk", 0.0, 1000.0), granted(10))
    assert await worker.run(None) == Done()
    assert store.leases[-1].cause == "repair"
    assert worker.is_young()
    assert issuer.jwks_requests == 2


async def test_the_store_is_asked_under_one_name_per_source(hire: Hire, issuer: FakeIssuer) -> None:
    """Workers of one source share, those of another don't."""
    names: list[str] = []

    def note(key: str, _request: LeaseRequest | None) -> Answer:
        names.append(key)
        return Unchanged()

    for discovers in (False, False, True):
        await hire(ScriptedStore(note), discovers=discovers).run(None)
    assert names[0] == names[1] != names[2]
    assert issuer.issuer not in names[0]
