"""A drawing as SVG text that is legible in light and in dark, alone or within a page."""

from html import escape

__all__ = ["WIDTH", "Drawing"]

WIDTH = 520  # so that letters are still legible on a phone
STYLE = """\
text { font-family: system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif }
text { font-size: 14px; fill: #1f2328 }
.bold { font-weight: 600 }
.small { font-size: 12.5px }
.soft { fill: #59636e }
.code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 12.5px }
.page { fill: #ffffff; stroke: #d1d9e0 }
.good { fill: #dafbe1; stroke: #2da44e }
.ahead { fill: #ddf4ff; stroke: #218bff }
.wait { fill: #fff8c5; stroke: #bf8700 }
.bad { fill: #ffebe9; stroke: #e5534b }
.plain { fill: #f6f8fa; stroke: #b7bfc8 }
.halo { stroke: #ffffff; stroke-width: 5px; paint-order: stroke }
.line { stroke: #59636e; stroke-width: 1.4; fill: none }
.dashed { stroke-dasharray: 4 4 }
.head { fill: #59636e }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .soft { fill: #a2abb5 }
  .page { fill: #161b22; stroke: #3d444d }
  .good { fill: #12351f; stroke: #3fb950 }
  .ahead { fill: #0c2d4d; stroke: #4493f8 }
  .wait { fill: #3b2e08; stroke: #d29922 }
  .bad { fill: #4a1a1c; stroke: #f85149 }
  .plain { fill: #21262d; stroke: #59636e }
  .halo { stroke: #161b22 }
  .line { stroke: #a2abb5 }
  .head { fill: #a2abb5 }
}"""


class Drawing:
    """Boxes, lines and words, from the top left corner; lengths are in pixels."""

    def __init__(self, height: int, title: str, description: str) -> None:
        self.height = height
        self.parts = [
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(description)}</desc>",
            f"<style>\n{STYLE}\n</style>",
        ]
        self.box(0.5, 0.5, WIDTH - 1, height - 1, "page")

    def box(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """Draw a box in the colours of its kind."""
        size = f'width="{width:g}" height="{height:g}" rx="5"'
        self.parts.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" {size}/>')

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        """Write one line; `y` is its base line."""
        given = f' class="{kind}"' if kind else ""
        where = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.parts.append(f'<text{given} x="{x:g}" y="{y:g}"{where}>{escape(words)}</text>')

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "") -> None:
        """Draw a straight line."""
        given = f"line {kind}".strip()
        self.parts.append(
            f'<line class="{given}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'
        )

    def arrow(self, x1: float, x2: float, y: float, kind: str = "") -> None:
        """Draw a level arrow from `x1` to `x2`."""
        back = -8 if x2 > x1 else 8
        self.line(x1, y, x2 + back / 2, y, kind)
        self.parts.append(f'<path class="head" d="M{x2:g} {y:g} l{back} -4 v8 z"/>')

    def falling(self, x: float, y1: float, y2: float) -> None:
        """Draw an upright arrow that points down to `y2`."""
        self.line(x, y1, x, y2 - 4)
        self.parts.append(f'<path class="head" d="M{x:g} {y2:g} l-4 -8 h8 z"/>')

    def __str__(self) -> str:
        """Return the file's text."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height}"'
            f' viewBox="0 0 {WIDTH} {self.height}" role="img">'
        )
        return "\n".join([head, *self.parts, "</svg>", ""])
