"""Makes a verifier for each tenant, and has each fetch its keys; prints memory and time.

Reads who and what on standard input. Runs with any version of the library.
"""

import asyncio
import gc
import json
import logging
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import jwt

Verify = Callable[[str], Awaitable[Any]]
Tenant = dict[str, str]  # its `issuer`, its `jwks_uri`, and a `token`

AUDIENCE = "api"


def auth_jwks(tenant: Tenant) -> Verify:
    """Return a verifier of this library, or of the version that is installed here."""
    from auth_jwks import JWKS  # noqa: PLC0415 - who measures PyJWT must not load it

    return JWKS(aud=AUDIENCE, jwks_uri=tenant["jwks_uri"], issuer=tenant["issuer"]).verify_token


def pyjwk_client(tenant: Tenant) -> Verify:
    """Return one of the client that PyJWT brings."""
    client, issuer = jwt.PyJWKClient(tenant["jwks_uri"]), tenant["issuer"]

    async def verify(token: str) -> Any:
        key = client.get_signing_key_from_jwt(token)
        return jwt.decode(token, key, ["RS256"], audience=AUDIENCE, issuer=issuer)

    return verify


MAKERS = {"auth-jwks": auth_jwks, "PyJWKClient": pyjwk_client}


def memory() -> float:
    """Return the KiB that this process has in memory, without garbage."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1024


class Stage:
    """What something took, for each tenant."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> Self:
        self.kib, self.wall, self.cpu = memory(), time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu, self.wall = time.process_time() - self.cpu, time.perf_counter() - self.wall
        self.kib = memory() - self.kib

    def told(self) -> dict[str, float]:
        """Return KiB, and milliseconds by the clock and of CPU time."""
        per = {"kib": self.kib, "ms": 1e3 * self.wall, "cpu_ms": 1e3 * self.cpu}
        return {name: each / self.number for name, each in per.items()}


async def main(name: str, tenants: list[Tenant]) -> dict[str, Any]:
    """Return what the construction took, and then a first token of each tenant."""
    make = MAKERS[name]
    first, *others = tenants
    warm = make(first)  # loads what all of them share
    await warm(first["token"])
    with Stage(len(others)) as made:
        verifies = [make(tenant) for tenant in others]
    wrong = 0
    with Stage(len(others)) as fetched:
        for verify, tenant in zip(verifies, others, strict=True):
            claims = await verify(tenant["token"])
            wrong += claims["iss"] != tenant["issuer"]
    return {"made": made.told(), "with keys": fetched.told(), "wrong": wrong}


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    asked = json.load(sys.stdin)
    sys.stdout.write(json.dumps(asyncio.run(main(**asked))))
