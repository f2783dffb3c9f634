"""The names of an issuer: exact strings, and templates for the tenants of Entra ID."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks._jose.issuer import IssuerNames, fault_in_name, is_tenant, issuer_names

HOME, OTHER = "72f988bf-86f1-41af-91ab-2d7cd011db47", "9188040d-6c67-4c5b-b112-36a304b66dad"
V2 = "https://login.microsoftonline.com/{tenantid}/v2.0"
V1 = "https://sts.windows.net/{tenantid}/"
GOOGLE = ("https://accounts.google.com", "accounts.google.com")


def of(template: str, tenant: str = HOME) -> str:
    """Return the issuer of one tenant."""
    return template.replace("{tenantid}", tenant)


@pytest.mark.parametrize("iss", GOOGLE)
def test_any_of_the_names_is_accepted(iss: str) -> None:
    """A name is a string, a URL or not."""
    assert issuer_names(GOOGLE).accepts(iss)


@pytest.mark.parametrize(
    "iss",
    [
        "https://accounts.google.com/",
        "http://accounts.google.com",
        "ACCOUNTS.GOOGLE.COM",
        "accounts.google.com.evil.example",
        "",
        None,
        5,
        ["accounts.google.com"],
        {},
    ],
)
def test_nothing_else_is(iss: object) -> None:
    """Names are compared to the letter, and never match a part."""
    assert not issuer_names(GOOGLE).accepts(iss)


@pytest.mark.parametrize("template", [V1, V2])
@pytest.mark.parametrize("tenant", [HOME, "0", "-", "0123456789abcdef"])
def test_a_template_accepts_a_tenant(template: str, tenant: str) -> None:
    """Hexadecimal digits and dashes, in the place of one path segment."""
    names = issuer_names((V2, V1))
    assert names.accepts(of(template, tenant))
    assert names.tenant(of(template, tenant)) == tenant


@pytest.mark.parametrize(
    "iss",
    [
        V1,
        V2,
        of(V1, ""),
        of(V2, ""),
        of(V2, "common"),
        of(V2, HOME.upper()),
        of(V2, f"{HOME}/{OTHER}"),
        of(V2, f"{HOME}/../{OTHER}"),
        of(V2, f"{HOME}%2f"),
        of(V2, f" {HOME}"),
        of(V2, f"{HOME}\n"),
        of(V2, f"{HOME}?"),
        of(V2, "٣"),
        of(V2) + "/",
        of(V2).removesuffix("/v2.0"),
        of(V1).removesuffix("/"),
        of(V1) + "v2.0",
        of(V2).replace("https:", "http:"),
        of(V2).replace("login.", "login2."),
        "https://evil.example/?" + of(V2),
        "https://login.microsoftonline.com/v2.0",
        None,
        5,
        [of(V2)],
    ],
)
def test_a_template_accepts_nothing_else(iss: object) -> None:
    """Neither another segment, nor more or fewer of them, nor the template itself."""
    names = issuer_names((V2, V1))
    assert not names.accepts(iss)
    assert names.tenant(iss) is None


@given(st.text(alphabet="0a-/{}tenantid.v2?#\n") | st.text())
def test_what_a_template_finds_is_a_tenant(middle: str) -> None:
    """Whatever stands in the place of the tenant."""
    found = issuer_names((V2,)).tenant(of(V2, middle))
    assert found == (middle if is_tenant(middle) else None)


def test_names_tell_what_they_are() -> None:
    """They hold no secret."""
    assert repr(issuer_names(("a", V1))) == f"IssuerNames(('a', '{V1}'), ('{V1}',))"
    assert issuer_names(("a", V1)).exact == ("a",)


def test_a_name_from_elsewhere_is_no_template() -> None:
    """What a provider publishes opens the door to no tenant."""
    published = IssuerNames((V2,))
    assert not published.accepts(of(V2))
    assert published.tenant(of(V2)) is None


@pytest.mark.parametrize(
    ("key_issuer", "tenant", "fits"),
    [
        (None, HOME, True),
        (None, None, True),
        (V2, HOME, True),
        (V2, OTHER, True),
        (V1, HOME, True),
        (of(V2), HOME, True),
        (of(V1), HOME, True),
        (of(V2), OTHER, False),
        (of(V1), OTHER, False),
        ("https://other.example/{tenantid}", HOME, False),
        (GOOGLE[0], HOME, False),
        (GOOGLE[0], None, True),
        (V2, None, False),
        (of(V2), None, False),
        ("", HOME, False),
    ],
)
def test_a_key_signs_for_its_issuer(
    key_issuer: str | None, tenant: str | None, *, fits: bool
) -> None:
    """By any name of it: a key that names the template of v2 signs tokens of v1, too."""
    assert issuer_names((V2, V1, *GOOGLE)).admits_key(key_issuer, tenant) is fits


@pytest.mark.parametrize(
    ("stated", "differs"),
    [
        ("https://other.example/", True),
        (of(V2) + "/", True),
        (of(V1).removesuffix("/"), True),
        (V2 + "/", True),
        ("https://tenant.auth0.com//", True),
        ("https://tenant.auth0.com", True),
        ("https://other.example//", False),
        ("https://other.example", False),
        (5, False),
        (None, False),
    ],
)
def test_a_slash_is_told(stated: object, *, differs: bool) -> None:
    """What most often goes wrong with an issuer."""
    names = issuer_names(("https://tenant.auth0.com/", "https://other.example", V2, V1))
    assert names.lacks_slash(stated) is differs


@pytest.mark.parametrize(
    "name",
    [
        *GOOGLE,
        V1,
        V2,
        "https://h/{tenantid}",
        "https://h/{tenantid}/",
        "http://127.0.0.1:80/a/{tenantid}/b/c",
    ],
)
def test_a_name_is_exact_or_a_template(name: str) -> None:
    """With one placeholder, as a whole segment, or with none."""
    assert fault_in_name(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "https://h/{tid}",
        "https://h/{tenantId}",
        "https://h/{TENANTID}",
        "https://h/{tenantid",
        "https://h/tenantid}",
        "https://h/{}",
        "https://h/a{tenantid}",
        "https://h/{tenantid}b",
        "https://h/{tenantid}/{tenantid}",
        "https://h/{tenantid}/{region}",
        "https://h/{{tenantid}}",
        "https://h//{tenantid}",
        "https://h?{tenantid}",
        "https://h/?a=/{tenantid}",
        "https://h/#/{tenantid}",
        "https://{tenantid}",
        "https://{tenantid}/v2.0",
        "https://{tenantid}.example/v2.0",
        "h/{tenantid}",
        "{tenantid}",
        "ftp://h/{tenantid}",
    ],
)
def test_another_placeholder_is_none(name: str) -> None:
    """Nor is one in a host, in a query, or twice."""
    assert "{tenantid}" in str(fault_in_name(name))


@pytest.mark.parametrize("value", ["", "A", "g", "a b", "a\n", "common", None, 5, [HOME]])
def test_a_tenant_is_an_id(value: object) -> None:
    """And no name of a domain."""
    assert not is_tenant(value)
