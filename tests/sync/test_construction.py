"""`SyncJWKS` takes what `JWKS` takes, but for the client."""

import inspect
import logging
from typing import Any

import pytest

from auth_jwks import JWKS
from auth_jwks.sync import SyncJWKS
from tests.sync.threads import outcome

URL = "https://idp.test/.well-known/openid-configuration"


def test_the_signature_is_that_of_the_other() -> None:
    """Parameter by parameter, but for the client's type."""
    ours, theirs = inspect.signature(SyncJWKS).parameters, inspect.signature(JWKS).parameters
    assert list(ours) == list(theirs)
    for name, parameter in theirs.items():
        if name == "http_client":
            parameter = parameter.replace(annotation=None)  # noqa: PLW2901
        assert ours[name] == parameter


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("discovery_url", None),
        ("discovery_url", "ftp://idp.test"),
        ("discovery_url", 5),
        ("jwks_uri", "https://alice:hunter2@idp.test/"),
        ("issuer", " "),
        ("aud", ""),
        ("allowed_algorithms", ["HS256"]),
        ("cache_ttl", -1),
        ("leeway", "5"),
        ("timeout", 0),
        ("retries", True),
        ("fix_local_url", 1),
        ("store", object()),
        ("max_stale", -1),
        ("token_cache_size", -1),
        ("token_cache_size", "3"),
        ("required_claims", "exp"),
        ("observer", "print"),
        ("clock", 5),
    ],
)
def test_wrong_options_are_refused_alike(name: str, value: object) -> None:
    """By the same error."""
    options: dict[str, Any] = {"discovery_url": URL, name: value}
    refused = outcome(lambda: SyncJWKS(**options))
    assert refused[0] in {"ValueError", "TypeError"}
    assert refused == outcome(lambda: JWKS(**options))


def test_a_client_is_refused() -> None:
    """Whatever it is, and with the reason."""
    options: dict[str, Any] = {"http_client": object()}
    with pytest.raises(TypeError, match=r"^http_client: expected None, .* event loop$"):
        SyncJWKS(URL, **options)


def test_positional_arguments_are_those_of_the_other(caplog: pytest.LogCaptureFixture) -> None:
    """All eight are passed on, and a missing issuer is warned of."""
    jwks = SyncJWKS(URL, "api", ["ES256"], 60, 0.0, 1.0, 0, False)  # noqa: FBT003
    assert caplog.records[0].levelno == logging.WARNING
    assert repr(jwks) == f"SyncJWKS({URL!r}, issuer=None, keys=0)"
