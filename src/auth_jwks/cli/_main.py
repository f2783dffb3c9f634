"""The entry: reads the command line, runs the command, and says how it ended."""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from auth_jwks.cli._arguments import parsed
from auth_jwks.cli._console import Console
from auth_jwks.cli._demo import demo
from auth_jwks.cli._doctor import doctor, keys
from auth_jwks.cli._faults import (
    GOOD,
    INTERRUPTED,
    PIPE,
    UNAVAILABLE,
    USAGE,
    UnavailableError,
    UsageError,
)
from auth_jwks.cli._inspect import inspect
from auth_jwks.cli._issuer import issuer
from auth_jwks.cli._store import store
from auth_jwks.cli._verify import verify

__all__ = ["main"]

COMMANDS = {
    "doctor": doctor, "keys": keys, "verify": verify, "inspect": inspect, "store": store,
    "issuer": issuer, "demo": demo,
}  # fmt: skip

# A command says itself what there is to say.
logging.getLogger("auth_jwks").addHandler(logging.NullHandler())


def main(
    argv: Sequence[str] | None = None,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> int:
    """Run the command that `argv` names, by default that of the process; return its exit status.

    0 is success, 1 rejected or unhealthy, 2 an invalid command line, 3 keys or a store that can't
    be reached, 130 an interruption, 141 a pipe that nobody reads.
    """
    console = Console(stdin or sys.stdin, stdout or sys.stdout, stderr or sys.stderr)
    try:
        status = _told(console, lambda: _run(argv, console))
        console.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _leave(console.stdout)
        return PIPE
    return status


def _run(argv: Sequence[str] | None, console: Console) -> int:
    try:
        with contextlib.redirect_stdout(console.stdout):
            arguments = parsed(argv)
    except SystemExit:  # after the help, or the version
        return GOOD
    command = COMMANDS[arguments.command]
    streams = console.stdin, console.stdout, console.stderr
    return command(arguments, Console(*streams, as_json=arguments.json))


def _told(console: Console, run: Callable[[], int]) -> int:
    try:
        return run()
    except UsageError as fault:
        text, status = str(fault), USAGE
    except UnavailableError as fault:
        text, status = str(fault), UNAVAILABLE
    console.say(f"auth-jwks: {text}")
    return status


def _leave(stdout: TextIO) -> None:
    """Let the interpreter's last flush go nowhere: nobody reads what is left."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
