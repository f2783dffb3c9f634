"""Who verifies the tokens of an hour, with keys it fetches over HTTP, as its documentation says.

Ours is given a clock that passes an hour; its refreshes are paid for by the tokens of that hour.
The others' keys do not age in the seconds that this takes, and nothing is charged for that.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.verify.peers import OLD, OURS, PEERS, Scene

__all__ = ["ATTENDANTS", "HOUR", "Attendant", "Clerk"]

HOUR = 3600
ALGORITHM = "RS256"
COOLDOWN = "looks for an unknown key once in {} s of real time, so it is made anew"
IMPORTED = "fetches nothing, so the keys are imported anew"
FOUND = "finds the new key by itself"


async def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Clerk:
    """One verifier: what is called for a token, how time passes for it, and how it ends."""

    verify: Callable[[str], Any]
    passed: Callable[[float], Awaitable[None]] = _nothing
    close: Callable[[], Awaitable[None]] = _nothing


@dataclass(frozen=True, slots=True)
class Attendant:
    """How a library is used here, beside what `verify` knows of it, and its way with a rotation."""

    rotation: str
    make: Callable[[Scene], Clerk]


def auth_jwks(scene: Scene) -> Clerk:
    """auth-jwks with its defaults, and with a clock that begins an hour ago."""
    from auth_jwks import JWKS
    from auth_jwks.testing import FakeClock

    clock = FakeClock(time.time() - HOUR)
    jwks = JWKS(
        scene.discovery_url, scene.audience, allowed_algorithms=[ALGORITHM], issuer=scene.issuer,
        clock=clock,
    )  # fmt: skip

    async def passed(seconds: float) -> None:
        # A fetch takes milliseconds. If minutes went by meanwhile, it would time out.
        while jwks.status().refreshing:  # noqa: ASYNC110 - nobody tells when it ends
            await asyncio.sleep(0.0005)
        clock.advance(seconds)

    return Clerk(jwks.verify_token, passed, jwks.close)


def python_jose(scene: Scene) -> Clerk:
    """python-jose over a key set."""
    from jose import jwt

    keys = {"keys": scene.keys()}
    checks: dict[str, Any] = {"audience": scene.audience, "issuer": scene.issuer}
    return Clerk(lambda token: jwt.decode(token, keys, algorithms=[ALGORITHM], **checks))


def _as_in_verify(name: str, scene: Scene) -> Clerk:
    return Clerk(PEERS[name].make(scene, ALGORITHM).verify)


ATTENDANTS = {
    OURS: Attendant(f"{FOUND}, and refreshes by its clock", auth_jwks),
    **{
        name: Attendant(rotation, partial(_as_in_verify, name))
        for name, rotation in {
            "PyJWKClient": COOLDOWN.format(30),
            f"auth-jwks {OLD}": FOUND,
            "jwks-client": COOLDOWN.format(30),
            "pyjwt-key-fetcher": COOLDOWN.format(300),
            "joserfc": IMPORTED,
            "authlib": IMPORTED,
            "ryjwt adecode": COOLDOWN.format(30),
            "ryjwt decode": COOLDOWN.format(30),
            "clasp-jwt": FOUND,
        }.items()
    },
    "python-jose": Attendant(IMPORTED, python_jose),
}
