"""What each call returns, and which tokens it refuses."""

import asyncio
from typing import Any

import jwt
import pytest

from auth_jwks.cloudflare import (
    CloudFlareTokenValidation,
    Identity,
    IdentityUnavailableError,
    ServiceToken,
    User,
)
from auth_jwks.errors import Reason
from auth_jwks.events import Event, TokenRefused
from auth_jwks.testing import FakeIssuer
from tests.web.cloudflare.access_edge import (
    AUDIENCE,
    CERTS,
    HOST,
    IDENTITY,
    MACHINE,
    PERSON,
    Edge,
    answer,
)
from tests.web.cloudflare.calls import ALICE, BAD, ISSUER, access, calls, names_of


async def test_the_calls_of_0_4_0(edge: Edge, team: FakeIssuer) -> None:
    """The documented calls do what they did, with the same arguments and results."""
    token = team.sign(PERSON)
    cfa = CloudFlareTokenValidation(aud=AUDIENCE, team="team")
    user = await cfa.verify_user(token)
    email = await cfa.verify_email(token)
    identity = await cfa.get_identity(token)
    claims = await cfa.verify_token(token)
    await cfa.close()
    assert user == User(
        sub="7335d417-61da", email="alice@example.com", country="US", exists_identity=True
    )
    assert (user.sub, user.email, user.country, user.exists_identity) == (
        "7335d417-61da", "alice@example.com", "US", True,
    )  # fmt: skip
    assert email == "alice@example.com"
    assert identity == Identity(email="alice@example.com", user_uuid="7335d417-61da")
    assert claims["iss"] == ISSUER
    assert (cfa.issuer, cfa.cert_url, cfa.identity_url) == (
        ISSUER, ISSUER + CERTS, ISSUER + IDENTITY,
    )  # fmt: skip
    assert edge.paths == [CERTS, IDENTITY]
    assert names_of(edge) == {f"{HOST}:443"}


async def test_several_audiences(edge: Edge, team: FakeIssuer) -> None:
    """One verifier may serve several applications, named by any collection."""
    assert edge.port
    async with access(aud=iter(["other", AUDIENCE])) as cfa:
        assert await cfa.verify_user(team.sign(PERSON)) == ALICE
        assert await cfa.verify_user(team.sign(PERSON, aud="other")) == ALICE
        with pytest.raises(jwt.InvalidAudienceError):
            await cfa.verify_user(team.sign(PERSON, aud="third"))


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_token_goes_nowhere(
    name: str, cfa: CloudFlareTokenValidation, edge: Edge, team: FakeIssuer
) -> None:
    """Each call refuses it as `JWKS` does, and nothing of it reaches Cloudflare."""
    token = BAD[name](team)
    for call in calls(cfa):
        with pytest.raises(jwt.InvalidTokenError) as caught:
            await call(token)
        assert type(caught.value).__name__ == name
    async with asyncio.timeout(60):
        while cfa.status().refreshing:  # noqa: ASYNC110 - a state, and no event
            await asyncio.sleep(0)
    assert IDENTITY not in edge.paths


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "a.b.c\r\nX-Evil: 1", "a.b.c; x=1"])
async def test_a_header_is_not_split(
    token: str, cfa: CloudFlareTokenValidation, edge: Edge
) -> None:
    """What is no token gets into no header."""
    with pytest.raises(jwt.DecodeError):
        await cfa.get_identity(token)
    assert edge.paths == []


NO_EMAIL = {key: value for key, value in PERSON.items() if key != "email"}


@pytest.mark.parametrize(
    ("claims", "missing"),
    [
        (MACHINE, "email"),
        (NO_EMAIL, "email"),
        ({**NO_EMAIL, "common_name": "cn"}, "email"),
        ({**PERSON, "email": ""}, "email"),
        ({**PERSON, "email": ["alice@example.com"]}, "email"),
        ({**PERSON, "email": 1}, "email"),
        ({**PERSON, "sub": ""}, "sub"),
        ({**MACHINE, "email": "alice@example.com"}, "sub"),
    ],
)
async def test_who_is_no_user(
    claims: dict[str, Any], missing: str, cfa: CloudFlareTokenValidation, team: FakeIssuer
) -> None:
    """A user has an email address and an id; nothing else passes for one."""
    token = team.sign(claims)
    assert (await cfa.verify_token(token))["sub"] == claims["sub"]
    for call in (cfa.verify_user, cfa.verify_email):
        with pytest.raises(jwt.MissingRequiredClaimError) as caught:
            await call(token)
        assert caught.value.claim == missing


async def test_a_service_token(cfa: CloudFlareTokenValidation, team: FakeIssuer) -> None:
    """A machine is known by its client id; with `Bearer ` in front too."""
    token = team.sign(MACHINE)
    machine = await cfa.verify_service_token(f"Bearer {token}")
    assert machine == ServiceToken(common_name="e367826f93b8.access")
    assert machine.common_name == (await cfa.verify_token(token))["common_name"]


@pytest.mark.parametrize(
    "claims",
    [
        PERSON,
        {**PERSON, "common_name": "e367826f93b8.access"},
        {**PERSON, "sub": "", "common_name": "e367826f93b8.access"},
        {**NO_EMAIL, "common_name": "e367826f93b8.access"},
        {name: value for name, value in MACHINE.items() if name != "common_name"},
        {**MACHINE, "common_name": ""},
        {**MACHINE, "common_name": ["e367826f93b8.access"]},
        {**MACHINE, "sub": "7335d417-61da"},
    ],
)
async def test_who_is_no_machine(
    claims: dict[str, Any], cfa: CloudFlareTokenValidation, team: FakeIssuer
) -> None:
    """A person is none, not even one with a client certificate."""
    with pytest.raises(jwt.MissingRequiredClaimError) as caught:
        await cfa.verify_service_token(team.sign(claims))
    assert caught.value.claim == "common_name"


@pytest.mark.parametrize(
    ("changes", "country", "exists"),
    [
        ({}, "US", True),
        ({"country": None, "identity_nonce": None}, None, False),
        ({"country": 5, "identity_nonce": ""}, None, False),
        ({"country": "", "identity_nonce": 1}, "", True),
    ],
)
async def test_what_a_token_says_of_a_user(
    changes: dict[str, Any],
    country: str | None,
    exists: bool,  # noqa: FBT001 - a column of the table
    cfa: CloudFlareTokenValidation,
    team: FakeIssuer,
) -> None:
    """The country, if it is a string, and whether there is a profile."""
    user = await cfa.verify_user(team.sign(PERSON, **changes))
    assert (user.country, user.exists_identity) == (country, exists)


def test_values_are_immutable_and_discreet() -> None:
    """They compare and can't be changed; a repr has an id, but no address of any kind."""
    identity = Identity(email="alice@example.com", user_uuid="7335d417", ip="192.0.2.1")
    assert repr(ALICE) == "User(sub='7335d417-61da')"
    assert repr(identity) == "Identity(user_uuid='7335d417')"
    assert repr(ServiceToken("a.access")) == "ServiceToken(common_name='a.access')"
    assert User("a", "b") == User("a", "b", None, exists_identity=False) != User("a", "c")
    assert hash(User("a", "b")) == hash(User("a", "b"))
    for value, field in ((ALICE, "sub"), (identity, "ip"), (ServiceToken("a"), "common_name")):
        with pytest.raises(AttributeError):
            setattr(value, field, "mallory")
        assert not hasattr(value, "__dict__")


@pytest.mark.parametrize(
    ("claims", "name", "detail"),
    [
        (MACHINE, "verify_user", 'Token is missing the "email" claim'),
        (PERSON, "verify_service_token", 'Token is missing the "common_name" claim'),
        (
            {**MACHINE, "common_name": ""},
            "verify_service_token",
            'Token is missing the "common_name" claim',
        ),
        (PERSON, "get_identity", "Cloudflare has ended the session of this token"),
    ],
)
async def test_what_is_refused_after_the_verification_is_told(
    claims: dict[str, Any], name: str, detail: str, edge: Edge, team: FakeIssuer
) -> None:
    """The log, the observers and the counts have it, as they have what `JWKS` refuses."""
    edge.answers[IDENTITY] = answer(b"{}", 401)
    events: list[Event] = []
    async with access(observer=events.append) as cfa:
        with pytest.raises(jwt.InvalidTokenError):
            await getattr(cfa, name)(team.sign(claims))
        assert cfa.status().verifications == {"ok": 1, "seen": 0, "claim": 1}
    assert events[1:] == [TokenRefused(ISSUER + CERTS, Reason.CLAIM, detail)]


async def test_a_profile_that_is_unavailable_is_no_refusal(edge: Edge, team: FakeIssuer) -> None:
    """The token is good, and nobody refused it."""
    edge.answers[IDENTITY] = answer(b"{}", 503)
    async with access() as cfa:
        with pytest.raises(IdentityUnavailableError):
            await cfa.get_identity(team.sign(PERSON))
        assert cfa.status().verifications == {"ok": 1, "seen": 0}
