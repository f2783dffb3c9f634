"""Where the keys are asked for, and what a discovery document is believed."""

import json
import re

import httpx
import pytest

from auth_jwks._jose.keys import ALGORITHMS, parse_key_set
from auth_jwks._provider.client import FetchError
from auth_jwks.errors import IssuerMismatchError
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.provider.source.asking import ISSUER, SECRET, URI, client_of, said, source

DISCOVERY = "/.well-known/openid-configuration"


async def test_discovery_leads_to_the_keys(provider: FakeIssuer, key: SigningKey) -> None:
    """In discovery mode the document comes from where the provider says, with its issuer."""
    provider.cache("max-age=600", age=100)
    document = await source(discovery_url=provider.discovery_url).fetch(None)
    assert json.loads(document.jwks) == {"keys": [key.jwk()]}
    assert (document.uri, document.issuer) == (provider.jwks_uri, provider.issuer)
    assert document.max_age == 500
    assert document.etag is not None
    assert [r.path for r in provider.requests] == ["/.well-known/openid-configuration", "/jwks"]


@pytest.mark.parametrize("issuer", [None, "https://idp.example.com"])
@pytest.mark.parametrize("discovery_url", [None, "https://idp.example.com/discovery"])
async def test_a_jwks_uri_is_asked_directly(
    provider: FakeIssuer, issuer: str | None, discovery_url: str | None
) -> None:
    """A `jwks_uri` wins over a discovery URL; the issuer is the configured one, or unknown."""
    direct = source(jwks_uri=provider.jwks_uri, discovery_url=discovery_url, issuer=issuer)
    document = await direct.fetch(None)
    assert (document.uri, document.issuer) == (provider.jwks_uri, issuer)
    assert [request.path for request in provider.requests] == ["/jwks"]


def test_a_source_tells_where_it_asks_and_how_long() -> None:
    """Its name holds no query; there is one `timeout` for each document."""
    discovery = source(discovery_url=f"https://idp.example.com/discovery?key={SECRET}")
    assert discovery.name == "https://idp.example.com/discovery"
    assert repr(discovery) == "Source('https://idp.example.com/discovery')"
    assert discovery.deadline == 10
    assert source(jwks_uri=URI).deadline == 5


@pytest.mark.parametrize(
    "named",
    [
        "https://idp.example.com/",
        "https://IDP.example.com",
        "https://idp.example.com:443",
        "http://idp.example.com",
        "https://idp.example.com.evil.example",
        " https://idp.example.com",
    ],
)
async def test_an_issuer_must_be_the_configured_one_exactly(
    provider: FakeIssuer, named: str
) -> None:
    """Any difference is a mismatch, and no key is asked for."""
    provider.announce(issuer=named)
    configured = source(discovery_url=provider.discovery_url, issuer=ISSUER)
    with pytest.raises(IssuerMismatchError, match=re.escape(f"issuer: expected {ISSUER!r}")):
        await configured.fetch(None)
    assert provider.jwks_requests == 0


@pytest.mark.parametrize("member", ["issuer", "jwks_uri"])
@pytest.mark.parametrize("value", [None, "", 7, ["https://idp.example.com"], {}, True])
async def test_discovery_must_name_issuer_and_keys(
    provider: FakeIssuer, member: str, value: object
) -> None:
    """A discovery document without one of the two members is no good."""
    provider.announce(**{member: value})
    with pytest.raises(FetchError) as caught:
        await source(discovery_url=provider.discovery_url).fetch(None)
    assert caught.value.reason == f"the discovery document names no {member}"
    assert provider.jwks_requests == 0


async def test_blanks_are_no_issuer(provider: FakeIssuer) -> None:
    """They are no more of a name than nothing."""
    provider.announce(issuer=" \t")
    with pytest.raises(FetchError, match="names no issuer"):
        await source(discovery_url=provider.discovery_url).fetch(None)


@pytest.mark.parametrize("body", [b"<html>", b"", b"{}", b"[]", b"null", b"\xff", b'{"issuer":'])
async def test_discovery_must_be_a_json_object(provider: FakeIssuer, body: bytes) -> None:
    """Whatever else answers with 200 is not taken for a discovery document."""
    provider.junk(body, on="discovery")
    told = "names no issuer" if body == b"{}" else "is not a JSON object"
    with pytest.raises(FetchError, match=f"the discovery document {told}"):
        await source(discovery_url=provider.discovery_url).fetch(None)


async def test_a_byte_order_mark_is_read_over(provider: FakeIssuer, key: SigningKey) -> None:
    """As tools of Windows write it, before either document."""
    mark = b"\xef\xbb\xbf"
    about = {"issuer": provider.issuer, "jwks_uri": provider.jwks_uri}
    provider.junk(mark + json.dumps(about).encode(), on="discovery")
    provider.junk(mark + json.dumps({"keys": [key.jwk()]}).encode(), on="jwks")
    document = await source(discovery_url=provider.discovery_url).fetch(None)
    assert (document.issuer, document.uri) == (provider.issuer, provider.jwks_uri)
    assert len(parse_key_set(document.jwks, ALGORITHMS).keys) == 1


async def test_any_content_type_will_do(provider: FakeIssuer) -> None:
    """Key sets are served as text/plain, too; whether a body is one is judged elsewhere."""
    provider.junk(b'{"keys": []}', "text/plain", on="jwks")
    document = await source(discovery_url=provider.discovery_url).fetch(None)
    assert document.jwks == b'{"keys": []}'


@pytest.mark.parametrize(
    ("reached", "advertised", "asked"),
    [
        ("http://localhost:8080", "http://keycloak:8080/jwks", "http://localhost:8080/jwks"),
        ("http://localhost:18080", "http://localhost:8080/jwks", "http://localhost:18080/jwks"),
        (
            "http://keycloak:8080",
            "https://sso.example.com/jwks?v=1",
            "http://keycloak:8080/jwks?v=1",
        ),
        ("https://sso.example.com", "http://10.0.0.5:80/jwks", "https://sso.example.com/jwks"),
    ],
)
async def test_local_set_ups_are_repaired(
    key: SigningKey, reached: str, advertised: str, asked: str
) -> None:
    """If one of the hosts is local, the keys are asked for where discovery was reached."""
    issuer, urls = FakeIssuer(keys=[key]), list[str]()
    issuer.announce(jwks_uri=advertised)
    discovery_url = reached + DISCOVERY
    async with client_of(issuer, urls) as client:
        repaired = await source(discovery_url=discovery_url, http_client=client).fetch(None)
    assert urls == [discovery_url, asked]
    assert repaired.uri == asked


@pytest.mark.parametrize(
    ("reached", "advertised", "fix_local_url"),
    [
        ("https://accounts.google.com", "https://www.googleapis.com/oauth2/v3/certs", True),
        ("http://sso.example.com", "http://keys.example.com/jwks", True),
        ("http://localhost:8080", "http://localhost:8080/jwks", True),
        ("https://sso.example.com", "HTTPS://sso.example.com/jwks", True),
        ("http://localhost:8080", "http://keycloak:8080/jwks", False),
        ("HTTPS://sso.example.com", "https://10.0.0.5/jwks", False),
    ],
)
async def test_other_set_ups_are_left_alone(
    key: SigningKey, reached: str, advertised: str, *, fix_local_url: bool
) -> None:
    """Between two public hosts, or with the repair switched off, the advertised URL is asked."""
    issuer, urls = FakeIssuer(keys=[key], jwks_path=httpx.URL(advertised).path), list[str]()
    issuer.announce(jwks_uri=advertised)
    async with client_of(issuer, urls) as client:
        untouched = source(
            discovery_url=reached + DISCOVERY, fix_local_url=fix_local_url, http_client=client
        )
        document = await untouched.fetch(None)
    assert document.uri == advertised
    assert urls[1] == str(httpx.URL(advertised))


@pytest.mark.parametrize("fix_local_url", [True, False])
@pytest.mark.parametrize(
    ("advertised", "fault"),
    [
        ("http://keys.example.com/jwks", "the scheme must be https, as in the discovery URL"),
        ("https://user:c2VjcmV0@sso.example.com/jwks", "it must not contain credentials"),
        ("https://c2VjcmV0@localhost/jwks", "it must not contain credentials"),
        ("file:///etc/passwd", "the scheme must be https"),
        ("https:///c2VjcmV0", "not a valid URL"),
        ("https://[c2VjcmV0/jwks", "not a valid URL"),
        ("https://sso.example.com/\r\nx", "not a valid URL"),
        ("/jwks", "the scheme must be https"),
        (" ", "the scheme must be https"),
    ],
)
@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
async def test_a_dangerous_jwks_uri_is_refused(
    key: SigningKey, scheme: str, advertised: str, fault: str, *, fix_local_url: bool
) -> None:
    """An https discovery leads to https alone, in either mode, and to no credentials."""
    issuer, urls = FakeIssuer(keys=[key]), list[str]()
    issuer.announce(jwks_uri=advertised)
    async with client_of(issuer, urls) as client:
        secured = source(
            discovery_url=f"{scheme}://sso.example.com{DISCOVERY}",
            fix_local_url=fix_local_url,
            http_client=client,
        )
        with pytest.raises(FetchError) as caught:
            await secured.fetch(None)
    assert f"the advertised jwks_uri can't be used: {fault}" in caught.value.reason
    assert SECRET not in said(caught.value)
    assert len(urls) == 1


async def test_plain_http_discovery_refuses_other_schemes(provider: FakeIssuer) -> None:
    """Without TLS there still is http alone."""
    provider.announce(jwks_uri="ftp://keys.example.com/jwks")
    with pytest.raises(FetchError, match="the scheme must be http or https"):
        await source(discovery_url=provider.discovery_url).fetch(None)
