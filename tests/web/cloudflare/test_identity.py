"""`CloudFlareTokenValidation`: its calls, over TLS with the team's host and nobody else."""

import asyncio
import gzip
import inspect
import json
import logging
import re
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import httpx2
import jwt
import pytest
import trustme

from auth_jwks import JWKS, KeysUnavailableError, MemoryKeyStore
from auth_jwks.cloudflare import (
    CfaAuthMiddleware,
    CloudFlareTokenValidation,
    Identity,
    IdentityUnavailableError,
    ServiceToken,
    User,
)
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.web.cloudflare.access_edge import (
    AUDIENCE,
    CERTS,
    HOST,
    IDENTITY,
    MACHINE,
    PERSON,
    TEAM,
    Edge,
    answer,
    edge_of,
)

ISSUER = f"https://{HOST}"
ALICE = User("7335d417-61da", "alice@example.com", "US", exists_identity=True)
MAX_BODY = 512 * 1024


@pytest.fixture(scope="session")
def key() -> SigningKey:
    """Return a key that is quick to make."""
    return SigningKey.generate("ES256")


@pytest.fixture
def team(key: SigningKey) -> FakeIssuer:
    """Return who signs the team's tokens."""
    return FakeIssuer(issuer=ISSUER, keys=[key])


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """Return the only authority that is trusted."""
    return trustme.CA()


@pytest.fixture(autouse=True)
def _trust(ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "ca.pem")
    ca.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", path)


@pytest.fixture
async def edge(
    team: FakeIssuer, ca: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Edge]:
    """Return the team's host, where the environment's proxy leads."""
    async with edge_of(team, ca) as edge:
        monkeypatch.setenv("https_proxy", edge.proxy)
        yield edge


def access(**options: Any) -> CloudFlareTokenValidation:
    """Return a verifier for the team's application, which tries nothing twice."""
    return CloudFlareTokenValidation(**{"aud": AUDIENCE, "team": TEAM, "retries": 0, **options})


@pytest.fixture
async def cfa(edge: Edge) -> AsyncIterator[CloudFlareTokenValidation]:
    """Return such a verifier, which reaches the host."""
    assert edge.port
    async with access() as cfa:
        yield cfa


def names_of(edge: Edge) -> set[str]:
    """Return whom the proxy was asked for."""
    return set(edge.tunnels)


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


def test_the_signature() -> None:
    """It is keyword-only, with the defaults of 0.4.0, and those of `JWKS` for what is new."""
    parameters = inspect.signature(CloudFlareTokenValidation).parameters
    assert {each.kind for each in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    defaults = {name: each.default for name, each in parameters.items()}
    assert {name: defaults.pop(name) for name in ("aud", "team")} == dict.fromkeys(
        ("aud", "team"), inspect.Parameter.empty
    )
    theirs = inspect.signature(JWKS).parameters
    assert defaults == {name: theirs[name].default for name in defaults}
    assert list(defaults)[:5] == [
        "allowed_algorithms", "cache_ttl", "leeway", "retries", "timeout",
    ]  # fmt: skip


@pytest.mark.parametrize("team", ["a", "7", "team", "My-Team-2", "a" * 63])
def test_a_team_is_a_label(team: str) -> None:
    """Every name that Cloudflare gives fits."""
    assert access(team=team).issuer == f"https://{team}.cloudflareaccess.com"


@pytest.mark.parametrize(
    "team",
    [
        "", " team", "team ", "team\n", "-team", "team-", "a.b", "x.evil.com/", "x#", "x?", "x@y",
        "x:1", "x\\", "team_1", "tëam", "\u212aeam", "a" * 64, "%2e", "x\0",
    ],
)  # fmt: skip
def test_a_team_that_could_lead_elsewhere_is_refused(team: str) -> None:
    """Nothing but one DNS label can be a part of the host."""
    with pytest.raises(ValueError, match=r"^team: expected a name of ASCII letters"):
        access(team=team)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"team": None}, TypeError, "team: expected a string, got NoneType"),
        ({"team": b"team"}, TypeError, "team: expected a string, got bytes"),
        ({"aud": None}, TypeError, "aud: expected the audience tag"),
        ({"aud": ""}, ValueError, "aud: expected non-empty strings"),
        ({"aud": " "}, ValueError, "aud: expected non-empty strings"),
        ({"aud": []}, ValueError, "aud: expected at least one audience tag"),
        ({"aud": ["a", ""]}, ValueError, "aud: expected non-empty strings"),
        ({"aud": b"a"}, TypeError, "aud: expected a collection of strings"),
        ({"aud": 5}, TypeError, "aud: expected a collection of strings"),
        ({"allowed_algorithms": {"HS256"}}, ValueError, "allowed_algorithms: "),
        ({"allowed_algorithms": []}, ValueError, "allowed_algorithms: "),
        ({"cache_ttl": -1}, ValueError, "cache_ttl: "),
        ({"leeway": "1"}, TypeError, "leeway: "),
        ({"retries": 1.5}, TypeError, "retries: "),
        ({"timeout": 0}, ValueError, "timeout: "),
        ({"store": object()}, TypeError, "store: "),
        ({"max_stale": -1}, ValueError, "max_stale: "),
        ({"token_cache_size": -1}, ValueError, "token_cache_size: "),
        ({"http_client": object()}, TypeError, "http_client: "),
        ({"observer": 1}, TypeError, "observer: "),
        ({"clock": object()}, TypeError, "clock: "),
    ],
)
def test_misuse(options: dict[str, Any], error: type[Exception], message: str) -> None:
    """What can't work is refused at construction, by name; each setting gets to where it counts."""
    with pytest.raises(error, match=f"^{message}"):
        access(**options)


def test_aud_and_team_are_required() -> None:
    """Without `aud`, a token for any application of the team would do."""
    with pytest.raises(TypeError, match="'aud'"):
        CloudFlareTokenValidation(team=TEAM)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'team'"):
        CloudFlareTokenValidation(aud=AUDIENCE)  # type: ignore[call-arg]


def test_urls_stay_what_they_are() -> None:
    """They can't be led elsewhere later."""
    cfa = access()
    for name in ("issuer", "cert_url", "identity_url"):
        with pytest.raises(AttributeError):
            setattr(cfa, name, "https://evil.example")


async def test_several_audiences(edge: Edge, team: FakeIssuer) -> None:
    """One verifier may serve several applications, named by any collection."""
    assert edge.port
    async with access(aud=iter(["other", AUDIENCE])) as cfa:
        assert await cfa.verify_user(team.sign(PERSON)) == ALICE
        assert await cfa.verify_user(team.sign(PERSON, aud="other")) == ALICE
        with pytest.raises(jwt.InvalidAudienceError):
            await cfa.verify_user(team.sign(PERSON, aud="third"))


BAD: dict[str, Callable[[FakeIssuer], str]] = {
    "DecodeError": lambda _: "junk",
    "InvalidAlgorithmError": lambda team: team.sign(PERSON, headers={"alg": "none"}),
    "InvalidSignatureError": lambda team: team.forge(PERSON),
    "ExpiredSignatureError": lambda team: team.sign(PERSON, exp=1),
    "ImmatureSignatureError": lambda team: team.sign(PERSON, nbf=99_999_999_999),
    "InvalidIssuerError": lambda team: team.sign(PERSON, iss="https://x.cloudflareaccess.com"),
    "InvalidAudienceError": lambda team: team.sign(PERSON, aud=["other"]),
    "MissingRequiredClaimError": lambda team: team.sign(PERSON, aud=None),
    "UnknownKeyError": lambda team: team.sign(PERSON, key=SigningKey.generate("ES256")),
}


def calls(cfa: CloudFlareTokenValidation) -> list[Callable[[str], Awaitable[object]]]:
    """Return what takes a token."""
    return [
        cfa.verify_token,
        cfa.verify_user,
        cfa.verify_email,
        cfa.verify_service_token,
        cfa.get_identity,
    ]


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


async def test_the_token_goes_to_cloudflare_alone(edge: Edge, team: FakeIssuer) -> None:
    """As the only cookie of a request for the profile, without `Bearer `."""
    token = team.sign(PERSON)
    async with access() as cfa:
        await cfa.get_identity(f"bearer {token}")
    assert edge.sent("cookie") == [[f"CF_Authorization={token}"]]
    assert edge.sent("accept") == [["application/json"]]
    assert edge.sent("user-agent") == [["auth-jwks"]]
    [(_, asked_for_certs), _] = edge.requests
    assert token not in str(asked_for_certs)


FULL: dict[str, Any] = {
    "id": "P51Tuu01fWHMBjIBvrCK1lK",
    "name": "Alice Ash",
    "email": "alice@example.com",
    "user_uuid": "7335d417-61da",
    "account_id": "699d98642c564d2e855e9661899b7252",
    "iat": 1659474457,
    "ip": "192.0.2.1",
    "auth_status": "NONE",
    "cn": "alice",
    "service_token_id": "",
    "service_token_status": False,
    "is_warp": True,
    "is_gateway": False,
    "gateway_account_id": "42",
    "device_id": "d",
    "version": 2,
    "device_sessions": {"a": {"last_authenticated": 1638832687}},
    "idp": {"id": "1", "type": "onelogin"},
    "geo": {"country": "US"},
    "devicePosture": {"b": {"success": True}},
}


async def test_a_whole_profile(
    cfa: CloudFlareTokenValidation, edge: Edge, team: FakeIssuer
) -> None:
    """Each field has its member, under the names and in the order of 0.4.0."""
    edge.answers[IDENTITY] = answer(json.dumps(FULL).encode())
    identity = await cfa.get_identity(team.sign(PERSON))
    assert identity == Identity(
        "alice@example.com", "7335d417-61da", "699d98642c564d2e855e9661899b7252", 1659474457,
        "192.0.2.1", "NONE", "alice", "", False, True, False, "42", "d", 2,  # noqa: FBT003
        {"a": {"last_authenticated": 1638832687}}, {"id": "1", "type": "onelogin"},
        {"country": "US"}, {"b": {"success": True}},
    )  # fmt: skip
    assert list(Identity.__match_args__) == [
        "email", "user_uuid", "account_id", "iat", "ip", "auth_status", "common_name",
        "service_token_id", "service_token_status", "is_warp", "is_gateway", "gateway_account_id",
        "device_id", "version", "device_sessions", "idp", "geo", "device_posture",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"common_name": "alice"}, Identity(common_name="alice")),
        ({"cn": "alice", "common_name": ""}, Identity(common_name="alice")),
        ({"device_posture": {}, "version": 2}, Identity(version=2)),
        ({"email": None, "iat": 1.5, "is_warp": 1, "version": True, "idp": []}, Identity()),
        ({"email": ["a"], "iat": "1", "service_token_status": "true", "geo": "US"}, Identity()),
        ({"email": "a@b.c", "ip": 5, "device_sessions": ["a"]}, Identity(email="a@b.c")),
    ],
)
async def test_a_member_of_another_type_is_left_out(
    told: dict[str, Any],
    expected: Identity,
    cfa: CloudFlareTokenValidation,
    edge: Edge,
    team: FakeIssuer,
) -> None:
    """A field holds what it declares, or None; the other fields go on."""
    edge.answers[IDENTITY] = answer(json.dumps(told).encode())
    assert await cfa.get_identity(team.sign(PERSON)) == expected


ELSEWHERE = {"Location": "https://evil.example/?a"}
BOMB = {"Content-Encoding": "gzip"}
LIMIT = "the response is larger than 524288 bytes"
NO_PROFILE = "the answer is no profile"
BROKEN = "the request failed: "


UNTOLD: dict[str, tuple[bytes, str]] = {
    "redirect": (answer(b"", 302, ELSEWHERE), "HTTP status 302"),
    "redirect as it is": (answer(b"", 307, ELSEWHERE), "HTTP status 307"),
    "not modified": (answer(b"", 304), "HTTP status 304"),
    "not there": (answer(b"", 404), "HTTP status 404"),
    "too many": (answer(b"", 429), "HTTP status 429"),
    "broken": (answer(b"", 500), "HTTP status 500"),
    "page": (answer(b"<html>"), NO_PROFILE),
    "array": (answer(b"[]"), NO_PROFILE),
    "empty": (answer(b"{}"), NO_PROFILE),
    "error": (answer(b'{"err": "no app token set"}'), NO_PROFILE),
    "no number": (answer(b'{"iat": NaN}'), NO_PROFILE),
    "no text": (answer(b"\xff"), NO_PROFILE),
    "nothing": (answer(b""), NO_PROFILE),
    "large": (answer(bytes(MAX_BODY + 1)), LIMIT),
    "bomb": (answer(gzip.compress(bytes(MAX_BODY + 1)), headers=BOMB), LIMIT),
    "brotli": (answer(b"{}", headers={"Content-Encoding": "br"}), "the response has an unknown"),
    "no gzip": (answer(b"{}", headers=BOMB), "the request failed: error"),
    "short": (answer(b"{}", headers={"Content-Length": "9"}), f"{BROKEN}RemoteProtocolError"),
    "end": (b"", f"{BROKEN}RemoteProtocolError"),
    "no HTTP": (b"junk\r\n\r\n", f"{BROKEN}RemoteProtocolError"),
}


@pytest.mark.parametrize("name", UNTOLD)
async def test_cloudflare_does_not_tell(
    name: str, cfa: CloudFlareTokenValidation, edge: Edge, team: FakeIssuer
) -> None:
    """Whatever is wrong there is no fault of the token; it is asked once, and nobody else is."""
    edge.answers[IDENTITY], reason = UNTOLD[name]
    with pytest.raises(IdentityUnavailableError) as caught:
        await cfa.get_identity(team.sign(PERSON))
    assert str(caught.value).startswith(f"the identity is unavailable: {reason}")
    assert caught.value.retry_after == 5.0
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert edge.paths == [CERTS, IDENTITY]
    assert names_of(edge) == {f"{HOST}:443"}


@pytest.mark.parametrize("status", [429, 503])
async def test_cloudflare_says_when_to_come_again(
    status: int, cfa: CloudFlareTokenValidation, edge: Edge, team: FakeIssuer
) -> None:
    """Its `Retry-After` is passed on."""
    edge.answers[IDENTITY] = answer(b"", status, {"Retry-After": "60"})
    with pytest.raises(IdentityUnavailableError) as caught:
        await cfa.get_identity(team.sign(PERSON))
    assert caught.value.retry_after == 60


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_session_that_has_ended(
    status: int, cfa: CloudFlareTokenValidation, edge: Edge, team: FakeIssuer
) -> None:
    """Cloudflare knows the token no more, so it is the caller who must log in again."""
    edge.answers[IDENTITY] = answer(b'{"err": "no app token set"}', status)
    with pytest.raises(jwt.InvalidTokenError, match="has ended the session") as caught:
        await cfa.get_identity(team.sign(PERSON))
    assert type(caught.value) is jwt.InvalidTokenError
    assert caught.value.__context__ is None


STAMMER = answer(b"{}", headers={"Content-Length": "9", "Connection": "keep-alive"})


@pytest.mark.parametrize("said", [None, STAMMER], ids=["before the answer", "amid the body"])
async def test_the_deadline_is_for_the_whole(
    said: bytes | None, edge: Edge, key: SigningKey
) -> None:
    """After `timeout` it is over, not before, and the connection is closed."""
    clock = FakeClock()
    team = FakeIssuer(issuer=ISSUER, keys=[key], clock=clock)
    edge.answers[IDENTITY] = said
    async with access(clock=clock, timeout=3.0) as cfa:
        call = asyncio.ensure_future(cfa.get_identity(team.sign(PERSON)))
        await edge.asked.wait()
        clock.advance(2.9)
        done, _ = await asyncio.wait([call], timeout=0.02)
        assert not done
        clock.advance(0.2)
        with pytest.raises(IdentityUnavailableError, match="no answer within 3 s"):
            await call
        async with asyncio.timeout(5):
            await edge.deserted.wait()


async def test_a_certificate_must_be_for_the_host(
    team: FakeIssuer, ca: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever diverts the connection gets neither the keys' place nor a token."""
    async with edge_of(team, ca, "evil.example") as edge, access() as cfa:
        monkeypatch.setenv("https_proxy", edge.proxy)
        with pytest.raises(KeysUnavailableError):
            await cfa.verify_user(team.sign(PERSON))
        assert edge.requests == []


async def test_a_diverted_profile(
    team: FakeIssuer, ca: trustme.CA, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it get a token later, once the keys are there."""
    async with access() as cfa, edge_of(team, ca, "evil.example") as evil:
        await cfa.refresh()
        assert edge.paths == [CERTS]
        monkeypatch.setenv("https_proxy", evil.proxy)
        with pytest.raises(IdentityUnavailableError, match="ConnectError"):
            await cfa.get_identity(team.sign(PERSON))
        assert (evil.requests, evil.tunnels) == ([], [f"{HOST}:443"])


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_client_of_ones_own(
    library: ModuleType, edge: Edge, team: FakeIssuer, ca: trustme.CA
) -> None:
    """It is used for all, and left open; what its cookie jar learns joins no other's token."""
    alice, bob = team.sign(PERSON), team.sign(PERSON, sub="bob")
    edge.answers[IDENTITY] = answer(
        b'{"version": 2}', headers={"Set-Cookie": "CF_Authorization=old; Path=/; Secure"}
    )
    trust = ssl.create_default_context()
    ca.configure_trust(trust)
    client = library.AsyncClient(
        proxy=edge.proxy, verify=trust, trust_env=False, headers={"X-Mine": "1"}
    )
    client.cookies.set("tracker", "1", domain=HOST)
    async with client:
        async with access(http_client=client) as cfa:
            await cfa.get_identity(alice)
            await cfa.get_identity(bob)
        assert not client.is_closed
    assert edge.sent("cookie") == [[f"CF_Authorization={alice}"], [f"CF_Authorization={bob}"]]
    assert edge.sent("x-mine") == [["1"], ["1"]]


async def test_one_store_shares_the_keys(edge: Edge, team: FakeIssuer) -> None:
    """Whoever has the same store and team fetches nothing; another audience is no other source."""
    async with MemoryKeyStore() as store:
        for aud in (AUDIENCE, "other", [AUDIENCE, "other"]):
            async with access(store=store, aud=aud) as cfa:
                assert await cfa.verify_token(team.sign(PERSON, aud=[AUDIENCE, "other"]))
    assert edge.paths == [CERTS]


async def test_keys_can_be_warmed_up_and_looked_at(edge: Edge, team: FakeIssuer) -> None:
    """`refresh` fetches, with `force` again; `status` and the repr tell, without I/O."""
    cfa = access()
    assert cfa.status().kids == ()
    await cfa.refresh()
    await cfa.refresh()
    assert edge.paths == [CERTS]
    await cfa.refresh(force=True)
    assert edge.paths == [CERTS, CERTS]
    assert cfa.status().kids == (team.signing_key.kid,)
    assert repr(cfa) == (
        f"CloudFlareTokenValidation(JWKS('{ISSUER}{CERTS}', issuer='{ISSUER}', keys=1))"
    )
    await cfa.close()


async def test_after_close(edge: Edge, team: FakeIssuer) -> None:
    """Nothing works any more, nothing is asked, and closing again does nothing."""
    async with access() as cfa:
        await cfa.aclose()
    await cfa.close()
    assert repr(cfa).endswith("closed))")
    for call in calls(cfa):
        with pytest.raises(RuntimeError, match="closed"):
            await call(team.sign(PERSON))
    with pytest.raises(RuntimeError, match="closed"):
        await cfa.__aenter__()
    assert edge.paths == []


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Return all that is logged, by anybody."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


TOLD: dict[str, tuple[Callable[[FakeIssuer], str], bytes]] = {
    **{name: (bad, b"") for name, bad in BAD.items()},
    "machine": (lambda team: team.sign(MACHINE), answer(b"", 400)),
    **{name: (lambda team: team.sign(PERSON), said) for name, (said, _) in UNTOLD.items()},
}


@pytest.mark.parametrize("name", TOLD)
async def test_nothing_of_a_token_is_told(
    name: str, edge: Edge, team: FakeIssuer, logs: pytest.LogCaptureFixture
) -> None:
    """No log at any level and no traceback has a dozen characters of its signature."""
    sign, edge.answers[IDENTITY] = TOLD[name]
    token = sign(team)
    told: list[object] = []
    async with access() as cfa:
        for call in calls(cfa):
            try:
                await call(token)
            except jwt.InvalidTokenError as error:
                told += [*traceback.format_exception(error), repr(error), vars(error)]
        told.append(cfa)
    text = logs.text + str([told, [(record.msg, record.args) for record in logs.records]])
    signature = token.rpartition(".")[2]
    slices = {signature[at : at + 12] for at in range(len(signature) - 11)}
    assert [part for part in slices if part in text] == []


PAGE = (Path(__file__).parents[3] / "docs" / "cloudflare.md").read_text(encoding="utf-8")


def parameters_of(section: str) -> dict[str, object]:
    """Return the parameters that a section's first such table lists, with their defaults."""
    start = PAGE.index("\n| parameter | default |", PAGE.index(f"\n## {section}\n"))
    table = PAGE[start : PAGE.index("\n\n", start)]
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.+?)`)? ?\| .+ \|$", table, re.MULTILINE)
    return {name: default or "inspect._empty" for name, default in rows}


@pytest.mark.parametrize(
    ("section", "documented"),
    [("Calls", CloudFlareTokenValidation), ("The middleware", CfaAuthMiddleware)],
)
def test_the_page_lists_the_parameters(section: str, documented: type) -> None:
    """With their defaults, in order, and no others."""
    actual = inspect.signature(documented).parameters
    stated = parameters_of(section)
    assert list(stated) == list(actual)
    for name, each in actual.items():
        default = each.default
        shown = "inspect._empty" if default is inspect.Parameter.empty else repr(default)
        assert str(stated[name]).replace('"', "'") == shown, name


def test_the_page_lists_the_fields() -> None:
    """All those of a profile, and the public methods."""
    table = PAGE.partition("\n| field of `Identity` |")[2].partition("\n\n")[0]
    first_cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    fields = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(fields) == sorted(Identity.__match_args__)
    table = PAGE.partition("\n| call | what it returns |")[2].partition("\n\n")[0]
    methods = re.findall(r"^\| `(?:await )?(\w+)\(", table, re.MULTILINE)
    functions = {name for name, it in vars(CloudFlareTokenValidation).items() if callable(it)}
    assert set(methods) == {name for name in functions if name[0] != "_"} - {"aclose"}
