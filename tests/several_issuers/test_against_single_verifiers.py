"""`Issuers` beside the single verifiers: the same tokens get the same answers."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks import JWKS, Issuers
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey

NAMES = ["https://a.example", "https://b.example", "https://c.example"]
STRANGER = "https://d.example"
# Each provider's own keys; all of them have the same two names.
KEYS = [[SigningKey.generate("ES256", kid) for kid in ("k0", "k1", "k0")] for _ in NAMES]

provider = st.integers(0, len(NAMES) - 1)


@dataclass(frozen=True)
class Sign:
    """A token of one provider's key that states any issuer."""

    signer: int
    key: int
    stated: str
    lifetime: int
    audience: str


@dataclass(frozen=True)
class Again:
    """A token of before, counted from the last one."""

    back: int


@dataclass(frozen=True)
class Rotate:
    """Publish another key."""

    provider: int
    key: int
    keep: bool


@dataclass(frozen=True)
class Fault:
    """Begin or end an outage."""

    provider: int
    begins: bool


@dataclass(frozen=True)
class Pass:
    """Let time pass."""

    seconds: int


@dataclass(frozen=True)
class Refresh:
    """Fetch all keys."""

    force: bool


Step = Sign | Again | Rotate | Fault | Pass | Refresh

steps = st.lists(
    st.one_of(
        st.builds(
            Sign, provider, st.integers(0, 2), st.sampled_from([*NAMES, STRANGER]),
            st.sampled_from([5, 300, 5000]), st.sampled_from(["api", "web"]),
        ),
        st.builds(Again, st.integers(1, 4)),
        st.builds(Again, st.integers(1, 4)),
        st.builds(Rotate, provider, st.integers(0, 2), st.booleans()),
        st.builds(Fault, provider, st.booleans()),
        st.builds(Pass, st.sampled_from([1, 11, 40, 800, 2000])),
        st.builds(Refresh, st.booleans()),
    ),
    min_size=8,
    max_size=30,
)  # fmt: skip

Verify = Callable[[str, str], Awaitable[dict[str, Any]]]


@dataclass
class World:
    """Three providers and their verifiers, under one clock."""

    clock: FakeClock
    providers: list[FakeIssuer]
    verifiers: list[JWKS]
    tokens: list[tuple[str, str]] = field(default_factory=list)

    async def done(self, step: Step, verify: Verify, refresh: Callable[..., Any]) -> object:
        """Take a step, and return what comes of it."""
        match step:
            case Pass(seconds):
                self.clock.advance(seconds)
            case Rotate(number, key, keep):
                self.providers[number].rotate(KEYS[number][key], keep=keep)
            case Fault(number, begins):
                each = self.providers[number]
                (each.outage if begins else each.recover)()
            case Refresh(force):
                return await outcome(refresh(force=force))
            case Sign():
                self.tokens.append((self.signed(step), step.stated))
                return await outcome(verify(*self.tokens[-1]))
            case Again(back) if len(self.tokens) >= back:
                return await outcome(verify(*self.tokens[-back]))
        return None

    def signed(self, step: Sign) -> str:
        """Return a token."""
        now = int(self.clock.time())
        claims = {"iss": step.stated, "exp": now + step.lifetime, "aud": step.audience}
        key = KEYS[step.signer][step.key]
        return self.providers[step.signer].sign(claims, jti=str(len(self.tokens)), key=key)

    async def one_by_one(self, token: str, stated: str) -> dict[str, Any]:
        """Verify a token as somebody does who knows what it states."""
        if stated == STRANGER:
            expected = (
                "iss: expected 'https://a.example', 'https://b.example' or 'https://c.example'"
            )
            found = f"the token has {stated!r}: no verifier has this issuer"
            raise jwt.InvalidIssuerError(f"{expected}, {found}")
        return await self.verifiers[NAMES.index(stated)].verify_token(token)

    async def refreshed(self, *, force: bool) -> None:
        """Refresh all keys, and raise the first failure."""
        found = await asyncio.gather(
            *(each.refresh(force=force) for each in self.verifiers), return_exceptions=True
        )
        for failure in filter(None, found):
            raise failure


async def outcome(work: Awaitable[Any]) -> object:
    """Return what it returns, or what it raises."""
    try:
        return await work
    except jwt.InvalidTokenError as refusal:
        return type(refusal).__name__, str(refusal)


async def told(script: list[Step], size: int, *, together: bool) -> list[object]:
    """Return what comes of each step, and how often each provider was asked by then."""
    random.seed(0)  # spread in time alike
    clock, story = FakeClock(), []
    providers = [
        FakeIssuer(issuer=name, keys=keys[:1], clock=clock)
        for name, keys in zip(NAMES, KEYS, strict=True)
    ]
    async with AsyncExitStack() as stack:
        verifiers = [
            await stack.enter_async_context(
                JWKS(
                    each.discovery_url, "api", issuer=each.issuer, retries=0, clock=clock,
                    token_cache_size=size, max_stale=3000,
                    http_client=await stack.enter_async_context(
                        httpx.AsyncClient(transport=each.transport())
                    ),
                )
            )
            for each in providers
        ]  # fmt: skip
        world, issuers = World(clock, providers, verifiers), Issuers(*verifiers)

        async def routed(token: str, _stated: str) -> dict[str, Any]:
            return await issuers.verify_token(token)

        verify = routed if together else world.one_by_one
        refresh = issuers.refresh if together else world.refreshed
        for step in script:
            story.append(await world.done(step, verify, refresh))
            while any(each.status().refreshing for each in verifiers):  # noqa: ASYNC110 - a state
                await asyncio.sleep(0)
            story.append([len(each.requests) for each in providers])
    return story


@given(steps, st.sampled_from([0, 1, 1024]))
def test_the_answers_are_those_of_the_single_verifiers(script: list[Step], size: int) -> None:
    """Through rotations, outages, time, and keys of one provider for another's tokens."""
    together, apart = (
        asyncio.run(told(script, size, together=together)) for together in (True, False)
    )
    assert together == apart
    for step, answer in zip(script, together[::2], strict=True):
        if isinstance(step, Sign) and isinstance(answer, dict):
            assert step.stated == NAMES[step.signer] == answer["iss"], "nothing crosses"
