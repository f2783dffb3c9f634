"""What a verification costs, in counts that no noise can change: calls, parses, checks, awaits."""

import asyncio
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS, Issuers
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer

# Python's own functions included, those in C not. Fewer is better: lower them when they sink.
SEEN_BEFORE = 9
SEEN_FIRST = 25
BY_ISSUER = 1
IN_A_THREAD = 0
REFRESHING = 3  # two of them a clock of the tests
UNKNOWN = 38  # three of them a clock of the tests


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """Return a provider."""
    with FakeIssuer() as issuer:
        yield issuer


@pytest.fixture
async def jwks(issuer: FakeIssuer) -> AsyncIterator[JWKS]:
    """Return a verifier that has keys."""
    async with JWKS(issuer.discovery_url, "api", issuer=issuer.issuer) as jwks:
        await jwks.verify_token(issuer.sign(aud="api"))
        yield jwks


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count calls: of Python's functions by name, and in all."""
    counts: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            counts["all"] += 1
            counts[frame.f_code.co_name] += 1
        elif event == "c_call":
            counts[argument.__name__] += 1

    sys.setprofile(note)
    try:
        yield counts
    finally:
        sys.setprofile(None)


def at_once(call: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Return what a coroutine returns that suspends nowhere."""
    try:
        call.send(None)
    except StopIteration as end:
        claims: dict[str, Any] = end.value
        return claims
    raise AssertionError("it waits")


async def test_token_seen_before(issuer: FakeIssuer, jwks: JWKS) -> None:
    """No suspension, no decoding, no JSON, no signature check, and few calls."""
    token = issuer.sign(aud="api", roles=["a"])
    claims = at_once(jwks.verify_token(token))
    assert at_once(jwks.verify_token(token)) == claims, "packs them for the next ones"
    with counting() as counts:
        again = at_once(jwks.verify_token(token))
    assert again == claims
    assert counts["copy"] == 2, "of the claims and of the list in them"
    assert counts["a2b_base64"] == counts["strict_object"] == counts["verify"] == 0
    assert counts["all"] <= SEEN_BEFORE, counts


async def test_tokens_seen_before_take_no_memory(issuer: FakeIssuer, jwks: JWKS) -> None:
    """What a call returns is the caller's; nothing else is left of it."""
    tokens = [issuer.sign(aud="api", jti=str(number)) for number in range(20)]
    for token in tokens * 2:
        at_once(jwks.verify_token(token))
    tracemalloc.start()
    for token in tokens * 10:
        at_once(jwks.verify_token(token))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 8 * 1024


async def test_token_seen_before_of_one_of_several_issuers(issuer: FakeIssuer, jwks: JWKS) -> None:
    """The verifier remembers it, and is found without a look inside the token."""
    issuers = Issuers(jwks, JWKS("https://b.example", "api", issuer="https://b.example"))
    token = issuer.sign(aud="api", roles=["a"])
    claims = at_once(issuers.verify_token(token))
    with counting() as counts:
        assert at_once(jwks.verify_token(token)) == claims
    assert counts["verify"] == 0, "as if it had been asked itself"
    with counting() as counts:
        assert at_once(issuers.verify_token(token)) == claims
    assert counts["copy"] == 2, "of the claims and of the list in them"
    assert counts["a2b_base64"] == counts["strict_object"] == counts["verify"] == 0
    assert counts["all"] <= SEEN_BEFORE + BY_ISSUER, counts


def test_token_seen_before_in_a_thread(issuer: FakeIssuer) -> None:
    """It needs no coroutine, and no look at what the event loop does."""
    with SyncJWKS(issuer.discovery_url, "api", issuer=issuer.issuer) as jwks:
        token = issuer.sign(aud="api", roles=["a"])
        claims = jwks.verify_token(token)
        assert jwks.verify_token(token) == claims
        with counting() as counts:
            assert jwks.verify_token(token) == claims
    assert counts["copy"] == 2, "of the claims and of the list in them"
    assert counts["a2b_base64"] == counts["strict_object"] == counts["verify"] == 0
    assert counts["all"] <= SEEN_BEFORE + IN_A_THREAD, counts


async def test_token_seen_before_while_keys_are_refreshed(issuer: FakeIssuer) -> None:
    """A look whether the refresh runs, and nothing is decided anew."""
    clock = FakeClock(time.time())
    async with JWKS(issuer.discovery_url, "api", issuer=issuer.issuer, clock=clock) as jwks:
        token = issuer.sign(aud="api", exp=time.time() + 3600)
        claims = await jwks.verify_token(token)
        issuer.hang()
        clock.advance(850)
        assert at_once(jwks.verify_token(token)) == claims, "begins the refresh"
        assert jwks.status().refreshing
        with counting() as counts:
            assert at_once(jwks.verify_token(token)) == claims
        assert counts["verify"] == counts["strict_object"] == 0
        assert counts["all"] <= SEEN_BEFORE + REFRESHING, counts
    issuer.release()


async def test_token_seen_first(issuer: FakeIssuer, jwks: JWKS) -> None:
    """No suspension, one JSON (the header is known), two decodings, one signature check."""
    token = issuer.sign(aud="api", jti="first")
    with counting() as counts:
        at_once(jwks.verify_token(token))
    assert counts["strict_object"] == 1
    assert counts["a2b_base64"] == 2
    assert counts["verify"] == 1
    assert counts["all"] <= SEEN_FIRST, counts


@pytest.mark.parametrize(
    ("spoil", "decodings"),
    [
        (lambda token: token + "x" * 16_384, 0),
        (lambda token: token.replace(".", ""), 0),
        (lambda token: "é" + token, 0),
        (lambda token: "e" + token, 1),
    ],
    ids=["long", "of one segment", "not ASCII", "not base64url"],
)
async def test_junk_is_refused_by_a_look(
    issuer: FakeIssuer, jwks: JWKS, spoil: Callable[[str], str], decodings: int
) -> None:
    """Nothing is decoded beyond the segment that shows what it is."""
    token = spoil(issuer.sign(aud="api"))
    with counting() as counts, pytest.raises(jwt.DecodeError):
        at_once(jwks.verify_token(token))
    assert counts["a2b_base64"] <= decodings
    assert counts["verify"] == 0


@pytest.fixture
async def paused(issuer: FakeIssuer) -> AsyncIterator[JWKS]:
    """Return a verifier whose limits stay spent: to count calls takes time."""
    clock = FakeClock(time.time())
    async with JWKS(issuer.discovery_url, "api", issuer=issuer.issuer, clock=clock) as jwks:
        await jwks.refresh()
        yield jwks


async def test_unknown_key_in_a_flood(
    issuer: FakeIssuer, paused: JWKS, caplog: pytest.LogCaptureFixture
) -> None:
    """No suspension once the limits are reached, one record in the log, no memory that grows."""
    tokens = [issuer.sign(aud="api", headers={"kid": f"made up {n}"}) for n in range(1200)]
    for token in tokens[:600]:
        with pytest.raises(jwt.InvalidTokenError):
            await paused.verify_token(token)
    tracemalloc.start()
    with counting() as counts:
        refused = sum(map(is_refused, [paused] * 600, tokens[600:]))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused == 600
    assert counts["verify"] == 0
    assert counts["all"] / 600 <= UNKNOWN, counts
    assert grown < 600 * 1024
    loud = [record for record in caplog.records if record.levelname != "DEBUG"]
    assert [record.levelname for record in loud] == ["WARNING"], "the first refusal"


@pytest.mark.parametrize("headers", [None, {"kid": None}], ids=["kid", "no kid"])
async def test_bad_signatures_in_a_flood(
    issuer: FakeIssuer, paused: JWKS, headers: dict[str, None] | None
) -> None:
    """One check of a signature, and no more calls than for an unknown key."""
    tokens = [issuer.forge(aud="api", jti=str(number), headers=headers) for number in range(200)]
    for token in tokens[:100]:
        with pytest.raises(jwt.InvalidSignatureError):
            await paused.verify_token(token)
        while paused.status().refreshing:  # noqa: ASYNC110 - nothing tells of a search's end
            await asyncio.sleep(0)
    with counting() as counts:
        refused = sum(map(is_refused, [paused] * 100, tokens[100:]))
    assert refused == 100
    assert counts["verify"] == 100
    assert counts["strict_object"] == 0, "its claims are of no interest"
    assert counts["all"] / 100 <= UNKNOWN, counts


def is_refused(jwks: JWKS, token: str) -> bool:
    """Tell whether a token is refused at once."""
    try:
        at_once(jwks.verify_token(token))
    except jwt.InvalidTokenError:
        return True
    return False
