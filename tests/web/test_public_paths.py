"""Which paths are public, and which only look like it."""

import posixpath
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Match, Mount, Route

from auth_jwks._asgi.public_paths import MAX_PATH, PublicPaths

PATHS, PREFIXES = ("/health", "/", "/docs/oauth2-redirect/"), ("/static", "/v1.0/~open")


def opens(target: str, *, root: str = "") -> bool:
    """Tell whether a request for that target, as it stands on the wire, needs no token."""
    raw = target.partition("?")[0]
    public = PublicPaths.checked(PATHS, PREFIXES)
    assert public is not None
    return public.opens(unquote(raw), root, raw.encode("latin-1", "replace"))


@pytest.mark.parametrize(
    "target",
    [
        "/health",
        "/health?verbose=%2e%2e",
        "/",
        "/docs/oauth2-redirect/",
        "/static",
        "/static/",
        "/static/app.js",
        "/static/a/b/..c/.well-known/d...",
        "/static/@scope/a:b,c=d&e+f(1)!$'~",
        "/v1.0/~open/1",
    ],
)
def test_plain_public_paths_are_open(target: str) -> None:
    """An exact path is, and a prefix with all that is below it."""
    assert opens(target)


@pytest.mark.parametrize(
    "target",
    [
        "/health/",
        "//health",
        "/health//",
        "/Health",
        "/healthz",
        "/health/x",
        "/docs/oauth2-redirect",
        "/staticx",
        "/static.bak/x",
        "/Static/x",
        "/v1x0/~open",
        "health",
        "",
        "*",
        "http://api.example.com/health",
        "//",
        "/.",
        "/static//app.js",
        "//static/app.js",
        "/static/../admin",
        "/static/..",
        "/static/./x",
        "/static/.../x",
        "/static/%2e%2e/admin",
        "/static/%2E./admin",
        "/static/..%2fadmin",
        "/static%2f..%2fadmin",
        "/static%2fapp.js",
        "/static/..%5cadmin",
        "/static/..\\admin",
        "/static/%252e%252e/admin",
        "/static/..;/admin",
        "/static/x;/../admin",
        "/static/%3b",
        "/static/x%00.js",
        "/static/%0d%0a",
        "/static/\x7f",
        "/static/a b",
        "/static/a%20b",
        "/static/%61pp.js",
        "/%73tatic/app.js",
        "/he%61lth",
        "/health%3fx",
        "/static/%23",
        "/static/\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/admin",
        "/static/caf\xe9",
        "/static/\udce9",
        "/static/%c0%ae%c0%ae/admin",
        "/static\n",
        "/health\n",
    ],
)
def test_what_is_not_plainly_public_needs_a_token(target: str) -> None:
    """A path that anyone may understand in another way is not public."""
    assert not opens(target)


def test_without_a_raw_path_the_decoded_one_decides() -> None:
    """A server need not tell what it decoded."""
    public = PublicPaths.checked(PATHS, PREFIXES)
    assert public is not None
    assert public.opens("/static/app.js")
    assert not public.opens("/static/../admin")
    assert not public.opens("/static/%2e%2e/admin")


@pytest.mark.parametrize("step", ["a", "/a", "/..a"])
def test_a_long_path_is_not_read(step: str) -> None:
    """It needs a token, whatever stands in it, so no pattern is held against it."""
    longest = "/static/x"
    while len(longest + step) <= MAX_PATH:
        longest += step
    assert opens(longest)
    for times in (4, MAX_PATH, 1 << 18):
        assert not opens(longest + step * times)
    public = PublicPaths.checked(PATHS, PREFIXES)
    assert public is not None
    assert not public.opens("/health", "", b"/health" + b"/" * MAX_PATH)


@pytest.mark.parametrize(
    ("path", "root", "is_open"),
    [
        ("/api/health", "/api", True),
        ("/api/static/app.js", "/api", True),
        ("/health", "/api", True),  # a proxy cut the root off
        ("/apihealth", "/api", False),
        ("/api", "/api", False),
        ("/api/", "/api", True),
        ("/health", "/health", False),
        ("/health/health", "/health", True),
        ("/api/health", "/api/", False),
        ("/api/health", "", False),
        ("/a/../health", "/a/..", False),
    ],
)
def test_below_a_root_path_the_rest_counts(path: str, root: str, is_open: bool) -> None:  # noqa: FBT001 - a table
    """A mounted application has public paths of its own."""
    assert opens(path, root=root) is is_open


@pytest.mark.parametrize("root", ["", "/", "/api", "/api/", "/health", "/a/b"])
@pytest.mark.parametrize(
    "path",
    ["/health", "/api/health", "/api", "/api/", "/apihealth", "/health/health", "/a/b/health"],
)
def test_roots_are_understood_as_starlette_does(path: str, root: str) -> None:
    """Whatever the root path, an exact path is open just where Starlette routes it."""
    scope = {"type": "http", "method": "GET", "path": path, "root_path": root}
    match, _ = Route("/health", _endpoint).matches(scope)
    assert _health.opens(path, root, path.encode()) is (match is Match.FULL)


def test_a_mount_is_a_root_path() -> None:
    """Within a mounted application its own paths count, not those of the whole."""
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/sub/health"}
    match, child = Mount("/sub", _endpoint).matches(scope)
    assert match is Match.FULL
    mounted = scope | dict(child)
    assert _health.opens(mounted["path"], mounted["root_path"])
    assert not _health.opens(scope["path"])


@pytest.mark.parametrize(
    ("paths", "prefixes", "error", "message"),
    [
        ("/health", (), TypeError, "public_paths: expected a collection"),
        ((), "/docs", TypeError, "public_prefixes: expected a collection"),
        ([b"/health"], (), TypeError, "public_paths: expected a collection of strings only"),
        ([""], (), ValueError, "public_paths: expected non-empty strings"),
        *(
            ([path], (), ValueError, 'public_paths: expected plain paths such as "/health"')
            for path in ("health", "//", "/a//b", "/a/../b", "/a%2fb", "/a b", "/a;b", "/caf\xe9",
                         "/" + "a" * MAX_PATH)
        ),
        *(
            ((), [prefix], ValueError, 'public_prefixes: expected plain paths such as "/docs"')
            for prefix in ("/", "/docs/", "docs", "//docs", "/docs/*", "/docs/..")
        ),
    ],
)  # fmt: skip
def test_only_plain_paths_can_be_made_public(
    paths: Any, prefixes: Any, error: type[Exception], message: str
) -> None:
    """What could open nothing, or everything, is refused at construction."""
    with pytest.raises(error, match=re.escape(message)):
        PublicPaths.checked(paths, prefixes)


def test_nothing_configured_is_nothing_public() -> None:
    """There is then nothing to look at."""
    assert PublicPaths.checked((), []) is None
    assert PublicPaths.checked(iter(["/health"]), iter(())) is not None


PIECES = [
    "/", "//", "health", "static", "docs", "oauth2-redirect", "v1.0", "~open", "admin", "x", ".",
    "..", "...", "%2e", "%2E%2e", "%2f", "%2F", "%5c", "\\", ";", "%3b", "%00", "%09", "%0a", "%20",
    "%25", "%252e", "%252f", "%c0%ae", "%ef%bc%8e", "?", "#", "%3f", "%23", "HEALTH", "Static",
    "\u2024", "\uff0e", "\uff0f", "\t", "*",
]  # fmt: skip
TARGETS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.lists(st.sampled_from(PIECES) | st.characters(), max_size=8).map("".join),
    st.lists(st.sampled_from(PIECES) | st.characters(), max_size=4).map(
        lambda pieces: "/static/" + "".join(pieces)
    ),
)


def understood(target: str) -> str:
    """Return a target as the most eager reader takes it: decoded, cut, cleaned and resolved."""
    path = re.split("[?#]", target)[0]
    while (once := unquote(path)) != path:
        path = re.split("[?#]", once)[0]
    path = re.sub(r"[\x00-\x20\x7f]", "", path.replace("\\", "/"))
    path = re.sub(r"/+", "/", re.sub(";[^/]*", "", path))
    slash = "/" if path.endswith("/") and path != "/" else ""
    return posixpath.normpath(path) + slash if path else ""


@given(target=TARGETS)
def test_no_target_leads_from_a_public_path_to_another(target: str) -> None:
    """However a reader decodes and resolves what is judged public, it stays public."""
    if opens(target):
        path = understood(target)
        assert path in {*PATHS, *PREFIXES} or path.startswith(tuple(f"{p}/" for p in PREFIXES))


@given(st.lists(st.from_regex(r"[a-z0-9._~-]*[a-z0-9]", fullmatch=True), max_size=4))
def test_all_that_is_plainly_below_a_prefix_is_open(segments: list[str]) -> None:
    """The rule refuses nothing that ordinary files are called."""
    assert opens("/".join(["/static", *segments]))


async def _endpoint(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """Stand where a route leads to."""


_health = PublicPaths(["/health"], ())
