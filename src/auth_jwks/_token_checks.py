"""The whole verification of one token. It needs no event loop, unless it has to wait for keys."""

from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import TYPE_CHECKING, Any

import jwt

from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.tally import Tally
from auth_jwks._cache.token_cache import SeenToken, TokenCache, cache_key
from auth_jwks._clock import Clock
from auth_jwks._jose.claims import Expected, read_claims
from auth_jwks._jose.keys import Key
from auth_jwks._jose.tokens import Token, compact, parse_token, signer, wrongly_signed
from auth_jwks._rules import Call, Rules, RulesOfCalls, ask, audience_of_call, cached_call
from auth_jwks._settings import checked_flag
from auth_jwks.errors import IssuerMismatchError, KeysUnavailableError
from auth_jwks.profiles._judgement import hold, passed
from auth_jwks.profiles._kinds import Profile

if TYPE_CHECKING:
    from auth_jwks._cache.key_access import KeyAccess

__all__ = ["TokenChecks"]

Claims = dict[str, Any]


class TokenChecks:
    """Verifies tokens with the keys from `keys`, and remembers the tokens in `seen`."""

    def __init__(
        self, keys: "KeyAccess", seen: TokenCache, rules: Rules, tally: Tally, clock: Clock
    ) -> None:
        self.keys = keys
        self.rules = rules
        self.tally = tally
        self.clock = clock
        self.closed = False
        self._seen = seen
        self._usual = Call(rules, rules.audience, verify_iss=True, is_usual=True)
        self._under = RulesOfCalls(rules).under

    def __repr__(self) -> str:
        return f"TokenChecks({self._seen!r})"

    def begin(
        self,
        token: object,
        audience: object,
        profile: Profile | None,
        *,
        verify_iss: bool,
        digest: Hashable = None,
    ) -> Claims | Coroutine[Any, Any, Claims]:
        """Return the claims of a valid token, or, if it has to wait for keys, what does that.

        `digest` is the `cache_key` of the token alone, if that is known. Raises as
        `Verification.verify_token` does.
        """
        if self.closed:
            raise RuntimeError("the verifier is closed")
        call = self._usual
        if audience is not None or profile is not None or verify_iss is not True:
            call = self._call(audience, profile, verify_iss=verify_iss)
        rules, tally = call.rules, self.tally
        seen_as = digest
        if digest is None or call.options:
            seen_as = cache_key(token, call.options, rules.longest)
        seen, now = self._seen.get(seen_as), self.clock.time()
        try:
            if seen is not None and (current := self.keys.ready(now)) is not None:
                claims = seen.claims(current, now, rules.leeway)
                if claims is not None:
                    if call.asks_again:
                        ask(rules, claims)
                    tally.seen += 1
                    if tally.count is not None:
                        tally.count("seen")
                    return claims
            credentials = compact(token, rules.longest)
            if credentials is token:
                parsed = parse_token(credentials, rules.allowed, rules.types)
                return self._verified(parsed, call, seen_as, now)
        except jwt.InvalidTokenError as error:
            # The frames within hold parts of the token, which error trackers would send away.
            tally.refused(error)
            raise error.with_traceback(None) from error.__cause__
        # Remembered without its scheme: else there would be an entry for each spelling.
        again = None if call.audience is rules.audience else call.audience
        profile = None if rules is self.rules else rules.profile
        return self.begin(credentials, again, profile, verify_iss=call.verify_iss)

    def _call(self, audience: object, profile: Profile | None, *, verify_iss: bool) -> Call:
        checked_flag("verify_iss", verify_iss)
        rules = self.rules if profile is None else self._under(profile)
        wanted = rules.audience if audience is None else audience_of_call(audience, rules)
        if verify_iss and rules is self.rules and wanted == rules.audience:
            return self._usual
        # Rules that come once hold what is secret.
        make = cached_call if rules.is_lasting else Call
        return make(rules, wanted, verify_iss=verify_iss)

    def _verified(
        self, parsed: Token, call: Call, seen_as: Hashable, now: float
    ) -> Claims | Coroutine[Any, Any, Claims]:
        """Return the claims of a token that is not remembered, or what waits for its keys."""
        current = self.keys.ready(now)
        if current is None:
            return self._later(parsed, call, seen_as, self._waited(parsed, call))
        key = signer(parsed, current.key_set.select(parsed.kid, parsed.alg))
        if key is None:
            return self._later(parsed, call, seen_as, self._found(parsed, current, call))
        return self._accepted(parsed, call, seen_as, current, key, now)

    async def _later(
        self,
        parsed: Token,
        call: Call,
        seen_as: Hashable,
        signing: Awaitable[tuple[CurrentKeys, Key]],
    ) -> Claims:
        """Return the claims of a token once the keys are there."""
        try:
            current, key = await signing
            return self._accepted(parsed, call, seen_as, current, key, self.clock.time())
        except jwt.InvalidTokenError as error:
            self.tally.refused(error)
            raise error.with_traceback(None) from error.__cause__

    def _accepted(
        self,
        parsed: Token,
        call: Call,
        seen_as: Hashable,
        current: CurrentKeys,
        key: Key,
        now: float,
    ) -> Claims:
        """Check the claims of a token that the key has signed, and remember it if that lasts."""
        rules = call.rules
        expected = call.expected or call.expected_of(current.issuer)
        claims = read_claims(parsed.payload, expected, now)
        if rules.profile is not None:
            hold(rules.profile, parsed, claims, now, rules.leeway)
        if rules.tenants is not None:
            rules.tenants.check(claims)
            rules.tenants.confirm(claims, key.issuer)
        if rules.check is not None:
            passed(rules.check, claims)
        if rules.is_lasting:
            seen = SeenToken(
                parsed.kid, key.alg, key.thumbprint, current.issuer, current.generation,
                parsed.payload,
            )  # fmt: skip
            self._seen.put(seen_as, seen)
        tally = self.tally
        tally.ok += 1
        if tally.count is not None:
            tally.count("ok")
        return claims

    def _judge(self, parsed: Token, expected: Expected, rules: Rules, now: float) -> Claims:
        """Return the claims if they are acceptable, whether or not they are true."""
        claims = read_claims(parsed.payload, expected, now)
        if rules.profile is not None:
            hold(rules.profile, parsed, claims, now, rules.leeway)
        return claims

    async def _waited(self, parsed: Token, call: Call) -> tuple[CurrentKeys, Key]:
        """Wait for keys, and find the one that signed the token.

        A token whose own claims make it invalid does not wait.
        """
        self._judge(parsed, call.expected_of(None), call.rules, self.clock.time())
        current = await self.keys.ensure()
        key = signer(parsed, current.key_set.select(parsed.kid, parsed.alg))
        if key is not None:
            return current, key
        return await self._found(parsed, current, call)

    def _found(
        self, parsed: Token, tried: CurrentKeys, call: Call
    ) -> Awaitable[tuple[CurrentKeys, Key]]:
        """Search for the key that signed a token, as none of the keys `tried` did.

        A token whose own claims make it invalid begins no search.
        """

        def check() -> None:
            try:
                expected = call.expected or call.expected_of(tried.issuer)
                claims = self._judge(parsed, expected, call.rules, self.clock.time())
                # Nobody but these is asked about claims that may not be true.
                if call.rules.tenants is not None:
                    call.rules.tenants.check(claims)
            except jwt.InvalidTokenError:
                if tried.key_set.select(parsed.kid, parsed.alg):
                    raise wrongly_signed(parsed, tried.key_set) from None
                raise

        if not tried.key_set.has(parsed.kid, parsed.alg):
            self.keys.raise_if_hopeless(parsed, tried, self.clock.monotonic(), check)
            return self.keys.find(parsed, tried, check)
        # Another key may have got that name. No forged token waits for an answer to this, but where
        # no work outlives a call.
        if self.keys.search(parsed, tried, check):
            raise wrongly_signed(parsed, tried.key_set)
        return self._renamed(parsed, tried, check)

    async def _renamed(
        self, parsed: Token, tried: CurrentKeys, check: Callable[[], object]
    ) -> tuple[CurrentKeys, Key]:
        try:
            return await self.keys.find(parsed, tried, check)
        except (KeysUnavailableError, IssuerMismatchError):
            raise wrongly_signed(parsed, tried.key_set) from None
