"""What the demo compares the library with: PyJWT's own client for key sets, and `jwt.decode`."""

import inspect
from collections.abc import Callable, Iterable

import jwt

from auth_jwks.testing import FakeIssuer
from examples.output import counted

__all__ = ["LIMITS", "Bare"]

_DEFAULTS = inspect.signature(jwt.PyJWKClient).parameters
LIMITS = (
    f"PyJWT keeps keys for {_DEFAULTS['lifespan'].default:g} seconds, and looks for a key that it "
    f"does not have no sooner than {_DEFAULTS['cooldown_duration'].default:g} seconds after its "
    "last fetch: until then, PyJWKClientError."
)


class Bare:
    """A worker that has PyJWT alone, with its defaults.

    `ahead` tells by how many seconds the demo's clock is ahead of the machine's, which PyJWT reads.
    """

    def __init__(self, provider: FakeIssuer, audience: str, ahead: Callable[[], float]) -> None:
        self._client = jwt.PyJWKClient(provider.jwks_uri)
        self._audience, self._issuer = audience, provider.issuer
        self._ahead = ahead

    def verify_all(self, tokens: Iterable[str]) -> str:
        """Verify the tokens one after the other, and return a summary of the outcomes."""
        return counted(map(self._outcome, tokens))

    def expire(self) -> None:
        """Let its keys be too old, as they are after a while."""
        if self._client.jwk_set_cache is not None:
            self._client.jwk_set_cache.put(None)

    def _outcome(self, token: str) -> str:
        try:
            key = self._client.get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token, key, algorithms=["ES256"], leeway=self._ahead(),
                audience=self._audience, issuer=self._issuer,
            )  # fmt: skip
        except jwt.PyJWTError as error:
            return type(error).__name__
        return str(claims["sub"])
