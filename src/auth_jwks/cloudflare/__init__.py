"""Cloudflare Access: a verifier of its tokens, the identities in them, and a middleware."""

from auth_jwks.cloudflare._access import CloudFlareTokenValidation, ServiceToken, User
from auth_jwks.cloudflare._identity import Identity
from auth_jwks.cloudflare._middleware import CfaAuthMiddleware
from auth_jwks.errors import IdentityUnavailableError

__all__ = [
    "CfaAuthMiddleware",
    "CloudFlareTokenValidation",
    "Identity",
    "IdentityUnavailableError",
    "ServiceToken",
    "User",
]
