"""The library at work: a provider on loopback, real HTTP, and a check of every step.

The exit status is 1 if any step had another outcome than expected.
"""

import asyncio
import io
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass

import jwt
from rich import box
from rich.console import Console
from rich.table import Table

from auth_jwks import JWKS
from auth_jwks.testing import FakeIssuer

AUDIENCE = "demo-api"
MINUTE = 60.0
DAY = 86_400.0
HUNDRED = range(100)

# The provider's answers to requests for the discovery document and for the keys.
NOTHING = ("", "")
FETCHED = ("200", "200")
UNCHANGED = ("200", "304")
DOWN = ("503 x4", "")

EXPLANATION = """\
Workers are JWKS(discovery_url, "demo-api", issuer=issuer) with default settings.
discovery, keys: the provider's answers, by its own count; blank: no request.
took: measured; waits are real. Only the clock was put forward: by 16 minutes
as the outage began, by a day during it, and by a minute at its end.
"""


class ForwardClock:
    """The machine's clocks, which can be put forward: hours pass at once, waits are real."""

    def __init__(self) -> None:
        self._ahead = 0.0

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
    """The outcome of a step, and the expected one."""

    title: str
    outcome: str
    expected_outcome: str
    asked: tuple[str, str]
    expected_asked: tuple[str, str]
    seconds: float

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

    async def run(self) -> None:
        """Run every step."""
        async with self._worker:
            await self._healthy()
            await self._attacked()
            await self._outage()

    async def _healthy(self) -> None:
        token = self._sign()
        await self.step("First token", self._verify(token), "alice, fresh keys", FETCHED)
        await self.step("The same token again", self._verify(token), "alice, fresh keys", NOTHING)
        tokens = [self._sign(jti=f"{n}") for n in HUNDRED]
        await self.step("100 tokens, new worker", self._cold(tokens), "alice x100", FETCHED)
        self._provider.rotate()
        work = self._verify(self._sign())
        await self.step("Key rotated, its first token", work, "alice, fresh keys", FETCHED)
        await self.step("Token of the old key", self._verify(token), "alice, fresh keys", NOTHING)

    async def _attacked(self) -> None:
        expired = self._verify(self._sign(exp=int(self._clock.time() - MINUTE)))
        await self.step("Expired a minute ago", expired, "ExpiredSignatureError", NOTHING)
        tokens = [self._provider.sign(aud=AUDIENCE, headers={"kid": f"{n}"}) for n in HUNDRED]
        flood = verify_all(self._worker, tokens)
        await self.step("100 made-up kids at once", flood, "UnknownKeyError x100", UNCHANGED)
        forged = self._verify(self._provider.forge(aud=AUDIENCE))
        await self.step("Forged under a known kid", forged, "InvalidSignatureError", NOTHING)

    async def _outage(self) -> None:
        self._provider.outage(503)
        self._clock.advance(16 * MINUTE)
        work = self._verify(self._sign())
        await self.step("Provider down, keys expired", work, "alice, stale keys", DOWN)
        flood = verify_all(self._worker, [self._sign(jti=f"{n}") for n in HUNDRED])
        await self.step("100 tokens in the cool-down", flood, "alice x100", NOTHING)
        cold = self._cold([self._sign()])
        await self.step("New worker, provider down", cold, "KeysUnavailableError", DOWN)
        self._clock.advance(DAY)
        work = self._verify(self._sign())
        await self.step("Keys more than a day old", work, "KeysUnavailableError", DOWN)
        self._provider.recover()
        self._clock.advance(MINUTE)
        work = self._verify(self._sign())
        await self.step("Provider back", work, "alice, fresh keys", UNCHANGED)

    async def step(
        self, title: str, work: Awaitable[str], outcome: str, asked: tuple[str, str]
    ) -> None:
        """Run a step, measure it, and record its outcome beside the expected one."""
        self._provider.reset()
        began = time.perf_counter()
        done = await work
        seconds = time.perf_counter() - began
        while self._worker.status().refreshing:  # noqa: ASYNC110 - there is nothing to await
            await asyncio.sleep(0.01)
        self.steps.append(Step(title, done, outcome, self._asked(), asked, seconds))

    def _new_worker(self) -> JWKS:
        provider, clock = self._provider, self._clock
        return JWKS(provider.discovery_url, AUDIENCE, issuer=provider.issuer, clock=clock)

    def _sign(self, **claims: object) -> str:
        return self._provider.sign(claims, aud=AUDIENCE)

    async def _verify(self, token: str) -> str:
        outcome = await outcome_of(self._worker, token)
        age = "fresh" if self._worker.status().fresh else "stale"
        return f"{outcome}, {age} keys" if outcome == "alice" else outcome

    async def _cold(self, tokens: Iterable[str]) -> str:
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


def counted(names: Iterable[str]) -> str:
    """Return each name once, with how often it occurs."""
    counts = Counter(names).items()
    return ", ".join(f"{name} x{n}" if n > 1 else name for name, n in counts)


def report(steps: Iterable[Step], log: str, console: Console) -> bool:
    """Print the steps and the log. Return whether every step ended as expected."""
    table = Table("step", "outcome", "discovery", "keys", box=box.SIMPLE_HEAD, padding=0)
    table.add_column("took", justify="right")
    table.add_column("")
    failed = [step for step in steps if not add_row(table, step)]
    console.print(table)
    console.print(EXPLANATION, "Warnings logged during the run:", sep="\n")
    console.print(log, style="dim", markup=False, highlight=False, soft_wrap=True)
    for step in failed:
        wanted, got = (step.expected_outcome, step.expected_asked), (step.outcome, step.asked)
        console.print(f"FAILED {step.title}: expected {wanted}, got {got}", style="red")
    console.print("FAILED" if failed else "Every step ended as expected.", style="bold")
    return not failed


def add_row(table: Table, step: Step) -> bool:
    """Add the step to the table. Return whether it ended as expected."""
    mark = "[green]ok[/]" if step.ok else "[red]FAILED[/]"
    table.add_row(step.title, step.outcome, *step.asked, f"{step.seconds * 1000:.1f} ms", mark)
    return step.ok


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
    sys.exit(0 if asyncio.run(main()) else 1)
