"""Pictures of what was measured: linear axes, one column, readable on a telephone.

They need matplotlib, which only the environment of the benchmarks has.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from benchmarks.numbers import number

__all__ = ["Bar", "bars", "chart"]

# 520 px wide, as the drawings of the documentation are: on 390 px a letter still has 12.
WIDTH = 390  # points
INCH = 72  # likewise
LETTERS = 12
LINE = 20  # points a bar takes
AROUND = 50  # likewise the title and the axis of a panel
HEADING = 30
LINES = 330  # a picture of lines
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


class Bar(Protocol):
    """What is drawn of a row: its panel, the name and the length of its bar, and the unit."""

    @property
    def scenario(self) -> str: ...  # noqa: D102 - see above
    @property
    def what(self) -> str: ...  # noqa: D102 - see above
    @property
    def measured(self) -> float: ...  # noqa: D102 - see above
    @property
    def unit(self) -> str: ...  # noqa: D102 - see above


def bars(
    file: Path, title: str, rows: Sequence[Bar], *, ours: Collection[str] = ("auth-jwks",)
) -> None:
    """Draw a panel for each scenario, one below the other, with the bars of all in one order.

    `ours` have a bold name, a hatched bar and another colour.
    """
    panels = {name: [*group] for name, group in groupby(rows, lambda row: row.scenario)}
    order = [*dict.fromkeys(row.what for row in rows)]
    heights = [AROUND + LINE * len(group) for group in panels.values()]
    with _drawing(file, title, sum(heights)) as figure:
        plots = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for plot, (name, group) in zip(plots, panels.items(), strict=True):
            unit = "".join(f", {row.unit}" for row in group[:1] if row.unit)
            plot.set_title(f"{name}{unit}", loc="left")
            _panel(plot, sorted(group, key=lambda row: order.index(row.what)), ours)


def _panel(plot: Any, rows: Sequence[Bar], ours: Collection[str]) -> None:
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


def chart(
    file: Path,
    title: str,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    axes: tuple[str, str],
    *,
    ours: Collection[str] = ("auth-jwks",),
) -> None:
    """Draw lines; `ours` are thick, with squares, and bold in the legend."""
    with _drawing(file, title, LINES) as figure:
        plot = figure.subplots()
        for name, points in lines.items():
            mine = name in ours
            plot.plot(
                *zip(*points, strict=True), label=name, color=OURS if mine else THEIRS,
                marker="s" if mine else "o", linewidth=3 if mine else 1.5,
                linestyle="-" if mine else "--",
            )  # fmt: skip
        plot.set(xlabel=axes[0], ylabel=axes[1], xlim=(0, None), ylim=(0, None))
        plot.grid(alpha=0.3)
        for text in plot.legend(frameon=False).get_texts():
            text.set_fontweight("bold" if text.get_text() in ours else "normal")


@contextmanager
def _drawing(file: Path, title: str, height: float) -> Iterator[Any]:
    from matplotlib import rc_context  # noqa: PLC0415 - the tests do without it
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    with rc_context(STYLE):
        size = (WIDTH / INCH, (height + HEADING) / INCH)
        figure = Figure(figsize=size, layout="constrained")
        figure.suptitle(title, x=0.02, ha="left")
        yield figure
        figure.savefig(file, metadata={"Date": None, "Creator": None})
