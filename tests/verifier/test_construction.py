"""What `JWKS` takes, and what it refuses at construction."""

import inspect
from math import inf, nan
from typing import Any

import pytest

from auth_jwks import JWKS
from auth_jwks.events import Event
from auth_jwks.testing import FakeIssuer
from tests.verifier.maker import Make

URL = "https://idp.test/.well-known/openid-configuration"


def test_the_positional_order_is_that_of_old() -> None:
    """Eight parameters may be given by position, as in 0.4.0; all others by name only."""
    parameters = inspect.signature(JWKS).parameters.values()
    positional = [
        (each.name, each.default) for each in parameters if each.kind != each.KEYWORD_ONLY
    ]
    assert positional == [
        ("discovery_url", None),
        ("aud", None),
        ("allowed_algorithms", None),
        ("cache_ttl", 900),
        ("leeway", 30.0),
        ("timeout", 5.0),
        ("retries", 3),
        ("fix_local_url", True),
    ]
    named = {each.name: each.default for each in parameters if each.kind == each.KEYWORD_ONLY}
    del named["clock"]
    assert named == {
        "jwks_uri": None,
        "jwks": None,
        "jwks_file": None,
        "issuer": None,
        "tenants": None,
        "store": None,
        "max_stale": 86_400,
        "token_cache_size": 1024,
        "required_claims": ("exp", "iat", "sub"),
        "max_token_length": 16_384,
        "numeric_sub": False,
        "profile": None,
        "http_client": None,
        "observer": None,
    }


NUMBERS = ("cache_ttl", "leeway", "timeout", "max_stale")
URLS = ("discovery_url", "jwks_uri")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("discovery_url", None),
        *(
            (name, value)
            for name in URLS
            for value in ("", "idp.test", "ftp://idp.test", "https://")
        ),
        *((name, "https://alice:hunter2@idp.test/") for name in URLS),
        *((name, "https://hunter2@idp.test/") for name in URLS),
        ("issuer", ""),
        ("issuer", " "),
        ("aud", ""),
        ("aud", " "),
        ("aud", []),
        ("aud", ["api", ""]),
        *(("aud", value) for value in ("my-api\n", "a\x00", "a\tb", ["api", "web\r"], "a\u2028")),
        ("allowed_algorithms", []),
        ("allowed_algorithms", ["HS256"]),
        ("allowed_algorithms", ["RS256", "HS512"]),
        ("allowed_algorithms", ["none"]),
        ("allowed_algorithms", ["rs256"]),
        ("allowed_algorithms", [""]),
        *((name, value) for name in NUMBERS for value in (-1, -0.1, nan, inf, -inf, 10**400)),
        ("timeout", 0),
        ("retries", -1),
        ("token_cache_size", -1),
        ("required_claims", [""]),
        *(("max_token_length", value) for value in (-1, 0, 1023, 61_441, 10**30)),
    ],
)
def test_a_wrong_value_is_refused(
    name: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    """At construction, by a `ValueError` that names the parameter and repeats no secret."""
    options: dict[str, Any] = {"discovery_url": URL, name: value}
    with pytest.raises(ValueError, match=f"^{name}\\b") as caught:
        JWKS(**options)
    assert "hunter2" not in str(caught.value)
    assert caplog.records == []


async def _awaited(_event: Event, /) -> None:
    """Take note, were it awaited."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 5) for name in (*URLS, "issuer", "aud", "allowed_algorithms", "required_claims")),
        ("discovery_url", b"https://idp.test"),
        ("aud", b"api"),
        ("aud", ["api", 5]),
        ("allowed_algorithms", "RS256"),
        ("allowed_algorithms", [256]),
        ("required_claims", "exp"),
        ("required_claims", None),
        ("required_claims", [5]),
        *((name, value) for name in NUMBERS for value in (None, "5", True)),
        *(
            (name, value)
            for name in ("retries", "token_cache_size", "max_token_length")
            for value in (1.5, True, "3", None)
        ),
        *(
            (name, value)
            for name in ("fix_local_url", "numeric_sub")
            for value in (None, 1, "false")
        ),
        ("store", object()),
        ("http_client", object()),
        ("observer", "print"),
        ("observer", _awaited),
        ("observer", [print, _awaited]),
        ("observer", {print}),
        ("clock", 5),
    ],
)
def test_a_wrong_type_is_refused(name: str, value: object) -> None:
    """At construction, by a `TypeError` that names the parameter."""
    options: dict[str, Any] = {"discovery_url": URL, name: value}
    with pytest.raises(TypeError, match=f"^{name}\\b"):
        JWKS(**options)


async def test_the_warning_is_not_repeated(make: Make, issuer: FakeIssuer) -> None:
    """Verifications log nothing of it."""
    jwks = make(issuer=None)
    await jwks.verify_token(issuer.sign())


def test_what_it_says_of_itself_holds_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the warning nor `repr` shows the query of a URL."""
    jwks = JWKS(jwks_uri="https://idp.test/jwks?key=hunter2#hunter2")
    assert repr(jwks) == "JWKS('https://idp.test/jwks', issuer=None, keys=0)"
    assert "https://idp.test/jwks" in caplog.text
    assert "hunter2" not in caplog.text + repr(jwks.status())


def test_nothing_is_fetched_before_it_is_needed(issuer: FakeIssuer) -> None:
    """A verifier can be made and looked at without an event loop, and does no I/O."""
    with issuer:
        jwks = JWKS(issuer.discovery_url, issuer=issuer.issuer)
        status = jwks.status()
        assert (status.kids, status.fresh, status.refreshing) == ((), False, False)
        assert issuer.requests == ()
