"""The security scheme of `JWTAuthentication` in drf-spectacular's OpenAPI document."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

__all__ = ["JWTAuthenticationScheme"]


class JWTAuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # its __init_subclass__
    """A bearer token in `Authorization` (OpenAPI §4.8.27)."""

    target_class = "auth_jwks.drf.JWTAuthentication"
    name = "JWTBearer"
    match_subclasses = True

    def get_security_definition(self, auto_schema: object) -> dict[str, Any]:
        """Return the scheme."""
        del auto_schema  # it is the same for every route
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
