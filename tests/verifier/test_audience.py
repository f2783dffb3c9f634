"""For whom a token is: `aud`, and what a call says in its place."""

from typing import Any

import jwt
import pytest

from auth_jwks.testing import FakeIssuer
from tests.verifier.maker import Make


@pytest.mark.parametrize(
    ("aud", "audience", "stated"),
    [
        (None, None, None),
        (None, None, "anything"),
        ("api", None, "api"),
        ("api", None, ["web", "api"]),
        (["api", "web"], None, "web"),
        ({"api"}, None, "api"),
        (iter(["api"]), None, "api"),
        (None, "api", "api"),
        ("api", "web", "web"),
        ("api", ["web", "app"], "app"),
    ],
)
async def test_an_audience_fits(
    make: Make, issuer: FakeIssuer, aud: Any, audience: Any, stated: object
) -> None:
    """One of those expected is among those stated; what a call says replaces `aud`."""
    jwks = make(aud=aud)
    for _ in range(2):
        assert await jwks.verify_token(issuer.sign(aud=stated), audience)


async def test_an_audience_is_read_once(make: Make, issuer: FakeIssuer) -> None:
    """Also for a token with its scheme, which is verified without it."""
    token = issuer.sign(aud="app")
    for bearer in (token, f"Bearer {token}", f"Bearer {token}"):
        assert await make().verify_token(bearer, iter(["web", "app"]))


@pytest.mark.parametrize(
    ("aud", "audience", "stated", "error"),
    [
        ("api", None, "web", jwt.InvalidAudienceError),
        ("api", None, "API", jwt.InvalidAudienceError),
        ("api", None, "api2", jwt.InvalidAudienceError),
        ("api", None, ["web"], jwt.InvalidAudienceError),
        ("api", None, None, jwt.MissingRequiredClaimError),
        ("api", "web", "api", jwt.InvalidAudienceError),
        (None, "web", "api", jwt.InvalidAudienceError),
        (None, ["web"], None, jwt.MissingRequiredClaimError),
    ],
)
async def test_an_audience_does_not_fit(
    make: Make, issuer: FakeIssuer, aud: Any, audience: Any, stated: object, error: type[Exception]
) -> None:
    """The token is for somebody else, or does not say for whom."""
    with pytest.raises(error):
        await make(aud=aud).verify_token(issuer.sign(aud=stated), audience)


@pytest.mark.parametrize(
    ("audience", "error"),
    [("", ValueError), (" ", ValueError), ([], ValueError), (["api", ""], ValueError),
     ("api\n", ValueError), (["api", "a\x00"], ValueError),
     (5, TypeError), (b"api", TypeError), ([5], TypeError)],
)  # fmt: skip
async def test_an_empty_audience_does_not_disable_the_check(
    make: Make, issuer: FakeIssuer, audience: Any, error: type[Exception]
) -> None:
    """A call's `audience` is held to the same rules as `aud`."""
    with pytest.raises(error, match=r"^audience: "):
        await make(aud="api").verify_token(issuer.sign(aud="api"), audience)
    assert issuer.requests == ()
