"""A document at hand: when it is asked for again, how long it is fresh, whose it is."""

import json
from typing import Any

import httpx
import pytest

from auth_jwks._provider.client import MAX_BODY, FetchError
from auth_jwks._provider.document import Document
from auth_jwks.errors import IssuerMismatchError
from auth_jwks.testing import FakeIssuer
from tests.provider.source.asking import ISSUER, URI, answering, source


def test_sources_share_a_key_only_if_nothing_differs() -> None:
    """The name in a store depends on mode, URL, issuer and `fix_local_url`."""
    url = "https://idp.example.com/x"
    differing: list[dict[str, object]] = [
        {"discovery_url": url},
        {"jwks_uri": url},
        {"jwks_uri": url + "/"},
        {"jwks_uri": url, "issuer": url},
        {"jwks_uri": url, "fix_local_url": False},
    ]
    assert len({source(**settings).key for settings in differing}) == len(differing)
    assert source(jwks_uri=url).key == source(jwks_uri=url, timeout=1.0, retries=9).key


async def test_a_document_at_hand_is_not_sent_again(provider: FakeIssuer) -> None:
    """Its `ETag` goes with the request for the keys alone; a 304 returns the same document."""
    asking = source(discovery_url=provider.discovery_url)
    held = await asking.fetch(None)
    provider.reset()
    assert await asking.fetch(held) == held
    discovery, jwks = provider.requests
    assert "if-none-match" not in discovery.headers
    assert (jwks.headers["if-none-match"], jwks.status) == (held.etag, 304)


@pytest.mark.parametrize("mode", ["discovery_url", "jwks_uri"])
@pytest.mark.parametrize(
    ("how", "asked_anew", "validated"),
    [
        ({}, False, True),
        ({"past_caches": True}, True, True),
        ({"past_caches": True, "revalidate": False}, True, False),
    ],
)
async def test_caches_in_between_are_passed_where_need_be(
    provider: FakeIssuer, mode: str, how: dict[str, bool], *, asked_anew: bool, validated: bool
) -> None:
    """Every request says so; without validation the answer is the whole set, too."""
    asking = source(**{mode: getattr(provider, mode)})
    held = await asking.fetch(None)
    assert not any("cache-control" in request.headers for request in provider.requests)
    provider.reset()
    assert await asking.fetch(held, **how) == held
    for request in provider.requests:
        assert request.headers.get("cache-control") == ("no-cache" if asked_anew else None)
    assert ("if-none-match" in provider.requests[-1].headers) is validated
    assert provider.requests[-1].status == (304 if validated else 200)


async def test_a_304_has_no_body_to_read() -> None:
    """Whatever it says of one."""
    unchanged = httpx.Response(
        304, headers={"Content-Encoding": "br"}, stream=httpx.ByteStream(b"")
    )
    held = Document(URI, None, b'{"keys": []}', '"1"')
    async with answering(unchanged) as client:
        assert await source(jwks_uri=URI, http_client=client).fetch(held) == held


async def test_a_changed_document_is_sent(provider: FakeIssuer) -> None:
    """Keys that were rotated have another `ETag`."""
    asking = source(jwks_uri=provider.jwks_uri)
    held = await asking.fetch(None)
    provider.rotate()
    document = await asking.fetch(held)
    assert document.etag != held.etag
    assert len(json.loads(document.jwks)["keys"]) == 2


@pytest.mark.parametrize("changes", [{"uri": "https://other.example.com/jwks"}, {"etag": None}])
async def test_only_an_etag_of_the_same_document_is_sent(
    provider: FakeIssuer, changes: dict[str, Any]
) -> None:
    """One from another `jwks_uri` says nothing of this one; without one there is no condition."""
    asking = source(jwks_uri=provider.jwks_uri)
    document = await asking.fetch(None)
    held = document._replace(**changes)
    assert await asking.fetch(held) == document
    assert "if-none-match" not in provider.requests[-1].headers
    provider.outage(304)
    with pytest.raises(FetchError, match="HTTP status 304"):
        await asking.fetch(held)


@pytest.mark.parametrize("etag", ["", "two words", "x" * 513, "\u00e9"])
async def test_an_etag_that_cannot_be_sent_back_is_dropped(etag: str) -> None:
    """Nothing is stored that would make a header unfit."""
    headers = [(b"ETag", etag.encode("latin-1"))]
    async with answering(httpx.Response(200, headers=headers, json={})) as client:
        asking = source(jwks_uri=URI, http_client=client)
        assert (await asking.fetch(None)).etag is None


async def test_the_issuer_is_checked_before_a_304_counts(provider: FakeIssuer) -> None:
    """Unchanged keys of another issuer are refused, or are that issuer's if none is configured."""
    trusting = source(discovery_url=provider.discovery_url)
    strict = source(discovery_url=provider.discovery_url, issuer=provider.issuer)
    held = await strict.fetch(None)
    provider.announce(issuer="https://other.example.com")
    with pytest.raises(IssuerMismatchError):
        await strict.fetch(held)
    document = await trusting.fetch(held)
    assert document == held._replace(issuer="https://other.example.com")
    assert provider.not_modified == 1


@pytest.mark.parametrize(
    ("control", "expected"), [("max-age=120", 120), ("no-cache", None), (None, 60)]
)
async def test_a_304_says_how_long_it_is_fresh(
    provider: FakeIssuer, control: str | None, expected: float | None
) -> None:
    """What it doesn't say stays as it was."""
    provider.cache("max-age=60")
    asking = source(jwks_uri=provider.jwks_uri)
    held = await asking.fetch(None)
    provider.cache(control)
    assert (await asking.fetch(held)).max_age == expected
    assert provider.not_modified == 1


@pytest.mark.parametrize(
    ("control", "age", "expected"),
    [
        ("public, max-age=300", None, 300),
        ("max-age=300", 100, 200),
        ("max-age=300", 500, 0),
        ("no-store, max-age=300", None, None),
        ("junk", 7, None),
        (None, None, None),
    ],
)
async def test_how_long_an_answer_is_fresh(
    provider: FakeIssuer, control: str | None, age: int | None, expected: float | None
) -> None:
    """`max-age` less `Age`, None if the provider doesn't say."""
    provider.cache(control, age)
    assert (await source(jwks_uri=provider.jwks_uri).fetch(None)).max_age == expected


@pytest.mark.parametrize(
    ("settings", "uri", "issuer", "fault"),
    [
        ({"jwks_uri": URI}, URI, None, None),
        ({"jwks_uri": URI}, URI, ISSUER, "it is from another issuer"),
        ({"jwks_uri": URI}, URI + "/", None, "it is from another jwks_uri"),
        ({"jwks_uri": URI, "issuer": ISSUER}, URI, ISSUER, None),
        ({"jwks_uri": URI, "issuer": ISSUER}, URI, ISSUER + "/", "it is from another issuer"),
        ({"jwks_uri": URI, "issuer": ISSUER}, URI, None, "it is from another issuer"),
        ({"discovery_url": ISSUER}, URI, ISSUER, None),
        ({"discovery_url": ISSUER}, URI, "https://other.example.com", None),
        ({"discovery_url": ISSUER}, URI, None, "it names no issuer"),
        ({"discovery_url": ISSUER}, URI, "", "it names no issuer"),
        ({"discovery_url": ISSUER}, URI, " ", "it names no issuer"),
        ({"discovery_url": ISSUER, "issuer": ISSUER}, URI, ISSUER, None),
        ({"discovery_url": ISSUER, "issuer": ISSUER}, URI, "x", "it is from another issuer"),
        ({"discovery_url": ISSUER, "issuer": ISSUER}, URI, None, "it names no issuer"),
        (
            {"discovery_url": ISSUER},
            "http://idp.example.com/jwks",
            ISSUER,
            "the scheme must be https, as in the discovery URL",
        ),
        (
            {"discovery_url": ISSUER},
            "https://u:p@x.example/",
            ISSUER,
            "it must not contain credentials",
        ),
        ({"discovery_url": "http://localhost"}, "http://keycloak:8080/jwks", ISSUER, None),
        (
            {"discovery_url": "http://localhost"},
            "file:///jwks",
            ISSUER,
            "the scheme must be http or https",
        ),
    ],
)
def test_what_a_store_holds_is_checked_like_an_answer(
    settings: dict[str, object], uri: str, issuer: str | None, fault: str | None
) -> None:
    """A document that this source could not have fetched is not its own."""
    assert source(**settings).fault_in(Document(uri, issuer, b"{}")) == fault


@pytest.mark.parametrize("settings", [{"jwks_uri": URI}, {"discovery_url": URI}])
def test_a_stored_key_set_is_no_larger_than_one_that_is_fetched(
    settings: dict[str, object],
) -> None:
    """A store gets no more of a worker's time and memory than a provider does."""
    issuer = None if "jwks_uri" in settings else ISSUER
    full, over = (Document(URI, issuer, bytes(MAX_BODY + more)) for more in (0, 1))
    assert source(**settings).fault_in(full) is None
    assert source(**settings).fault_in(over) == "its key set is larger than 524288 bytes"
