"""Pictures of what was measured: linear axes, one column, readable on a telephone.

They need matplotlib, which only the environment of the benchmarks has.
"""

from collections.abc import Collection, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.report import Row, number

__all__ = ["bars"]

# 520 px wide, as the drawings of the documentation are: on 390 px a letter still has 12.
WIDTH = 390  # points
INCH = 72  # likewise
LETTERS = 12
LINE = 20  # points a bar takes
AROUND = 50  # likewise the title and the axis of a panel
HEADING = 30
ROOM = 1.22  # beyond the longest bar, for its number
OURS, THEIRS = "#c2410c", "#94a3b8"
STYLE = {
    "font.family": "sans-serif",
    "font.size": LETTERS,
    "axes.titlesize": LETTERS,
    "axes.titleweight": "bold",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.titlesize": LETTERS + 1,
    "figure.titleweight": "bold",
    "hatch.color": "white",
    "hatch.linewidth": 1.5,
    "svg.fonttype": "none",  # text stays text: it is searched, compared, and never too small
    "svg.hashsalt": "auth-jwks",
}


def bars(file: Path, title: str, rows: Sequence[Row], *, ours: Collection[str]) -> None:
    """Draw a panel for each scenario, one below the other, with the bars of all in one order.

    `ours` have a bold name, a hatched bar and another colour.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - the tests do without it
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    panels = {name: [*group] for name, group in groupby(rows, lambda row: row.scenario)}
    order = [*dict.fromkeys(row.what for row in rows)]
    heights = [AROUND + LINE * len(group) for group in panels.values()]
    with rc_context(STYLE):
        size = (WIDTH / INCH, (HEADING + sum(heights)) / INCH)
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle(title, x=0.02, ha="left")
        plots = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for plot, (name, group) in zip(plots, panels.items(), strict=True):
            unit = "".join(f", {row.unit}" for row in group[:1] if row.unit)
            plot.set_title(f"{name}{unit}", loc="left")
            _panel(plot, sorted(group, key=lambda row: order.index(row.what)), ours)
        figure.savefig(file, metadata={"Date": None, "Creator": None})


def _panel(plot: Any, rows: Sequence[Row], ours: Collection[str]) -> None:
    marked = [row.what in ours for row in rows]
    drawn = plot.barh(
        range(len(rows)),
        [row.measured for row in rows],
        color=[OURS if each else THEIRS for each in marked],
        hatch=["//" if each else "" for each in marked],
    )
    words = plot.bar_label(drawn, [number(row.measured) for row in rows], padding=3)
    plot.set_yticks(range(len(rows)), [row.what for row in rows])
    for label, word, each in zip(plot.get_yticklabels(), words, marked, strict=True):
        label.set_fontweight("bold" if each else "normal")
        word.set_fontweight("bold" if each else "normal")
    plot.set_xlim(0, max((row.measured for row in rows), default=0) * ROOM or 1)
    plot.locator_params(axis="x", nbins=4)
    plot.xaxis.set_major_formatter(lambda value, _: number(value))
    plot.invert_yaxis()
