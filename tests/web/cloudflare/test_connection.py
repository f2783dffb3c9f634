"""Over TLS with the team's host and nobody else; clients, stores, and the end."""

import ssl
from types import ModuleType

import httpx
import httpx2
import pytest
import trustme

from auth_jwks import KeysUnavailableError, MemoryKeyStore
from auth_jwks.cloudflare import IdentityUnavailableError
from auth_jwks.testing import FakeIssuer
from tests.web.cloudflare.access_edge import (
    AUDIENCE,
    CERTS,
    HOST,
    IDENTITY,
    PERSON,
    Edge,
    answer,
    edge_of,
)
from tests.web.cloudflare.calls import ISSUER, access, calls


async def test_a_certificate_must_be_for_the_host(
    team: FakeIssuer, ca: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever diverts the connection gets neither the keys' place nor a token."""
    async with edge_of(team, ca, "evil.example") as edge, access() as cfa:
        monkeypatch.setenv("https_proxy", edge.proxy)
        with pytest.raises(KeysUnavailableError):
            await cfa.verify_user(team.sign(PERSON))
        assert edge.requests == []


async def test_a_diverted_profile(
    team: FakeIssuer, ca: trustme.CA, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it get a token later, once the keys are there."""
    async with access() as cfa, edge_of(team, ca, "evil.example") as evil:
        await cfa.refresh()
        assert edge.paths == [CERTS]
        monkeypatch.setenv("https_proxy", evil.proxy)
        with pytest.raises(IdentityUnavailableError, match="ConnectError"):
            await cfa.get_identity(team.sign(PERSON))
        assert (evil.requests, evil.tunnels) == ([], [f"{HOST}:443"])


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_client_of_ones_own(
    library: ModuleType, edge: Edge, team: FakeIssuer, ca: trustme.CA
) -> None:
    """It is used for all, and left open; what its cookie jar learns joins no other's token."""
    alice, bob = team.sign(PERSON), team.sign(PERSON, sub="bob")
    edge.answers[IDENTITY] = answer(
        b'{"version": 2}', headers={"Set-Cookie": "CF_Authorization=old; Path=/; Secure"}
    )
    trust = ssl.create_default_context()
    ca.configure_trust(trust)
    client = library.AsyncClient(
        proxy=edge.proxy, verify=trust, trust_env=False, headers={"X-Mine": "1"}
    )
    client.cookies.set("tracker", "1", domain=HOST)
    async with client:
        async with access(http_client=client) as cfa:
            await cfa.get_identity(alice)
            await cfa.get_identity(bob)
        assert not client.is_closed
    assert edge.sent("cookie") == [[f"CF_Authorization={alice}"], [f"CF_Authorization={bob}"]]
    assert edge.sent("x-mine") == [["1"], ["1"]]


async def test_a_function_that_makes_a_client(edge: Edge, team: FakeIssuer, ca: trustme.CA) -> None:
    """One client for keys and profiles, which is closed with the verifier."""
    trust = ssl.create_default_context()
    ca.configure_trust(trust)
    made: list[httpx.AsyncClient] = []

    def make() -> httpx.AsyncClient:
        made.append(httpx.AsyncClient(proxy=edge.proxy, verify=trust, trust_env=False))
        return made[-1]

    edge.answers[IDENTITY] = answer(b'{"version": 2}')
    async with access(http_client=make) as cfa:
        assert (await cfa.get_identity(team.sign(PERSON))).version == 2
        assert [client.is_closed for client in made] == [False]
    assert [client.is_closed for client in made] == [True]
    assert edge.paths == [CERTS, IDENTITY]


async def test_one_store_shares_the_keys(edge: Edge, team: FakeIssuer) -> None:
    """Whoever has the same store and team fetches nothing; another audience is no other source."""
    async with MemoryKeyStore() as store:
        for aud in (AUDIENCE, "other", [AUDIENCE, "other"]):
            async with access(store=store, aud=aud) as cfa:
                assert await cfa.verify_token(team.sign(PERSON, aud=[AUDIENCE, "other"]))
    assert edge.paths == [CERTS]


async def test_keys_can_be_warmed_up_and_looked_at(edge: Edge, team: FakeIssuer) -> None:
    """`refresh` fetches, with `force` again; `status` and the repr tell, without I/O."""
    cfa = access()
    assert cfa.status().kids == ()
    await cfa.refresh()
    await cfa.refresh()
    assert edge.paths == [CERTS]
    await cfa.refresh(force=True)
    assert edge.paths == [CERTS, CERTS]
    assert cfa.status().kids == (team.signing_key.kid,)
    assert repr(cfa) == (
        f"CloudFlareTokenValidation(JWKS('{ISSUER}{CERTS}', issuer='{ISSUER}', keys=1))"
    )
    await cfa.close()


async def test_after_close(edge: Edge, team: FakeIssuer) -> None:
    """Nothing works before it is entered again, nothing is asked, and closing again is nothing."""
    async with access() as cfa:
        await cfa.aclose()
    await cfa.close()
    assert repr(cfa).endswith("closed))")
    for call in calls(cfa):
        with pytest.raises(RuntimeError, match="closed"):
            await call(team.sign(PERSON))
    assert edge.paths == []
    async with cfa:
        assert (await cfa.verify_user(team.sign(PERSON))).email == "alice@example.com"
    with pytest.raises(RuntimeError, match="closed"):
        await cfa.verify_user(team.sign(PERSON))
