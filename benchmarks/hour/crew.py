"""The worker processes of the hour benchmark."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks.hour.peers import ATTENDANTS
from benchmarks.verify.crew import Hired
from benchmarks.verify.peers import PEERS, Scene

__all__ = ["crew"]

ROOT = Path(__file__).parents[2]


@contextmanager
def crew(scene: Scene, pythons: dict[str, str]) -> Iterator[list[Hired]]:
    """Start a worker for each library, in the environment where it is installed."""
    words = json.dumps(asdict(scene))
    variables = os.environ | {"no_proxy": "127.0.0.1"}
    with ExitStack() as stack:
        hired = []
        for name in ATTENDANTS:
            command = [pythons[PEERS[name].home], "-m", "benchmarks.hour.worker", name, words]
            process = subprocess.Popen(  # noqa: S603 - a module of this program
                command, cwd=ROOT, env=variables, encoding="utf-8",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.kill)
            hired.append(Hired(name, PEERS[name], process))
        for worker in hired:
            worker.about = worker.answer()
        yield hired
