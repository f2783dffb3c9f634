"""Profiles: what a token is for, and so what it must contain (RFC 8725 §3.11, §3.12).

`JWKS(profile=...)` is for every token, `verify_token(token, profile=...)` for a single one.
"""

from auth_jwks.profiles._kinds import AccessToken, Check, IDToken, LogoutToken, Profile

__all__ = ["AccessToken", "Check", "IDToken", "LogoutToken", "Profile"]
