"""How the demos print: text that a terminal wraps between words, and a pipe gets without blanks."""

import textwrap
from collections import Counter
from collections.abc import Iterable

from rich.console import Console, RenderableType

__all__ = ["counted", "say", "show"]


def counted(names: Iterable[str]) -> str:
    """Return each name once, with how often it occurs."""
    counts = Counter(names).items()
    return ", ".join(f"{name} x{n}" if n > 1 else name for name, n in counts)


def show(console: Console, *parts: RenderableType) -> None:
    """Print the parts, without the blanks that rich puts at the ends of lines."""
    with console.capture() as captured:
        for part in parts:
            console.print(part, highlight=False)
    for line in captured.get().splitlines():
        console.file.write(f"{line.rstrip()}\n")
    console.file.flush()


def say(console: Console, *paragraphs: str, style: str = "", indent: str = "") -> None:
    """Print the paragraphs, wrapped between words; all lines but the first are indented."""
    for paragraph in paragraphs:
        lines = textwrap.wrap(
            paragraph, console.width, subsequent_indent=indent,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        for line in lines or [""]:
            console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
