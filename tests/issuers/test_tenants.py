"""Entra ID: one issuer for each tenant, one set of keys for them all."""

from typing import Any

import jwt
import pytest

from auth_jwks import JWKS, IssuerMismatchError, UnknownKeyError
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import SigningKey
from tests.issuers.conftest import Make
from tests.issuers.sites import (
    CONSUMERS,
    HOME,
    KEY,
    LOGIN,
    OTHER,
    V1,
    V2,
    V2_KEYS,
    Site,
    entra_key,
    of_tenant,
    publish_entra,
    token,
)

OPENID = ".well-known/openid-configuration"
SECOND = SigningKey.generate("RS256", "yreX2PsLi-qkbR8QDOmB_ySxp8Q")
CONSUMER_KEY = entra_key(V2.replace("{tenantid}", CONSUMERS), SECOND)


@pytest.mark.parametrize(
    ("where", "asked"),
    [
        (None, f"{LOGIN}/common/v2.0/{OPENID}"),
        ("common", f"{LOGIN}/common/v2.0/{OPENID}"),
        ("organizations", f"{LOGIN}/organizations/v2.0/{OPENID}"),
    ],
)
async def test_tokens_of_the_tenants_are_verified(
    site: Site, make: Make, where: str | None, asked: str
) -> None:
    """Of those alone; without a discovery URL it is that of all tenants."""
    publish_entra(site)
    url = where and f"{LOGIN}/{where}/v2.0/{OPENID}"
    jwks = make(discovery_url=url, issuer=V2, tenants={HOME, OTHER})
    for tenant in (HOME, OTHER):
        for _ in range(2):
            assert (await jwks.verify_token(of_tenant(tenant)))["tid"] == tenant
    with pytest.raises(
        jwt.InvalidIssuerError, match=r"^tid: expected one of tenants=, the token has '"
    ):
        await jwks.verify_token(of_tenant(CONSUMERS))
    assert site.asked[0] == asked
    assert len(site.asked) == 2
    assert (jwks.issuers, jwks.status().issuer) == ((V2,), V2)


async def test_tokens_of_v1_are_another_name(site: Site, make: Make) -> None:
    """`https://sts.windows.net/` with a slash, signed by the keys of v2."""
    publish_entra(site)
    both = make(issuer=[V2, V1], tenants=[HOME])
    assert await both.verify_token(of_tenant(HOME, V1))
    assert await both.verify_token(of_tenant(HOME, V2))
    assert both.issuers == (V2, V1)
    for template in (V1, V2):
        with pytest.raises(jwt.InvalidIssuerError):
            await both.verify_token(of_tenant(OTHER, template))
    with pytest.raises(jwt.InvalidIssuerError, match="differ in the slash"):
        await both.verify_token(of_tenant(HOME, V1.removesuffix("/")))
    alone = make(issuer=V2, tenants=[HOME])
    with pytest.raises(jwt.InvalidIssuerError):
        await alone.verify_token(of_tenant(HOME, V1))


async def test_the_metadata_of_v1_will_do(site: Site, make: Make) -> None:
    """Its keys name no issuer, so they sign for each tenant."""
    publish_entra(site)
    at = f"{LOGIN}/common/{OPENID}"
    jwks = make(discovery_url=at, issuer=[V1, V2], tenants=[HOME])
    for template in (V1, V2):
        assert await jwks.verify_token(of_tenant(HOME, template))


@pytest.mark.parametrize("tid", [OTHER, HOME.upper(), f"{HOME} ", "", 5, [HOME], {}, True])
async def test_tid_must_be_the_tenant_in_iss(site: Site, make: Make, tid: object) -> None:
    """Whether both tenants are let in or not: what an application reads is `tid`."""
    publish_entra(site)
    for tenants in ({HOME, OTHER}, lambda _: True):
        jwks = make(issuer=V2, tenants=tenants)
        with pytest.raises(
            jwt.InvalidIssuerError, match=r"^tid: expected the tenant in iss, the token has "
        ):
            await jwks.verify_token(of_tenant(HOME, tid=tid))


async def test_without_tid_there_is_no_tenant(site: Site, make: Make) -> None:
    """It is required where `iss` is one of a template."""
    publish_entra(site)
    with pytest.raises(jwt.MissingRequiredClaimError, match='"tid"'):
        await make(issuer=V2, tenants=[HOME]).verify_token(of_tenant(HOME, tid=None))


@pytest.mark.parametrize(
    "iss",
    [
        V2,
        V2.replace("{tenantid}", "common"),
        V2.replace("{tenantid}", HOME.upper()),
        V2.replace("{tenantid}", f"{HOME}/{OTHER}"),
        V2.replace("{tenantid}", f"{HOME}\n"),
        V2.replace("{tenantid}", HOME).replace("https", "http"),
        f"https://evil.example/{HOME}/v2.0",
    ],
)
async def test_a_template_is_no_pattern(site: Site, make: Make, iss: str) -> None:
    """Nothing but a tenant's id stands in its place."""
    publish_entra(site)
    jwks = make(issuer=V2, tenants=lambda _: True)
    with pytest.raises(jwt.InvalidIssuerError, match=r"^iss: expected '"):
        await jwks.verify_token(token(iss, tid=HOME))


async def test_a_function_decides_each_time(site: Site, make: Make) -> None:
    """On tokens seen before, too, and after a refresh: a customer may come or go."""
    publish_entra(site)
    customers, asked = {HOME}, list[str]()

    def is_customer(tenant: str) -> bool:
        asked.append(tenant)
        return tenant in customers

    jwks, seen = make(issuer=V2, tenants=is_customer), of_tenant(HOME)
    assert await jwks.verify_token(seen)
    assert await jwks.verify_token(seen)
    assert asked == [HOME, HOME]
    customers.clear()
    with pytest.raises(
        jwt.InvalidIssuerError, match=r"^tid: expected one of tenants=, the token has '"
    ):
        await jwks.verify_token(seen)
    await jwks.refresh(force=True)
    with pytest.raises(jwt.InvalidIssuerError):
        await jwks.verify_token(seen)
    customers.add(HOME)
    assert await jwks.verify_token(seen)
    assert asked == [HOME] * 5


async def test_a_function_is_asked_only_about_signed_tokens(site: Site, make: Make) -> None:
    """So strangers can't make it look for tenants, or fill a cache of its own."""
    publish_entra(site)
    asked: list[str] = []

    def admit(tenant: str) -> bool:
        asked.append(tenant)
        return True

    jwks = make(issuer=V2, tenants=admit)
    assert await jwks.verify_token(of_tenant(HOME))
    forger = SigningKey.generate("RS256", KEY.kid)
    with pytest.raises(jwt.InvalidSignatureError):
        await jwks.verify_token(of_tenant(OTHER, key=forger))
    with pytest.raises(UnknownKeyError):
        await jwks.verify_token(of_tenant(OTHER, key=SECOND))
    assert asked == [HOME]


async def test_what_a_function_raises_is_raised(site: Site, make: Make) -> None:
    """It is the application's own, and lets nobody in."""
    publish_entra(site)

    def admit(_tenant: str) -> bool:
        raise LookupError

    jwks = make(issuer=V2, tenants=admit)
    for _ in range(2):
        with pytest.raises(LookupError):
            await jwks.verify_token(of_tenant(HOME))


@pytest.mark.parametrize("answer", [1, None, "yes", [HOME]])
async def test_a_function_must_say_yes_or_no(site: Site, make: Make, answer: object) -> None:
    """What only looks like a yes is a mistake, and lets nobody in."""
    publish_entra(site)
    jwks = make(issuer=V2, tenants=lambda _: answer)
    with pytest.raises(TypeError, match=r"^tenants: expected a function that returns True or Fal"):
        await jwks.verify_token(of_tenant(HOME))


async def test_a_key_signs_for_its_own_tenant(site: Site, make: Make) -> None:
    """The key of consumers signs no token of an organization (Storm-0558), nor the other way."""
    publish_entra(site, entra_key(), CONSUMER_KEY)
    jwks = make(issuer=[V2, V1], tenants=[HOME, CONSUMERS])
    assert await jwks.verify_token(of_tenant(CONSUMERS, key=SECOND))
    assert await jwks.verify_token(of_tenant(CONSUMERS))
    for template in (V2, V1):
        with pytest.raises(jwt.InvalidIssuerError, match=r"^the key belongs to another issuer"):
            await jwks.verify_token(of_tenant(HOME, template, SECOND))


@pytest.mark.parametrize("key_issuer", ["https://evil.example/{tenantid}/v2.0", "", 5, [V2], {}])
async def test_the_issuer_of_a_key_must_be_ours(site: Site, make: Make, key_issuer: object) -> None:
    """If it states one; what is empty states nothing."""
    publish_entra(site, entra_key() | {"issuer": key_issuer})
    jwks = make(issuer=V2, tenants=[HOME])
    if key_issuer in ("", {}):
        assert await jwks.verify_token(of_tenant(HOME))
    else:
        with pytest.raises(jwt.InvalidIssuerError, match=r"^the key belongs to another issuer"):
            await jwks.verify_token(of_tenant(HOME))


async def test_a_key_that_changes_its_issuer_is_another_key(site: Site, make: Make) -> None:
    """A token seen before is verified anew, and refused."""
    publish_entra(site)
    jwks, seen = make(issuer=V2, tenants=[HOME]), of_tenant(HOME)
    assert await jwks.verify_token(seen)
    publish_entra(site, entra_key(V2.replace("{tenantid}", OTHER)))
    await jwks.refresh(force=True)
    with pytest.raises(jwt.InvalidIssuerError):
        await jwks.verify_token(seen)


async def test_without_templates_the_issuer_of_a_key_says_nothing(site: Site, make: Make) -> None:
    """A member that only Entra ID defines restricts nobody else's keys."""
    issuer = "https://sso.example.com"
    site.publish(issuer, f"{issuer}/{OPENID}", f"{issuer}/jwks", entra_key("https://other.example"))
    assert await make(issuer=issuer).verify_token(token(issuer))


async def test_an_exact_name_has_no_tenant(site: Site, make: Make) -> None:
    """Beside a template it stands for itself; one that fits the template is a tenant's."""
    exact = "https://accounts.example.com"
    names = [V2, exact, V2.replace("{tenantid}", OTHER)]
    publish_entra(site, entra_key(None), entra_key(key=SECOND))
    for tenants in ([HOME], lambda tenant: tenant == HOME):
        jwks = make(issuer=names, tenants=tenants)
        for _ in range(2):
            assert await jwks.verify_token(token(exact))
            assert await jwks.verify_token(of_tenant(HOME))
        with pytest.raises(
            jwt.InvalidIssuerError, match=r"^tid: expected one of tenants=, the token has '"
        ):
            await jwks.verify_token(of_tenant(OTHER))
        with pytest.raises(jwt.InvalidIssuerError, match=r"^the key belongs to another issuer"):
            await jwks.verify_token(token(exact, SECOND))


@pytest.mark.parametrize("iss", ["https://evil.example", None, V2.replace("{tenantid}", OTHER)])
async def test_tenants_hold_where_iss_is_left_unchecked(
    site: Site, make: Make, iss: object
) -> None:
    """`verify_iss=False` is about `iss`, and opens the door to no tenant."""
    publish_entra(site, entra_key(), CONSUMER_KEY)
    jwks = make(issuer=V2, tenants=[HOME, CONSUMERS])
    if iss in (None, "https://evil.example"):
        for _ in range(2):
            assert await jwks.verify_token(token(iss, tid=HOME), verify_iss=False)
    for claims in ({"tid": OTHER}, {"tid": None}, {"tid": "common"}):
        with pytest.raises(jwt.InvalidTokenError, match=r"tid|tenant"):
            await jwks.verify_token(token(iss, **claims), verify_iss=False)
    with pytest.raises(jwt.InvalidIssuerError):
        await jwks.verify_token(token(iss, SECOND, tid=HOME), verify_iss=False)


async def test_a_foreign_tenant_costs_no_request(site: Site, make: Make) -> None:
    """Its token is refused before a key is searched for it."""
    publish_entra(site)
    jwks = make(issuer=V2, tenants=[HOME])
    await jwks.verify_token(of_tenant(HOME))
    for foreign in (of_tenant(OTHER, key=SECOND), of_tenant(HOME, key=SECOND, tid=OTHER)):
        with pytest.raises(jwt.InvalidIssuerError):
            await jwks.verify_token(foreign)
    assert len(site.asked) == 2


async def test_the_keys_alone_will_do(site: Site, make: Make) -> None:
    """Without discovery the templates and the tenants are as good."""
    publish_entra(site)
    jwks = make(jwks_uri=V2_KEYS, issuer=V2, tenants=[HOME])
    assert await jwks.verify_token(of_tenant(HOME))
    with pytest.raises(jwt.InvalidIssuerError):
        await jwks.verify_token(of_tenant(OTHER))
    assert site.asked == [V2_KEYS]


async def test_the_keys_of_v2_need_its_name(site: Site, make: Make) -> None:
    """Their issuer is that of v2, which the error tells to pass as well."""
    publish_entra(site)
    jwks = make(jwks_uri=V2_KEYS, issuer=V1, tenants=[HOME])
    with pytest.raises(jwt.InvalidIssuerError, match="if that is a name of this one, pass both"):
        await jwks.verify_token(of_tenant(HOME, V1))


async def test_one_tenants_issuer_is_not_that_of_all(site: Site, make: Make) -> None:
    """The error tells what to pass instead, whichever of the two is configured."""
    publish_entra(site)
    common = f"{LOGIN}/common/v2.0/{OPENID}"
    home, at = V2.replace("{tenantid}", HOME), f"{LOGIN}/{HOME}/v2.0/{OPENID}"
    site.publish(home, at, f"{LOGIN}/{HOME}/discovery/v2.0/keys", entra_key())
    with pytest.raises(
        IssuerMismatchError, match=r"a template .*; pass it as issuer=, with tenants"
    ):
        await make(discovery_url=common, issuer=home).verify_token(of_tenant())
    with pytest.raises(IssuerMismatchError, match="one tenant's; pass the discovery_url= of all"):
        await make(discovery_url=at, issuer=V2, tenants=[HOME]).verify_token(of_tenant())
    assert await make(issuer=home).verify_token(of_tenant())


async def test_a_published_template_opens_no_door(site: Site, make: Make) -> None:
    """Without `issuer` it is a name like any; the error tells how to trust it."""
    publish_entra(site)
    jwks = make(discovery_url=f"{LOGIN}/common/v2.0/{OPENID}")
    with pytest.raises(jwt.InvalidIssuerError, match=r"pass it as issuer=, with tenants=$"):
        await jwks.verify_token(of_tenant())
    assert await jwks.verify_token(of_tenant(), verify_iss=False)


def test_tenants_hold_in_threads(site: Site) -> None:
    """`SyncJWKS` asks a function in the caller's thread."""
    template = f"{site.url}/{{tenantid}}/v2.0"
    site.publish(template, f"{site.url}/common/v2.0/{OPENID}", f"{site.url}/keys", entra_key(None))
    admitted = {HOME}
    seen = of_tenant(HOME, template)
    with SyncJWKS(issuer=template, tenants=admitted.__contains__, aud="api") as asking:
        assert asking.verify_token(seen)
        admitted.clear()
        with pytest.raises(jwt.InvalidIssuerError):
            asking.verify_token(seen)
    with SyncJWKS(issuer=template, tenants={HOME}, aud="api") as jwks:
        for _ in range(2):
            assert jwks.verify_token(seen)
        with pytest.raises(jwt.InvalidIssuerError):
            jwks.verify_token(of_tenant(OTHER, template))
        assert jwks.issuers == (template,)


async def _awaited(_tenant: str) -> bool:
    return True


@pytest.mark.parametrize("verifier", [JWKS, SyncJWKS])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"issuer": V2}, ValueError),
        ({"issuer": ["accounts.example.com", V1]}, ValueError),
        ({"tenants": [HOME]}, ValueError),
        ({"issuer": "https://sso.example.com", "tenants": [HOME]}, ValueError),
        ({"issuer": "https://sso.example.com", "tenants": bool}, ValueError),
        ({"issuer": V2, "tenants": []}, ValueError),
        ({"issuer": V2, "tenants": [""]}, ValueError),
        ({"issuer": V2, "tenants": [HOME, "contoso.onmicrosoft.com"]}, ValueError),
        ({"issuer": V2, "tenants": [HOME.upper()]}, ValueError),
        ({"issuer": V2, "tenants": ["common"]}, ValueError),
        ({"issuer": V2, "tenants": HOME}, TypeError),
        ({"issuer": V2, "tenants": HOME.encode()}, TypeError),
        ({"issuer": V2, "tenants": [5]}, TypeError),
        ({"issuer": V2, "tenants": True}, TypeError),
        ({"issuer": V2, "tenants": _awaited}, TypeError),
    ],
)
def test_tenants_that_make_no_sense_are_refused(
    verifier: Any, options: dict[str, object], error: type[Exception]
) -> None:
    """A template without tenants would let everybody in; tenants without one, nobody."""
    with pytest.raises(error, match=r"^tenants: expected "):
        verifier(jwks_uri=V2_KEYS, aud="api", **options)
