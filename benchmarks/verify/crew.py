"""The worker processes of the verify benchmark, and the rounds they are measured in."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from benchmarks.verify.peers import PEERS, Peer, Scene
from benchmarks.verify.tokens import ALGORITHMS, SIZES, Cell, Mint

__all__ = ["Hired", "Pace", "Times", "crew", "measured", "tried"]

ROOT = Path(__file__).parents[2]
UNTIMED = 10  # calls before the timed ones of a round

Mode = Literal["seen before", "seen first"]
Times = dict[tuple[Mode, Cell, str], list[float]]


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is measured; `warm_up` tokens fill the caches of verifiers that have one."""

    rounds: int
    first: int
    again: int
    warm_up: int


@dataclass(slots=True)
class Hired:
    """One worker process."""

    name: str
    peer: Peer
    process: subprocess.Popen[str]
    about: dict[str, Any] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def do(self, command: str, **arguments: object) -> Any:
        """Give a command and return the answer."""
        if self.process.stdin is None:
            raise RuntimeError("no pipe to the worker")
        self.process.stdin.write(json.dumps((command, arguments)) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        """Return the next answer."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise RuntimeError(f"the worker for {self.name} is gone")
        return json.loads(line)


@contextmanager
def crew(scene: Scene, pythons: dict[str, str]) -> Iterator[list[Hired]]:
    """Start a worker for each peer, in the environment where it is installed."""
    words = json.dumps(asdict(scene))
    variables = os.environ | {"no_proxy": "127.0.0.1"}
    with ExitStack() as stack:
        hired = []
        for name, peer in PEERS.items():
            command = [pythons.get(peer.home, sys.executable), "-m", "benchmarks.verify.worker"]
            process = subprocess.Popen(  # noqa: S603 - a module of this program
                [*command, name, words], cwd=ROOT, env=variables, encoding="utf-8",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.kill)
            hired.append(Hired(name, peer, process))
        for worker in hired:
            worker.about = worker.answer()
        yield hired


def tried(hired: Iterable[Hired], mint: Mint) -> list[Hired]:
    """Return the workers whose peer is installed, with what each of them can't verify."""
    present = [worker for worker in hired if "missing" not in worker.about]
    for worker in present:
        audience, claims = worker.peer.audience, worker.peer.claims
        for algorithm in ALGORITHMS:
            good = next(mint.tokens(Cell(algorithm, "0.9 KiB"), audience=audience))
            bad = mint.bad(algorithm, audience=audience, claims=claims)
            problem = worker.do("trial", algorithm=algorithm, good=good, bad=bad)
            if problem:
                worker.problems[algorithm] = problem
    return present


def measured(present: list[Hired], mint: Mint, pace: Pace) -> Times:
    """Measure all peers in turn, sort by sort, round by round; return the times of the rounds."""
    times: Times = {}
    cells = [Cell(algorithm, size) for size in SIZES for algorithm in ALGORITHMS]
    supplies = {
        (cell, audience): mint.tokens(cell, audience=audience)
        for cell in cells
        for audience in {worker.peer.audience for worker in present}
    }
    for turn in range(1 + pace.rounds):
        number = pace.first + UNTIMED if turn else pace.warm_up
        for cell in cells:
            tokens = {
                audience: list(islice(supplies[cell, audience], number))
                for audience in {worker.peer.audience for worker in present}
            }
            for worker in _turned(present, turn):
                if cell.algorithm not in worker.problems:
                    _measure(worker, cell, tokens[worker.peer.audience], pace, times)
        if not turn:
            times.clear()
    return times


def _turned(present: list[Hired], turn: int) -> list[Hired]:
    """Return them in another order each time, so that none is always after the same one."""
    start = turn % len(present)
    return present[start:] + present[:start]


def _measure(worker: Hired, cell: Cell, tokens: list[str], pace: Pace, times: Times) -> None:
    common = {"algorithm": cell.algorithm, "untimed": UNTIMED}
    first = worker.do("measure", tokens=tokens, **common)
    again = worker.do("again", token=tokens[-1], count=pace.again, **common)
    times.setdefault(("seen first", cell, worker.name), []).append(first)
    times.setdefault(("seen before", cell, worker.name), []).append(again)
