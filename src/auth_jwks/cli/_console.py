"""Where a command reads and writes: plain text, or colours and tables where rich can show them."""

import json
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from shutil import get_terminal_size
from typing import Any, TextIO

__all__ = ["Console"]

MIN_WIDTH = 40
STYLES = {"ok": "green", "FAIL": "bold red", "warn": "yellow", "skip": "dim", "note": "cyan"}


@dataclass(frozen=True, slots=True)
class Console:
    """The three streams of a command. The payload goes to `stdout`, all else to `stderr`."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    as_json: bool = False

    def say(self, text: str = "") -> None:
        """Write a line for people."""
        self._write(self.stderr, text)

    def put(self, text: str = "") -> None:
        """Write a line of the payload."""
        self._write(self.stdout, text)

    def put_json(self, value: Mapping[str, Any]) -> None:
        """Write the payload as JSON, in ASCII."""
        self._write(self.stdout, json.dumps(value, indent=2))

    def table(
        self, rows: Sequence[Sequence[str]], *, headings: Sequence[str] = (), aside: bool = False
    ) -> None:
        """Write a table; `aside` of the payload. Only the last column is wrapped."""
        stream = self.stderr if aside else self.stdout
        rich = _rich(stream)
        if rich is None:
            for line in _lines([*([headings] if headings else []), *rows], _width()):
                self._write(stream, line)
        else:
            _draw(rich, stream, rows, headings)

    def _write(self, stream: TextIO, text: str) -> None:
        coding = stream.encoding or "utf-8"
        # A console that lacks a character, as many of Windows do, gets its escape.
        stream.write(text.encode(coding, "backslashreplace").decode(coding) + "\n")


def _width() -> int:
    return max(MIN_WIDTH, get_terminal_size().columns)


def _lines(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the rows in columns, without what is blank at the end of a line."""
    sizes = [max(map(len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    indent = sum(sizes) + 2 * len(sizes)
    lines = list[str]()
    for row in rows:
        head = "".join(f"{cell:<{size + 2}}" for cell, size in zip(row[:-1], sizes, strict=True))
        wrapped = textwrap.wrap(row[-1], max(MIN_WIDTH // 2, width - indent)) or [""]
        lines += [f"{head}{wrapped[0]}".rstrip(), *(" " * indent + more for more in wrapped[1:])]
    return lines


def _rich(stream: TextIO) -> Any:
    """Return rich's package, if it is installed and someone looks at the stream."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return None
    try:
        return (
            import_module("rich.console"),
            import_module("rich.table"),
            import_module("rich.text"),
        )
    except ImportError:
        return None


def _draw(
    rich: Any, stream: TextIO, rows: Sequence[Sequence[str]], headings: Sequence[str]
) -> None:
    """Draw the table with rich, which heeds NO_COLOR. Cells are text: nothing in them is markup."""
    console, table, text = rich
    drawn = table.Table(box=None, show_header=bool(headings), header_style="bold", padding=(0, 1))
    for at, heading in enumerate(headings or rows[0] if rows else headings):
        drawn.add_column(heading if headings else "", no_wrap=at < len(rows[0]) - 1)
    for row in rows:
        drawn.add_row(*(text.Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console.Console(file=stream, width=_width(), highlight=False).print(drawn)
