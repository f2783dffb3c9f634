"""Foreign values and times as text: quoted, on one line, and never long. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime

__all__ = ["moment", "shown", "shown_all", "span"]

MAX_SHOWN = 80  # characters, of a foreign value
MAX_VALUES = 8
MINUTE = 60
HOUR = 3600
DAY = 86_400


def shown(value: object) -> str:
    """Return a value for people: what can't be printed is escaped, and what is long is cut."""
    if value is None:
        return "none"
    text = repr(value[: MAX_SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def shown_all(values: Iterable[object]) -> str:
    """Return the first few of them, and how many more there are, or `none`."""
    all_shown = [shown(value) for value in values]
    more = f" and {len(all_shown) - MAX_VALUES} more" if len(all_shown) > MAX_VALUES else ""
    return ", ".join(all_shown[:MAX_VALUES]) + more or "none"


def span(seconds: float) -> str:
    """Return a span of time in its largest fitting unit, rounded."""
    size = abs(seconds)
    if size < 2 * MINUTE:
        return f"{size:.0f} s"
    if size < 2 * HOUR:
        return f"{size / MINUTE:.0f} min"
    return f"{size / HOUR:.0f} h" if size < 2 * DAY else f"{size / DAY:,.0f} days"


def moment(value: object, now: float) -> str:
    """Return a NumericDate (RFC 7519 §2) as a time, and how far it is from now."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return shown(value)
    try:
        time = datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return shown(value)
    return f"{time}, {span(value - now)} {'ahead' if value > now else 'ago'}"
