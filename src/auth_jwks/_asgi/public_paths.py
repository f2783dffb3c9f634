"""Public paths: paths that are open to requests without a token.

A router, a proxy and this module may each interpret a path differently. So a path is public only
if it is plain, which leaves a single interpretation. Pure: it knows no request.
"""

import re
from collections.abc import Iterable
from typing import Self

from auth_jwks._settings import checked_strings

__all__ = ["PublicPaths"]

# Segments of unreserved characters and harmless delimiters (RFC 3986 §3.3), none empty or of
# dots only. Some software decodes `%`, replaces `\\`, cuts at `;` or reads `*` as a pattern.
PLAIN_PATH = re.compile(r"(?:/(?!\.+(?:/|\Z))[!$&'()+,\-.0-9:=@A-Z_a-z~]+)+/?|/")
MAX_PATH = 2048  # characters; a longer one is not public, so that it need not be matched


class PublicPaths:
    """Exact paths, and prefixes that open themselves and all paths below them."""

    __slots__ = ("_below", "_exact")

    def __init__(self, paths: Iterable[str], prefixes: Iterable[str]) -> None:
        self._exact = frozenset((*paths, *prefixes))
        self._below = tuple(f"{prefix}/" for prefix in prefixes)

    @classmethod
    def checked(cls, paths: Iterable[str], prefixes: Iterable[str]) -> Self | None:
        """Return the configured paths, or None if there are none."""
        paths = checked_strings("public_paths", paths)
        prefixes = checked_strings("public_prefixes", prefixes)
        if not all(_is_plain(path) for path in paths):
            raise ValueError('public_paths: expected plain paths such as "/health"')
        if not all(_is_plain(prefix) and prefix[-1] != "/" for prefix in prefixes):
            raise ValueError(
                'public_prefixes: expected plain paths such as "/docs", with no slash at the end'
            )
        return cls(paths, prefixes) if paths or prefixes else None

    def opens(self, path: str, root_path: str = "", raw_path: bytes | None = None) -> bool:
        """Return whether a path is public. The arguments are those of an ASGI scope."""
        if len(path) > MAX_PATH:
            return False
        route = routed(path, root_path)
        if route not in self._exact and not route.startswith(self._below):
            return False
        if raw_path is not None and (len(raw_path) > MAX_PATH or b"%" in raw_path):
            return False
        return _is_plain(path)


def routed(path: str, root_path: str) -> str:
    """Return the path that an application mounted at `root_path` routes on, as in Starlette."""
    below = path.removeprefix(root_path)
    is_mounted = path.startswith(root_path) and below[:1] in {"", "/"}
    return below if is_mounted else path


def _is_plain(path: str) -> bool:
    return len(path) <= MAX_PATH and PLAIN_PATH.fullmatch(path) is not None
