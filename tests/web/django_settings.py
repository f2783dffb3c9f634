"""Django's settings for tests that need no server. Import it before what looks into them."""

import django
from django.conf import settings

__all__ = ["MIDDLEWARE"]

MIDDLEWARE = ["auth_jwks.django.JWTAuthMiddleware"]

settings.configure(
    SECRET_KEY="of no use here",
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF="tests.web.django_site",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "drf_spectacular",
        "auth_jwks.django",
    ],
    MIDDLEWARE=MIDDLEWARE,
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    USE_TZ=True,
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["auth_jwks.drf.JWTAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
        "TEST_REQUEST_DEFAULT_FORMAT": "json",
    },
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,  # else no test sees what the library logs
        "loggers": {"django.request": {"level": "CRITICAL"}},
    },
)
django.setup()
