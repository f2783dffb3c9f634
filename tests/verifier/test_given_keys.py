"""`jwks`: keys that are given to the verifier, and never expire."""

import logging
from math import inf
from types import MappingProxyType
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS, MemoryKeyStore, UnknownKeyError
from auth_jwks.events import Event, TokenRefused, UnknownKey
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.verifier.maker import KEY, RSA

ISSUER = "https://idp.test"
OTHER = SigningKey.generate("ES256", "second")
YEARS = 10 * 365 * 86_400


def verifier(clock: FakeClock, **options: Any) -> JWKS:
    """Return a verifier with one key."""
    defaults: dict[str, Any] = {"jwks": {"keys": [KEY.jwk()]}, "issuer": ISSUER, "clock": clock}
    return JWKS(**(defaults | options))


@pytest.fixture
def issuer(clock: FakeClock) -> FakeIssuer:
    """Return what signs, and serves nothing."""
    return FakeIssuer(issuer=ISSUER, keys=[KEY], clock=clock)


async def test_they_never_expire(clock: FakeClock, issuer: FakeIssuer) -> None:
    """Nothing is ever refreshed, whatever `cache_ttl` and `max_stale`."""
    events: list[Event] = []
    jwks = verifier(clock, cache_ttl=1, max_stale=0, observer=events.append)
    assert jwks.status().kids == ("first",)
    for _ in range(3):
        assert (await jwks.verify_token(issuer.sign()))["iss"] == ISSUER
        status = jwks.status()
        assert (status.source, status.issuer, status.fresh) == ("jwks", ISSUER, True)
        assert (status.expires_in, status.usable_for) == (inf, inf)
        clock.advance(YEARS)
    assert jwks.status().age == 3 * YEARS
    assert not jwks.status().refreshing
    assert events == []


async def test_an_unknown_key_is_refused_at_once(clock: FakeClock, issuer: FakeIssuer) -> None:
    """As often as one comes: there is nobody to ask."""
    events: list[Event] = []
    jwks = verifier(clock, observer=events.append)
    for _ in range(5):
        with pytest.raises(UnknownKeyError, match="no published key fits"):
            await jwks.verify_token(issuer.sign(key=OTHER))
    assert events[::2] == [UnknownKey("jwks", asked=False)] * 5
    assert {type(event) for event in events[1::2]} == {TokenRefused}
    assert not jwks.status().refreshing


async def test_a_skipped_key_is_refused_with_the_reason(
    clock: FakeClock, issuer: FakeIssuer
) -> None:
    """And is told by `status`."""
    jwks = verifier(clock, jwks={"keys": [KEY.jwk(), OTHER.jwk() | {"use": "enc"}]})
    assert jwks.status().skipped == ("its use is not sig (kid 'second')",)
    with pytest.raises(UnknownKeyError, match="its use is not sig"):
        await jwks.verify_token(issuer.sign(key=OTHER))


async def test_refresh_does_no_harm(
    clock: FakeClock, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """With and without `force`, and nothing of it is told."""
    caplog.set_level(logging.INFO)
    events: list[Event] = []
    async with verifier(clock, observer=events.append, aud="api") as jwks:
        await jwks.refresh()
        for _ in range(5):
            await jwks.refresh(force=True)
        clock.advance(YEARS)
        assert await jwks.verify_token(issuer.sign(aud="api"))
        assert jwks.status().expires_in == inf
    assert (events, caplog.records) == ([], [])


async def test_a_later_change_of_the_dict_counts_for_nothing(
    clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Any mapping will do, and is read once."""
    given = {"keys": [KEY.jwk()]}
    jwks = verifier(clock, jwks=MappingProxyType(given))
    given["keys"][0] = OTHER.jwk()
    assert await jwks.verify_token(issuer.sign())
    with pytest.raises(UnknownKeyError):
        await jwks.verify_token(issuer.sign(key=OTHER))


async def test_the_issuer_is_held_to(clock: FakeClock, issuer: FakeIssuer) -> None:
    """It is what tokens must name; without it any will do."""
    token = issuer.sign(iss="https://other.test")
    with pytest.raises(jwt.InvalidIssuerError):
        await verifier(clock).verify_token(token)
    assert await verifier(clock, issuer=None).verify_token(token)


def test_a_missing_issuer_is_one_warning(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """As for a `jwks_uri`."""
    verifier(clock, issuer=None, aud="api")
    [message] = caplog.messages
    assert message.startswith("issuer: not given, so the iss claim of tokens is not checked (jwks)")


async def test_the_keys_of_a_spiffe_bundle(clock: FakeClock) -> None:
    """Those for tokens verify, those for certificates don't."""
    bundle = {
        "keys": [
            KEY.jwk() | {"use": "jwt-svid"},
            {"kty": RSA.jwk()["kty"], "n": RSA.jwk()["n"], "e": "AQAB", "use": "x509-svid"},
        ],
        "spiffe_refresh_hint": 60,
    }
    jwks = verifier(clock, jwks=bundle)
    assert jwks.status().kids == ("first",)
    assert jwks.status().skipped == ("its use is not sig",)
    assert jwks.status().expires_in == inf


CIRCLE: dict[str, Any] = {"keys": []}
CIRCLE["keys"].append(CIRCLE)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "the document is not a JWK Set"),
        ({"keys": {}}, "the document is not a JWK Set"),
        ({"keys": []}, "the JWK Set has no usable key: it is empty"),
        ({"keys": [{"kty": "oct", "k": "aHVudGVyMg"}]}, "the JWK Set has no usable key: its key"),
        ({"keys": [KEY.jwk() | {"d": "hunter2"}]}, "the JWK Set has no usable key: it contains"),
        ({"keys": [SigningKey.generate("ES384").jwk()]}, "no key fits allowed_algorithms: its alg"),
        ({"keys": [KEY.jwk() | {"n": inf}]}, "expected JSON, of at most 524288 bytes"),
        ({"keys": [KEY.jwk() | {"n": object()}]}, "expected JSON, of at most 524288 bytes"),
        ({"keys": [KEY.jwk()], "more": "x" * 512 * 1024}, "expected JSON, of at most 524288 bytes"),
        (CIRCLE, "expected JSON, of at most 524288 bytes"),
    ],
)
def test_a_wrong_value_is_refused(clock: FakeClock, value: object, reason: str) -> None:
    """At construction, by a `ValueError` that names the parameter and repeats no secret."""
    with pytest.raises(ValueError, match=f"^jwks: {reason}") as caught:
        verifier(clock, jwks=value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("value", [[KEY.jwk()], '{"keys": []}', b"", 5])
def test_a_wrong_type_is_refused(clock: FakeClock, value: object) -> None:
    """At construction, by a `TypeError` that names the parameter."""
    with pytest.raises(TypeError, match=r"^jwks: expected a JWK Set as a dict, got "):
        verifier(clock, jwks=value)


GIVEN: dict[str, Any] = {"jwks": {"keys": [KEY.jwk()]}, "jwks_file": "/keys.json"}


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize(
    ("other", "value"),
    [
        ("discovery_url", ISSUER),
        ("jwks_uri", ISSUER),
        ("store", MemoryKeyStore()),
        ("http_client", lambda: None),
    ],
)
def test_what_makes_no_sense_beside_them(name: str, other: str, value: object) -> None:
    """Nothing is fetched over a network, and nothing shared."""
    options: dict[str, Any] = {name: GIVEN[name], other: value}
    with pytest.raises(ValueError, match=f"^{name}, {other}: expected {name} without the other$"):
        JWKS(**options)


def test_only_one_of_them_is_taken() -> None:
    """And all that are given are named."""
    with pytest.raises(ValueError, match=r"^jwks, jwks_file: expected jwks without the other$"):
        JWKS(**GIVEN)
    with pytest.raises(ValueError, match=r"^jwks, jwks_file, jwks_uri: "):
        JWKS(**GIVEN, jwks_uri=ISSUER)


@pytest.mark.parametrize(
    ("name", "value"), [("retries", "3"), ("fix_local_url", 1), ("timeout", 0)]
)
def test_other_parameters_are_checked_as_ever(name: str, value: object) -> None:
    """Though they mean nothing here."""
    options: dict[str, Any] = {"jwks": GIVEN["jwks"], name: value}
    with pytest.raises((TypeError, ValueError), match=f"^{name}: "):
        JWKS(**options)
