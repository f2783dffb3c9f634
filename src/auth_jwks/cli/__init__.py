"""The command `auth-jwks`: see what a provider, a token or a store is about, and act."""

from auth_jwks.cli._main import main

__all__ = ["main"]
