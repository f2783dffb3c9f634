"""The life of a key set, on a time line."""

from auth_jwks._cache.freshness import REFRESH_POINT, Policy
from tools.pictures.spans import span
from tools.pictures.svg import WIDTH, Drawing

__all__ = ["lifetime"]

LEFT, RIGHT = 24, WIDTH - 24
SHARES = (0.42, 0.18, 0.28, 0.12)  # of the line's length: a day would leave no room for the rest
ROW = 62


def lifetime() -> Drawing:
    """Return the picture."""
    policy = Policy()
    ttl, stale, wait = policy.cache_ttl, policy.max_stale, policy.soft_wait
    first, last = (round(ttl * share) for share in REFRESH_POINT)
    rows = (
        ("good", "Fresh", f"up to 75 to 90 % of cache_ttl ({first} to {last} s)",
         "A token is verified. No request, no wait."),
        ("ahead", "Ahead", f"from there to cache_ttl ({ttl:g} s, {span(ttl)})",
         "The same, while one refresh runs in the background."),
        ("wait", "Stale", f"for max_stale more ({stale:,.0f} s, {span(stale)})",
         f"A token waits {wait:g} s at most for a refresh. If that fails, old keys do."),
        ("bad", "Dead", "after that, or before the first fetch",
         "A token waits for a refresh. If that fails: 503, KeysUnavailableError."),
    )  # fmt: skip
    drawing = Drawing(
        112 + ROW * len(rows) + 10,
        "The life of a key set",
        " ".join(f"{name}: {when}. {what}" for _, name, when, what in rows),
    )
    _line(drawing, ("0", f"{first}\N{EN DASH}{last} s", f"{ttl:g} s", f"+ {span(stale)}"))
    for number, (kind, name, when, what) in enumerate(rows):
        top = 112 + ROW * number
        drawing.box(LEFT, top, 14, 46, kind)
        drawing.text(LEFT + 28, top + 12, name, "bold")
        drawing.text(LEFT + 92, top + 12, when, "soft small")
        drawing.text(LEFT + 28, top + 36, what, "small")
    return drawing


def _line(drawing: Drawing, marks: tuple[str, ...]) -> None:
    drawing.text(LEFT, 28, "The age of the key set in a worker", "bold")
    drawing.text(RIGHT, 28, "not to scale", "soft small", "end")
    x = float(LEFT)
    kinds = (("good", "fresh"), ("ahead", "ahead"), ("wait", "stale"), ("bad", "dead"))
    for share, mark, (kind, name) in zip(SHARES, marks, kinds, strict=True):
        width = share * (RIGHT - LEFT)
        drawing.box(x, 44, width, 28, kind)
        drawing.text(x + width / 2, 63, name, "small", "middle")
        drawing.text(x, 90, mark, "soft small", "start" if x == LEFT else "middle")
        x += width
