"""The app that checks the setting `AUTH_JWKS`, and registers with drf-spectacular."""

from importlib import import_module

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured

from auth_jwks.django._configured import verifier

__all__ = ["AuthJWKSConfig", "check_settings"]


class AuthJWKSConfig(AppConfig):
    """`"auth_jwks.django"` in `INSTALLED_APPS`. It has no models and no templates."""

    name = "auth_jwks.django"
    label = "auth_jwks"
    verbose_name = "auth-jwks"

    def ready(self) -> None:
        """Register the check, and the extension if drf-spectacular is an app, too."""
        register(Tags.security)(check_settings)
        if apps.is_installed("drf_spectacular"):
            import_module("auth_jwks.django._spectacular")


def check_settings(**_kwargs: object) -> list[CheckMessage]:
    """Return `auth_jwks.E001` for wrong settings. Nothing is fetched."""
    try:
        verifier()
    except ImproperlyConfigured as fault:
        hint = "The names and values of AUTH_JWKS are in docs/django.md of auth-jwks."
        return [Error(str(fault), hint=hint, id="auth_jwks.E001")]
    return []
