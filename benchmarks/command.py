"""The command line that every benchmark has."""

import argparse
from pathlib import Path

__all__ = ["OLD", "RESULTS", "command"]

RESULTS = Path(__file__).with_name("results")
# The interpreter that has auth-jwks 0.4.0, which has our import name; `make bench` makes it.
OLD = RESULTS.parents[1] / ".venv" / "bench-040" / "bin" / "python"


def command(name: str, description: str | None, quick: str) -> argparse.ArgumentParser:
    """Return the parser for `python -m benchmarks.NAME`; `quick` says what that leaves out."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results")
    return parser
