"""What a token gets in each outage."""

from inspect import signature

from auth_jwks._cache.freshness import MAX_DRIFT, STORELESS_INTERVAL, Policy
from auth_jwks._verifier import JWKS
from tools.pictures.spans import span
from tools.pictures.svg import WIDTH, Drawing

__all__ = ["outages", "rows"]

LEFT, GAP = 20, 8
CELL = (WIDTH - 2 * LEFT - 2 * GAP) / 3
ROW = 106
Row = tuple[str, tuple[tuple[str, str, str], ...], str]


def rows() -> tuple[Row, ...]:
    """Return the name of each outage, its cells and a note; a cell has kind, caption and words."""
    policy = Policy()
    leeway = signature(JWKS).parameters["leeway"].default
    stale = span(policy.max_stale)
    fresh = ("good", "keys fresh", "verified")
    old = ("wait", "keys stale", f"verified within {policy.soft_wait:g} s")
    refused = ("bad", "no keys", "503, Retry-After")
    return (
        ("The provider is down", (fresh, old, refused),
         f"Stale keys are used for {stale}. The fleet makes one attempt per cool-down."),
        ("The store is down", (fresh, old, ("good", "no keys", "verified, one fetch")),
         f"Each worker fetches for itself, {STORELESS_INTERVAL:g} s apart or more."),
        ("Both are down", (fresh, old, refused),
         f"Stale keys are used for {stale}. Nothing waits for the store."),
        ("A worker's clock is off",
         (("good", f"by {leeway:g} s", "verified"), ("bad", "by more", "refused with 401"),
          ("wait", "it jumps ahead", "keys count as older")),
         f"leeway is {leeway:g} s. A jump of more than {MAX_DRIFT:g} s counts as sleep."),
        ("A worker freezes",
         (("good", "other workers", "verified"),
          ("good", "if it was fetching", "another one fetches"),
          ("good", "when it wakes", "newer keys win")),
         f"Its lease lapses after {policy.lease:g} s. That costs one more fetch."),
    )  # fmt: skip


def outages() -> Drawing:
    """Return the picture."""
    drawn = rows()
    drawing = Drawing(
        16 + ROW * len(drawn), "What a token gets in each outage", " ".join(map(_words, drawn))
    )
    for number, (name, cells, note) in enumerate(drawn):
        top = 14 + ROW * number
        drawing.text(LEFT, top + 16, name, "bold")
        for column, (kind, caption, words) in enumerate(cells):
            x = LEFT + column * (CELL + GAP)
            drawing.box(x, top + 26, CELL, 42, kind)
            drawing.text(x + 8, top + 43, caption, "soft small")
            drawing.text(x + 8, top + 60, words, "small")
        drawing.text(LEFT, top + 85, note, "soft small")
    return drawing


def _words(row: Row) -> str:
    name, cells, note = row
    told = "; ".join(f"{caption}: {words}" for _, caption, words in cells)
    return f"{name}: {told}. {note}"
