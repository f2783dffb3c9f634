"""`auth-jwks demo`: the library at work, over real HTTP, with nothing else installed."""

import asyncio
import os
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import jwt

from auth_jwks._verifier import JWKS
from auth_jwks.cli._console import Console
from auth_jwks.cli._faults import GOOD, REFUSED, reason_of
from auth_jwks.cli._loop import finished
from auth_jwks.cli._verifier import in_options
from auth_jwks.stores.file import FileKeyStore
from auth_jwks.testing.issuer import FakeIssuer

__all__ = ["demo"]

AUDIENCE = "demo-api"
HEADINGS = ("", "step", "asked", "outcome", "PyJWT alone")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: how often the provider was asked for keys, and what came of it.

    The last two tell the same of PyJWT's own client with the same token.
    """

    title: str
    jwks_requests: int
    outcome: str
    ok: bool
    pyjwt_requests: int
    pyjwt_verified: bool


class _Walk:
    """A provider, two workers that share a store, and the steps so far."""

    def __init__(self, provider: FakeIssuer, folder: str) -> None:
        self.steps = list[Step]()
        self.provider = provider
        self.stores = [in_options(lambda: FileKeyStore(folder)) for _ in range(2)]
        self.workers = [
            JWKS(issuer=provider.issuer, aud=AUDIENCE, store=store, retries=0)
            for store in self.stores
        ]
        self.alone = [jwt.PyJWKClient(provider.jwks_uri) for _ in self.stores]

    async def run(self) -> list[Step]:
        """Take every step."""
        provider = self.provider
        token = provider.sign(aud=AUDIENCE)
        await self._step("a worker's first token", 0, token, asked=1)
        await self._step("another worker's: shared", 1, token)
        await self._step("a forged token", 0, provider.forge(aud=AUDIENCE), "signature")
        await self._step("one for another service", 0, provider.sign(aud="x"), "audience")
        provider.rotate()
        token = provider.sign(aud=AUDIENCE)
        await self._step("the keys rotate", 0, token, asked=1)
        await self._step("the other worker's: shared", 1, token)
        provider.outage()
        await self._step("an outage", 0, provider.sign(aud=AUDIENCE, jti="2"))
        provider.recover()
        for worker in self.workers:
            await worker.aclose()
        for store in self.stores:
            await store.aclose()
        return self.steps

    async def _step(
        self, title: str, worker: int, token: str, expected: str = "alice", asked: int = 0
    ) -> None:
        before = self.provider.jwks_requests
        try:
            outcome = str((await self.workers[worker].verify_token(token))["sub"])
        except jwt.InvalidTokenError as error:
            outcome = str(reason_of(error))
        between = self.provider.jwks_requests
        is_ok = (outcome, between - before) == (expected, asked)
        words = f"verified: {outcome}" if outcome == "alice" else f"refused: {outcome}"
        verified = await asyncio.to_thread(self._is_verified, worker, token)
        requests = self.provider.jwks_requests - between
        self.steps.append(Step(title, between - before, words, is_ok, requests, verified))

    def _is_verified(self, worker: int, token: str) -> bool:
        """Tell whether a worker verifies the token that has PyJWT alone."""
        try:
            key = self.alone[worker].get_signing_key_from_jwt(token)
            issuer = self.provider.issuer
            jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE, issuer=issuer)
        except jwt.PyJWTError:
            return False
        return True


def demo(_: Namespace, console: Console) -> int:
    """Walk through a first token, a shared fetch, refusals, a rotation and an outage."""
    return finished(_demo(console))


async def _demo(console: Console) -> int:
    provider = FakeIssuer(algorithm="ES256")
    with tempfile.TemporaryDirectory() as folder, provider, _without_proxy():
        walk = _Walk(provider, folder)
        steps = await walk.run()
    if console.as_json:
        console.put_json({"steps": [asdict(step) for step in steps]})
    else:
        console.table([_row(step) for step in steps], headings=HEADINGS)
        console.say("asked: how often the provider was asked for its keys.")
        console.say("PyJWT alone: the same with jwt.PyJWKClient in each worker. It looks for a new")
        wait = walk.alone[0].cooldown_duration
        console.say(f"key no sooner than {wait:g} seconds after its last fetch.")
        failed = sum(not step.ok for step in steps)
        verdict = f"{failed} of {len(steps)} steps did not end" if failed else "Every step ended"
        console.say(f"{verdict} as expected.")
    return GOOD if all(step.ok for step in steps) else REFUSED


@contextmanager
def _without_proxy() -> Iterator[None]:
    """Ask loopback itself, whatever proxy the environment names."""
    before = os.environ.get("no_proxy")  # which wins over NO_PROXY
    os.environ["no_proxy"] = "127.0.0.1"
    try:
        yield
    finally:
        os.environ.pop("no_proxy")
        if before is not None:
            os.environ["no_proxy"] = before


def _row(step: Step) -> tuple[str, str, str, str, str]:
    alone = f"asked {step.pyjwt_requests}, {'verified' if step.pyjwt_verified else 'refused'}"
    mark = "ok" if step.ok else "FAIL"
    return mark, step.title, str(step.jwks_requests), step.outcome, alone
