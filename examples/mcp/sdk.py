"""A server of the MCP SDK that takes the tokens of your provider: `uvicorn sdk:app`."""

import os
from typing import Any
from urllib.parse import urlsplit

from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.settings import AuthSettings
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth_jwks import JWKS
from auth_jwks.asgi import ProtectedResource
from auth_jwks.mcp import JWKSVerifier

ISSUER, RESOURCE = os.environ["ISSUER"], os.environ["RESOURCE"]
jwks = JWKS(issuer=ISSUER, aud=RESOURCE)
resource = ProtectedResource(RESOURCE, issuers=[ISSUER], scopes=["notes:read", "notes:write"])
verifier = JWKSVerifier(jwks, resource, required_scopes=["notes:read"], public_paths=["/health"])
server = MCPServer(
    "notes",
    token_verifier=verifier,
    auth=AuthSettings(
        issuer_url=AnyHttpUrl(ISSUER),
        resource_server_url=AnyHttpUrl(RESOURCE),
        required_scopes=["notes:read"],
        validate_token_resource=True,
    ),
)


@server.tool()
def whoami() -> dict[str, Any]:
    """Tell for whom the token speaks, and which client brought it."""
    token = get_access_token()
    return {} if token is None else {"subject": token.subject, "client": token.client_id}


async def health(_request: Request) -> Response:
    """Tell that the server runs. No token is needed."""
    return JSONResponse({"status": "ok"})


host = urlsplit(RESOURCE)
starlette = server.streamable_http_app(
    streamable_http_path=host.path,
    transport_security=TransportSecuritySettings(
        allowed_hosts=[host.netloc], allowed_origins=[f"{host.scheme}://{host.netloc}"]
    ),
)
starlette.routes.append(Route("/health", health))
app = verifier.guard(starlette)
