"""A fleet's cold start, as a sequence."""

from auth_jwks._cache.freshness import Policy
from auth_jwks._cache.refresh import FIRST_POLL_PAUSE, MAX_POLL_PAUSE
from tools.pictures.spans import span
from tools.pictures.svg import WIDTH, Drawing

__all__ = ["cold_start"]

A, B, STORE, PROVIDER = 64, 182, 320, 456
STEP = 36


def cold_start() -> Drawing:
    """Return the picture."""
    lease, grace = Policy().lease, f"{span(FIRST_POLL_PAUSE)}, doubling to {span(MAX_POLL_PAUSE)}"
    messages = (
        (A, STORE, "any keys?", ""),
        (B, STORE, "any keys?", ""),
        (STORE, A, f"none: you fetch (a lease of {lease:g} s)", "dashed"),
        (STORE, B, "none: wait", "dashed"),
        (A, PROVIDER, "discovery document", ""),
        (A, PROVIDER, "key set", ""),
        (A, STORE, "store the keys, end the lease", ""),
        (B, STORE, "any keys?", ""),
        (STORE, B, "the keys", "dashed"),
    )
    top, notes = 66, 88
    bottom = top + STEP * (len(messages) + 1) + 8
    drawing = Drawing(
        bottom + notes,
        "A fleet's cold start",
        "Two workers ask the store. One gets a lease and fetches two documents from the provider. "
        "The other waits, and takes the keys from the store.",
    )
    for x, name, width in ((A, "worker A", 88), (B, "worker B", 88), (STORE, "store", 80),
                           (PROVIDER, "provider", 88)):  # fmt: skip
        drawing.line(x, 48, x, bottom - 8, "dashed")
        drawing.box(x - width / 2, 18, width, 30, "plain")
        drawing.text(x, 38, name, "bold", "middle")
    for number, (start, end, words, kind) in enumerate(messages):
        y = top + STEP * (number + 1)
        _message(drawing, start, end, y, words, kind)
    drawing.box(16, bottom, WIDTH - 32, 72, "good")
    drawing.text(28, bottom + 20, "Two requests reach the provider, however many workers start.",
                 "bold small")  # fmt: skip
    drawing.text(28, bottom + 41, f"Workers that wait ask again after {grace}.", "small")
    dies = f"If worker A dies, the lease lapses after {lease:g} s, and another one fetches."
    drawing.text(28, bottom + 61, dies, "small")
    return drawing


def _message(drawing: Drawing, start: int, end: int, y: int, words: str, kind: str) -> None:
    drawing.arrow(start, end, y, kind)
    drawing.text(min(start, end) + 8, y - 6, words, "small halo")
