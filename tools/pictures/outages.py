"""What a token gets in each outage."""

from inspect import signature

from auth_jwks._cache.freshness import STORELESS_INTERVAL, Policy
from auth_jwks._verifier import JWKS
from tools.pictures.spans import span
from tools.pictures.svg import WIDTH, Drawing

__all__ = ["outages"]

LEFT, GAP = 20, 8
CELL = (WIDTH - 2 * LEFT - 2 * GAP) / 3
ROW = 106
Cells = tuple[tuple[str, str, str], ...]


def outages() -> Drawing:
    """Return the picture."""
    policy = Policy()
    leeway = signature(JWKS).parameters["leeway"].default
    soon, stale = f"verified within {policy.soft_wait:g} s", span(policy.max_stale)
    fresh = ("good", "keys fresh", "verified")
    old = ("wait", "keys stale", soon)
    refused = ("bad", "no keys", "503, Retry-After")
    rows: tuple[tuple[str, Cells, str], ...] = (
        ("The provider is down", (fresh, old, refused),
         f"Stale keys are used for {stale}. The fleet makes one attempt per cool-down."),
        ("The store is down",
         (fresh, ("wait", "keys stale", soon), ("good", "no keys", "verified, one fetch")),
         f"Each worker fetches for itself, {STORELESS_INTERVAL:g} s apart or more."),
        ("Both are down", (fresh, old, refused),
         f"Stale keys are used for {stale}. Nothing waits for the store."),
        ("A worker's clock is off",
         (("good", f"by {leeway:g} s", "verified"), ("bad", "by more", "refused with 401"),
          ("good", "ages of keys", "not affected")),
         "Ages count by the monotonic clock, claims by the wall clock."),
        ("A worker freezes",
         (("good", "other workers", "verified"),
          ("good", "if it was fetching", "another one fetches"),
          ("good", "when it wakes", "newer keys win")),
         f"Its lease lapses after {policy.lease:g} s. That costs one more fetch."),
    )  # fmt: skip
    drawing = Drawing(
        16 + ROW * len(rows),
        "What a token gets in each outage",
        " ".join(
            f"{name}: {'; '.join(f'{c}: {w}' for _, c, w in cells)}. {note}"
            for name, cells, note in rows
        ),
    )
    for number, (name, cells, note) in enumerate(rows):
        top = 14 + ROW * number
        drawing.text(LEFT, top + 16, name, "bold")
        for column, (kind, caption, words) in enumerate(cells):
            x = LEFT + column * (CELL + GAP)
            drawing.box(x, top + 26, CELL, 42, kind)
            drawing.text(x + 8, top + 43, caption, "soft small")
            drawing.text(x + 8, top + 60, words, "small")
        drawing.text(LEFT, top + 85, note, "soft small")
    return drawing
