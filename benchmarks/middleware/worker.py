"""Calls an ASGI application in this process, bare and behind each middleware; prints the seconds.

Runs with any version of the library, in whatever environment that is installed.
"""

import asyncio
import json
import logging
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from auth_jwks import JWKS
from auth_jwks.cloudflare import CfaAuthMiddleware

Application = Callable[..., Awaitable[None]]

OK = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
# What a browser behind a proxy sends, beside the token.
USUAL = (
    (b"host", b"api.example.com"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"accept-language", b"en-GB,en;q=0.9"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"x-forwarded-proto", b"https"),
)


async def application(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer at once."""
    await send(OK)
    await send({"type": "http.response.body", "body": b"ok"})


async def receive() -> dict[str, Any]:
    """Give an empty body."""
    return {"type": "http.request", "body": b"", "more_body": False}


class Caller:
    """Makes the same request again and again, and counts the answers that are not 200."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.wrong = 0

    async def send(self, message: Any) -> None:
        """Take an answer."""
        self.wrong += message.get("status", 200) != 200

    async def requests(self, app: Application, header: bytes, prefix: str, number: int) -> float:
        """Return the seconds per request."""
        value = f"{prefix}{self.token}".encode()
        began = time.perf_counter()
        for _ in range(number):
            scope = {
                "type": "http", "method": "GET", "path": "/things", "raw_path": b"/things",
                "query_string": b"", "root_path": "", "scheme": "https", "http_version": "1.1",
                "asgi": {"version": "3.0", "spec_version": "2.3"}, "client": ("127.0.0.1", 5),
                "server": ("127.0.0.1", 80), "headers": [*USUAL, (header, value)],
            }  # fmt: skip
            await app(scope, receive, self.send)
        return (time.perf_counter() - began) / number

    async def verifications(self, jwks: JWKS, number: int) -> float:
        """Return the seconds per verification alone."""
        tokens = self.copies(number)
        began = time.perf_counter()
        for token in tokens:
            await jwks.verify_token(token)
        return (time.perf_counter() - began) / number

    def blocking(self, jwks: Any, number: int) -> float:
        """Return the seconds per verification in a thread without an event loop's help."""
        tokens = self.copies(number)
        began = time.perf_counter()
        for token in tokens:
            jwks.verify_token(token)
        return (time.perf_counter() - began) / number

    def copies(self, number: int) -> list[str]:
        """Return the token as strings of their own, as each request brings one."""
        return ["".join((self.token[:1], self.token[1:])) for _ in range(number)]


async def main(url: str, issuer: str, token: str, rounds: int, number: int) -> dict[str, Any]:
    """Return the seconds per call of each round, by what was called."""
    jwks, caller = JWKS(url, issuer=issuer), Caller(token)
    verify: Any = jwks.verify_token
    bearer, assertion = (b"authorization", "Bearer "), (b"cf-access-jwt-assertion", "")
    cases: dict[str, tuple[Application, tuple[bytes, str]]] = {
        "bare application": (application, bearer),
        "CfaAuthMiddleware": (CfaAuthMiddleware(application, verify_token=verify), assertion),
    }
    threads: Any = None
    if find_spec("auth_jwks.sync"):
        guard = import_module("auth_jwks.asgi").JWTAuthMiddleware
        cases["JWTAuthMiddleware"] = guard(application, jwks), bearer
        threads = import_module("auth_jwks.sync").SyncJWKS(url, issuer=issuer)
    took: dict[str, list[float]] = defaultdict(list)
    for turn in range(rounds + 1):
        seconds = {"JWKS.verify_token": await caller.verifications(jwks, number)}
        if threads is not None:
            seconds["SyncJWKS.verify_token"] = caller.blocking(threads, number)
        for name in cases if turn % 2 else reversed(cases):
            app, header = cases[name]
            seconds[name] = await caller.requests(app, *header, number)
        for name in seconds if turn else ():  # the first warms up
            took[name].append(seconds[name])
    await jwks.close()
    if threads is not None:
        threads.close()
    return {
        "took": took, "wrong": caller.wrong, "python": platform.python_version(),
        "libraries": {name: version(name) for name in ("auth-jwks", "starlette")},
    }  # fmt: skip


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    url_, issuer_, token_, rounds_, number_ = sys.argv[1:]
    answer = asyncio.run(main(url_, issuer_, token_, int(rounds_), int(number_)))
    sys.stdout.write(json.dumps(answer))
