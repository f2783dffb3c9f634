"""The command as a whole: its streams, its terminals, and how it ends."""

import io
import os
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest

from auth_jwks import __version__
from auth_jwks.cli import main
from auth_jwks.cli._console import Console
from auth_jwks.testing import FakeIssuer
from tests.cli.conftest import Command

COMMANDS = ("doctor", "keys", "verify", "inspect", "store", "issuer", "demo")


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Narrow(io.TextIOWrapper):
    """A console that knows no character beyond ASCII."""

    def __init__(self) -> None:
        self.raw_bytes = io.BytesIO()
        super().__init__(self.raw_bytes, encoding="ascii", newline="\n")


def test_help(command: Command) -> None:
    """Each command is there, in lines of 80 columns, and the statuses are told."""
    run = command("--help")
    assert (run.status, run.err) == (0, "")
    assert all(f"    {name} " in run.out for name in COMMANDS)
    assert "exit status: 0 good, 1 refused or unhealthy" in run.out
    for name in COMMANDS:
        told = command(name, "--help")
        assert told.status == 0
        assert max(map(len, told.out.splitlines())) <= 80


def test_version(command: Command) -> None:
    """The version is told."""
    assert command("--version").out == f"auth-jwks {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["melt"], "expected one of those (choose from 'doctor', 'keys'"),
        (["demo", "--yes"], "unexpected arguments: this command takes no such option"),
        (["--tok"], "required: COMMAND"),
    ],
)
def test_bad_command_line(arguments: list[str], words: str, command: Command) -> None:
    """It is told what was expected, with the usage."""
    run = command(*arguments)
    assert (run.status, run.out) == (2, "")
    assert words in run.err
    assert "\nusage: auth-jwks" in run.err


def at_terminal(provider: FakeIssuer, *more: str) -> str:
    """Return what a person sees of a provider's keys."""
    out = Terminal()
    main(["keys", provider.issuer, *more], io.StringIO(), out, io.StringIO())
    return out.getvalue()


def test_colours_are_for_terminals(provider: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With rich, unless the environment wants none; nothing that a provider wrote is markup."""
    monkeypatch.setenv("TERM", "xterm")
    provider.publish({"kid": "[red]x[/red]"})
    seen = at_terminal(provider)
    assert "\x1b[32mok" in seen
    assert "[red]x[/red]" in seen
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in at_terminal(provider)
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in at_terminal(provider)


def test_table_without_headings_at_a_terminal(
    provider: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The findings of the doctor are one."""
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    assert main(["doctor", provider.issuer], io.StringIO(), out, io.StringIO()) == 0
    assert "\x1b[32mok" in out.getvalue()
    assert "issuer" in out.getvalue()


def test_plain_text_without_rich(provider: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is not needed."""
    monkeypatch.setenv("TERM", "xterm")
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    assert "ok  'k1'" in at_terminal(provider)


def test_narrow_encoding() -> None:
    """A character that the console lacks becomes its escape."""
    stream = Narrow()
    console = Console(io.StringIO(), stream, stream)
    console.put("José ✓")
    stream.flush()
    assert stream.raw_bytes.getvalue() == b"Jos\\xe9 \\u2713\n"


def test_token_at_a_terminal(provider: FakeIssuer) -> None:
    """Who sits there is told what is waited for."""
    err = io.StringIO()
    token = Terminal(provider.sign())
    assert main(["verify", "--issuer", provider.issuer], token, io.StringIO(), err) == 0
    assert err.getvalue().startswith("Reading the token from standard input; end it with")


def test_token_as_bytes(provider: FakeIssuer) -> None:
    """Standard input is read as bytes: what is no text is refused, and nothing breaks."""
    stdin = io.TextIOWrapper(io.BytesIO(b"\xff\xfe.x.y"), encoding="utf-8")
    arguments = ["verify", "--issuer", provider.issuer]
    assert main(arguments, stdin, io.StringIO(), io.StringIO()) == 1


class Broken(io.StringIO):
    """A pipe that nobody reads."""

    def write(self, _: str) -> int:
        """Say so."""
        raise BrokenPipeError


def test_broken_pipe() -> None:
    """The status is that of a process which SIGPIPE has ended."""
    err = io.StringIO()
    assert main(["demo"], io.StringIO(), Broken(), err) == 141
    assert err.getvalue() == ""


class Interrupted(io.StringIO):
    """A standard input at which someone presses Ctrl-C."""

    def read(self, _: int | None = None) -> str:
        """Do so."""
        raise KeyboardInterrupt


def test_interruption(provider: FakeIssuer) -> None:
    """It ends quietly."""
    out, err = io.StringIO(), io.StringIO()
    assert main(["verify", "--issuer", provider.issuer], Interrupted(), out, err) == 130
    assert (out.getvalue(), err.getvalue()) == ("", "")


def process(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command as a process."""
    argv = [sys.executable, "-m", "auth_jwks", *arguments]
    return subprocess.Popen(argv, stderr=subprocess.PIPE, **options)


@pytest.mark.posix
def test_broken_pipe_of_a_process() -> None:
    """Nothing is written of it, not even as the interpreter ends."""
    reader, writer = os.pipe()
    os.close(reader)
    with process("--help", stdout=writer) as started:
        os.close(writer)
        _, err = started.communicate(timeout=30)
    assert (started.returncode, err) == (141, b"")


@pytest.mark.posix
def test_real_terminal(provider: FakeIssuer) -> None:
    """At a terminal of a real system there are colours."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with process("keys", provider.issuer, stdout=theirs, env=environment) as started:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # the end of a terminal, on Linux
            while more := os.read(ours, 65536):
                seen += more
        started.communicate(timeout=30)
    os.close(ours)
    assert started.returncode == 0
    assert b"\x1b[32mok" in seen
