"""A search asks for the keys where they were, and for the discovery document if they have moved."""

import asyncio
import dataclasses
import json
from typing import Any

import pytest

from auth_jwks._provider.client import FetchError
from auth_jwks._provider.document import Document
from auth_jwks._provider.source import MAX_SHORTCUTS, Source
from auth_jwks.errors import IssuerMismatchError
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.provider.source.asking import said, source


async def begun(provider: FakeIssuer, **settings: object) -> tuple[Source, Document]:
    """Return a source that discovers, and what it has fetched."""
    asking = source(discovery_url=provider.discovery_url, **{"issuer": provider.issuer, **settings})
    held = await asking.fetch(None)
    provider.reset()
    return asking, held


def asked(provider: FakeIssuer) -> list[str]:
    """Return which documents were asked for."""
    return ["discovery" if "openid" in request.path else "jwks" for request in provider.requests]


@pytest.mark.parametrize("rotated", [True, False])
async def test_the_keys_alone_are_asked_for(provider: FakeIssuer, *, rotated: bool) -> None:
    """One request, which a 304 may answer, and the issuer is the one that is known."""
    asking, held = await begun(provider)
    if rotated:
        provider.rotate()
    found = await asking.fetch(held, shortcut=True)
    assert asked(provider) == ["jwks"]
    assert len(json.loads(found.jwks)["keys"]) == (2 if rotated else 1)
    assert (found.issuer, found.uri) == (held.issuer, held.uri)
    assert provider.requests[0].status == (200 if rotated else 304)


async def test_without_a_document_at_hand_there_is_no_shortcut(provider: FakeIssuer) -> None:
    """Nor is there one without discovery."""
    asking, _ = await begun(provider)
    await asking.fetch(None, shortcut=True)
    direct = source(jwks_uri=provider.jwks_uri)
    document = await direct.fetch(await direct.fetch(None), shortcut=True)
    assert asked(provider) == ["discovery", "jwks", "jwks", "jwks"]
    assert document.shortcuts == 0


@pytest.mark.parametrize(
    ("fault", "arguments"),
    [
        ("outage", {"status": 404}),
        ("outage", {"status": 503}),
        ("redirect", {"location": "/new"}),
        ("refuse", {}),
        ("junk", {"body": b"<html>"}),
        ("junk", {"body": b'{"keys": []}'}),
        ("junk", {"body": b'{"keys": [{"kty": "oct", "k": "AQAB"}]}'}),
    ],
)
async def test_keys_that_have_moved_are_found(
    provider: FakeIssuer, key: SigningKey, fault: str, arguments: dict[str, Any]
) -> None:
    """Where they no longer are, discovery says where they are now."""
    asking, held = await begun(provider, fix_local_url=False)
    with FakeIssuer(keys=[key]) as other:
        other.rotate()
        provider.announce(jwks_uri=other.jwks_uri)
        getattr(provider, fault)(**arguments, on="jwks")
        found = await asking.fetch(held, shortcut=True)
        assert found.uri == other.jwks_uri
    assert len(json.loads(found.jwks)["keys"]) == 2
    assert found.shortcuts == 0
    assert asked(provider) == ["jwks", "discovery"]


async def test_where_they_were_is_not_asked_twice(provider: FakeIssuer) -> None:
    """If discovery names the same place, its answer was the answer."""
    asking, held = await begun(provider)
    provider.outage(404, on="jwks")
    with pytest.raises(FetchError) as caught:
        await asking.fetch(held, shortcut=True)
    assert caught.value.reason == f"HTTP status 404 (jwks_uri {provider.jwks_uri})"
    provider.recover()
    provider.junk(b'{"keys": []}', on="jwks")
    found = await asking.fetch(held, shortcut=True)
    assert (found.jwks, found.shortcuts) == (b'{"keys": []}', 0)
    assert asked(provider) == ["jwks", "discovery"] * 2


async def test_a_place_that_does_not_answer_takes_half_of_the_time(provider: FakeIssuer) -> None:
    """Discovery has the other half, however slowly the first answer drips in."""
    clock = FakeClock()
    asking, held = await begun(provider, clock=clock)
    provider.drip(1.0, on="jwks")
    fetch = asyncio.ensure_future(asking.fetch(held, revalidate=False, shortcut=True))
    await provider.arrived(1)
    clock.advance(5)
    with pytest.raises(FetchError) as caught:
        await fetch
    assert caught.value.reason == f"no answer within 5 s (jwks_uri {provider.jwks_uri})"
    assert asked(provider) == ["jwks", "discovery"]
    said(caught.value)


async def test_another_issuer_is_met_on_the_way(provider: FakeIssuer) -> None:
    """The discovery document is checked whenever it is asked for."""
    asking, held = await begun(provider)
    provider.announce(issuer="https://other.example.com")
    provider.outage(404, on="jwks")
    with pytest.raises(IssuerMismatchError):
        await asking.fetch(held, shortcut=True)


async def test_an_issuer_that_is_trusted_may_change_on_the_way(provider: FakeIssuer) -> None:
    """If none is configured, the one that discovery names now is the document's."""
    asking, held = await begun(provider, issuer=None)
    provider.announce(issuer="https://other.example.com")
    provider.junk(b'{"keys": []}', on="jwks")
    found = await asking.fetch(held, shortcut=True)
    assert found.issuer == "https://other.example.com"


async def test_discovery_is_not_left_out_for_ever(provider: FakeIssuer) -> None:
    """A flood of searches, each of which renews the keys, would put it off."""
    asking, held = await begun(provider)
    document = held
    for count in range(1, MAX_SHORTCUTS + 1):
        document = await asking.fetch(document, shortcut=True)
        assert document == dataclasses.replace(held, shortcuts=count)
    assert asked(provider) == ["jwks"] * MAX_SHORTCUTS
    provider.reset()
    assert await asking.fetch(document, shortcut=True) == held
    assert asked(provider) == ["discovery", "jwks"]
