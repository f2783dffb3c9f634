"""`Issuers` of all kinds of members: profiles, keys without a network, tenants."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS, Issuers
from auth_jwks.profiles import AccessToken, IDToken, LogoutToken
from tests.several_issuers.members import ISSUED, crossed, lasting, verifiers

LOGOUT: dict[str, object] = {"http://schemas.openid.net/event/backchannel-logout": {}}


@pytest.fixture
async def issuers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Issuers]:
    """Return a verifier of all their tokens."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with verifiers(JWKS, tmp_path) as members:
        async with Issuers(*members) as issuers:
            yield issuers


@pytest.mark.parametrize("warm", [False, True])
async def test_nothing_crosses(issuers: Issuers, *, warm: bool) -> None:
    """Each token is held to the keys, the profile and the audience of its own issuer."""
    good = {name: issued.sign() for name, issued in ISSUED.items()}
    if warm:
        for token in good.values():
            assert await issuers.verify_token(token)
    for _ in range(2):
        for what, token in crossed().items():
            with pytest.raises(jwt.InvalidTokenError):
                pytest.fail(f"{what}: {await issuers.verify_token(token)}")
        for name, token in good.items():
            assert (await issuers.verify_token(token))["iss"] == ISSUED[name].issuer


async def test_the_profile_of_a_call_is_that_of_no_other(issuers: Issuers) -> None:
    """Nor is what is remembered under it."""
    access, _, mesh, customer = (issued.sign() for issued in ISSUED.values())
    login = ISSUED["discovery"].key.sign(lasting({"iss": "https://staff.example", "aud": "web"}))
    profile = IDToken(client_id="web")
    for _ in range(3):
        assert (await issuers.verify_token(login, profile=profile))["aud"] == "web"
        for token, options in (
            (login, {}),
            (access, {"profile": profile}),
            (customer, {"profile": profile}),
            (mesh, {"profile": AccessToken(typ="JWT")}),  # it has no `iat`
            (login, {"profile": LogoutToken(), "audience": "web"}),
            (login, {"profile": IDToken(client_id="web", nonce="n")}),
        ):
            each: dict[str, Any] = options
            with pytest.raises(jwt.InvalidTokenError):
                await issuers.verify_token(token, **each)
        for token in (access, mesh, customer):
            assert await issuers.verify_token(token)
        assert await issuers.verify_token(customer, profile=AccessToken(typ="JWT"))


async def test_a_logout_of_any_issuer_that_has_one(issuers: Issuers) -> None:
    """By the profile of the call, and by the keys of the issuer that it states."""
    staff, machines, _, customers = ISSUED.values()
    for here, there in ((staff, customers), (customers, staff), (machines, staff)):
        claims = lasting({**here.claims, "aud": "web", "jti": "2", "events": LOGOUT})
        headers = {"typ": "logout+jwt"}
        token = here.key.sign(claims, headers)
        assert await issuers.verify_token(token, "web", profile=LogoutToken())
        with pytest.raises(jwt.InvalidTokenError):
            await issuers.verify_token(token, "web")
        with pytest.raises(jwt.InvalidSignatureError):
            await issuers.verify_token(
                there.key.sign(claims, headers), "web", profile=LogoutToken()
            )


async def test_a_check_sees_the_tokens_of_its_own_issuer() -> None:
    """And each of them once a call, seen before or not."""
    seen = {name: list[str]() for name in ("one", "other")}
    issued = {"one": ISSUED["jwks"], "other": ISSUED["tenants"]}

    def made(name: str) -> JWKS:
        def check(claims: dict[str, Any]) -> None:
            seen[name].append(claims["iss"])

        profile = AccessToken(typ="JWT", check=check)
        keys = {"keys": [issued[name].key.jwk()]}
        return JWKS(jwks=keys, issuer=issued[name].issuer, profile=profile)

    async with Issuers(made("one"), made("other")) as issuers:
        tokens = [each.sign() for each in issued.values()]
        for token in tokens * 2:
            assert await issuers.verify_token(token)
        for what, token in crossed().items():
            if "signed by" in what:
                with pytest.raises(jwt.InvalidTokenError):
                    await issuers.verify_token(token)
    assert seen == {name: [each.issuer] * 2 for name, each in issued.items()}
