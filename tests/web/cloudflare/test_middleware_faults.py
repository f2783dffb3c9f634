"""`CfaAuthMiddleware`: whose fault an error is, and that none lets anyone in."""

import httpx
import jwt
import pytest

from auth_jwks import IssuerMismatchError, KeysUnavailableError
from auth_jwks.cloudflare import CloudFlareTokenValidation, IdentityUnavailableError, User
from auth_jwks.testing import FakeIssuer
from tests.web.cloudflare.access_edge import CERTS, IDENTITY, PERSON, Edge, answer
from tests.web.cloudflare.guard import (
    DEV,
    FAILED,
    HEADER,
    NONE_CAME,
    Answer,
    Verify,
    guard,
    raising,
    summary,
)
from tests.web.serving import serving
from tests.web.status_table import denial


async def test_no_keys(
    cfa: CloudFlareTokenValidation, edge: Edge, team: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """While Cloudflare's keys can't be had, no caller is blamed."""
    edge.answers[CERTS] = answer(b"", 503, {"Retry-After": "60"})
    app = guard(verify_token=cfa.verify_user)
    headers = {HEADER: team.sign(PERSON)}
    async with serving(app) as address:
        refused = await client.get(f"http://{address}/", headers=headers)
        denied = await denial(f"{address}/feed", headers)
        none_came = await client.get(f"http://{address}/")
    for response in (refused, denied):
        status, body, challenge, wait = summary(response)
        assert (status, body) == (503, {"detail": "Temporarily unavailable"})
        assert challenge is None
        assert 59 <= int(wait or 0) <= 300
    assert summary(none_came) == NONE_CAME
    assert app.state.reached == 0


async def test_no_profile(
    cfa: CloudFlareTokenValidation, edge: Edge, team: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """With `get_identity` for `verify_token`, its outage is a 503, an ended session a 401."""
    app = guard(verify_token=cfa.get_identity)
    headers = {HEADER: team.sign(PERSON)}
    answers = []
    async with serving(app) as address:
        for said in (answer(b"", 503, {"Retry-After": "7"}), answer(b"", 401)):
            edge.answers[IDENTITY] = said
            answers.append(summary(await client.get(f"http://{address}/", headers=headers)))
        del edge.answers[IDENTITY]
        told = await client.get(f"http://{address}/", headers=headers)
    assert answers == [(503, {"detail": "Temporarily unavailable"}, None, "7"), FAILED]
    assert told.json()["user_uuid"] == "7335d417-61da"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (jwt.InvalidTokenError("secret"), FAILED),
        (jwt.ExpiredSignatureError("secret"), FAILED),
        (
            KeysUnavailableError("secret", retry_after=0.2),
            (503, {"detail": "Temporarily unavailable"}, None, "1"),
        ),
        (
            IdentityUnavailableError("secret"),
            (503, {"detail": "Temporarily unavailable"}, None, "5"),
        ),
        (
            IssuerMismatchError("secret"),
            (503, {"detail": "Temporarily unavailable"}, None, None),
        ),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_the_class_of_an_error_decides(
    error: jwt.InvalidTokenError, expected: Answer, client: httpx.AsyncClient
) -> None:
    """Whoever must act is told, in a fixed text."""
    async with serving(guard(verify_token=raising(error))) as address:
        response = await client.get(f"http://{address}/", headers={HEADER: "a.b.c"})
        denied = await denial(f"{address}/feed", {HEADER: "a.b.c"})
    assert summary(response) == summary(denied) == expected
    assert "secret" not in response.text


async def mute(_token: str) -> None:
    """Return nobody, as a slip in a wrapper may."""


async def false(_token: str) -> bool:
    """Tell by a bool, which nobody would look at."""
    return False


def synchronous(_token: str) -> User:
    """Return what can't be awaited."""
    return DEV


@pytest.mark.parametrize(
    "verify_token",
    [raising(LookupError()), raising(RuntimeError()), mute, false, synchronous],
    ids=["lookup", "runtime", "mute", "false", "synchronous"],
)
async def test_a_fault_of_the_program_lets_no_one_in(
    verify_token: Verify, client: httpx.AsyncClient
) -> None:
    """It is a 500, and reaches no endpoint."""
    app = guard(verify_token=verify_token)
    async with serving(app) as address:
        response = await client.get(f"http://{address}/", headers={HEADER: "a.b.c"})
        denied = await denial(f"{address}/feed", {HEADER: "a.b.c"})
    assert response.status_code == denied.status_code == 500
    assert app.state.reached == 0


async def test_a_closed_verifier_lets_no_one_in(
    cfa: CloudFlareTokenValidation, team: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """That is a fault of the program, too."""
    await cfa.close()
    async with serving(guard(verify_token=cfa.verify_user)) as address:
        response = await client.get(f"http://{address}/", headers={HEADER: team.sign(PERSON)})
    assert response.status_code == 500
