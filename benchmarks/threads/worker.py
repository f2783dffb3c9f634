"""Verifies tokens in the threads of one process, by `SyncJWKS` and by PyJWT's own client.

Reads from where and what on standard input; prints the seconds per token of each round.
"""

import asyncio
import json
import logging
import platform
import sys
import time
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from typing import Any

import jwt

from auth_jwks import JWKS
from auth_jwks.sync import SyncJWKS

Verify = Callable[[str], object]
Source = dict[str, Any]

THREADS = 8


def ours(source: Source) -> Verify:
    """Return a verifier of this library."""
    return SyncJWKS(jwks_uri=source["jwks_uri"], issuer=source["issuer"]).verify_token


def theirs(source: Source) -> Verify:
    """Return one of the client that PyJWT brings, which keeps a set for five minutes."""
    client, issuer = jwt.PyJWKClient(source["jwks_uri"]), source["issuer"]

    def verify(token: str) -> object:
        key = client.get_signing_key_from_jwt(token)
        return jwt.decode(token, key, ["RS256", "ES256"], issuer=issuer, leeway=30.0)

    return verify


def strangers(token: str) -> Iterator[str]:
    """Yield that token under one made-up key id after the other."""
    rest = token[token.index(".") :]
    for number in count():
        header = json.dumps({"alg": "RS256", "kid": f"made-up-{number}"}).encode()
        yield urlsafe_b64encode(header).rstrip(b"=").decode() + rest


def refused(verify: Verify, tokens: list[str]) -> int:
    """Verify tokens one after the other, and return how many were refused."""
    number = 0
    for token in tokens:
        try:
            verify(token)
        except (jwt.InvalidTokenError, jwt.PyJWKClientError):
            number += 1
    return number


def measured(verify: Verify, shares: list[list[str]]) -> tuple[dict[str, float], int]:
    """Return the seconds per token, a thread for each share, and how many were refused."""
    with ThreadPoolExecutor(len(shares)) as threads:
        cpu, wall = time.process_time(), time.perf_counter()
        number = sum(threads.map(refused, [verify] * len(shares), shares))
        seconds = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    total = sum(map(len, shares))
    return {clock: each / total for clock, each in seconds.items()}, number


def rounds_of(source: Source, number: int) -> Iterator[dict[str, list[list[str]]]]:
    """Yield the tokens of each round by kind, in shares: for one thread, or for several."""
    same, *others = source["tokens"]
    fresh, made_up = iter(others), strangers(same)
    while True:
        yield {
            "seen before": [[copy(same) for _ in range(number)]],
            "seen first": [[*islice(fresh, number)]],
            "seen first, 8 threads": split(islice(fresh, number)),
            "made-up kid": [[*islice(made_up, number)]],
            "made-up kid, 8 threads": split(islice(made_up, number)),
        }


def split(tokens: Iterable[str]) -> list[list[str]]:
    """Deal tokens out to the threads."""
    dealt = [*tokens]
    return [dealt[one::THREADS] for one in range(THREADS)]


def copy(token: str) -> str:
    """Return a string of its own, as each request brings one."""
    return "".join((token[:1], token[1:]))


def beside_a_loop(source: Source, rounds: int, number: int) -> dict[str, list[float]]:
    """Return the seconds per token seen before of each round, in this thread and on its loop."""
    token, took = source["tokens"][0], defaultdict[str, list[float]](list)
    jwks = JWKS(jwks_uri=source["jwks_uri"], issuer=source["issuer"])
    in_a_thread = ours(source)

    async def on_the_loop(tokens: list[str]) -> float:
        began = time.perf_counter()
        for each in tokens:
            await jwks.verify_token(each)
        return time.perf_counter() - began

    with asyncio.Runner() as runner:
        for turn in range(rounds + 1):
            tokens = [[copy(token) for _ in range(number)] for _ in range(2)]
            began = time.perf_counter()
            for each in tokens[0]:
                in_a_thread(each)
            seconds = {"SyncJWKS": time.perf_counter() - began}
            seconds["JWKS"] = runner.run(on_the_loop(tokens[1]))
            for name in seconds if turn else ():
                took[name].append(seconds[name] / number)
    return took


def main(sources: dict[str, Source], rounds: int, number: int) -> dict[str, Any]:
    """Return the seconds per token of each round, by kind and by who verified."""
    verifiers = {"SyncJWKS": ours, "PyJWKClient": theirs}
    verifies = {name: make(sources[name]) for name, make in verifiers.items()}
    tokens = {name: rounds_of(sources[name], number) for name in verifiers}
    took: dict[str, dict[str, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    wrong = 0
    for turn in range(rounds + 1):
        shares = {name: next(each) for name, each in tokens.items()}
        for kind in shares["SyncJWKS"]:
            for name in verifiers if turn % 2 else reversed(verifiers):
                seconds, number_refused = measured(verifies[name], shares[name][kind])
                expected = sum(map(len, shares[name][kind])) if "made-up" in kind else 0
                wrong += number_refused != expected
                if turn:  # the first warms up
                    took[name][kind].append(seconds)
    loop = beside_a_loop(sources["SyncJWKS"], rounds, number)
    return {"took": took, "loop": loop, "wrong": wrong, "python": platform.python_version()}


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    asked = json.load(sys.stdin)
    sys.stdout.write(json.dumps(main(**asked)))
