"""The profile: who is asked, with what, and what becomes of each answer."""

import asyncio
import gzip
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest

from auth_jwks import __version__
from auth_jwks.cloudflare import CloudFlareTokenValidation, Identity, IdentityUnavailableError
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.web.cloudflare.access_edge import CERTS, HOST, IDENTITY, MACHINE, PERSON, Edge, answer
from tests.web.cloudflare.calls import BAD, ISSUER, access, calls, names_of

MAX_BODY = 512 * 1024


async def test_the_token_goes_to_cloudflare_alone(edge: Edge, team: FakeIssuer) -> None:
    """As the only cookie of a request for the profile, without `Bearer `."""
    token = team.sign(PERSON)
    async with access() as cfa:
        await cfa.get_identity(f"bearer {token}")
    assert edge.sent("cookie") == [[f"CF_Authorization={token}"]]
    assert edge.sent("accept") == [["application/json"]]
    assert edge.sent("user-agent") == [[f"auth-jwks/{__version__}"]]
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
NO_PROFILE = "the answer is not a profile"
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
    "brotli": (
        answer(b"{}", headers={"Content-Encoding": "br"}),
        "the response is compressed by br",
    ),
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
        async with asyncio.timeout(60):
            await edge.deserted.wait()


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
