"""Where an issuer's keys are found, if all that is known of it is its name."""

import logging
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS, IssuerMismatchError, KeysUnavailableError, MemoryKeyStore
from auth_jwks.sync import SyncJWKS
from tests.issuers.conftest import Make
from tests.issuers.sites import KEY, Site, token

OPENID, OAUTH = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"


@pytest.mark.parametrize(
    ("issuer", "at"),
    [
        ("https://accounts.google.com", f"https://accounts.google.com{OPENID}"),
        ("https://tenant.eu.auth0.com/", f"https://tenant.eu.auth0.com{OPENID}"),
        ("https://sso.example.com/realms/x", f"https://sso.example.com/realms/x{OPENID}"),
        ("https://sso.example.com/realms/x/", f"https://sso.example.com/realms/x{OPENID}"),
        ("https://as.example.com", f"https://as.example.com{OAUTH}"),
        ("https://as.example.com/", f"https://as.example.com{OAUTH}"),
        ("https://as.example.com/tenants/x", f"https://as.example.com{OAUTH}/tenants/x"),
        ("https://as.example.com/tenants/x/", f"https://as.example.com{OAUTH}/tenants/x"),
    ],
)
async def test_the_issuer_is_enough(site: Site, make: Make, issuer: str, at: str) -> None:
    """OpenID Connect's place comes first, then OAuth's."""
    site.publish(issuer, at, "https://keys.example.com/jwks")
    jwks = make(issuer=issuer)
    assert (await jwks.verify_token(token(issuer)))["sub"] == "alice"
    assert site.asked[-2:] == [at, "https://keys.example.com/jwks"]
    assert len(site.asked) == (2 if OPENID in at else 3)
    assert (jwks.issuers, jwks.status().issuer) == ((issuer,), issuer)
    with pytest.raises(jwt.InvalidIssuerError):
        await jwks.verify_token(token("https://other.example"))


def test_it_is_enough_in_threads(site: Site) -> None:
    """`SyncJWKS` finds its way alike."""
    issuer = f"{site.url}/realms/x"
    site.publish(issuer, f"{site.url}{OAUTH}/realms/x", f"{site.url}/jwks")
    with SyncJWKS(issuer=issuer, aud="api") as jwks:
        assert jwks.verify_token(token(issuer))["sub"] == "alice"
        assert jwks.issuers == (issuer,)


async def test_the_document_must_name_the_issuer(site: Site, make: Make) -> None:
    """Of whichever place it is, and before any key is asked for."""
    for path in (f"/x{OPENID}", f"{OAUTH}/x"):
        site.documents.clear()
        at = f"https://sso.example.com{path}"
        site.publish("https://evil.example", at, "https://keys.example.com/jwks")
        with pytest.raises(IssuerMismatchError, match=r"names 'https://evil\.example'$"):
            await make(issuer="https://sso.example.com/x").verify_token(token("x"))
    assert "https://keys.example.com/jwks" not in site.asked


async def test_only_a_404_leads_to_the_second_place(site: Site, make: Make) -> None:
    """A document that can't be used is none that is missing."""
    site.documents[f"https://sso.example.com{OPENID}"] = ["no document"]
    site.publish("https://sso.example.com", f"https://sso.example.com{OAUTH}", "https://k.example/")
    with pytest.raises(KeysUnavailableError, match=r"is not a JSON object$"):
        await make(issuer="https://sso.example.com").verify_token(token("x"))
    assert len(site.asked) == 1


async def test_no_document_anywhere_is_told(make: Make) -> None:
    """With both places, as the issuer may be misspelt."""
    with pytest.raises(KeysUnavailableError) as caught:
        await make(issuer="https://sso.example.com/x").verify_token(token("x"))
    assert str(caught.value).endswith(
        f"HTTP status 404 (discovery document, neither at https://sso.example.com/x{OPENID}"
        f" nor at https://sso.example.com{OAUTH}/x)"
    )


async def test_a_fault_of_the_second_place_is_told_as_its_own(site: Site, make: Make) -> None:
    """Both are asked again by the next refresh."""
    site.documents[f"https://sso.example.com{OAUTH}"] = 503
    jwks = make(issuer="https://sso.example.com")
    for force, requests in ((False, 2), (True, 4)):
        with pytest.raises(KeysUnavailableError) as caught:
            await jwks.refresh(force=force)
        told = f"HTTP status 503 (discovery document, at https://sso.example.com{OAUTH})"
        assert str(caught.value).endswith(told)
        assert len(site.asked) == requests


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ("<html>", "is not a JSON object"),
        ({"jwks_uri": "https://k.example/"}, "names no issuer"),
        ({"issuer": "https://sso.example.com"}, "names no jwks_uri"),
    ],
)
async def test_a_document_of_the_second_place_is_told_as_its_own(
    site: Site, make: Make, document: object, fault: str
) -> None:
    """Otherwise it would be looked for at the first, where there is none."""
    at = f"https://sso.example.com{OAUTH}"
    site.documents[at] = document
    with pytest.raises(KeysUnavailableError) as caught:
        await make(issuer="https://sso.example.com").verify_token(token("x"))
    assert str(caught.value).endswith(f": the discovery document at {at} {fault}")


async def test_a_worker_with_the_url_shares_with_one_without(site: Site, make: Make) -> None:
    """What is written out is the same source."""
    issuer, store = "https://sso.example.com/x", MemoryKeyStore()
    site.publish(issuer, f"{issuer}{OPENID}", "https://keys.example.com/jwks")
    await make(issuer=issuer, store=store).verify_token(token(issuer))
    written = make(discovery_url=f"{issuer}{OPENID}", issuer=issuer, store=store)
    await written.verify_token(token(issuer))
    assert len(site.asked) == 2


HINT = r"if discovery_url is the URL of the issuer, pass it as issuer="


async def test_an_issuer_in_the_place_of_its_discovery_url_is_told(site: Site, make: Make) -> None:
    """The first thing that goes wrong: the server knows no document there, or another one."""
    issuer = "https://sso.example.com/realms/x"
    for document in (None, {"realm": "x", "public_key": "MIIB"}, "<html>"):
        site.documents = {issuer: document} if document else {}
        with pytest.raises(KeysUnavailableError, match=HINT):
            await make(discovery_url=issuer, issuer=issuer).verify_token(token(issuer))


async def test_a_missing_document_is_no_issuer(make: Make) -> None:
    """Nothing is guessed if the path is that of a document, or if the key set is missing."""
    with pytest.raises(KeysUnavailableError) as caught:
        await make(discovery_url=f"https://sso.example.com{OPENID}").verify_token(token("x"))
    assert str(caught.value).endswith("HTTP status 404 (discovery document)")
    with pytest.raises(KeysUnavailableError) as caught:
        await make(jwks_uri="https://sso.example.com/jwks").verify_token(token("x"))
    assert str(caught.value).endswith("HTTP status 404")


async def test_a_missing_key_set_is_told_as_such(site: Site, make: Make) -> None:
    """At any URL of the discovery document."""
    at = "https://sso.example.com/metadata"
    site.documents[at] = {"issuer": "x", "jwks_uri": "https://sso.example.com/jwks"}
    with pytest.raises(KeysUnavailableError) as caught:
        await make(discovery_url=at).verify_token(token("x"))
    assert str(caught.value).endswith("404 (jwks_uri https://sso.example.com/jwks)")


@pytest.mark.parametrize("verifier", [JWKS, SyncJWKS])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "discovery_url, jwks_uri, issuer, jwks, jwks_file: expected at least one of them"),
        ({"issuer": "sso.example.com"}, "issuer: the scheme must be http or https, unless"),
        ({"issuer": ["a", "b"]}, "issuer: the scheme must be http or https, unless"),
        ({"issuer": "https://"}, "issuer: not a valid URL, unless"),
        ({"issuer": ["a", "https://alice:hunter2@sso.example.com"]}, "issuer: it must not contain"),
        ({"issuer": f"https://sso.example.com{OPENID}"}, r"issuer: .* pass it as discovery_url="),
        ({"issuer": "https://sso.example.com?p=hunter2"}, r"issuer: .* pass discovery_url="),
        ({"issuer": "https://sso.example.com#hunter2"}, r"issuer: .* pass discovery_url="),
    ],
)
def test_what_leads_nowhere_is_refused(
    verifier: type[JWKS | SyncJWKS], options: dict[str, Any], told: str
) -> None:
    """At construction, and without a secret."""
    with pytest.raises(ValueError, match=f"^{told}") as caught:
        verifier(aud="api", **options)
    assert "hunter2" not in str(caught.value)
    verifier(aud="api", jwks_uri="https://sso.example.com/jwks", **options)


def test_plain_http_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """By the name of the parameter that it stands in."""
    JWKS(issuer="http://sso.example.com/x", aud="api")
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("issuer: plain http, ")


async def test_keys_are_found_where_the_issuer_is_local(site: Site, make: Make) -> None:
    """As with a discovery URL, the origin of a local provider is repaired."""
    issuer = "https://localhost:8080/realms/x"
    site.publish(issuer, f"{issuer}{OPENID}", "https://localhost:8080/jwks")
    site.documents[f"{issuer}{OPENID}"] = {
        "issuer": issuer,
        "jwks_uri": "http://keycloak:8080/jwks",
    }
    assert await make(issuer=issuer).verify_token(token(issuer, KEY))
