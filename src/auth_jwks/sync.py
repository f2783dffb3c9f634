"""The same verifier for threads: Flask, Django, and gunicorn's sync and gthread workers."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from importlib import import_module
from typing import Any, Self, TypeVar

from auth_jwks._background_loop import NoLoopError, Portal, Work, finished
from auth_jwks._cache.held import Held
from auth_jwks._cache.key_cache import KeyCache
from auth_jwks._cache.status import Status
from auth_jwks._cache.token_cache import ThreadedTokenCache
from auth_jwks._clock import SYSTEM_CLOCK, Clock
from auth_jwks._jose.keys import Key
from auth_jwks._verifier import JWKS
from auth_jwks.errors import KeysUnavailableError
from auth_jwks.events import Observer
from auth_jwks.stores.base import KeyStore
from auth_jwks.stores.redis import RedisKeyStore

__all__ = ["SyncJWKS"]

T = TypeVar("T")

PAUSE = 0.05

# Otherwise the first fetch would import these, in the background; of a module that is being
# imported when another thread forks, the child has half for ever.
for _name in (
    "anyio._backends._asyncio",
    "certifi",
    "concurrent.futures.thread",
    "cryptography.hazmat.backends.openssl.backend",
    "httpcore",
):
    with suppress(ImportError):
        import_module(_name)


class SyncJWKS:
    """Verifies tokens as `JWKS` does, in any thread and without an event loop.

    Tokens are checked in the calling thread. Refreshes run on one event loop in the background,
    the same for all of a process; it begins when it is first needed, so a fork is safe at any
    moment. Only who finds no usable keys waits for it.
    """

    def __init__(
        self,
        discovery_url: str | None = None,
        aud: str | Iterable[str] | None = None,
        allowed_algorithms: Collection[str] | None = None,
        cache_ttl: float = 900,
        leeway: float = 30.0,
        timeout: float = 5.0,
        retries: int = 3,
        fix_local_url: bool = True,  # noqa: FBT001, FBT002 - as in JWKS
        *,
        jwks_uri: str | None = None,
        issuer: str | None = None,
        store: KeyStore | None = None,
        max_stale: float = 86_400,
        token_cache_size: int = 1024,
        required_claims: Collection[str] = ("exp", "iat", "sub"),
        http_client: None = None,
        observer: Observer | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Check the configuration, which is that of `JWKS`.

        There is no `http_client` to hand in: one that is used in another event loop would fail.
        The `observer` is called in the background thread, and in a caller's for an `UnknownKey`
        that was not asked for.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        if http_client is not None:
            raise TypeError("http_client: expected None, as it would belong to another event loop")
        self._jwks = _Threaded(
            discovery_url, aud, allowed_algorithms, cache_ttl, leeway, timeout, retries,
            fix_local_url, jwks_uri=jwks_uri, issuer=issuer, store=store, max_stale=max_stale,
            token_cache_size=token_cache_size, required_claims=required_claims,
            observer=observer, clock=clock,
        )  # fmt: skip

    def verify_token(
        self, token: str, audience: str | Iterable[str] | None = None, *, verify_iss: bool = True
    ) -> dict[str, Any]:
        """Return the claims of a valid token, or raise, as `JWKS.verify_token` does."""
        return finished(self._jwks.verify_token(token, audience, verify_iss=verify_iss))

    def refresh(self, *, force: bool = False) -> None:
        """Make sure that the keys are fresh, as `JWKS.refresh` does, and wait for it."""
        finished(self._jwks.refresh(force=force))

    def status(self) -> Status:
        """Return the state of the keys, without I/O."""
        return self._jwks.status()

    def close(self) -> None:
        """Give up what was opened here; a second call does nothing.

        Threads that wait for keys get a `RuntimeError`.
        """
        finished(self._jwks.close())

    def __enter__(self) -> Self:
        finished(self._jwks.__aenter__())
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Sync{self._jwks!r}"


class _Threaded(JWKS):
    """A verifier whose coroutines never wait: whatever has to, blocks the thread instead."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._store = options["store"]
        super().__init__(*args, **options)
        self._seen = ThreadedTokenCache(options["token_cache_size"])

    def _reached(self, cache: KeyCache) -> "_ThreadedKeys":
        return _ThreadedKeys(cache, self._store, self._clock)


class _ThreadedKeys:
    """A key cache that lives on the loop in the background, for threads elsewhere."""

    def __init__(self, cache: KeyCache, store: KeyStore | None, clock: Clock) -> None:
        self._cache = cache
        self._store = store
        self._clock = clock
        self._portal = Portal()
        self._look_at = 0.0

    def ready(self) -> Held | None:
        """Return the keys if this call need not wait for any.

        If there is something to do about them, the loop is told, now and then.
        """
        now = self._clock.monotonic()
        held, is_due = self._cache.glance(now)
        if is_due and now >= self._look_at:
            self._look_at = now + PAUSE
            with suppress(NoLoopError):
                self._portal.nudge(self._cache.ready)
        return held

    async def ensure(self) -> Held:
        """Return usable keys."""
        return self._waited(self._cache.ensure)

    async def find(self, kid: str | None, alg: str) -> tuple[Held, tuple[Key, ...]]:
        """Return the keys for a token that none of those at hand fit."""
        self._cache.refuse(kid, alg, self._clock.monotonic())
        return self._waited(lambda: self._found(kid, alg))

    async def refresh(self, *, force: bool) -> None:
        """Make sure that the set is fresh."""
        self._waited(lambda: self._cache.refresh(force=force))

    def status(self) -> Status:
        """Return the state, without I/O."""
        return self._cache.status()

    async def aclose(self) -> None:
        """Give up what is under way."""
        self._portal.close(self._left)

    async def _found(self, kid: str | None, alg: str) -> tuple[Held, tuple[Key, ...]]:
        """Search, unless a search that ended on the way to the loop has brought the key."""
        held, _ = self._cache.glance(self._clock.monotonic())
        if held is not None and (keys := held.keys.select(kid, alg)):
            return held, keys
        return await self._cache.find(kid, alg)

    async def _left(self) -> None:
        await self._cache.aclose()
        if isinstance(self._store, RedisKeyStore):
            # It stays open, but nobody else can close its connections of this loop.
            await self._store.aclose()

    def _waited(self, work: Work[T]) -> T:
        try:
            return self._portal.run(work)
        except NoLoopError as fault:
            reason = str(fault)
        raise KeysUnavailableError(f"the signing keys are unavailable: {reason}")
