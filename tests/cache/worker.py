"""A worker of a fleet, as the tests of the cache hire it: its refresher, its cache, its events."""

import asyncio
from collections.abc import Callable
from math import inf

import httpx

from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.freshness import Policy
from auth_jwks._cache.guarded_store import GuardedStore
from auth_jwks._cache.key_cache import KeyCache
from auth_jwks._cache.outcome import Outcome
from auth_jwks._cache.purpose import FindKey, Look, Purpose, Renew, Replace
from auth_jwks._cache.refresh import Refresher
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._jose.tokens import Token, parse_token, signer_in
from auth_jwks._provider.source import Source
from auth_jwks.events import Event
from auth_jwks.stores import Cause, KeyStore, MemoryKeyStore
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey

__all__ = ["FIRST", "SECOND", "STRANGER", "Hire", "Worker", "spin", "token_of"]

FIRST, SECOND = SigningKey.generate("ES256", "first"), SigningKey.generate("ES256", "second")
STRANGER = SigningKey.generate("ES256", "stranger")


class Worker:
    """The keys of one verifier; of random numbers it draws the lowest, unless told to."""

    def __init__(
        self,
        issuer: FakeIssuer,
        client: httpx.AsyncClient,
        clock: FakeClock,
        store: KeyStore | None = None,
        *,
        discovers: bool = True,
        algorithm: str = "ES256",
        uniform: Callable[[float, float], float] = min,
        **policy: float,
    ) -> None:
        self.clock = clock
        self.events: list[Event] = []
        numbers = Policy(**policy)
        source = Source(
            discovery_url=issuer.discovery_url,
            jwks_uri=None if discovers else issuer.jwks_uri,
            issuer=IssuerNames((issuer.issuer,)),
            fix_local_url=True,
            timeout=5.0,
            retries=0,
            http_client=client,
            clock=clock,
        )
        shared = GuardedStore(
            store or MemoryKeyStore(timer=clock.monotonic), source.key,
            name=source.name, deadline=source.deadline, policy=numbers,
            clock=clock, observer=self.events.append,
        )  # fmt: skip
        self.refresher = Refresher(
            source, shared, policy=numbers, allowed=frozenset((algorithm,)),
            clock=clock, observer=self.events.append, uniform=uniform,
        )  # fmt: skip
        self.cache = KeyCache(
            self.refresher, policy=numbers, clock=clock,
            observer=self.events.append, uniform=uniform,
        )  # fmt: skip

    @property
    def kids(self) -> list[str | None]:
        """The current keys."""
        return [key.kid for key in self.refresher.current.key_set.keys]

    @property
    def at_once(self) -> list[str | None]:
        """The keys that a verification gets without an await; fails if it had to wait."""
        current = self.cache.ready(self.clock.time())
        assert current is not None
        return [key.kid for key in current.key_set.keys]

    async def verify(
        self, kid: str | None = "first", signing: SigningKey | None = None
    ) -> list[str | None]:
        """Return the key of a token of that `kid`, as a verification asks for it."""
        token = token_of(kid, signing)
        current = self.cache.ready(self.clock.time()) or await self.cache.ensure()
        key = signer_in(token, current.key_set)
        if key is None:
            _, key = await self.cache.find(token, current, lambda: None)
        return [key.kid]

    def search(self, kid: str = "first", signing: SigningKey | None = None) -> None:
        """Let a key be searched for in the background, after a bad signature under its name."""
        self.cache.search(token_of(kid, signing), self.refresher.current, lambda: None)

    def raise_if_hopeless(self, kid: str | None, tried: CurrentKeys | None = None) -> None:
        """Raise what another thread would raise at once, if it would."""
        tried = tried or self.refresher.current
        now = self.clock.monotonic()
        self.cache.raise_if_hopeless(token_of(kid), tried, now, lambda: None)

    async def run(self, cause: Cause | None = "age") -> Outcome:
        """Refresh as a cache does; only age can be cured by a look into the store."""
        return await self.refresher.run(self._purpose(cause))

    def _purpose(self, cause: Cause | None) -> Purpose:
        current = self.refresher.current
        if cause is None:
            return Look()
        if cause == "age":
            return Renew()
        if cause == "unknown_kid":
            return FindKey(token_of("of nobody"), current, inf)
        return Replace(current, inf)

    async def landed(self) -> None:
        """Return when nothing is under way in the background."""
        async with asyncio.timeout(60):
            while self.cache.status().refreshing:  # noqa: ASYNC110 - a state, and no event
                await asyncio.sleep(0)

    def told(self, kind: type[Event]) -> list[Event]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def is_young(self) -> bool:
        """Tell whether the keys need no refresh."""
        return self.clock.monotonic() < self.refresher.current.life.refresh_at


Hire = Callable[..., Worker]


def token_of(kid: str | None, signing: SigningKey | None = None) -> Token:
    """Return a token that names a key, signed by the one of that name unless told otherwise."""
    named = {None: FIRST, "first": FIRST, "second": SECOND}
    signing = signing or named.get(kid, STRANGER)
    return parse_token(signing.sign({"sub": "alice"}, {"kid": kid}), frozenset(("ES256",)))


async def spin() -> None:
    """Let all tasks run until they wait for the clock or the provider."""
    for _ in range(50):
        await asyncio.sleep(0)
