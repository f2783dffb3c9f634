"""How a stranger's text is shown in messages and logs: quoted, in ASCII, and not in full. Pure."""

from collections.abc import Collection, Sequence
from functools import lru_cache

__all__ = ["either", "few", "listed", "shown", "span"]

MAX_SHOWN = 80  # characters of a value
MAX_LISTED = 3  # values of several
MAX_SPAN = 10**9  # seconds that are stated exactly


def shown(value: object) -> str:
    """Return a text in quotes, each odd character escaped, cut at `MAX_SHOWN`.

    No line end, control character or change of direction survives. What is no text is not shown.
    """
    if not isinstance(value, str):
        return "no string"
    text = ascii(value[: MAX_SHOWN + 1])
    return text if len(text) <= MAX_SHOWN + 2 else f"{text[:MAX_SHOWN]}...{text[0]}"


def listed(values: Sequence[object], link: str = "and") -> str:
    """Return the first few of some values, as `shown`, and how many more there are."""
    return few([shown(value) for value in values[:MAX_LISTED]], link, len(values))


def few(texts: Sequence[str], link: str = "and", count: int | None = None) -> str:
    """Return the first few of some texts, and how many more there are, of `count` in all."""
    left = (len(texts) if count is None else count) - MAX_LISTED
    parts = [*texts[:MAX_LISTED], *([f"{left} more"] if left > 0 else ())]
    return f" {link} ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


@lru_cache(maxsize=256)
def either(configured: Collection[str]) -> str:
    """Return what was expected: one of these. A set is sorted."""
    values = sorted(configured) if isinstance(configured, frozenset) else tuple(configured)
    return listed(values, "or")


def span(seconds: int) -> str:
    """Return a number of seconds, which may be an absurd one."""
    return f"{seconds} s" if abs(seconds) <= MAX_SPAN else f"more than {MAX_SPAN} s"
