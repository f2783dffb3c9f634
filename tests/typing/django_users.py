"""Django and REST framework as users write them: read by the type checker, never executed."""

# pyright: strict

from typing import Any, assert_type

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from auth_jwks import drf
from auth_jwks.django import SyncVerifier, claims_of, requires_scopes, verifier
from auth_jwks.drf import JWTAuthentication, TokenUser, has_scopes
from auth_jwks.sync import SyncIssuers, SyncJWKS


def made() -> SyncVerifier:
    """Make a verifier, as the setting's function does."""
    return SyncIssuers(SyncJWKS(issuer="https://idp.test"))


def user_of(claims: dict[str, Any]) -> User | None:
    """Return Django's own user."""
    return User.objects.filter(username=claims["sub"]).first()


@requires_scopes("read")
def page(request: HttpRequest, number: int) -> HttpResponse:
    """Answer in a thread."""
    assert_type(claims_of(request), dict[str, Any])
    return HttpResponse(f"{claims_of(request)['sub']}{number}")


@requires_scopes("read", "write")
async def later(request: HttpRequest) -> JsonResponse:
    """Answer on an event loop."""
    return JsonResponse({"sub": claims_of(request)["sub"]})


@method_decorator(requires_scopes("read"), name="dispatch")
class Page(View):
    """Answer by a class."""


class Things(APIView):
    """Answer by the framework."""

    authentication_classes = (JWTAuthentication,)
    permission_classes = (has_scopes("things:write") | AllowAny,)

    def get(self, request: Request) -> Response:
        """Show who it is."""
        assert_type(drf.claims_of(request), dict[str, Any])
        return Response({"sub": drf.claims_of(request)["sub"], "user": request.user.pk})


async def use() -> None:
    """A decorated view keeps its type."""
    assert_type(page(HttpRequest(), 1), HttpResponse)
    assert_type(page(HttpRequest(), number=1), HttpResponse)
    assert_type(await later(HttpRequest()), JsonResponse)
    assert_type(TokenUser({"sub": "alice"}).pk, str)
    assert_type(verifier().verify_token("a.b.c"), dict[str, Any])


urlpatterns = [
    path("page/<int:number>", page),
    path("later", later),
    path("class", Page.as_view()),
    path("things", Things.as_view()),
]
