"""What `CloudFlareTokenValidation` takes, and what it refuses at construction."""

import inspect
from typing import Any

import pytest

from auth_jwks import JWKS
from auth_jwks.cloudflare import CloudFlareTokenValidation
from tests.web.cloudflare.access_edge import AUDIENCE, TEAM
from tests.web.cloudflare.calls import access


def test_the_signature() -> None:
    """It is keyword-only, with the defaults of 0.4.0, and those of `JWKS` for what is new."""
    parameters = inspect.signature(CloudFlareTokenValidation).parameters
    assert {each.kind for each in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    defaults = {name: each.default for name, each in parameters.items()}
    assert {name: defaults.pop(name) for name in ("aud", "team")} == dict.fromkeys(
        ("aud", "team"), inspect.Parameter.empty
    )
    theirs = inspect.signature(JWKS).parameters
    assert defaults == {name: theirs[name].default for name in defaults}
    assert list(defaults)[:5] == [
        "allowed_algorithms", "cache_ttl", "leeway", "retries", "timeout",
    ]  # fmt: skip


@pytest.mark.parametrize("team", ["a", "7", "team", "My-Team-2", "a" * 63])
def test_a_team_is_a_label(team: str) -> None:
    """Every name that Cloudflare gives fits."""
    assert access(team=team).issuer == f"https://{team}.cloudflareaccess.com"


@pytest.mark.parametrize(
    "team",
    [
        "", " team", "team ", "team\n", "-team", "team-", "a.b", "x.evil.com/", "x#", "x?", "x@y",
        "x:1", "x\\", "team_1", "tëam", "\u212aeam", "a" * 64, "%2e", "x\0",
    ],
)  # fmt: skip
def test_a_team_that_could_lead_elsewhere_is_refused(team: str) -> None:
    """Nothing but one DNS label can be a part of the host."""
    with pytest.raises(ValueError, match=r"^team: expected a name of ASCII letters"):
        access(team=team)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"team": None}, TypeError, "team: expected a string, got NoneType"),
        ({"team": b"team"}, TypeError, "team: expected a string, got bytes"),
        ({"aud": None}, TypeError, "aud: expected the audience tag"),
        ({"aud": ""}, ValueError, "aud: expected non-empty strings"),
        ({"aud": " "}, ValueError, "aud: expected non-empty strings"),
        ({"aud": []}, ValueError, "aud: expected at least one audience tag"),
        ({"aud": ["a", ""]}, ValueError, "aud: expected non-empty strings"),
        ({"aud": b"a"}, TypeError, "aud: expected a collection of strings"),
        ({"aud": 5}, TypeError, "aud: expected a collection of strings"),
        ({"allowed_algorithms": {"HS256"}}, ValueError, "allowed_algorithms: "),
        ({"allowed_algorithms": []}, ValueError, "allowed_algorithms: "),
        ({"cache_ttl": -1}, ValueError, "cache_ttl: "),
        ({"leeway": "1"}, TypeError, "leeway: "),
        ({"retries": 1.5}, TypeError, "retries: "),
        ({"timeout": 0}, ValueError, "timeout: "),
        ({"store": object()}, TypeError, "store: "),
        ({"max_stale": -1}, ValueError, "max_stale: "),
        ({"token_cache_size": -1}, ValueError, "token_cache_size: "),
        ({"http_client": object()}, TypeError, "http_client: "),
        ({"observer": 1}, TypeError, "observer: "),
        ({"clock": object()}, TypeError, "clock: "),
    ],
)
def test_misuse(options: dict[str, Any], error: type[Exception], message: str) -> None:
    """What can't work is refused at construction, by name; each setting gets to where it counts."""
    with pytest.raises(error, match=f"^{message}"):
        access(**options)


def test_aud_and_team_are_required() -> None:
    """Without `aud`, a token for any application of the team would do."""
    with pytest.raises(TypeError, match="'aud'"):
        CloudFlareTokenValidation(team=TEAM)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'team'"):
        CloudFlareTokenValidation(aud=AUDIENCE)  # type: ignore[call-arg]


def test_urls_stay_what_they_are() -> None:
    """They can't be led elsewhere later."""
    cfa = access()
    for name in ("issuer", "cert_url", "identity_url"):
        with pytest.raises(AttributeError):
            setattr(cfa, name, "https://evil.example")
