"""`auth-jwks demo`: the library at work, over real HTTP, with nothing else installed."""

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
HEADINGS = ("", "step", "asked", "outcome")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: how often the provider was asked for keys, and what came of it."""

    title: str
    jwks_requests: int
    outcome: str
    ok: bool


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

    async def run(self) -> list[Step]:
        """Take every step."""
        (first, second), provider = self.workers, self.provider
        token = provider.sign(aud=AUDIENCE)
        await self._step("a worker's first token", first, token, asked=1)
        await self._step("another worker's: shared", second, token, asked=0)
        await self._step("a forged token", first, provider.forge(aud=AUDIENCE), "signature")
        await self._step("one for another service", first, provider.sign(aud="x"), "audience")
        provider.rotate()
        token = provider.sign(aud=AUDIENCE)
        await self._step("the keys rotate", first, token, asked=1)
        await self._step("the other worker's: shared", second, token, asked=0)
        provider.outage()
        await self._step("an outage", first, provider.sign(aud=AUDIENCE, jti="2"))
        provider.recover()
        for worker in self.workers:
            await worker.aclose()
        for store in self.stores:
            await store.aclose()
        return self.steps

    async def _step(
        self, title: str, worker: JWKS, token: str, expected: str = "alice", asked: int = 0
    ) -> None:
        before = self.provider.jwks_requests
        try:
            outcome = str((await worker.verify_token(token))["sub"])
        except jwt.InvalidTokenError as error:
            outcome = str(reason_of(error))
        requests = self.provider.jwks_requests - before
        is_ok = (outcome, requests) == (expected, asked)
        words = f"verified: {outcome}" if outcome == "alice" else f"refused: {outcome}"
        self.steps.append(Step(title, requests, words, is_ok))


def demo(_: Namespace, console: Console) -> int:
    """Walk through a first token, a shared fetch, refusals, a rotation and an outage."""
    return finished(_demo(console))


async def _demo(console: Console) -> int:
    provider = FakeIssuer(algorithm="ES256")
    with tempfile.TemporaryDirectory() as folder, provider, _without_proxy():
        steps = await _Walk(provider, folder).run()
    if console.as_json:
        console.put_json({"steps": [asdict(step) for step in steps]})
    else:
        console.table([_row(step) for step in steps], headings=HEADINGS)
        console.say("asked: how often the provider was asked for its keys.")
    return GOOD if all(step.ok for step in steps) else REFUSED


@contextmanager
def _without_proxy() -> Iterator[None]:
    """Ask loopback itself, whatever proxy the environment names."""
    before = os.environ.get("NO_PROXY")
    os.environ["NO_PROXY"] = "127.0.0.1"
    try:
        yield
    finally:
        os.environ.pop("NO_PROXY")
        if before is not None:
            os.environ["NO_PROXY"] = before


def _row(step: Step) -> tuple[str, str, str, str]:
    return "ok" if step.ok else "FAIL", step.title, str(step.jwks_requests), step.outcome
