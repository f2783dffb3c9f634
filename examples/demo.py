"""The library at work, and PyJWT alone beside it: a provider on loopback, and real HTTP.

It takes a few seconds. The exit status is 1 if any step had another outcome than expected.
"""

import argparse
import asyncio
import io
import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jwt
from rich.console import Console

from auth_jwks import JWKS
from auth_jwks.testing import FakeIssuer
from examples.bare import LIMITS, Bare
from examples.output import counted, say

AUDIENCE = "demo-api"
MINUTE = 60.0
DAY = 86_400.0
HUNDRED = range(100)

# The provider's answers to requests for the discovery document and for the keys.
NOTHING = ("", "")
FETCHED = ("200", "200")
UNCHANGED = ("200", "304")
DOWN = ("503 x4", "")

UNAVAILABLE = "KeysUnavailableError"

TITLE = "One worker and its provider, step by step"
INTRODUCTION = (
    "Each step is taken twice: with this library, and with PyJWT alone (PyJWKClient, decode).",
    (
        "discovery, keys: how the provider answered requests for its two documents. 200: sent. "
        "304: unchanged, so not sent again. 503 x4: unavailable, four times. Blank: not asked. "
        "PyJWT is told where the keys are, and needs no discovery."
    ),
)
CONCLUSION = (
    'Workers are JWKS(discovery_url, "demo-api", issuer=issuer) with default settings. Waits are '
    "real. Only the clock was put forward: by 16 minutes as the outage began, by a day during it, "
    "and by a minute at its end. PyJWT reads the machine's clock: its cache was emptied instead."
)


class ForwardClock:
    """The machine's clocks, which can be put forward: hours pass at once, waits are real."""

    def __init__(self) -> None:
        self._ahead = 0.0

    @property
    def ahead(self) -> float:
        """By how many seconds the clocks have been put forward."""
        return self._ahead

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return time.monotonic() + self._ahead

    def time(self) -> float:
        """Return seconds since the Unix epoch."""
        return time.time() + self._ahead

    sleep = staticmethod(asyncio.sleep)

    def advance(self, seconds: float) -> None:
        """Put both clocks forward."""
        self._ahead += seconds


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of a step, and the expected one. `alone` is that of PyJWT without the library."""

    title: str
    outcome: str
    expected_outcome: str
    asked: tuple[str, str]
    expected_asked: tuple[str, str]
    seconds: float
    alone: tuple[str, str] = ("", "")

    @property
    def ok(self) -> bool:
        """Whether the outcome is the expected one."""
        return (self.outcome, self.asked) == (self.expected_outcome, self.expected_asked)


class Demo:
    """One provider, one long-lived verifier, and the steps run with them."""

    def __init__(self, provider: FakeIssuer, clock: ForwardClock) -> None:
        self.steps: list[Step] = []
        self._provider = provider
        self._clock = clock
        self._worker = self._new_worker()
        self._bare = self._new_bare()

    async def run(self) -> None:
        """Run every step."""
        async with self._worker:
            await self._healthy()
            await self._attacked()
            await self._outage()

    async def _healthy(self) -> None:
        token = self._sign()
        await self.step("First token", [token], "alice, fresh keys", FETCHED)
        await self.step("The same token again", [token], "alice, fresh keys", NOTHING)
        await self.step("100 tokens, new worker", self._hundred(), "alice x100", FETCHED, cold=True)
        self._provider.rotate()
        await self.step("First token of a new key", [self._sign()], "alice, fresh keys", FETCHED)
        await self.step("Token of the old key", [token], "alice, fresh keys", NOTHING)

    async def _attacked(self) -> None:
        expired = self._sign(exp=int(self._clock.time() - MINUTE))
        await self.step("Expired a minute ago", [expired], "ExpiredSignatureError", NOTHING)
        flood = [self._provider.sign(aud=AUDIENCE, headers={"kid": f"{n}"}) for n in HUNDRED]
        await self.step("100 made-up kids at once", flood, "UnknownKeyError x100", UNCHANGED)
        forged = self._provider.forge(aud=AUDIENCE)
        await self.step("Forged under a known kid", [forged], "InvalidSignatureError", NOTHING)

    async def _outage(self) -> None:
        self._provider.outage(503)
        self._forward(16 * MINUTE)
        await self.step("Provider down, keys expired", [self._sign()], "alice, stale keys", DOWN)
        await self.step("100 tokens in the cool-down", self._hundred(), "alice x100", NOTHING)
        token = self._sign()
        await self.step("New worker, provider down", [token], UNAVAILABLE, DOWN, cold=True)
        self._forward(DAY)
        await self.step("Keys more than a day old", [self._sign()], UNAVAILABLE, DOWN)
        self._provider.recover()
        self._clock.advance(MINUTE)
        await self.step("Provider back", [self._sign()], "alice, fresh keys", UNCHANGED)

    async def step(
        self, title: str, tokens: Sequence[str], outcome: str, asked: tuple[str, str],
        *, cold: bool = False,
    ) -> None:  # fmt: skip
        """Take a step, measure it, and record its outcome beside the expected one and PyJWT's."""
        self._provider.reset()
        began = time.perf_counter()
        done = await (self._cold(tokens) if cold else self._warm(tokens))
        seconds = time.perf_counter() - began
        while self._worker.status().refreshing:  # noqa: ASYNC110 - there is nothing to await
            await asyncio.sleep(0.01)
        answers = self._asked()
        self._provider.reset()
        bare = self._new_bare() if cold else self._bare
        alone = await asyncio.to_thread(bare.verify_all, tokens)
        compared = alone, self._asked()[1]
        self.steps.append(Step(title, done, outcome, answers, asked, seconds, compared))

    def _forward(self, seconds: float) -> None:
        self._clock.advance(seconds)
        self._bare.expire()

    def _new_worker(self) -> JWKS:
        provider, clock = self._provider, self._clock
        return JWKS(provider.discovery_url, AUDIENCE, issuer=provider.issuer, clock=clock)

    def _new_bare(self) -> Bare:
        return Bare(self._provider, AUDIENCE, lambda: self._clock.ahead)

    def _sign(self, **claims: object) -> str:
        return self._provider.sign(claims, aud=AUDIENCE)

    def _hundred(self) -> list[str]:
        return [self._sign(jti=f"{n}") for n in HUNDRED]

    async def _warm(self, tokens: Sequence[str]) -> str:
        outcome = await verify_all(self._worker, tokens)
        age = "fresh" if self._worker.status().fresh else "stale"
        return f"{outcome}, {age} keys" if outcome == "alice" else outcome

    async def _cold(self, tokens: Sequence[str]) -> str:
        async with self._new_worker() as worker:
            return await verify_all(worker, tokens)

    def _asked(self) -> tuple[str, str]:
        """Return the answers as the provider itself counted them."""
        url, requests = self._provider.discovery_url, self._provider.requests
        discovery = [str(asked.status) for asked in requests if url.endswith(asked.path)]
        keys = [str(asked.status) for asked in requests if not url.endswith(asked.path)]
        return counted(discovery), counted(keys)


async def outcome_of(worker: JWKS, token: str) -> str:
    """Return the subject of a valid token, or the name of the error for another."""
    try:
        return str((await worker.verify_token(token))["sub"])
    except jwt.InvalidTokenError as error:
        return type(error).__name__


async def verify_all(worker: JWKS, tokens: Iterable[str]) -> str:
    """Verify all tokens at once, and return a summary of the outcomes."""
    return counted(await asyncio.gather(*(outcome_of(worker, token) for token in tokens)))


def report(steps: Sequence[Step], log: str, console: Console) -> bool:
    """Print the steps and the log. Return whether every step ended as expected."""
    say(console, TITLE, style="bold")
    say(console, "", *INTRODUCTION, "")
    console.print(row("", "", "discovery", "keys", "took"), style="bold")
    for step in steps:
        took, mark = f"{step.seconds * 1000:.1f} ms", "ok" if step.ok else "FAILED"
        line = row(step.title, step.outcome, *step.asked, took, mark)
        console.print(line, style="" if step.ok else "red", highlight=False, soft_wrap=True)
        outcome, keys = step.alone
        line = row("  PyJWT alone", outcome, "", keys)
        console.print(line, style="dim", highlight=False, soft_wrap=True)
    say(console, "", CONCLUSION, LIMITS, "", "Warnings logged during the run:")
    say(console, *log.splitlines(), style="dim", indent="  ")
    return verdict(steps, console)


def row(title: str, outcome: str, discovery: str, keys: str, took: str = "", mark: str = "") -> str:
    """Return a row of the table. An outcome may be as long as two columns, if one is empty."""
    told = f"{outcome:<22}{discovery:<10}" if discovery else f"{outcome:<32}"
    return f"{title:<28}{told}{keys:<9}{took:>8} {mark}".rstrip()


def verdict(steps: Sequence[Step], console: Console) -> bool:
    """Print how it all ended, in one sentence after what failed. Return whether nothing did."""
    failed = [step for step in steps if not step.ok]
    for step in failed:
        wanted, got = (step.expected_outcome, step.expected_asked), (step.outcome, step.asked)
        say(console, "", f"FAILED {step.title}: expected {wanted}, got {got}", style="red")
    good = f"All {len(steps)} steps ended as expected."
    bad = f"{len(failed)} of {len(steps)} steps did not end as expected."
    say(console, "", bad if failed else good, style="bold")
    return not failed


async def main() -> bool:
    """Run the demo against its own provider. Return whether every step ended as expected."""
    log = io.StringIO()
    logging.basicConfig(stream=log, level=logging.WARNING, format="%(levelname)s %(message)s")
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    clock = ForwardClock()
    with FakeIssuer(algorithm="ES256", clock=clock) as provider:
        demo = Demo(provider, clock)
        await demo.run()
    return report(demo.steps, log.getvalue(), Console())


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__).parse_args()
    sys.exit(0 if asyncio.run(main()) else 1)
