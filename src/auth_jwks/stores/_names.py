"""How a store is named in logs and events. Pure."""

__all__ = ["store_name"]


def store_name(store: object) -> str:
    """Return the `name` of a store; that of its class if it has none."""
    name = getattr(store, "name", None)
    return name if isinstance(name, str) else type(store).__name__
