"""Numbers as tables and pictures show them."""

__all__ = ["multiple", "number"]


def number(value: float) -> str:
    """Return a number as a table shows it: three digits, or the whole number."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def multiple(ratio: float) -> str:
    """Return a ratio as a table shows it."""
    if ratio < 0.1:
        return f"{ratio:.1g}x"
    return f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.2f}x"
