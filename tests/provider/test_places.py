"""Where an issuer publishes its metadata."""

import pytest

from auth_jwks._provider.places import fault_in_place, is_place, places_of

OPENID, OAUTH = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"


@pytest.mark.parametrize(
    ("issuer", "openid", "oauth"),
    [
        ("https://h", f"https://h{OPENID}", f"https://h{OAUTH}"),
        ("https://h/", f"https://h{OPENID}", f"https://h{OAUTH}"),
        ("https://h/a/b", f"https://h/a/b{OPENID}", f"https://h{OAUTH}/a/b"),
        ("https://h/a/b/", f"https://h/a/b{OPENID}", f"https://h{OAUTH}/a/b"),
        ("http://h:80/a", f"http://h:80/a{OPENID}", f"http://h:80{OAUTH}/a"),
        (
            "https://[::1]:8/a%2Fb",
            f"https://[::1]:8/a%2Fb{OPENID}",
            f"https://[::1]:8{OAUTH}/a%2Fb",
        ),
        (
            "https://h/{tenantid}/v2.0",
            f"https://h/common/v2.0{OPENID}",
            f"https://h{OAUTH}/common/v2.0",
        ),
    ],
)
def test_one_is_appended_and_one_inserted(issuer: str, openid: str, oauth: str) -> None:
    """A slash at the end of the issuer is removed before."""
    assert places_of(issuer) == (openid, oauth)


@pytest.mark.parametrize(
    ("name", "is_url"),
    [
        ("https://h", True),
        ("HTTP://h", True),
        ("accounts.google.com", False),
        ("urn:issuer", False),
        ("", False),
    ],
)
def test_a_name_may_be_no_url(name: str, *, is_url: bool) -> None:
    """Google has such a one."""
    assert is_place(name) is is_url


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("accounts.google.com", "unless discovery_url or jwks_uri is given"),
        ("https://alice:hunter2@h", "it must not contain credentials"),
        (f"https://h{OPENID}", "discovery_url="),
        (f"https://h{OAUTH}/a", "discovery_url="),
        ("https://h?a", "discovery_url="),
        ("https://h#a", "discovery_url="),
    ],
)
def test_no_document_is_beneath_it(name: str, told: str) -> None:
    """The fault tells what to pass instead, and no secret."""
    fault = str(fault_in_place(name))
    assert told in fault
    assert "hunter2" not in fault


@pytest.mark.parametrize("name", ["https://h", "http://h/a/", "https://h/{tenantid}/v2.0"])
def test_a_url_of_an_issuer_will_do(name: str) -> None:
    """With a path or without, and as a template."""
    assert fault_in_place(name) is None
