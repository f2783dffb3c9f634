"""Spans of time, as the pictures write them."""

__all__ = ["span"]

UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def span(seconds: float) -> str:
    """Return a span in the largest unit that counts it exactly: 900 is "15 minutes"."""
    for length, unit in UNITS:
        if seconds >= length and seconds % length == 0:
            count = int(seconds // length)
            return f"{count} {unit}{'s' * (count > 1)}"
    return f"{seconds:g} s" if seconds >= 0.1 else f"{seconds * 1000:g} ms"
