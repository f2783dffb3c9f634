"""The metadata of a protected resource (RFC 9728): the document, its place, and who may read it.

It tells clients which authorization servers issue the tokens that an API accepts. It is public.
"""

import json
from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from auth_jwks._asgi.public_paths import PLAIN_PATH, routed
from auth_jwks._asgi.scope import Scope
from auth_jwks._provider.urls import is_exposed
from auth_jwks._settings import checked_strings, checked_url
from auth_jwks.bearer import Challenge

__all__ = ["ProtectedResource"]

WELL_KNOWN = "/.well-known/oauth-protected-resource"
# Any page may read the document, and its client may ask with headers of its own, such as
# MCP-Protocol-Version, for which a browser sends a preflight (Fetch §3.2).
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, HEAD",
    "access-control-allow-headers": "*",
}
CACHED = {"cache-control": "public, max-age=3600"}


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """An API that accepts bearer tokens, as RFC 9728 describes it to its clients.

    `resource` is the API's identifier: an https URL without query and fragment, which clients
    compare with the URL that they call. Plain http is for local hosts. `issuers` are the URLs of
    the authorization servers whose tokens it accepts, `scopes` those that clients may request.

    The document belongs at `metadata_url` (§3.1), whose path is `metadata_path`. The value is an
    ASGI application too, which answers any HTTP request with the document.

    Raises `ValueError` or `TypeError`, which name the parameter and what was expected.
    """

    resource: str
    _: KW_ONLY
    issuers: Collection[str]
    scopes: Collection[str] = ()
    metadata_url: str = field(init=False)
    metadata_path: str = field(init=False)
    _body: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        path = _checked_path("resource", self.resource)
        issuers = tuple(dict.fromkeys(checked_strings("issuers", self.issuers)))
        if not issuers:
            raise ValueError("issuers: expected at least one URL")
        for issuer in issuers:
            _checked_path("issuers", issuer)
        parts = urlsplit(self.resource)
        metadata_path = WELL_KNOWN + (path if path != "/" else "")  # RFC 9728 §3.1
        metadata_url = f"{parts.scheme}://{parts.netloc}{metadata_path}"
        scopes = Challenge(scopes=self.scopes, resource_metadata=metadata_url).scopes
        members = {
            "resource": self.resource,
            "authorization_servers": issuers,
            "scopes_supported": scopes,
            "bearer_methods_supported": ["header"],
        }
        document = {name: value for name, value in members.items() if value}
        values = (issuers, scopes, metadata_url, metadata_path, json.dumps(document).encode())
        names = ("issuers", "scopes", "metadata_url", "metadata_path", "_body")
        for name, value in zip(names, values, strict=True):
            object.__setattr__(self, name, value)

    def is_asked(self, scope: Scope) -> bool:
        """Return whether a request is for the document, at its path or below a `root_path`."""
        if scope["type"] != "http":
            return False
        path, root_path = scope["path"], scope.get("root_path", "")
        if path == self.metadata_path:
            return True
        return root_path != "" and routed(path, root_path) == self.metadata_path

    async def __call__(self, scope: Scope, _receive: Any, send: Any, /) -> None:
        """Answer a request with the document. `GET` and `HEAD` get it; other methods are a 405."""
        status, headers, body = self._answer(scope["method"])
        headers = {**headers, **CORS, "content-length": str(len(body))}
        if status == 204:
            del headers["content-length"]  # RFC 9110 §8.6
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if _is_head(scope) else body})

    def _answer(self, method: str) -> tuple[int, dict[str, str], bytes]:
        json_type = {"content-type": "application/json"}
        if method in {"GET", "HEAD"}:
            return 200, {**json_type, **CACHED}, self._body
        allow = {"allow": "GET, HEAD, OPTIONS"}
        if method == "OPTIONS":
            return 204, allow, b""
        return 405, {**json_type, **allow}, b'{"detail":"Method not allowed"}'


def _is_head(scope: Scope) -> bool:
    return bool(scope["method"] == "HEAD")


def _checked_path(name: str, value: Any) -> str:
    """Return the path of a URL that has no query and no fragment, and is https or local."""
    parts = urlsplit(checked_url(name, value) or "")
    if not parts.scheme:
        raise TypeError(f"{name}: expected a URL, got None")
    if is_exposed(value):
        raise ValueError(f"{name}: expected an https URL, or http to a local host")
    is_plain = value.isascii() and PLAIN_PATH.fullmatch(parts.path or "/")
    if not is_plain or set('?#"') & set(value):
        raise ValueError(f"{name}: expected a plain ASCII URL without query, fragment and escapes")
    return parts.path
