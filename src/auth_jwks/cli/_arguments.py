"""What can be said on the command line, and what is answered to anything else."""

import math
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from auth_jwks._version import __version__
from auth_jwks.cli._faults import UsageError

__all__ = ["parsed"]

STATUSES = """\
exit status: 0 good, 1 refused or unhealthy, 2 a command line that makes no sense,
3 the keys or the store can't be reached
"""
ON_THE_COMMAND_LINE = (
    "; a token is read from standard input or --token-file, as others can see a command line"
)


class _Parser(ArgumentParser):
    """A parser whose complaints repeat nothing that was typed: it may be a token or a password."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def _print_message(self, message: str, file: object = None) -> None:  # noqa: ARG002
        # argparse itself would ignore a pipe that nobody reads.
        sys.stdout.write(message)

    def error(self, message: str) -> NoReturn:
        text = re.sub(r"invalid choice: .* \(choose", "expected one of those (choose", message)
        text = re.sub(r"ignored explicit argument .*", "expected no value", text, flags=re.DOTALL)
        if text.startswith("unrecognized arguments"):
            text = "unexpected arguments: this command takes no such option or value"
            text += ON_THE_COMMAND_LINE
        raise UsageError(f"{text}\n{self.format_usage().rstrip()}")


def parsed(argv: Sequence[str] | None) -> Namespace:
    """Return what the command line says. Raises `UsageError`, or `SystemExit` after the help."""
    parser = _Parser(
        prog="auth-jwks",
        description="See what a provider, a token or a store is about, and act.",
        epilog=STATUSES,
    )
    parser.add_argument("--version", action="version", version=f"auth-jwks {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (
        _add_doctor,
        _add_keys,
        _add_verify,
        _add_inspect,
        _add_store,
        _add_issuer,
        _add_demo,
    ):
        add(commands)
    return parser.parse_args(argv)


def _command(commands: Any, name: str, text: str, **options: Any) -> ArgumentParser:
    parser: ArgumentParser = commands.add_parser(name, help=text, description=text, **options)
    parser.add_argument("--json", action="store_true", help="write JSON to standard output")
    return parser


def _add_doctor(commands: Any) -> None:
    parser = _command(commands, "doctor", "Look at a provider: what is wrong, and what to change.")
    _add_target(parser)
    parser.add_argument("--token-file", metavar="FILE", help="verify this token too; - for stdin")
    parser.add_argument("--aud", action="append", default=[], help="the audience of that token")


def _add_keys(commands: Any) -> None:
    _add_target(_command(commands, "keys", "Show the keys of a provider, one in a line."))


def _add_target(parser: ArgumentParser) -> None:
    parser.add_argument(
        "target", metavar="ISSUER|URL", help="the issuer, or the URL of discovery or of a key set"
    )
    _add_algorithms(parser)


def _add_verify(commands: Any) -> None:
    parser = _command(commands, "verify", "Verify the token in standard input, check by check.")
    _add_source(parser)
    _add_algorithms(parser)
    _add_token(parser)
    parser.add_argument("--aud", action="append", default=[], help="an audience; may come again")
    parser.add_argument("--leeway", type=_seconds, default=30.0, help="seconds; by default 30")
    parser.add_argument(
        "--profile", choices=("access", "id", "logout"),
        help="what the token is for; of an ID token --aud is the client",
    )  # fmt: skip


def _add_inspect(commands: Any) -> None:
    parser = _command(commands, "inspect", "Show what the token in standard input says, unchecked.")
    _add_token(parser)
    parser.add_argument("--unverified", action="store_true", help="required: nothing is checked")


def _add_store(commands: Any) -> None:
    text = "See and change what a fleet shares."
    store = commands.add_parser("store", help=text, description=text)
    actions = store.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = _command(actions, "show", "Show what the store holds for each provider.")
    refresh = _command(actions, "refresh", "Fetch the keys now, for the whole fleet.")
    purge = _command(actions, "purge", "Delete what the store holds; the fleet fetches it again.")
    for parser in (show, refresh, purge):
        parser.add_argument(
            "store", nargs="?", metavar="STORE",
            help="redis://, rediss:// or unix:// URL, or a directory; else AUTH_JWKS_STORE_URL",
        )  # fmt: skip
        parser.add_argument("--prefix", default="auth-jwks", help="of the store's keys in Redis")
        parser.add_argument(
            "--integrity-key-file", action="append", default=[], metavar="FILE", type=Path,
            help="a key of the seal; may come again; else AUTH_JWKS_INTEGRITY_KEY",
        )  # fmt: skip
    _add_source(refresh)
    _add_algorithms(refresh)
    refresh.add_argument(
        "--no-fix-local-url", action="store_true", help="as fix_local_url=False of the fleet"
    )
    refresh.add_argument("--cache-ttl", type=_seconds, default=900.0, help="the fleet's; seconds")
    refresh.add_argument("--max-stale", type=_seconds, default=86_400.0, help="likewise")
    purge.add_argument("--yes", action="store_true", help="do it, and not only say what would go")


def _add_issuer(commands: Any) -> None:
    parser = _command(commands, "issuer", "Run a fake provider, for tests and front ends.")
    parser.add_argument("--port", type=_port, required=True, help="0 is a free one")
    parser.add_argument("--host", default="127.0.0.1", help="by default loopback alone")
    parser.add_argument(
        "--issuer", metavar="URL", help="its name and URL for others, as in compose"
    )
    parser.add_argument("--alg", default="RS256", help="the algorithm of its keys")


def _add_demo(commands: Any) -> None:
    _command(commands, "demo", "See the library at work, in a few seconds and on loopback.")


def _add_source(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--issuer", action="append", default=[], help="a name of the issuer; may come again"
    )
    parser.add_argument("--discovery-url", metavar="URL", help="if the issuer does not lead there")
    parser.add_argument("--jwks-uri", metavar="URL", help="the URL of the keys, without discovery")
    parser.add_argument(
        "--tenant", action="append", default=[], help="of Entra ID, where the issuer has {tenantid}"
    )


def _add_algorithms(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--alg", action="append", default=[], help="an allowed algorithm; may come again"
    )


def _add_token(parser: ArgumentParser) -> None:
    parser.add_argument("--token-file", metavar="FILE", default="-", help="by default -, stdin")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ArgumentTypeError("expected a number of seconds, 0 or more")
    return value


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) < 65_536):
        raise ArgumentTypeError("expected a port from 0 to 65535")
    return int(text)
