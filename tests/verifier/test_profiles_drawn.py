"""Any tokens under any profiles, in any order: the cache of tokens changes no answer."""

from typing import Any

import httpx
import jwt
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from auth_jwks import JWKS
from auth_jwks.profiles import AccessToken, IDToken, LogoutToken, Profile
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.verifier.maker import KEY

EVENT: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}


def refuse_red(claims: dict[str, Any]) -> None:
    """Refuse one tenant, and spoil what this was given."""
    tenant = claims.pop("tenant", None)
    claims["aud"] = "spoilt"
    if tenant == "red":
        raise jwt.InvalidTokenError("red")


TENANTS = st.sampled_from([None, "red", "blue", 1, True])
PROFILES: st.SearchStrategy[Profile | None] = st.one_of(
    st.none(),
    st.builds(
        AccessToken,
        typ=st.sampled_from(["at+jwt", "JWT", ("JWT", None)]),
        claims=TENANTS.map(lambda tenant: None if tenant is None else {"tenant": tenant}),
        check=st.sampled_from([None, refuse_red]),
    ),
    st.builds(
        IDToken,
        client_id=st.sampled_from(["web", "app"]),
        nonce=st.sampled_from([None, None, "n"]),
        max_age=st.sampled_from([None, None, 60]),
    ),
    st.just(LogoutToken()),
)
ACCESS = {"typ": "at+jwt", "aud": "web", "client_id": "web", "jti": "1", "age": 0}
GOOD: list[dict[str, Any]] = [
    ACCESS,
    ACCESS | {"typ": "JWT"},
    {"typ": "JWT", "aud": ["web", "app"], "azp": "web", "age": 0},
    {"typ": None, "aud": "web", "nonce": "n", "age": 0},
    {"typ": "logout+jwt", "aud": "web", "jti": "1", "events": EVENT, "age": 0},
]
CHANGES: dict[str, list[Any]] = {
    "typ": ["JWT", "at+jwt", "logout+jwt", "dpop+jwt", None],
    "aud": ["web", "app", None],
    "nonce": [None, "n"],
    "azp": [None, "app"],
    "client_id": [None],
    "jti": [None],
    "sub": [None],
    "events": [None, EVENT],
    "age": [None, 100],
}
CHANGE = st.sampled_from(list(CHANGES)).flatmap(
    lambda name: st.sampled_from(CHANGES[name]).map(lambda value: {name: value})
)
TOKENS = st.builds(
    lambda good, tenant, change: {**good, "tenant": tenant, **change},
    st.sampled_from(GOOD),
    TENANTS,
    st.just({}) | CHANGE,
)
# Which token, under which profile, with which audience, and how many seconds later.
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(0, 3), st.sampled_from([None, None, None, "web"]),
        st.sampled_from([0, 0, 1, 40, 200]),
    ),
    min_size=4, max_size=16,
)  # fmt: skip


def signed(issuer: FakeIssuer, now: int, drawn: dict[str, Any]) -> str:
    """Return a token as it was drawn."""
    claims = dict(drawn)
    typ, age = claims.pop("typ"), claims.pop("age")
    return issuer.sign(claims, headers={"typ": typ}, auth_time=None if age is None else now - age)


async def verdict(
    jwks: JWKS, token: str, audience: str | None, profile: Profile | None
) -> dict[str, Any] | tuple[str, str]:
    """Return the claims, or the fault in words."""
    try:
        return await jwks.verify_token(token, audience, profile=profile)
    except (jwt.InvalidTokenError, TypeError) as fault:
        return type(fault).__name__, str(fault)


@settings(deadline=None)
@given(
    own=PROFILES,
    drawn=st.lists(TOKENS, min_size=4, max_size=4),
    profiles=st.lists(PROFILES, min_size=4, max_size=4),
    steps=STEPS,
)
async def test_the_cache_changes_no_answer(
    own: Profile | None,
    drawn: list[dict[str, Any]],
    profiles: list[Profile | None],
    steps: list[tuple[int, int, str | None, int]],
) -> None:
    """The same claims, or the same fault in the same words."""
    clock = FakeClock()
    issuer = FakeIssuer(keys=[KEY], clock=clock)
    tokens = [signed(issuer, int(clock.time()), each) for each in drawn]
    options: dict[str, Any] = {"issuer": issuer.issuer, "clock": clock, "profile": own}
    async with httpx.AsyncClient(transport=issuer.transport()) as client:
        verifiers = [
            JWKS(issuer.discovery_url, http_client=client, token_cache_size=size, **options)
            for size in (0, 2, 1024)
        ]
        for token, profile, audience, seconds in steps:
            plain, *cached = [
                await verdict(jwks, tokens[token], audience, profiles[profile])
                for jwks in verifiers
            ]
            assert cached == [plain, plain]
            event("accepted" if isinstance(plain, dict) else plain[0])
            clock.advance(seconds)
        for jwks in verifiers:
            await jwks.close()


@pytest.mark.parametrize("size", [0, 1024])
async def test_two_profiles_that_differ_in_a_type_only(size: int) -> None:
    """To Python `1` equals `True`, to a token it doesn't."""
    clock = FakeClock()
    issuer = FakeIssuer(keys=[KEY], clock=clock)
    token = issuer.sign(admin=1)
    async with httpx.AsyncClient(transport=issuer.transport()) as client:
        jwks = JWKS(
            issuer.discovery_url, issuer=issuer.issuer, clock=clock, http_client=client,
            token_cache_size=size,
        )  # fmt: skip
        one, true = (AccessToken(typ="JWT", claims={"admin": value}) for value in (1, True))
        for _ in range(2):
            assert await jwks.verify_token(token, profile=one)
            with pytest.raises(jwt.InvalidTokenError):
                await jwks.verify_token(token, profile=true)
        await jwks.close()
