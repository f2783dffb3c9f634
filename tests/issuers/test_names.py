"""Several names of one issuer, in the shapes of the providers that have them."""

import logging
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS, IssuerMismatchError, MemoryKeyStore
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeIssuer
from tests.issuers.conftest import Make
from tests.issuers.sites import Site, token

OPENID = "/.well-known/openid-configuration"
ADFS = "https://adfs.example.com/adfs"
INSIDE, OUTSIDE = "http://keycloak:8080/realms/x", "https://sso.example.com/realms/x"
EKS = "https://oidc.eks.eu-west-1.amazonaws.com/id/1A2B"

# What discovery names, where it is, where the keys are, and what else tokens name.
PROVIDERS = {
    "google": (
        "https://accounts.google.com",
        f"https://accounts.google.com{OPENID}",
        "https://www.googleapis.com/oauth2/v3/certs",
        ["accounts.google.com"],
    ),
    "adfs": (
        ADFS,
        f"{ADFS}{OPENID}",
        f"{ADFS}/discovery/keys",
        ["http://adfs.example.com/adfs/services/trust"],
    ),
    "auth0": (
        "https://login.example.com/",
        f"https://login.example.com{OPENID}",
        "https://login.example.com/.well-known/jwks.json",
        ["https://tenant.eu.auth0.com/"],
    ),
    "keycloak": (
        OUTSIDE,
        f"{OUTSIDE}{OPENID}",
        f"{OUTSIDE}/protocol/openid-connect/certs",
        [INSIDE],
    ),
    "kubernetes": (
        EKS,
        f"{EKS}{OPENID}",
        f"{EKS}/keys",
        ["https://kubernetes.default.svc.cluster.local", "https://kubernetes.default.svc"],
    ),
}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("others_first", [True, False])
async def test_a_token_may_name_any(
    site: Site, make: Make, provider: str, *, others_first: bool
) -> None:
    """And nothing else, whichever of them discovery names."""
    issuer, at, keys, others = PROVIDERS[provider]
    site.publish(issuer, at, keys, access_token_issuer=others[0])
    names = [*others, issuer] if others_first else [issuer, *others]
    jwks = make(discovery_url=at, issuer=names)
    for _ in range(2):
        for name in names:
            assert (await jwks.verify_token(token(name)))["iss"] == name
    for wrong in (f"{names[0]}/", names[-1].upper(), "https://evil.example", "", None, names):
        with pytest.raises(jwt.InvalidIssuerError):
            await jwks.verify_token(token(wrong))
        assert await jwks.verify_token(token(wrong), verify_iss=False)
    assert jwks.issuers == tuple(names)
    assert jwks.status().issuer == issuer
    assert len(site.asked) == 2


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_first_url_leads_to_the_keys(site: Site, make: Make, provider: str) -> None:
    """Where discovery is left out; a name that is no URL leads nowhere."""
    issuer, at, keys, others = PROVIDERS[provider]
    site.publish(issuer, at, keys)
    jwks = make(issuer=["a name", issuer, *others])
    assert await jwks.verify_token(token(others[0]))
    assert site.asked == [at, keys]


async def test_asked_inside_it_may_name_itself_as_outside(site: Site, make: Make) -> None:
    """Keycloak names the host that it is asked by, or the one that is configured."""
    for named in (INSIDE, OUTSIDE):
        site.documents.clear()
        at = f"https://keycloak:8080/realms/x{OPENID}"
        site.publish(named, at, "https://keycloak:8080/realms/x/certs")
        jwks = make(discovery_url=f"{INSIDE}{OPENID}", issuer=[INSIDE, OUTSIDE])
        assert await jwks.verify_token(token(INSIDE))
        assert await jwks.verify_token(token(OUTSIDE))
        assert jwks.status().issuer == named


async def test_discovery_must_name_one_of_them(site: Site, make: Make) -> None:
    """The error tells what was expected and what was found."""
    issuer, at, keys, _ = PROVIDERS["google"]
    site.publish(issuer, at, keys)
    with pytest.raises(IssuerMismatchError) as caught:
        await make(discovery_url=at, issuer=[ADFS, "adfs"]).verify_token(token(ADFS))
    assert str(caught.value) == (
        f"issuer: expected '{ADFS}' or 'adfs', the discovery document names '{issuer}'"
    )
    assert site.asked == [at]


@pytest.mark.parametrize(
    ("configured", "named"),
    [
        ("https://tenant.eu.auth0.com", "https://tenant.eu.auth0.com/"),
        ("https://sso.example.com/realms/x/", "https://sso.example.com/realms/x"),
    ],
)
async def test_a_slash_too_many_or_too_few_is_told(
    site: Site, make: Make, configured: str, named: str
) -> None:
    """By discovery, and where there is none by the tokens."""
    at = f"{named.rstrip('/')}{OPENID}"
    site.publish(named, at, "https://keys.example.com/jwks")
    with pytest.raises(IssuerMismatchError, match="they differ in the slash at the end; pass iss"):
        await make(issuer=configured).verify_token(token(named))
    direct = make(issuer=configured, jwks_uri="https://keys.example.com/jwks")
    with pytest.raises(jwt.InvalidIssuerError, match="they differ in the slash at the end; pass"):
        await direct.verify_token(token(named))


async def test_without_discovery_any_name_is_accepted(site: Site, make: Make) -> None:
    """The keys are where it says; the first name stands for all."""
    issuer, at, keys, others = PROVIDERS["google"]
    site.publish(issuer, at, keys)
    jwks = make(jwks_uri=keys, issuer=[*others, issuer])
    assert await jwks.verify_token(token(issuer))
    assert await jwks.verify_token(token(others[0]))
    assert jwks.status().issuer == others[0]
    with pytest.raises(jwt.InvalidIssuerError):
        await jwks.verify_token(token(ADFS))


@pytest.mark.parametrize("direct", [True, False])
async def test_workers_share_whatever_their_order(site: Site, make: Make, *, direct: bool) -> None:
    """With the same names they are of one source; with others they are not."""
    issuer, at, keys, others = PROVIDERS["google"]
    site.publish(issuer, at, keys)
    store = MemoryKeyStore()
    where = {"jwks_uri": keys} if direct else {"discovery_url": at}
    for names in ([issuer, *others], [*others, issuer], [issuer, *others, issuer]):
        assert await make(**where, issuer=names, store=store).verify_token(token(issuer))
    assert len(site.asked) == (1 if direct else 2)
    await make(**where, issuer=issuer, store=store).verify_token(token(issuer))
    assert len(site.asked) == (2 if direct else 4)


async def test_another_name_of_it_in_discovery_is_no_other_issuer(site: Site, make: Make) -> None:
    """From one refresh to the next it may name itself differently; tokens seen before hold."""
    issuer, at, keys, others = PROVIDERS["auth0"]
    site.publish(issuer, at, keys)
    jwks, seen = make(discovery_url=at, issuer=[issuer, *others]), token(issuer)
    assert await jwks.verify_token(seen)
    site.publish(others[0], at, keys)
    await jwks.refresh(force=True)
    assert jwks.status().issuer == others[0]
    assert await jwks.verify_token(seen)


async def test_a_foreign_token_costs_no_request(site: Site, make: Make) -> None:
    """Not even if its key is unknown: its issuer rules it out."""
    issuer, at, keys, others = PROVIDERS["google"]
    site.publish(issuer, at, keys)
    jwks = make(discovery_url=at, issuer=[issuer, *others])
    await jwks.verify_token(token(issuer))
    foreign = FakeIssuer(issuer="https://other.example")
    with pytest.raises(jwt.InvalidIssuerError):
        await jwks.verify_token(foreign.sign(aud="api"))
    assert len(site.asked) == 2


def test_they_hold_in_threads(site: Site) -> None:
    """`SyncJWKS` takes the same."""
    names = [site.url, "accounts.google.com"]
    site.publish(site.url, f"{site.url}{OPENID}", f"{site.url}/certs")
    with SyncJWKS(issuer=names, aud="api") as jwks:
        for name in names:
            assert jwks.verify_token(token(name))["iss"] == name
        with pytest.raises(jwt.InvalidIssuerError):
            jwks.verify_token(token("https://evil.example"))
        assert jwks.issuers == tuple(names)


@pytest.mark.parametrize("verifier", [JWKS, SyncJWKS])
def test_a_verifier_tells_the_names_that_it_was_given(
    verifier: type[JWKS | SyncJWKS], caplog: pytest.LogCaptureFixture
) -> None:
    """None, if there are none: what discovery names is another matter, and warned of."""
    assert verifier(OUTSIDE, "api", issuer=["a", "b", "a"]).issuers == ("a", "b")
    assert verifier(OUTSIDE, "api", issuer=("a",)).issuers == ("a",)
    assert caplog.records == []
    assert verifier(OUTSIDE, "api").issuers == ()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("verifier", [JWKS, SyncJWKS])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        ([], ValueError),
        ((), ValueError),
        (["a", ""], ValueError),
        (["a", " "], ValueError),
        (["a\n"], ValueError),
        ("a\n", ValueError),
        ("https://h/{tid}", ValueError),
        (["a", "{tenantid}"], ValueError),
        (b"a", TypeError),
        ([b"a"], TypeError),
        ([["a"]], TypeError),
        ([None], TypeError),
        ({"a", "b"}, TypeError),
        ({"a": "b"}, TypeError),
        (iter("a"), TypeError),
    ],
)
def test_what_is_no_list_of_names_is_refused(
    verifier: Any, value: object, error: type[Exception]
) -> None:
    """A set has no first, so the workers of a fleet would not agree on where to ask."""
    with pytest.raises(error, match=r"^issuer: "):
        verifier(OUTSIDE, "api", issuer=value)
