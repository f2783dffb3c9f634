"""What providers publish, by URL, over real HTTP: whatever host is asked, loopback answers."""

import json
import ssl
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Self

import httpx

from auth_jwks.testing import SigningKey
from auth_jwks.testing._answer import Answer
from auth_jwks.testing._server import Server

KEY = SigningKey.generate("RS256", "jS1Xo1OWDj_52vbwGNgvQO2VzMc")

HOME, OTHER = "72f988bf-86f1-41af-91ab-2d7cd011db47", "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
LOGIN = "https://login.microsoftonline.com"
V2, V1 = f"{LOGIN}/{{tenantid}}/v2.0", "https://sts.windows.net/{tenantid}/"
V2_KEYS = f"{LOGIN}/common/discovery/v2.0/keys"


class Site:
    """Documents by URL, or statuses, which may change; anything else is answered 404.

    A host with one of `bearers` answers 401 to whoever lacks it. With an `ssl_context` it is also
    reached by TLS.
    """

    def __init__(
        self,
        documents: Mapping[str, object] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.documents = dict(documents or {})
        self.asked: list[str] = []
        self.bearers: dict[str, str] = {}
        self._server = Server(self._receive, None)
        self.url = self._server.url
        self._tls = Server(self._receive, ssl_context) if ssl_context else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._server, self._tls):
            if server is not None:
                server.closing.set()
                server.stop()

    def port(self, *, secure: bool) -> int:
        """Return where the site is reached."""
        server = self._tls if secure else self._server
        assert server
        return httpx.URL(server.url).port or 0

    def publish(self, issuer: str, at: str, keys: str, *members: object, **more: object) -> None:
        """Publish a discovery document, and a key set that it leads to."""
        self.documents[at] = {"issuer": issuer, "jwks_uri": keys, **more}
        self.documents[keys] = {"keys": list(members) or [KEY.jwk()]}

    def client(self) -> httpx.AsyncClient:
        """Return a client that finds every host here."""
        return httpx.AsyncClient(transport=_Rerouting(httpx.URL(self.url)))

    def _receive(
        self, _method: str, target: str, headers: Mapping[str, str]
    ) -> tuple[Answer, Future[bool] | None]:
        host = headers["host"]
        here = self.url.endswith(host)
        url = f"{self.url if here else 'https://' + host}{target}"
        if target.startswith("http:"):  # as a proxy is asked
            url = target
        elif url not in self.documents and f"http://{host}{target}" in self.documents:
            url = f"http://{host}{target}"
        self.asked.append(url)
        wanted = self.bearers.get(host)
        if wanted and headers.get("authorization") != f"Bearer {wanted}":
            return Answer(401), None
        document = self.documents.get(url, 404)
        if isinstance(document, int):
            return Answer(document), None
        return Answer(body=json.dumps(document).encode()), None


class _Rerouting(httpx.AsyncHTTPTransport):
    def __init__(self, url: httpx.URL) -> None:
        super().__init__()
        self._url = url

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        # The header `Host` was written before, and still names whom the client means.
        request.url = request.url.copy_with(scheme="http", host=self._url.host, port=self._url.port)
        return await super().handle_async_request(request)


def entra_key(issuer: str | None = V2, key: SigningKey = KEY) -> dict[str, Any]:
    """Return a JWK in the form of Entra ID: without `alg`, and with its issuer."""
    more = {"x5t": key.kid, "cloud_instance_name": "microsoftonline.com", "issuer": issuer}
    return key.jwk(alg=None, **more)


def publish_entra(site: Site, *members: object) -> None:
    """Publish the metadata of all tenants, as of 2026: of v2 and of v1."""
    keys = members or (entra_key(),)
    for tenant in ("common", "organizations"):
        at = f"{LOGIN}/{tenant}/v2.0/.well-known/openid-configuration"
        site.publish(V2, at, f"{LOGIN}/{tenant}/discovery/v2.0/keys", *keys)
    at = f"{LOGIN}/common/.well-known/openid-configuration"
    site.publish(V1, at, f"{LOGIN}/common/discovery/keys", entra_key(None))


def token(iss: object, key: SigningKey = KEY, **claims: object) -> str:
    """Return a token of that issuer."""
    now = int(time.time())
    return key.sign(
        {"iss": iss, "sub": "alice", "aud": "api", "iat": now, "exp": now + 300} | claims
    )


def of_tenant(tenant: str = HOME, template: str = V2, key: SigningKey = KEY, **more: object) -> str:
    """Return a token of a tenant of Entra ID."""
    iss = template.replace("{tenantid}", tenant)
    return token(iss, key, **{"tid": tenant, "ver": "2.0", **more})
