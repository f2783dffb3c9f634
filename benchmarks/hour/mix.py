"""The tokens of an hour, in the order in which they come: each ten times, and junk among them."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from auth_jwks.testing import FakeIssuer, SigningKey
from benchmarks.verify.tokens import AUDIENCE, Cell, Mint

__all__ = ["Hour", "Plan", "hours"]

CELL = Cell("RS256", "0.9 KiB")
TIMES = 10
JUNK = 0.01
SEED = 18
EXPIRED = 16  # of twenty: most of what a service refuses was good once
OTHERS = ("a forged signature", "another issuer", "another audience", "no token")


@dataclass(frozen=True, slots=True)
class Plan:
    """How many tokens there are, and how many of them are in use at a time."""

    tokens: int
    active: int

    @property
    def name(self) -> str:
        """What it is called in the tables."""
        return f"{self.tokens:,} tokens, {self.active:,} at a time"

    @property
    def junk(self) -> int:
        """How many are junk."""
        return round(self.tokens * TIMES * JUNK)

    @property
    def calls(self) -> int:
        """How many come in all."""
        return self.tokens * TIMES + self.junk

    def told(self) -> str:
        """Say what comes, and what happens meanwhile."""
        return (
            f"{self.tokens:,} {CELL.algorithm} tokens of {CELL.size}, {TIMES} times each,"
            f" {self.active:,} of them in use at a time; {self.junk:,} to be refused, of twenty"
            f" {EXPIRED} expired and the others with {', '.join(OTHERS)}; one rotation, halfway"
        )


@dataclass(slots=True)
class Hour:
    """Tokens, and the order they come in: `halves` are their numbers until the rotation, and after.

    What is at `good` and beyond is junk.
    """

    tokens: list[str] = field(default_factory=list)
    good: int = 0
    halves: tuple[list[int], list[int]] = ([], [])


def hours(plan: Plan, issuer: FakeIssuer, later: SigningKey) -> dict[bool, Hour]:
    """Return the hour with tokens that have an audience, and the same one without any.

    Those that come first in the second half are signed by `later`.
    """
    order = [*_order(plan)]
    half = len(order) // 2
    known = max(order[:half]) + 1
    both = {}
    earlier = issuer.signing_key
    for audience in (True, False):
        issuer.rotate(earlier, keep=False)
        minted = Mint(issuer).tokens(CELL, audience=audience)
        good = [next(minted) for _ in range(known)]
        issuer.rotate(later)
        minted = Mint(issuer).tokens(CELL, audience=audience)
        good += [next(minted) for _ in range(plan.tokens - known)]
        # Junk bears the name of the older key, which everybody knows from the first token on.
        junk = _junk(issuer, earlier, audience=audience)
        hour = Hour([*good, *(next(junk) for _ in range(plan.junk))], plan.tokens)
        mixed = [*_mixed(order, hour)]
        cut = _position(mixed, half, plan.tokens)
        hour.halves = (mixed[:cut], mixed[cut:])
        both[audience] = hour
    issuer.rotate(earlier, keep=False)
    return both


def _order(plan: Plan) -> Iterator[int]:
    """Yield each number ten times; who is used up makes room for the next one."""
    chance = random.Random(SEED)  # noqa: S311 - the same order in each run
    coming = iter(range(plan.tokens))
    left = dict.fromkeys((next(coming) for _ in range(plan.active)), TIMES)
    active = [*left]
    while active:
        place = chance.randrange(len(active))
        number = active[place]
        yield number
        left[number] -= 1
        if left[number]:
            continue
        following = next(coming, None)
        if following is None:
            active[place] = active[-1]
            active.pop()
        else:
            left[following], active[place] = TIMES, following


def _mixed(order: list[int], hour: Hour) -> Iterator[int]:
    """Yield the numbers of the good tokens in their order, with the junk spread among them."""
    every = len(order) / (len(hour.tokens) - hour.good)
    junk = iter(range(hour.good, len(hour.tokens)))
    due = every / 2
    for place, number in enumerate(order):
        if place >= due:
            yield next(junk)
            due += every
        yield number


def _position(mixed: list[int], half: int, good: int) -> int:
    """Return where the good one with that number in its order is."""
    seen = -1
    for place, number in enumerate(mixed):
        seen += number < good
        if seen == half:
            return place
    raise IndexError(half)


def _junk(issuer: FakeIssuer, key: SigningKey, *, audience: bool) -> Iterator[str]:
    """Yield what has to be refused, no two alike, each sort in turn."""
    forger = SigningKey.generate(key.algorithm, key.kid)
    aud, now = AUDIENCE if audience else None, int(time.time())
    others = OTHERS if audience else tuple(sort for sort in OTHERS if "audience" not in sort)
    every = 20 // (20 - EXPIRED)
    for number in count():
        claims = {"jti": f"junk {number}", "aud": aud, "exp": now + 7200}
        if (number + 1) % every:
            yield issuer.sign(claims | {"exp": now - 7200}, key=key)
            continue
        match others[number // every % len(others)]:
            case "a forged signature":
                yield issuer.sign(claims, key=forger)
            case "another issuer":
                yield issuer.sign(claims | {"iss": "https://else.test"}, key=key)
            case "another audience":
                yield issuer.sign(claims | {"aud": "another"}, key=key)
            case _:
                yield f"session={number}"
