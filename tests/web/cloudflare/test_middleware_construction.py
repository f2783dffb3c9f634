"""What `CfaAuthMiddleware` takes, and what it refuses; and its user for development."""

import inspect
import logging
import re
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import httpx
import jwt
import pytest

from auth_jwks.cloudflare import CfaAuthMiddleware, CloudFlareTokenValidation, User
from tests.web.cloudflare.access_edge import AUDIENCE
from tests.web.cloudflare.guard import (
    COOKIE,
    DEV,
    FAILED,
    HEADER,
    guard,
    raising,
    summary,
    unreached,
)
from tests.web.serving import serving
from tests.web.status_table import received


async def test_a_dev_user_is_everybody(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """No token is looked at, for websockets neither, and a warning says so at construction."""
    with caplog.at_level(logging.WARNING, "auth_jwks"):
        protected = CfaAuthMiddleware(unreached, dev_user=DEV)
    [record] = caplog.records
    assert (record.name, record.levelname) == ("auth_jwks", "WARNING")
    assert re.search("CfaAuthMiddleware.*dev_user.*authentication is bypassed", record.message)
    assert protected.app is unreached
    for options in ({}, {"verify_token": raising(AssertionError())}):
        async with serving(guard(dev_user=DEV, **options)) as address:
            for headers in ({}, {HEADER: "junk"}):
                response = await client.get(f"http://{address}/", headers=headers)
                assert response.json() == asdict(DEV)
            assert await received(f"{address}/feed") == "dev"


@pytest.mark.parametrize("dev_user", [False, "", None])
async def test_what_is_no_dev_user_bypasses_nothing(
    dev_user: Any, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """As `settings.debug and User(...)` is in production."""
    app = guard(verify_token=raising(jwt.InvalidTokenError()), dev_user=dev_user)
    async with serving(app) as address:
        response = await client.get(f"http://{address}/", headers={HEADER: "a.b.c"})
    assert summary(response) == FAILED
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "verify_token, dev_user: expected at least one of them"),
        ({"dev_user": ""}, ValueError, "verify_token, dev_user: expected at least one of them"),
        ({"verify_token": ""}, TypeError, "verify_token: expected an async function, got str"),
        ({"verify_token": User}, TypeError, "verify_token: expected an async function, got type"),
        ({"dev_user": DEV, "verify_token": 5}, TypeError, "verify_token: expected"),
        ({"dev_user": DEV, "header_name": b"x"}, TypeError, "header_name: expected a string"),
        ({"dev_user": DEV, "header_name": ""}, ValueError, "header_name: expected a name"),
        ({"dev_user": DEV, "header_name": "a:"}, ValueError, "header_name: expected a name"),
        ({"dev_user": DEV, "header_name": "a\n"}, ValueError, "header_name: expected a name"),
        ({"dev_user": DEV, "header_name": "é"}, ValueError, "header_name: expected a name"),
        ({"dev_user": DEV, "cookie_name": None}, TypeError, "cookie_name: expected a string"),
        ({"dev_user": DEV, "cookie_name": "a b"}, ValueError, "cookie_name: expected a name"),
        ({"dev_user": DEV, "cookie_name": "a=b"}, ValueError, "cookie_name: expected a name"),
        ({"dev_user": DEV, "cookie_name": "a;"}, ValueError, "cookie_name: expected a name"),
    ],
)
def test_misuse(options: dict[str, Any], error: type[Exception], message: str) -> None:
    """What can't work is refused at construction, by name."""
    with pytest.raises(error, match=f"^{message}"):
        CfaAuthMiddleware(unreached, **options)


def test_the_verifier_itself_is_no_function(cfa_unopened: CloudFlareTokenValidation) -> None:
    """`verify_token=cfa` is a slip, for `cfa.verify_user`."""
    slip: Any = cfa_unopened
    with pytest.raises(TypeError, match=r"got CloudFlareTokenValidation$"):
        CfaAuthMiddleware(unreached, verify_token=slip)


@pytest.fixture
def cfa_unopened() -> CloudFlareTokenValidation:
    """Return a verifier that nobody uses."""
    return CloudFlareTokenValidation(aud=AUDIENCE, team="team")


def test_the_signature() -> None:
    """The parameters are those of 0.4.0, with its defaults."""
    _, *parameters = inspect.signature(CfaAuthMiddleware).parameters.values()
    assert {each.name: each.default for each in parameters} == {
        "verify_token": None, "dev_user": None, "header_name": HEADER, "cookie_name": COOKIE,
    }  # fmt: skip
    assert {each.kind for each in parameters} == {inspect.Parameter.KEYWORD_ONLY}


def test_no_framework_is_needed() -> None:
    """Nothing but the core is imported."""
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('starlette', 'fastapi')));"
        "from auth_jwks.cloudflare import CfaAuthMiddleware, CloudFlareTokenValidation;"
        "print(CfaAuthMiddleware.__name__)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert run.stdout.split() == [b"CfaAuthMiddleware"]
