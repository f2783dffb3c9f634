"""A Django project for tests that need no server: its views, and what its settings name."""

from tests.web import django_settings

# isort: split

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest, JsonResponse
from django.template import engines
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.vary import vary_on_headers
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import (
    AllowAny,
    DjangoModelPermissions,
    IsAdminUser,
)
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from auth_jwks import drf
from auth_jwks.django import claims_of, requires_scopes
from auth_jwks.drf import JWTAuthentication, TokenUser, has_scopes

MIDDLEWARE = django_settings.MIDDLEWARE
# Verifiers that functions of the settings return, by name.
MADE: dict[str, Any] = {}


def made() -> Any:
    """Return the verifier of the test."""
    return MADE["verifier"]


async def made_later() -> Any:
    """Return it where nobody would wait for it."""
    return made()


def roles(claims: Mapping[str, Any]) -> Any:
    """Return what another provider grants."""
    return claims.get("roles")


def django_user(claims: dict[str, Any]) -> User | None:
    """Return Django's own user: nobody for bob, one who has left for carol."""
    if claims["sub"] == "bob":
        return None
    return User(username=claims["sub"], is_staff=True, is_active=claims["sub"] != "carol")


def me(request: HttpRequest) -> JsonResponse:
    """Say who it is."""
    return JsonResponse({"sub": claims_of(request)["sub"]})


async def later(request: HttpRequest) -> JsonResponse:
    """Say who it is, on an event loop."""
    return JsonResponse({"sub": claims_of(request)["sub"]})


@requires_scopes("things:write")
def things(_request: HttpRequest, name: str = "all") -> JsonResponse:
    """Answer whoever was granted the scope."""
    return JsonResponse({"removed": name})


@requires_scopes("things:write")
async def later_things(_request: HttpRequest, name: str = "all") -> JsonResponse:
    """Answer whoever was granted the scope, on an event loop."""
    return JsonResponse({"removed": name})


@requires_scopes()
def members(_request: HttpRequest) -> JsonResponse:
    """Answer whoever has a good token."""
    return JsonResponse({})


@method_decorator(requires_scopes("things:write"), name="dispatch")
class Dispatched(View):
    """A class-based view whose methods are all guarded."""

    def get(self, _request: HttpRequest) -> JsonResponse:
        """Answer."""
        return JsonResponse({})


@method_decorator(requires_scopes("things:write"), name="dispatch")
class Later(View):
    """A class-based view on an event loop."""

    async def get(self, _request: HttpRequest) -> JsonResponse:
        """Answer."""
        return JsonResponse({})


def whoever(request: HttpRequest) -> JsonResponse:
    """Show the claims, which may be None."""
    return JsonResponse({"claims": vars(request)["claims"]})


@vary_on_headers("Accept")
def varying(_request: HttpRequest) -> JsonResponse:
    """Answer differently to who asks differently."""
    return JsonResponse({})


def broken(_request: HttpRequest) -> JsonResponse:
    """Raise what a fault in the program would."""
    raise LookupError("crossed wires")


class Me(APIView):
    """Say who it is."""

    def get(self, request: Request) -> Response:
        """Answer whoever has a good token."""
        return Response({"sub": drf.claims_of(request)["sub"], "user": str(request.user)})


class Passed(Me):
    """It asks for what the middleware verified."""

    authentication_classes = []  # noqa: RUF012
    permission_classes = [AllowAny]  # noqa: RUF012

    @method_decorator(requires_scopes("things:write"))
    def get(self, request: Request) -> Response:
        """Answer whoever was granted the scope."""
        return Response({"sub": claims_of(request)["sub"]})


class Things(Me):
    """It asks for a scope."""

    permission_classes = [has_scopes("things:write")]  # noqa: RUF012 - as users write it


class Admins(Me):
    """It is for staff."""

    permission_classes = [IsAdminUser]  # noqa: RUF012


class Models(Me):
    """It asks for permissions on a model."""

    queryset = User.objects.none()
    permission_classes = [DjangoModelPermissions]  # noqa: RUF012


class Open(APIView):
    """It is open to all, but shows nobody's claims."""

    permission_classes = [AllowAny]  # noqa: RUF012

    def get(self, request: Request) -> Response:
        """Answer through a template, as the browsable pages do."""
        template = engines["django"].from_string(
            "{{ user }}/{{ user.is_authenticated }}/{{ user.is_staff }}/{{ perms.auth.add_user }}"
        )
        return Response(template.render({"user": request.user}))

    def delete(self, request: Request) -> Response:
        """Ask for claims where none may be."""
        return Response(drf.claims_of(request))


class Slow(UserRateThrottle):
    """One request a day."""

    rate = "1/day"


class Throttled(Me):
    """It is throttled."""

    throttle_classes = [Slow]  # noqa: RUF012


class Stranger(BaseAuthentication):
    """An authentication class that verifies nothing of ours."""

    def authenticate(self, _request: Request) -> tuple[TokenUser, dict[str, Any]]:
        """Let everybody be an administrator of something else."""
        return TokenUser({"sub": "mallory"}), {"sub": "mallory", "scope": "things:write"}


class Strange(Things):
    """It asks for a scope, and another class says who it is."""

    authentication_classes = [Stranger]  # noqa: RUF012


class StrangeFirst(Strange):
    """Where both may say so."""

    authentication_classes = [JWTAuthentication, Stranger]  # noqa: RUF012


urlpatterns = [
    path("me", me),
    path("later", later),
    path("things", things),
    path("things/<name>", things),
    path("later/things", later_things),
    path("later/things/<name>", later_things),
    path("members", members),
    path("class", Dispatched.as_view()),
    path("later/class", Later.as_view()),
    path("health", whoever),
    path("whoever", whoever),
    path("broken", broken),
    path("varying", varying),
    path("rest/me", Me.as_view()),
    path("rest/passed", Passed.as_view()),
    path("rest/things", Things.as_view()),
    path("rest/admins", Admins.as_view()),
    path("rest/models", Models.as_view()),
    path("rest/open", Open.as_view()),
    path("rest/throttled", Throttled.as_view()),
    path("rest/strange", Strange.as_view()),
    path("rest/strange-first", StrangeFirst.as_view()),
]
