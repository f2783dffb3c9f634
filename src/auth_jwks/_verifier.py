"""`JWKS`, the verifier for asyncio."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

from auth_jwks._cache.assembly import assembled
from auth_jwks._cache.token_cache import TokenCache
from auth_jwks._clock import SYSTEM_CLOCK, Clock
from auth_jwks._jose.tokens import MAX_TOKEN
from auth_jwks._provider.client import ClientMaker, HTTPClient
from auth_jwks._rules import checked_rules
from auth_jwks._token_checks import TokenChecks
from auth_jwks._verification import Verification
from auth_jwks.events import Observer
from auth_jwks.profiles._kinds import Profile
from auth_jwks.stores.base import KeyStore

__all__ = ["JWKS"]


class JWKS(Verification):
    """Verifies the JWTs of one provider with its published keys, fetched, cached and shared.

    Pass the `issuer`. If its keys can't be found from that, pass a `discovery_url` (OpenID Connect
    Discovery) or a `jwks_uri` (RFC 7517), which takes precedence. Without a network, pass the key
    set itself as `jwks`, or the path of a `jwks_file`.
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
        issuer: str | Sequence[str] | None = None,
        tenants: Collection[str] | Callable[[str], bool] | None = None,
        store: KeyStore | None = None,
        max_stale: float = 86_400,
        token_cache_size: int = 1024,
        required_claims: Collection[str] = ("exp", "iat", "sub"),
        max_token_length: int = MAX_TOKEN,
        numeric_sub: bool = False,
        profile: Profile | None = None,
        http_client: HTTPClient | ClientMaker | None = None,
        observer: Observer | Sequence[Observer] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Check the configuration. Nothing is fetched before it is needed.

        A key set is fresh for `cache_ttl` seconds, and is used for `max_stale` more while it can't
        be refreshed. `leeway` is the clock skew, in seconds, that is tolerated on `exp`, `nbf` and
        `iat`. A refresh has `timeout` seconds for each document, with up to `retries` further
        attempts within them. `issuer` must equal the claim `iss` and the discovery document's
        `issuer`; if it is a list of names of one issuer, each of the two may be any of them.
        Without another source of keys the first name that is a URL leads to discovery (OpenID
        Connect Discovery §4, RFC 8414 §3.1). A name with `{tenantid}` as a path segment is a
        template of Entra ID: then `tenants`, a collection of ids or a quick function from an id to
        a bool, says whose tokens are accepted. The token's `aud` must contain one of `aud`. The
        last `token_cache_size` verified tokens need no second signature check. A token has at most
        `max_token_length` characters, 1024 to 61440. With `numeric_sub`, `sub` may also be an
        integer, and is returned as one; RFC 7519 §4.1.2 requires a string. A `profile` says what
        the tokens are for, and which claims they must have in place of `required_claims`. `close`
        closes neither a `store` nor an `http_client`. If `http_client` is a function, it makes a
        client for each process and event loop, which `close` closes.

        Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
        """
        rules = checked_rules(
            allowed_algorithms, aud, leeway, required_claims, profile, issuer=issuer,
            tenants=tenants, max_token_length=max_token_length, numeric_sub=numeric_sub,
        )  # fmt: skip
        seen = TokenCache(token_cache_size)
        keys, tally = assembled(
            discovery_url=discovery_url, jwks_uri=jwks_uri, jwks=jwks, jwks_file=jwks_file,
            issuer=rules.issuer, fix_local_url=fix_local_url, timeout=timeout, retries=retries,
            http_client=http_client, store=store, cache_ttl=cache_ttl, max_stale=max_stale,
            allowed=rules.allowed, observer=observer, clock=clock,
        )  # fmt: skip
        super().__init__(TokenChecks(keys, seen, rules, tally, clock))
