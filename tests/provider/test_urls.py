"""Which URLs may be fetched, what a log may say of them, and which are repaired."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks._provider.urls import fault_in, is_local, redacted, repaired


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "HTTPS://A.EXAMPLE:443/jwks?b=c",
        "http://localhost:8080/realms/a/jwks",
        "http://127.0.0.1:1/",
        "http://[::1]:8080/",
        "https://a.example/@b:c",
        "https://bücher.example/",
        "https://a.example:",
    ],
)
def test_http_urls_may_be_fetched(url: str) -> None:
    """Any host and port, by http or https."""
    assert fault_in(url) is None


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", "scheme"),
        ("a.example", "scheme"),
        ("//a.example", "scheme"),
        ("ftp://a.example", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("data:application/json,{}", "scheme"),
        ("unix:/run/a", "scheme"),
        ("https://user:secret@a.example", "credentials"),
        ("https://secret@a.example", "credentials"),
        ("https://:secret@a.example", "credentials"),
        ("https://@a.example", "credentials"),
        ("https:", "valid"),
        ("https:///jwks", "valid"),
        ("https://:443/", "valid"),
        ("https://a.example:0/", "valid"),
        ("https://a.example:65536/", "valid"),
        ("https://a.example:secret/", "valid"),
        ("https://a.example:-1/", "valid"),
        ("https://[::1/", "valid"),
        ("https://[secret]/", "valid"),
        ("https://a.example\u2100secret/", "valid"),
        ("https://a.example/b c", "valid"),
        (" https://a.example", "valid"),
        ("https://a.example/\n", "valid"),
        ("ht\ntps://a.example/", "valid"),
        ("https://a.example/\ud800", "valid"),
        ("https://a.example\\@b.example/", "valid|credentials"),
        ("https://a.example\\b", "valid"),
    ],
)
def test_other_urls_may_not(url: str, fault: str) -> None:
    """Another scheme, credentials, or what parsers disagree on; the words repeat none of it."""
    words = fault_in(url)
    assert words is not None
    assert any(word in words for word in fault.split("|"))
    assert "secret" not in words
    assert "example" not in words


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://a.example:8443/b/c", "https://a.example:8443/b/c"),
        ("https://user:secret@a.example/b", "https://a.example/b"),
        ("https://user:se@cret@a.example/b", "https://a.example/b"),
        ("https://a.example/b?token=secret#secret", "https://a.example/b"),
        ("redis://:secret@[::1]:6379/0", "redis://[::1]:6379/0"),
        ("https://[secret", "an invalid URL"),
    ],
)
def test_a_log_sees_no_secret(url: str, text: str) -> None:
    """Credentials, query and fragment are left out."""
    assert redacted(url) == text


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "keycloak",
        "api.localhost",
        "printer.local",
        "PRINTER.LOCAL.",
        "keycloak.svc.internal",
        "host.docker.internal",
        "127.0.0.1",
        "127.1.2.3",
        "127.0.0.1.",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
    ],
)
def test_these_hosts_are_local(host: str) -> None:
    """Loopback, private and link-local addresses, single labels and the reserved endings."""
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [
        "a.example",
        "accounts.google.com",
        "a.example.",
        "local.example",
        "notlocal.com",
        "a.notlocal",
        "localhost.example",
        "8.8.8.8",
        "8.8.8.8.",
        "172.32.0.1",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
    ],
)
def test_these_hosts_are_public(host: str) -> None:
    """Everything else is meant for the whole network."""
    assert not is_local(host)


@pytest.mark.parametrize(
    ("advertised", "discovery", "result"),
    [
        ("http://keycloak:8080/jwks?a=b", "https://sso.example/d", "https://sso.example/jwks?a=b"),
        ("https://sso.example/jwks", "http://keycloak:8080/d", "http://keycloak:8080/jwks"),
        ("http://keycloak:8080/jwks", "http://127.0.0.1:32768/d", "http://127.0.0.1:32768/jwks"),
        ("http://localhost:8080/jwks", "http://localhost:32768/d", "http://localhost:32768/jwks"),
        ("http://localhost/jwks", "https://localhost/d", "https://localhost/jwks"),
        ("http://localhost/jwks", "http://[::1]:8080/d", "http://[::1]:8080/jwks"),
        ("http://10.0.0.1/jwks", "https://sso.example/d", "https://sso.example/jwks"),
        (
            "https://sso.example.com/jwks",
            "http://kc.auth.svc:8080/d",
            "http://kc.auth.svc:8080/jwks",
        ),
        ("https://sso.example.com/jwks", "http://KC.auth.SVC./d", "http://KC.auth.SVC./jwks"),
        (
            "https://sso.example.com/jwks",
            "http://kc.auth.svc.cluster.local/d",
            "http://kc.auth.svc.cluster.local/jwks",
        ),
        ("http://kc.auth.svc/jwks", "http://kc.auth:8080/d", "http://kc.auth:8080/jwks"),
        ("http://kc.auth/jwks", "http://kc.auth.svc:8080/d", "http://kc.auth.svc:8080/jwks"),
        ("http://kc.auth:8080/jwks", "http://keycloak/d", "http://keycloak/jwks"),
        ("http://kc.auth.svc/jwks", "http://localhost/d", "http://localhost/jwks"),
        (
            "http://kc.auth/jwks",
            "http://kc.auth.svc.k8s.corp/d",
            "http://kc.auth.svc.k8s.corp/jwks",
        ),
        ("http://kc.auth.svc.k8s.corp/jwks", "http://kc.auth/d", "http://kc.auth/jwks"),
        (
            "http://a.b.svc.k8s.corp/jwks",
            "http://c.b.svc.k8s.corp/d",
            "http://c.b.svc.k8s.corp/jwks",
        ),
    ],
)
def test_a_local_set_up_is_repaired(advertised: str, discovery: str, result: str) -> None:
    """If one of two different origins is local, keys are fetched where discovery was.

    So they are in a cluster, where one service has several names.
    """
    assert repaired(advertised, discovery) == result


@pytest.mark.parametrize(
    ("advertised", "discovery"),
    [
        ("https://www.googleapis.com/oauth2/v3/certs", "https://accounts.google.com/d"),
        ("https://keys.example:8443/jwks", "https://sso.example/d"),
        ("http://sso.example/jwks", "https://sso.example/d"),
        ("http://localhost:80/jwks", "http://localhost/d"),
        ("https://LOCALHOST/jwks", "https://localhost:443/d"),
        ("http://keycloak:8080/jwks", "http://keycloak:8080/d"),
        ("http://kc.auth:8080/jwks", "http://kc.sso/d"),
        ("https://sso.example.com/jwks", "http://kc.auth:8080/d"),
        ("http://kc.auth.svc/jwks", "https://sso.example.com/d"),
        ("http://kc.auth.svc.k8s.corp/jwks", "https://sso.example.com/d"),
        ("https://cdn.example.com/jwks", "https://login.tenant.svc.example.com/d"),
        ("https://cdn.example.com/jwks", "https://svc.example.com/d"),
    ],
)
def test_other_set_ups_are_left_alone(advertised: str, discovery: str) -> None:
    """Two public hosts, and one origin however it is spelt, need no repair.

    A name of a cluster says nothing beside a public one: `name.namespace` may be either.
    """
    assert repaired(advertised, discovery) == advertised


@given(url=st.text() | st.text().map("https://{}".format), other=st.text().map("http://{}".format))
def test_no_text_raises(url: str, other: str) -> None:
    """Any text has a fault, or is a URL that can be redacted and repaired into one without."""
    redacted(url)
    is_local(url)
    if fault_in(url) is None and fault_in(other) is None:
        assert fault_in(redacted(url)) is None
        assert fault_in(repaired(url, other)) is None
