"""A server of FastMCP that takes the tokens of your provider: `uvicorn fast:app`."""

import os
from typing import Any
from urllib.parse import urlsplit

from fastmcp import FastMCP
from fastmcp.server.dependencies import get_access_token
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth_jwks import JWKS
from auth_jwks.asgi import ProtectedResource
from auth_jwks.fastmcp import JWKSVerifier

ISSUER, RESOURCE = os.environ["ISSUER"], os.environ["RESOURCE"]
jwks = JWKS(issuer=ISSUER, aud=RESOURCE)
resource = ProtectedResource(RESOURCE, issuers=[ISSUER], scopes=["notes:read", "notes:write"])
verifier = JWKSVerifier(jwks, resource, required_scopes=["notes:read"], public_paths=["/health"])
server: FastMCP[Any] = FastMCP("notes", auth=verifier)


@server.tool
def whoami() -> dict[str, Any]:
    """Tell for whom the token speaks, and which client brought it."""
    token = get_access_token()
    return {} if token is None else {"subject": token.subject, "client": token.client_id}


@server.custom_route("/health", methods=["GET"])
async def health(_request: Request) -> Response:
    """Tell that the server runs. No token is needed."""
    return JSONResponse({"status": "ok"})


host = urlsplit(RESOURCE)
app = server.http_app(
    path=host.path,
    host_origin_protection=True,
    allowed_hosts=[host.hostname or ""],
    allowed_origins=[f"{host.scheme}://{host.netloc}"],
)
