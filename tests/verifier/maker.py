"""What the tests of a verifier share: keys that sign, and what makes verifiers."""

import asyncio
from collections.abc import Callable

from auth_jwks import JWKS
from auth_jwks.testing import SigningKey

KEY, RSA = SigningKey.generate("ES256", "first"), SigningKey.generate("RS256", "rsa")

Make = Callable[..., JWKS]


async def landed(jwks: JWKS) -> None:
    """Return when nothing is under way in the background."""
    async with asyncio.timeout(60):
        while jwks.status().refreshing:  # noqa: ASYNC110 - a state, and no event
            await asyncio.sleep(0)
