"""The token of a command: from standard input or a file, and never from the command line."""

from pathlib import Path
from typing import TextIO

from auth_jwks.cli._console import Console
from auth_jwks.cli._faults import UsageError

__all__ = ["read_token"]

MAX_READ = 1024 * 1024
SCHEMES = ("authorization:", "bearer ")


def read_token(console: Console, file: str) -> str:
    """Return the token in a file, or for `-` in standard input, without what is around it.

    It reports what was stripped. Raises `UsageError`.
    """
    if file == "-" and console.stdin.isatty():
        console.say("Reading the token from standard input; end it with Enter and Ctrl-D.")
    raw = _read_stream(console.stdin) if file == "-" else _read_file(file)
    if len(raw) > MAX_READ:
        raise UsageError(f"token: expected at most {MAX_READ} bytes")
    text, removed = _bare(raw.decode("utf-8", "replace"))
    if not text:
        where = "standard input" if file == "-" else "the file"
        raise UsageError(f"token: expected one in {where}, found nothing")
    if removed:
        console.say(f"The token was read without the {' and the '.join(removed)} around it.")
    return text


def _read_stream(stream: TextIO) -> bytes:
    raw: bytes | str = getattr(stream, "buffer", stream).read(MAX_READ + 1)
    return raw if isinstance(raw, bytes) else raw.encode(errors="replace")


def _read_file(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            return file.read(MAX_READ + 1)
    except OSError as fault:
        reason = fault.strerror or type(fault).__name__
    except ValueError:  # a null character in the name
        reason = "no name of a file"
    raise UsageError(f"--token-file: can't be read: {reason}")


def _bare(text: str) -> tuple[str, list[str]]:
    """Return the token, and what was around it in the order in which it was stripped."""
    removed = list[str]()
    while True:
        before, text = text, text.removeprefix("\ufeff").strip()
        if text != before:
            removed.append("blanks or line ends")
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
            text, label = text[1:-1], "quotes"
        elif scheme := next(filter(text.lower().startswith, SCHEMES), ""):
            text, label = text[len(scheme) :], f"word {scheme.strip(' :').title()}"
        else:
            return text, list(dict.fromkeys(removed))
        removed.append(label)
