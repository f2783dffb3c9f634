"""What an hour of a service's tokens costs, beside other libraries; see README.md.

The exit status is 1 if a target is missed.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from benchmarks.command import command
from benchmarks.hour.crew import crew
from benchmarks.hour.mix import Plan, hours
from benchmarks.hour.peers import HOUR
from benchmarks.hour.tables import Results, Told
from benchmarks.report import failed, machine, printed, saved
from benchmarks.verify.crew import Hired
from benchmarks.verify.peers import OURS, Scene
from benchmarks.verify.tokens import AUDIENCE

TITLE = "An hour of tokens, beside other libraries"
# In the second one more tokens are in use than a verifier remembers.
FULL = (Plan(4000, active=500), Plan(2000, active=1500))
QUICK = (Plan(20, active=5),)
CLOSE = 3  # times ours: whoever takes longer in the first round is not measured again


def measured(plans: tuple[Plan, ...], pythons: dict[str, str], rounds: int) -> Results:
    """Have everybody who is installed verify each hour, in turn, round by round."""
    earlier, later = (SigningKey.generate("RS256") for _ in range(2))
    # Tokens are valid an hour from now; those of ours begin an hour ago, so its end is now.
    clock = FakeClock(time.time() - HOUR)
    with FakeIssuer(keys=[earlier], clock=clock) as issuer, TemporaryDirectory() as folder:
        scene = Scene(issuer.issuer, issuer.discovery_url, issuer.jwks_uri, AUDIENCE)
        files = {plan: _written(Path(folder), plan, issuer, later) for plan in plans}
        with crew(scene, pythons) as hired:
            present = [worker for worker in hired if "missing" not in worker.about]
            told: Told = defaultdict(lambda: defaultdict(list))
            for turn in range(rounds):
                for plan, kinds in files.items():
                    for worker in _turned(_close(present, told[plan]), turn):
                        file = kinds[worker.peer.audience]
                        spent = _spent(worker, file, issuer, earlier, later)
                        told[plan][worker.name].append(spent)
            missing = [worker for worker in hired if worker not in present]
            return Results(told, present, missing)


def _close(present: list[Hired], told: dict[str, list[dict[str, float]]]) -> list[Hired]:
    """Return those who are near enough to ours to be measured once more."""
    if not told:
        return present
    least = {name: min(each["cpu"] for each in rounds) for name, rounds in told.items()}
    return [worker for worker in present if least[worker.name] <= CLOSE * least[OURS]]


def _turned(workers: list[Hired], turn: int) -> list[Hired]:
    return workers[turn:] + workers[:turn]


def _written(folder: Path, plan: Plan, issuer: FakeIssuer, later: SigningKey) -> dict[bool, str]:
    files = {}
    for audience, hour in hours(plan, issuer, later).items():
        file = folder / f"{plan.tokens} {plan.active} {audience}.json"
        file.write_text(json.dumps(asdict(hour)), "utf-8")
        files[audience] = str(file)
    return files


def _spent(
    worker: Hired, file: str, issuer: FakeIssuer, earlier: SigningKey, later: SigningKey
) -> dict[str, float]:
    issuer.rotate(earlier, keep=False)
    issuer.reset()
    worker.do("begin", file=file)
    worker.do("half", number=0)
    issuer.rotate(later)
    spent: dict[str, float] = worker.do("half", number=1)
    return spent | {"fetches": issuer.jwks_requests}


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = command("hour", __doc__, "a few tokens")
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument(
        "--old", default=sys.executable, help="interpreter that has auth-jwks 0.4.0"
    )
    return parser.parse_args()


def main() -> bool:
    """Measure, print and save; return whether every target is met."""
    chosen = options()
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    plans, rounds = (QUICK, 1) if chosen.quick else (FULL, 3)
    where, console = machine(), Console()
    results = measured(plans, {"peers": chosen.peers, "old": chosen.old}, rounds)
    where |= results.versions()
    rows = results.rows()
    results.printed(console)
    printed(TITLE, rows, where, console)
    saved(
        chosen.output, "hour", rows, where,
        quick=chosen.quick, mix=[plan.told() for plan in plans], notes=results.notes(),
    )  # fmt: skip
    return not failed(rows)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
