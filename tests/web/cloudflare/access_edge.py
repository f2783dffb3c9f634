"""Cloudflare's side of a team: TLS for its host, behind a proxy that leads there from anywhere."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trustme

from auth_jwks.testing import FakeIssuer

TEAM = "team"
HOST = "team.cloudflareaccess.com"
AUDIENCE = "32eafc7626e974616deaf0dc3ce63d7b"
CERTS = "/cdn-cgi/access/certs"
IDENTITY = "/cdn-cgi/access/get-identity"
PERSON: dict[str, Any] = {
    "aud": [AUDIENCE],
    "sub": "7335d417-61da",
    "email": "alice@example.com",
    "type": "app",
    "identity_nonce": "6ei69kawdKzMIAPF",
    "country": "US",
}
MACHINE: dict[str, Any] = {
    "aud": [AUDIENCE],
    "sub": "",
    "type": "app",
    "common_name": "e367826f93b8.access",
}
PROFILE: dict[str, Any] = {"email": "alice@example.com", "user_uuid": "7335d417-61da"}

Headers = list[tuple[str, str]]


def answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a response as it is sent."""
    fields = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
    lines = [f"HTTP/1.1 {status} ", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Edge:
    """What clients reach as the team's host, whatever the network: `answers` by path, as sent.

    A path whose answer is None is heard, and never answered; one that keeps the connection alive
    gets no more than its answer until the client goes away.
    """

    def __init__(self, issuer: FakeIssuer) -> None:
        self.answers: dict[str, bytes | None] = {}
        self.requests: list[tuple[str, Headers]] = []
        self.tunnels: list[str] = []
        self.asked = asyncio.Event()
        self.deserted = asyncio.Event()
        self.port = 0
        self.proxy = ""
        self._issuer = issuer

    @property
    def paths(self) -> list[str]:
        """What has been asked for, in order."""
        return [path for path, _ in self.requests]

    def sent(self, name: str) -> list[list[str]]:
        """Return the values of a header in each request for a profile."""
        return [
            [value for field, value in headers if field == name]
            for path, headers in self.requests
            if path == IDENTITY
        ]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        with contextlib.suppress(ConnectionError, EOFError, ssl.SSLError):
            request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            path = request.split()[1]
            fields = [line.partition(": ") for line in lines if line]
            self.requests.append((path, [(name.lower(), value) for name, _, value in fields]))
            known = {CERTS: answer(self._certs()), IDENTITY: answer(json.dumps(PROFILE).encode())}
            said = (known | self.answers)[path]
            if path in self.answers:
                self.asked.set()
            writer.write(said or b"")
            await writer.drain()
            if said is None or b"keep-alive" in said:
                await reader.read()
                self.deserted.set()
        writer.close()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a client of the proxy to this host, whomever it names (RFC 9110 §9.3.6)."""
        with contextlib.suppress(ConnectionError, EOFError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.tunnels.append(head.split()[1])
            from_host, to_host = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            await asyncio.gather(_copy(reader, to_host), _copy(from_host, writer))

    def _certs(self) -> bytes:
        return json.dumps({"keys": [key.jwk() for key in self._issuer.keys]}).encode()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(2**16):
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def edge_of(issuer: FakeIssuer, ca: trustme.CA, host: str = HOST) -> AsyncIterator[Edge]:
    """Serve the team's host, with a certificate for `host`, and the proxy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(host).configure_cert(context)
    edge = Edge(issuer)
    async with (
        await asyncio.start_server(edge.serve, "127.0.0.1", 0, ssl=context) as server,
        await asyncio.start_server(edge.connect, "127.0.0.1", 0) as proxy,
    ):
        edge.port = server.sockets[0].getsockname()[1]
        edge.proxy = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        yield edge
