"""How a stranger's text is shown in messages and logs: quoted, in ASCII, and not in full. Pure."""

from collections.abc import Collection, Sequence
from functools import lru_cache

__all__ = ["either", "listed", "shown", "span"]

MAX_SHOWN = 80  # characters of a value
MAX_LISTED = 3  # values of several
MAX_SPAN = 10**9  # seconds that are told exactly


def shown(value: object) -> str:
    """Return a text in quotes, each odd character escaped, cut at `MAX_SHOWN`.

    No line end, control character or change of direction survives. What is no text is not shown.
    """
    if not isinstance(value, str):
        return "no string"
    text = ascii(value[: MAX_SHOWN + 1])
    return text if len(text) <= MAX_SHOWN + 2 else f"{text[:MAX_SHOWN]}...{text[0]}"


def listed(values: Sequence[object], link: str = "and") -> str:
    """Return the first few of some values, and how many more there are; "none" for none."""
    if not values:
        return "none"
    texts = [shown(value) for value in values[:MAX_LISTED]]
    if len(values) > MAX_LISTED:
        texts.append(f"{len(values) - MAX_LISTED} more")
    return f" {link} ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


@lru_cache(maxsize=256)
def either(configured: Collection[str]) -> str:
    """Return what was expected: one of these. A set is sorted."""
    values = sorted(configured) if isinstance(configured, frozenset) else tuple(configured)
    return listed(values, "or")


def span(seconds: int) -> str:
    """Return a number of seconds, which may be an absurd one."""
    return f"{seconds} s" if abs(seconds) <= MAX_SPAN else f"more than {MAX_SPAN} s"
