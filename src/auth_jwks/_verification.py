"""The verification of a token, which all verifiers share."""

import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import replace
from typing import Any, Self

import jwt

from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.key_access import KeyAccess
from auth_jwks._cache.status import Status
from auth_jwks._cache.tally import Tally
from auth_jwks._cache.token_cache import SeenToken, TokenCache, cache_key
from auth_jwks._clock import Clock
from auth_jwks._jose.claims import read_claims
from auth_jwks._jose.keys import Key
from auth_jwks._jose.tokens import Token, compact, parse_token, signer, wrongly_signed
from auth_jwks._rules import (
    Call,
    Rules,
    RulesOfCalls,
    ask,
    audience_of_call,
    cached_expected,
    exactly,
)
from auth_jwks._settings import checked_flag
from auth_jwks.errors import IssuerMismatchError, KeysUnavailableError
from auth_jwks.profiles._judgement import hold, passed
from auth_jwks.profiles._kinds import Profile

__all__ = ["Verification"]

logger = logging.getLogger("auth_jwks")


class Verification:
    """Verifies tokens with the keys from `keys`, and remembers the tokens in `seen`.

    If `keys` never awaits, as in threads, neither do these coroutines.
    """

    def __init__(
        self, keys: KeyAccess, seen: TokenCache, rules: Rules, tally: Tally, clock: Clock
    ) -> None:
        self._keys = keys
        self._tally = tally
        self._seen = seen
        self._rules = rules
        self._under = RulesOfCalls(rules).under
        self._clock = clock
        self._closed = False
        if rules.audience is None:
            text = (
                "aud: not given, so tokens for any audience are accepted from %s; pass aud=, or for"
                " tokens that have none a profile that holds them to a client"
            )
            logger.warning(text, keys.status().source)

    @property
    def issuers(self) -> tuple[str, ...]:
        """The configured names of the issuer, templates included; empty if there are none."""
        return self._rules.issuer.names

    @property
    def max_token_length(self) -> int:
        """How many characters a token may have."""
        return self._rules.longest

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
        `verify_iss=False` leaves `iss` unchecked, but not `tid` if there are `tenants`.

        Raises `jwt.InvalidTokenError`: PyJWT's classes if the token is at fault, `UnknownKeyError`
        if no published key fits it, `KeysUnavailableError` or `IssuerMismatchError` if there are no
        keys to verify it with. Any other exception of a profile's `check` propagates.
        """
        found = self._recalled(token, audience, profile, verify_iss=verify_iss)
        if isinstance(found, dict):
            return found
        return await self._verified(token, found, verify_iss=verify_iss)

    def _recalled(
        self, token: object, audience: object, profile: Profile | None, *, verify_iss: bool
    ) -> dict[str, Any] | Call:
        """Return the claims of a token that was seen before, else what `_verified` is to do.

        It never waits, so that threads need no coroutine for it. Raises as `verify_token` does.
        """
        if self._closed or verify_iss is not True:
            self._refuse_if_closed()
            checked_flag("verify_iss", verify_iss)
        rules = self._rules if profile is None else self._under(profile)
        wanted = rules.audience if audience is None else audience_of_call(audience, rules)
        seen_as = cache_key(token, wanted, verify_iss, rules, longest=rules.longest)
        seen = self._seen.get(seen_as)
        if seen is not None and (current := self._keys.ready(now := self._clock.time())):
            claims = seen.claims(current, now, rules.leeway)
            if claims is not None:
                if rules.tenants is not None or rules.check is not None:
                    self._asked(rules, claims)
                tally = self._tally
                tally.seen += 1
                if tally.count is not None:
                    tally.count("seen")
                return claims
        return rules, wanted, seen_as

    async def _verified(self, token: str, call: Call, *, verify_iss: bool) -> dict[str, Any]:
        """Return the claims of a token that `_recalled` did not know, if it is valid."""
        rules, wanted, seen_as = call
        try:
            credentials = compact(token, rules.longest)
            if credentials is token:
                parsed = parse_token(token, rules.allowed, rules.types)
                current = self._keys.ready(self._clock.time())
                if current is None:
                    current = await self._waited(parsed, wanted, rules, verify_iss=verify_iss)
                key = signer(parsed, current.key_set.select(parsed.kid, parsed.alg))
                if key is None:
                    found = self._found(parsed, current, wanted, rules, verify_iss=verify_iss)
                    current, key = await found
                claims = self._judge(parsed, current, wanted, rules, key, verify_iss=verify_iss)
                self._conclude(rules, claims, seen_as, parsed, current, key)
                self._tally.verified()
                return claims
        except jwt.InvalidTokenError as error:
            raise self._refused(error) from error.__cause__
        # Remembered without its scheme: else there would be an entry for each spelling.
        again = None if wanted is rules.audience else wanted
        profile = None if rules is self._rules else rules.profile
        verify = Verification.verify_token
        return await verify(self, credentials, again, verify_iss=verify_iss, profile=profile)

    def _asked(self, rules: Rules, claims: dict[str, Any]) -> None:
        """Ask the user's functions again about a token that was seen before."""
        try:
            ask(rules, claims)
        except jwt.InvalidTokenError as error:
            raise self._refused(error) from error.__cause__

    def _refused(self, error: jwt.InvalidTokenError) -> jwt.InvalidTokenError:
        """Count, and tell of, a refusal.

        The frames that raised it hold parts of the token, which error trackers would send away.
        """
        self._tally.refused(error)
        return error.with_traceback(None)

    def _conclude(
        self, rules: Rules, claims: dict[str, Any], seen_as: Hashable, token: Token,
        current: CurrentKeys, key: Key,
    ) -> None:  # fmt: skip
        """Run the user's check on a verified token; remember the token, if its verdict lasts."""
        if rules.check is not None:
            passed(rules.check, claims)
        if rules.is_lasting:
            seen = SeenToken(
                token.kid,
                key.alg,
                key.thumbprint,
                current.issuer,
                current.generation,
                token.payload,
            )
            self._seen.put(seen_as, seen)

    async def _waited(
        self, parsed: Token, audience: frozenset[str] | None, rules: Rules, *, verify_iss: bool
    ) -> CurrentKeys:
        """Wait for keys. A token whose own claims make it invalid does not wait."""
        self._judge(parsed, None, audience, rules, verify_iss=verify_iss)
        return await self._keys.ensure()

    def _found(
        self,
        parsed: Token,
        tried: CurrentKeys,
        audience: frozenset[str] | None,
        rules: Rules,
        *,
        verify_iss: bool,
    ) -> Awaitable[tuple[CurrentKeys, Key]]:
        """Search for the key that signed a token, as none of the keys `tried` did.

        A token whose own claims make it invalid begins no search.
        """

        def check() -> None:
            try:
                self._judge(parsed, tried, audience, rules, verify_iss=verify_iss)
            except jwt.InvalidTokenError:
                if tried.key_set.select(parsed.kid, parsed.alg):
                    raise wrongly_signed(parsed, tried.key_set) from None
                raise

        if not tried.key_set.has(parsed.kid, parsed.alg):
            return self._keys.find(parsed, tried, check)
        # Another key may have got that name. No forged token waits for an answer to this, but where
        # no work outlives a call.
        if self._keys.search(parsed, tried, check):
            raise wrongly_signed(parsed, tried.key_set)
        return self._renamed(parsed, tried, check)

    async def _renamed(
        self, parsed: Token, tried: CurrentKeys, check: Callable[[], object]
    ) -> tuple[CurrentKeys, Key]:
        try:
            return await self._keys.find(parsed, tried, check)
        except (KeysUnavailableError, IssuerMismatchError):
            raise wrongly_signed(parsed, tried.key_set) from None

    def _judge(
        self,
        parsed: Token,
        current: CurrentKeys | None,
        audience: frozenset[str] | None,
        rules: Rules,
        key: Key | None = None,
        *,
        verify_iss: bool,
    ) -> dict[str, Any]:
        """Return the claims if they are acceptable. They are true if `key` has signed them.

        Nobody but the functions of `tenants` is asked here, and these for true claims alone.
        """
        # Before the provider has confirmed the issuer, it may be the configured one that is wrong.
        issuer = None
        if current is not None and verify_iss:
            issuer = rules.issuer if rules.issuer.names else exactly(current.issuer)
        expected = cached_expected(
            rules.leeway, rules.required, issuer, audience, rules.numeric_sub
        )
        now = self._clock.time()
        claims = read_claims(parsed.payload, expected, now)
        if rules.profile is not None:
            hold(rules.profile, parsed, claims, now, rules.leeway)
        if current is not None and rules.tenants is not None:
            rules.tenants.check(claims)
            if key is not None:
                rules.tenants.confirm(claims, key.issuer)
        return claims

    async def refresh(self, *, force: bool = False) -> None:
        """Make sure that the keys are fresh, as a warm-up; `force` fetches them after this call.

        Raises `KeysUnavailableError` or `IssuerMismatchError`.
        """
        self._refuse_if_closed()
        await self._keys.refresh(force=checked_flag("force", force))

    def status(self) -> Status:
        """Return the state of the keys, and the results of verifications, without I/O."""
        status = replace(self._keys.status(), verifications=self._tally.counts())
        return replace(status, ready=False) if self._closed else status

    async def close(self) -> None:
        """Close everything that this verifier opened; a second call does nothing.

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

    def _refused_later(self, error: jwt.InvalidTokenError) -> None:
        """Count and report the reason for which a web integration rejects a verified token."""
        self._tally.refused(error)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("the verifier is closed")
