"""What `JWTAuthMiddleware` takes, what it refuses, and what the page says of that."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auth_jwks import JWKS
from auth_jwks.asgi import (
    CookieToken,
    HeaderToken,
    JWTAuthMiddleware,
    ProtectedResource,
    WebSocketToken,
)
from auth_jwks.bearer import scopes_of
from auth_jwks.sync import SyncJWKS
from tests.web.asgi.driving import SeenBy, whoami


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"verifier": None}, "verifier: expected a JWKS"),
        ({"verifier": JWKS}, "verifier: expected a JWKS"),
        ({"scopes": "read"}, "scopes: expected a collection"),
        ({"scopes": ["a b"]}, "scopes: expected words"),
        ({"scopes_from": "scope"}, "scopes_from: expected a function"),
        ({"public_paths": "/health"}, "public_paths: expected a collection"),
        ({"public_paths": ["health"]}, "public_paths: expected plain paths"),
        ({"public_prefixes": ["/"]}, "public_prefixes: expected plain paths"),
        ({"optional": 1}, "optional: expected True or False"),
        ({"websocket": None}, "websocket: expected a WebSocketToken"),
        ({"realm": '"'}, "realm: expected printable ASCII"),
        ({"resource_metadata": "a"}, "resource_metadata: the scheme must be"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    """At construction, by name."""
    with pytest.raises((TypeError, ValueError), match=message):
        JWTAuthMiddleware(whoami, **({"verifier": SeenBy()} | options))


def test_no_framework_is_needed() -> None:
    """The module imports where Starlette is not installed."""
    code = "import sys; sys.modules['starlette'] = None; import auth_jwks.asgi"
    subprocess.run([sys.executable, "-c", code], check=True)


PAGE = (Path(__file__).parents[3] / "docs" / "web.md").read_text("utf-8")


@pytest.mark.parametrize(
    "documented",
    [JWTAuthMiddleware, HeaderToken, CookieToken, ProtectedResource, WebSocketToken],
)
def test_the_page_lists_every_parameter(documented: type) -> None:
    """In the order of the signature, with its default."""
    table = PAGE.split(f"| parameter of `{documented.__name__}` |")[1].split("\n\n")[0]
    listed = re.findall(r"^\| `(\w+)` \|(?: `(.+?)`)? \|", table, re.MULTILINE)
    known = {
        inspect.Parameter.empty: "",
        scopes_of: "scopes_of",
        WebSocketToken(): "WebSocketToken()",
    }
    parameters = inspect.signature(documented).parameters.values()
    assert listed == [
        (each.name, known.get(each.default, repr(each.default))) for each in parameters
    ]


def test_a_verifier_for_threads_is_refused() -> None:
    """It would work, and block the event loop for all others while it waits for keys."""
    threads: Any = SyncJWKS("https://idp.test", issuer="https://idp.test")
    with pytest.raises(TypeError, match="verifier: expected a JWKS, got a SyncJWKS"):
        JWTAuthMiddleware(whoami, threads)
