"""`JWKS`, the verifier for asyncio, and the verification that it shares with `SyncJWKS`."""

import logging
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping
from functools import lru_cache, partial
from os import PathLike
from typing import Any, Self

import jwt

from auth_jwks._cache.assembly import assembled
from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.key_access import KeyAccess
from auth_jwks._cache.status import Status
from auth_jwks._cache.token_cache import SeenToken, TokenCache, cache_key
from auth_jwks._clock import SYSTEM_CLOCK, Clock
from auth_jwks._jose.keys import Key
from auth_jwks._jose.tokens import (
    MAX_TOKEN,
    Expected,
    Token,
    compact,
    parse_token,
    read_claims,
    signer,
    wrongly_signed,
)
from auth_jwks._provider.client import HTTPClient
from auth_jwks._provider.made_client import ClientMaker
from auth_jwks._rules import Rules, audience_of_call, checked_rules, rules_of_call
from auth_jwks._settings import checked_flag
from auth_jwks.events import Observer
from auth_jwks.profiles._judgement import hold, passed
from auth_jwks.profiles._kinds import Profile
from auth_jwks.stores.base import KeyStore

__all__ = ["JWKS", "Verification"]

logger = logging.getLogger("auth_jwks")


class Verification:
    """Verifies tokens with the keys from `keys`, and remembers the tokens in `seen`.

    If `keys` never awaits, as in threads, neither do these coroutines.
    """

    def __init__(self, keys: KeyAccess, seen: TokenCache, rules: Rules, clock: Clock) -> None:
        self._keys = keys
        self._seen = seen
        self._rules = rules
        self._recent = rules
        self._clock = clock
        self._closed = False
        if rules.audience is None:
            text = "aud: not given, so tokens for any audience are accepted from %s; pass aud="
            logger.warning(text, keys.status().source)

    async def verify_token(
        self,
        token: str,
        audience: str | Iterable[str] | None = None,
        *,
        verify_iss: bool = True,
        profile: Profile | None = None,
    ) -> dict[str, Any]:
        """Return the claims of a valid token. The caller may change the dict.

        `audience` replaces `aud` for this call, `profile` that of the verifier;
        `verify_iss=False` leaves `iss` unchecked.

        Raises `jwt.InvalidTokenError`: PyJWT's classes if the token is at fault,
        `UnknownKeyError` if no published key fits it, `KeysUnavailableError` or
        `IssuerMismatchError` if there are no keys to verify it with. What else a profile's
        `check` raises is passed on.
        """
        if self._closed:
            raise RuntimeError("the verifier is closed")
        if verify_iss is not True:
            checked_flag("verify_iss", verify_iss)
        rules = self._rules if profile is None else self._under(profile)
        wanted = rules.audience if audience is None else audience_of_call(audience, rules)
        seen_as = cache_key(token, wanted, verify_iss, rules, longest=rules.longest)
        seen = self._seen.get(seen_as)
        now = self._clock.time()
        if seen is not None and (current := self._keys.ready(now)) is not None:
            claims = seen.claims(current, now, rules.leeway)
            if claims is not None:
                return claims if rules.check is None else passed(rules.check, claims, seen.copy())
        bare = compact(token, rules.longest)
        if bare is not token:
            # Remembered without its scheme: else there would be an entry for each spelling.
            verify = Verification.verify_token
            return await verify(self, bare, audience, verify_iss=verify_iss, profile=profile)
        parsed = parse_token(token, rules.allowed, rules.types)
        current = self._keys.ready(now)
        if current is None:
            # A token that its own claims rule out is worth no wait, and no search below.
            self._judge(parsed, None, wanted, rules, verify_iss=verify_iss)
            current = await self._keys.ensure()
        candidates = current.key_set.select(parsed.kid, parsed.alg)
        key = signer(parsed, candidates) if candidates else None
        if key is None:
            judge = partial(self._judge, parsed, current, wanted, rules, verify_iss=verify_iss)
            current, key = await self._searched(parsed, current, judge)
        claims = self._judge(parsed, current, wanted, rules, verify_iss=verify_iss)
        token_seen = SeenToken(
            parsed.kid, key.alg, key.thumbprint, current.issuer, current.generation, parsed.payload
        )
        if rules.profile is None:
            self._seen.put(seen_as, token_seen)
        else:
            self._conclude(rules, claims, seen_as, token_seen)
        return claims

    def _under(self, profile: Profile) -> Rules:
        """Return the rules under the profile of a call, which is mostly that of the last one."""
        recent = self._recent
        if recent.profile is profile:
            return recent
        rules = rules_of_call(self._rules, profile)
        if rules.is_lasting:
            self._recent = rules
        return rules

    def _conclude(
        self, rules: Rules, claims: dict[str, Any], seen_as: Hashable, token: SeenToken
    ) -> None:
        """Run the user's check on a verified token; remember the token, if its verdict lasts."""
        if rules.check is not None:
            passed(rules.check, claims, token.copy())
        if rules.is_lasting:
            self._seen.put(seen_as, token)

    def _searched(
        self, parsed: Token, tried: CurrentKeys, judge: Callable[[], object]
    ) -> Awaitable[tuple[CurrentKeys, Key]]:
        """Search for the key that signed a token, as none of the keys `tried` did.

        A token that `judge` refuses is worth no search.
        """

        def check() -> None:
            try:
                judge()
            except jwt.InvalidTokenError:
                if tried.key_set.select(parsed.kid, parsed.alg):
                    raise wrongly_signed() from None
                raise

        if not tried.key_set.has(parsed.kid, parsed.alg):
            return self._keys.find(parsed, tried, check)
        # Another key may have got that name. No forged token waits for an answer to this.
        self._keys.search(parsed, tried, check)
        raise wrongly_signed()

    def _judge(
        self,
        parsed: Token,
        current: CurrentKeys | None,
        audience: frozenset[str] | None,
        rules: Rules,
        *,
        verify_iss: bool,
    ) -> dict[str, Any]:
        """Return the claims if they are acceptable; whether they are true is not asked here.

        So a user's check is not run here.
        """
        # Before the provider has confirmed the issuer, it may be the configured one that is wrong.
        issuer = current.issuer if current is not None and verify_iss else None
        expected = _cached_expected(
            rules.leeway, rules.required, issuer, audience, rules.numeric_sub
        )
        now = self._clock.time()
        claims = read_claims(parsed.payload, expected, now)
        if rules.profile is not None:
            hold(rules.profile, parsed, claims, now, rules.leeway)
        return claims

    async def refresh(self, *, force: bool = False) -> None:
        """Make sure that the keys are fresh, as a warm-up; `force` fetches them after this call.

        Raises `KeysUnavailableError` or `IssuerMismatchError`.
        """
        self._refuse_if_closed()
        await self._keys.refresh(force=checked_flag("force", force))

    def status(self) -> Status:
        """Return the state of the keys, without I/O."""
        return self._keys.status()

    async def close(self) -> None:
        """Close everything this verifier opened; a second call does nothing.

        Entered again, as in `async with`, it works again.
        """
        self._closed = True
        await self._keys.aclose()

    aclose = close

    async def __aenter__(self) -> Self:
        # Some servers and test clients run the lifespan of an application more than once.
        if self._closed:
            self._keys.reopen()
            self._closed = False
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        status = self._keys.status()
        state = "closed" if self._closed else f"keys={len(status.kids)}"
        return f"JWKS({status.source!r}, issuer={status.issuer!r}, {state})"

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("the verifier is closed")


class JWKS(Verification):
    """Verifies the JWTs of one provider with its published keys, fetched, cached and shared.

    Give it a `discovery_url` (OpenID Connect Discovery), or a `jwks_uri` (RFC 7517), which wins.
    Without a network: the key set itself as `jwks`, or the path of a `jwks_file`.
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
        fix_local_url: bool = True,  # noqa: FBT001, FBT002 - positional in 0.4.0
        *,
        jwks_uri: str | None = None,
        jwks: Mapping[str, Any] | None = None,
        jwks_file: str | PathLike[str] | None = None,
        issuer: str | None = None,
        store: KeyStore | None = None,
        max_stale: float = 86_400,
        token_cache_size: int = 1024,
        required_claims: Collection[str] = ("exp", "iat", "sub"),
        max_token_length: int = MAX_TOKEN,
        numeric_sub: bool = False,
        profile: Profile | None = None,
        http_client: HTTPClient | ClientMaker | None = None,
        observer: Observer | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Check the configuration. Nothing is fetched before it is needed.

        A key set is fresh for `cache_ttl` seconds, and is used for `max_stale` more while it can't
        be refreshed. `leeway` seconds are granted on `exp`, `nbf` and `iat`. A refresh has
        `timeout` seconds for each document, with up to `retries` further attempts within them.
        `issuer` must be the value of `iss` and of the discovery document's `issuer`; the token's
        `aud` must contain one of `aud`. The last `token_cache_size` tokens skip the signature check
        when they come again. A token has at most `max_token_length` characters, 1024 to 61440.
        With `numeric_sub`, `sub` may also be an integer, and is returned as one; RFC 7519 §4.1.2
        wants a string. A `profile` says what the tokens are for, and which claims they must have in
        place of `required_claims`. `close` does not close a `store` or an `http_client`, unless
        that is a function: it makes a client for each process and event loop, closed here.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        rules = checked_rules(
            allowed_algorithms, aud, leeway, required_claims, profile,
            max_token_length=max_token_length, numeric_sub=numeric_sub,
        )  # fmt: skip
        seen = TokenCache(token_cache_size)
        keys = assembled(
            discovery_url=discovery_url, jwks_uri=jwks_uri, jwks=jwks, jwks_file=jwks_file,
            issuer=issuer, fix_local_url=fix_local_url, timeout=timeout, retries=retries,
            http_client=http_client, store=store, cache_ttl=cache_ttl, max_stale=max_stale,
            allowed=rules.allowed, observer=observer, clock=clock,
        )  # fmt: skip
        super().__init__(keys, seen, rules, clock)


_cached_expected = lru_cache(maxsize=256)(Expected)
