"""Flask as users write it: read by the type checker, never executed."""

from collections.abc import Mapping
from typing import Any, ClassVar, assert_type

from flask import Blueprint, Flask
from flask.views import MethodView

from auth_jwks.flask import JWTAuth, current_claims, requires_scopes
from auth_jwks.sync import SyncIssuers, SyncJWKS

auth = JWTAuth()
shop = Blueprint("shop", __name__)


def roles(claims: Mapping[str, Any]) -> list[str]:
    """Return what a provider grants."""
    return list(claims["roles"])


@shop.get("/things/<int:number>")
@requires_scopes("read")
def thing(number: int) -> dict[str, Any]:
    """Answer in a thread."""
    assert_type(current_claims(), dict[str, Any])
    return {"sub": current_claims()["sub"], "number": number}


@shop.get("/later")
@requires_scopes()
async def later() -> str:
    """Answer on an event loop."""
    return str(thing(1)["sub"])


class Things(MethodView):
    """A class-based view."""

    decorators: ClassVar = [requires_scopes("read", "write")]

    def get(self) -> str:
        """Answer in a thread."""
        return "things"


def create_app(*issuers: str) -> Flask:
    """Make an application."""
    app = Flask(__name__)
    app.config["AUTH_JWKS"] = {
        "VERIFIER": SyncIssuers(*(SyncJWKS(issuer=issuer, aud="shop") for issuer in issuers)),
        "SCOPES_FROM": roles,
    }
    auth.init_app(app)
    JWTAuth(Flask(__name__))
    app.register_blueprint(shop)
    app.add_url_rule("/all", view_func=Things.as_view("things"))
    return app
