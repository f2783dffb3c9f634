"""The explanation of a token never contradicts the verdict, whatever the token is."""

import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks.cli._faults import words_of
from auth_jwks.cli._verifier import ExplainingJWKS, StillClock
from auth_jwks.profiles import AccessToken, IDToken, LogoutToken, Profile
from auth_jwks.testing import SigningKey

NOW = time.time()
GOOD, OTHER = SigningKey.generate("ES256", "good"), SigningKey.generate("ES256", "other")
ISSUER = "https://login.example"
TEMPLATE = "https://login.example/{tenantid}/v2.0"
ABSENT = "absent"

ODD = st.sampled_from([None, True, 0, -1, 1.5, 10**25, "", "x", [], ["api"], [1], {}, {"a": 1}])
TIMES = st.sampled_from([NOW + each for each in (-400, -31, -29, 0, 29, 31, 400)]) | ODD
CLAIMS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "exp": st.just(NOW + 300) | TIMES | st.just(ABSENT),
        "iat": st.just(NOW - 1) | TIMES | st.just(ABSENT),
        "sub": st.just("alice") | ODD | st.just(ABSENT),
        "iss": st.sampled_from([ISSUER, f"{ISSUER}/", f"{ISSUER}/a1/v2.0", ABSENT]) | ODD,
        "aud": st.sampled_from(["api", "other", ["x", "api"], ABSENT]) | ODD,
    },
    optional={
        "nbf": TIMES,
        "jti": st.just("1") | ODD,
        "tid": st.sampled_from(["a1", "b2"]) | ODD,
        "client_id": st.just("c") | ODD,
        "nonce": ODD,
        "azp": st.just("api") | ODD,
        "events": st.just({"http://schemas.openid.net/event/backchannel-logout": {}}) | ODD,
    },
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from([None, "none", "HS256", "ES256", "ES384", 5]),
        "kid": st.sampled_from([None, "good", "other", "unknown", 5, "x" * 300]),
        "typ": st.sampled_from([None, "JWT", "at+jwt", "application/at+jwt", "logout+jwt", "x", 5]),
        "crit": st.sampled_from([["b64"], ["x"]]),
        "b64": st.booleans(),
    },
)
SIGNED = st.builds(
    lambda key, claims, headers: key.sign(
        {name: value for name, value in claims.items() if value != ABSENT}, headers
    ),
    st.sampled_from([GOOD, GOOD, OTHER]), CLAIMS, HEADERS,
)  # fmt: skip
PAYLOADS = st.sampled_from([b"", b"[]", b"junk", b'{"exp":NaN}', b"\xff", b'{"exp":1e999}'])
TOKENS = (
    SIGNED
    | st.builds(GOOD.sign, PAYLOADS)
    | st.builds(lambda token, at: token[:at], SIGNED, st.integers(0, 200))
    | st.builds(lambda token: f"Bearer {token}", SIGNED)
    | st.text(max_size=20)
    | st.just("x" * 20_000)
)
PROFILES: list[Profile | None] = [None, AccessToken(), IDToken(client_id="api"), LogoutToken()]


def verifier(profile: Profile | None, *, tenants: bool) -> ExplainingJWKS:
    """Return a verifier that asks nobody for its keys."""
    return ExplainingJWKS(
        jwks={"keys": [GOOD.jwk()]},
        issuer=[ISSUER, TEMPLATE] if tenants else ISSUER,
        tenants=["a1"] if tenants else None,
        aud=None if isinstance(profile, IDToken) else "api",
        profile=profile,
        clock=StillClock(NOW),
    )


@pytest.mark.parametrize(
    ("profile", "tenants"), [*((profile, False) for profile in PROFILES), (None, True)]
)
@given(token=TOKENS)
async def test_explanation_is_the_verdict(
    token: str,
    profile: Profile | None,
    tenants: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A check fails if and only if the token is refused, and one of them with its very words."""
    async with verifier(profile, tenants=tenants) as jwks:
        verdict, checks = await jwks.explain(token)
    failing = {check.message for check in checks if check.verdict == "fail"}
    if isinstance(verdict, jwt.InvalidTokenError):
        assert words_of(verdict) in failing
        assert "verdict" not in {check.name for check in checks}
    else:
        assert failing == set()


@pytest.mark.parametrize("claims", [{}, {"jti": "1"}])
async def test_good_token_passes_every_check(claims: dict[str, Any]) -> None:
    """None of them fails, and those of what is there are made."""
    token = GOOD.sign(
        {"iss": ISSUER, "sub": "a", "aud": "api", "iat": NOW, "exp": NOW + 9} | claims
    )
    async with verifier(None, tenants=False) as jwks:
        verdict, checks = await jwks.explain(token)
    assert isinstance(verdict, dict)
    assert {check.verdict for check in checks if check.name != "nbf"} == {"ok"}


async def test_refusal_that_no_check_explains_is_told() -> None:
    """A check of the user's own, say: the verdict is final, and becomes a check itself."""

    def refuse(_: dict[str, Any]) -> None:
        raise jwt.InvalidTokenError("not today")

    profile = AccessToken(typ="JWT", check=refuse)
    token = GOOD.sign({"iss": ISSUER, "sub": "a", "aud": "api", "iat": NOW, "exp": NOW + 9})
    async with verifier(profile, tenants=False) as jwks:
        _, checks = await jwks.explain(token)
    assert [(c.name, c.message) for c in checks if c.verdict == "fail"] == [
        ("verdict", "not today")
    ]
