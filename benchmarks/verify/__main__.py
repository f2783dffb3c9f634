"""What it costs to verify a token, beside other libraries in the same run; see README.md.

The exit status is 1 if a target is missed.
"""

import argparse
import os
import sys
from dataclasses import asdict

from rich.console import Console

from auth_jwks.testing import FakeIssuer
from benchmarks.command import command
from benchmarks.report import failed, machine, printed, saved
from benchmarks.verify.crew import Hired, Pace, crew, measured, tried
from benchmarks.verify.peers import Scene
from benchmarks.verify.tables import Results
from benchmarks.verify.tokens import AUDIENCE, SIZES, Mint, keys

TITLE = "One token, beside other libraries"
QUICK = Pace(rounds=1, first=5, again=20, warm_up=20)
FULL = Pace(rounds=12, first=40, again=200, warm_up=600)


def compared(pythons: dict[str, str], pace: Pace) -> tuple[Results, list[Hired]]:
    """Measure everybody who is installed; return the results, and who was measured."""
    with FakeIssuer(keys=keys()) as issuer:
        scene = Scene(issuer.issuer, issuer.discovery_url, issuer.jwks_uri, AUDIENCE)
        mint = Mint(issuer)
        with crew(scene, pythons) as hired:
            present = tried(hired, mint)
            missing = [worker for worker in hired if worker not in present]
            return Results(measured(present, mint, pace), present, missing), present


def where_measured(present: list[Hired]) -> dict[str, object]:
    """Say where and with what; the workers' interpreter and libraries, not this program's."""
    libraries = {worker.name: worker.about[worker.peer.distribution] for worker in present}
    return machine() | {"python": present[0].about["python"], "libraries": libraries}


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = command("verify", __doc__, "smallest sizes")
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument(
        "--old", default=sys.executable, help="interpreter that has auth-jwks 0.4.0"
    )
    return parser.parse_args()


def main() -> bool:
    """Measure, print and save; return whether every target is met."""
    chosen = options()
    os.environ["no_proxy"] = "127.0.0.1"  # a proxy could not reach this machine's loopback
    pace = QUICK if chosen.quick else FULL
    load, console = machine()["load_before"], Console()
    results, present = compared({"peers": chosen.peers, "old": chosen.old}, pace)
    where = where_measured(present) | {"load_before": load}
    targets = list(results.targets())
    results.printed(console)
    printed(TITLE, targets, where, console)
    saved(
        chosen.output, "verify", [*targets, *results.rows()], where,
        quick=chosen.quick, pace=asdict(pace), value="the quickest round's time per call",
        bytes=SIZES, notes=list(results.notes()),
    )  # fmt: skip
    return not failed(targets)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
