"""Bearer tokens in Django: a middleware, `@requires_scopes`, and the setting `AUTH_JWKS`."""

from importlib.util import find_spec

if find_spec("django") is None:
    raise ImportError("auth_jwks.django needs Django: install auth-jwks[django]", name="django")

from auth_jwks._asgi.late import SyncVerifier
from auth_jwks.django._configured import verifier
from auth_jwks.django._views import JWTAuthMiddleware, claims_of, requires_scopes

__all__ = ["JWTAuthMiddleware", "SyncVerifier", "claims_of", "requires_scopes", "verifier"]
