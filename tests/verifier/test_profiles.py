"""What a verifier makes of a profile: its own, that of one call, and the user's check."""

import gc
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS, KeysUnavailableError
from auth_jwks._rules import MAX_PROFILES, RulesOfCalls, checked_rules
from auth_jwks.profiles import AccessToken, IDToken, LogoutToken, Profile
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.verifier.maker import Make
from tests.verifier.test_repeated_tokens import checks

SIZES = pytest.mark.parametrize("token_cache_size", [0, 1024])
URL = "https://idp.test/.well-known/openid-configuration"


class Suspicion:
    """A check that refuses suspects, spoils what it is given, and counts its calls."""

    def __init__(self) -> None:
        self.suspects: dict[str, Exception] = {}
        self.calls = 0

    def __call__(self, claims: dict[str, Any]) -> None:
        """Refuse a suspect."""
        self.calls += 1
        subject = claims.pop("sub")
        claims["roles"].append("admin")
        if subject in self.suspects:
            raise self.suspects[subject]


@pytest.mark.parametrize("name", ["dpop+jwt", "logout+jwt", "application/SecEvent+JWT"])
async def test_another_purpose_is_refused_before_any_request(
    make: Make, issuer: FakeIssuer, name: str
) -> None:
    """It lets nobody in, with whatever profile but its own."""
    token = issuer.sign(headers={"typ": name})
    jwks = make()
    for profile in (None, AccessToken(), AccessToken(typ="JWT"), IDToken(client_id="web")):
        with pytest.raises(jwt.InvalidTokenError, match=r"^typ: "):
            await jwks.verify_token(token, profile=profile)
    assert issuer.requests == ()


@SIZES
async def test_a_profile_of_a_call_replaces_that_of_the_verifier(
    make: Make, issuer: FakeIssuer, token_cache_size: int
) -> None:
    """For that call; a verdict under one says nothing about another."""
    jwks = make(aud="web", profile=AccessToken(typ="JWT"), token_cache_size=token_cache_size)
    token = issuer.sign(aud="web")
    for _ in range(3):
        assert await jwks.verify_token(token)
        assert await jwks.verify_token(token, profile=IDToken(client_id="web"))
        for profile in (
            AccessToken(), AccessToken(typ="JWT", claims={"tenant": "blue"}), LogoutToken(),
            IDToken(client_id="app"), IDToken(client_id="web", nonce="n"),
        ):  # fmt: skip
            with pytest.raises(jwt.InvalidTokenError):
                await jwks.verify_token(token, profile=profile)


PROFILES: list[Callable[[], Profile | None]] = [
    lambda: None,
    lambda: AccessToken(typ="JWT"),
    lambda: AccessToken(typ="JWT", claims={"tenant": "blue"}),
    lambda: IDToken(client_id="web"),
]


async def test_verdicts_are_remembered_by_profile(make: Make, issuer: FakeIssuer) -> None:
    """Equal profiles share them, and no others do."""
    jwks, token = make(), issuer.sign(aud="web", tenant="blue")
    for profile in PROFILES:
        with checks() as checked:
            for _ in range(3):
                await jwks.verify_token(token, profile=profile())
        assert len(checked) == 1


@pytest.mark.parametrize(
    "held", [{"nonce": "n"}, {"nonce": "n", "access_token": "t"}, {"nonce": "n", "max_age": 9}]
)
async def test_a_login_is_not_remembered(
    make: Make, issuer: FakeIssuer, clock: FakeClock, held: dict[str, Any]
) -> None:
    """Its token comes once; so each time everything is checked."""
    profile = IDToken(client_id="web", **held)
    at_hash = urlsafe_b64encode(sha256(b"t").digest()[:16]).rstrip(b"=").decode()
    token = issuer.sign(aud="web", nonce="n", at_hash=at_hash, auth_time=int(clock.time()))
    for jwks, given in ((make(), profile), (make(profile=profile), None)):
        with checks() as checked:
            for _ in range(3):
                await jwks.verify_token(token, profile=given)
        assert len(checked) == 3


async def test_no_secret_of_a_login_is_kept(make: Make, issuer: FakeIssuer) -> None:
    """A profile with one is gone after the call."""
    jwks, token = make(), issuer.sign(aud="web", nonce="n")
    await jwks.verify_token(token, profile=IDToken(client_id="web", nonce="n"))
    gc.collect()
    # By type: a lazy object of another library may run code when it is asked for its class.
    kept = [each for each in gc.get_objects() if type(each) is IDToken]
    assert [each.nonce for each in kept if each.nonce] == []


@SIZES
async def test_a_check_runs_each_time(
    make: Make, issuer: FakeIssuer, token_cache_size: int
) -> None:
    """On claims of its own call: what it did to them is seen there, and never again."""
    check = Suspicion()
    jwks = make(profile=AccessToken(typ="JWT", check=check), token_cache_size=token_cache_size)
    token = issuer.sign(roles=["user"])
    for number in range(1, 4):
        claims = await jwks.verify_token(f"Bearer {token}")
        assert ("sub" in claims, claims["roles"], check.calls) == (False, ["user", "admin"], number)
    check.suspects["alice"] = jwt.InvalidTokenError("suspended")
    with pytest.raises(jwt.InvalidTokenError, match="suspended"):
        await jwks.verify_token(token)
    check.suspects.clear()
    assert await jwks.verify_token(token)


@SIZES
@pytest.mark.parametrize(
    "fault", [KeyError("tenant"), jwt.PyJWTError("x"), StopIteration(), KeysUnavailableError()]
)
async def test_what_a_check_raises_is_passed_on(
    make: Make, issuer: FakeIssuer, token_cache_size: int, fault: Exception
) -> None:
    """Whether it is a refusal or a fault of the program; a coroutine turns one into another."""
    check = Suspicion()
    jwks = make(profile=AccessToken(typ="JWT", check=check), token_cache_size=token_cache_size)
    token = issuer.sign(roles=[])
    kind = RuntimeError if isinstance(fault, StopIteration) else type(fault)
    for suspects in ({"alice": fault}, {}, {"alice": fault}):
        check.suspects = suspects
        if suspects:
            with pytest.raises(kind):
                await jwks.verify_token(token)
        else:
            await jwks.verify_token(token)


@SIZES
@pytest.mark.parametrize("answer", [True, False, {}, 0])
async def test_a_check_that_answers_accepts_nothing(
    make: Make, issuer: FakeIssuer, token_cache_size: int, answer: Any
) -> None:
    """A predicate is a mistake, which no token gets past."""
    check: Any = lambda _claims: answer  # noqa: E731 - as users write it
    jwks = make(profile=AccessToken(typ="JWT", check=check), token_cache_size=token_cache_size)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"^check: expected it to return None"):
            await jwks.verify_token(issuer.sign())


@pytest.mark.parametrize("known", [False, True], ids=["without keys", "with keys"])
async def test_a_check_sees_no_unverified_claims(
    make: Make, issuer: FakeIssuer, *, known: bool
) -> None:
    """Not of a forged token, nor of one for which keys are sought; the rest rules those out."""
    check = Suspicion()
    jwks = make(profile=AccessToken(typ="JWT", check=check, claims={"tenant": "blue"}))
    if known:
        await jwks.refresh()
    requests = len(issuer.requests)
    stranger = issuer.sign(headers={"kid": "made up"}, roles=[], tenant="red")
    with pytest.raises(jwt.InvalidTokenError, match="tenant"):
        await jwks.verify_token(stranger)
    assert len(issuer.requests) == requests
    for token in (issuer.forge(roles=[], tenant="blue"), issuer.sign(roles=[], tenant="red")):
        with pytest.raises(jwt.InvalidTokenError):
            await jwks.verify_token(token)
    assert check.calls == 0


@pytest.mark.parametrize("profile", [AccessToken, "at+jwt", 5, {}, {"typ": "JWT"}, False])
async def test_what_is_no_profile_is_refused(make: Make, issuer: FakeIssuer, profile: Any) -> None:
    """At construction, and by the call."""
    with pytest.raises(TypeError, match=r"^profile: expected an AccessToken"):
        make(profile=profile)
    with pytest.raises(TypeError, match=r"^profile: expected an AccessToken"):
        await make().verify_token(issuer.sign(), profile=profile)


@pytest.mark.parametrize("kind", [JWKS, SyncJWKS])
def test_what_contradicts_a_profile_is_refused(kind: Any) -> None:
    """At construction, as it would be without effect."""
    with pytest.raises(ValueError, match=r"^required_claims: expected none"):
        kind(URL, profile=AccessToken(), required_claims=["exp", "iat", "sub", "scope"])
    with pytest.raises(TypeError, match=r"^aud: expected None"):
        kind(URL, aud="api", profile=IDToken(client_id="web"))
    kind(URL, profile=AccessToken(), required_claims={"sub", "iat", "exp"})


async def test_the_audience_of_an_id_token_is_its_client(
    make: Make, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """Under a profile of the verifier, or of a call; nobody is warned that there is none."""
    profile = IDToken(client_id="web")
    jwks = make(profile=profile)
    assert "aud" not in caplog.text
    for own, given in ((jwks, None), (make(aud="api"), profile)):
        await own.verify_token(issuer.sign(aud="web"), profile=given)
        with pytest.raises(jwt.InvalidAudienceError):
            await own.verify_token(issuer.sign(aud="api"), profile=given)
        with pytest.raises(TypeError, match=r"^audience: expected None"):
            await own.verify_token(issuer.sign(aud="web"), "web", profile=given)
    with pytest.raises(jwt.InvalidAudienceError):
        await jwks.verify_token(issuer.sign(aud="api"), profile=AccessToken(typ="JWT"))
    assert await jwks.verify_token(issuer.sign(aud="api"), "api", profile=AccessToken(typ="JWT"))


async def test_a_verifier_for_threads_takes_profiles(issuer: FakeIssuer, clock: FakeClock) -> None:
    """Its own, and those of a call."""
    with (
        FakeIssuer(keys=issuer.keys, clock=clock) as served,
        SyncJWKS(
            served.discovery_url, issuer=served.issuer, clock=clock,
            profile=AccessToken(claims={"tenant": "blue"}),
        ) as jwks,
    ):  # fmt: skip
        claims = {"aud": "api", "client_id": "web", "jti": "1", "tenant": "blue"}
        token = served.sign(claims, headers={"typ": "at+jwt"})
        for _ in range(2):
            assert jwks.verify_token(token)["tenant"] == "blue"
            with pytest.raises(jwt.InvalidTokenError, match=r"^typ: "):
                jwks.verify_token(token, profile=IDToken(client_id="api"))


async def test_many_profiles_of_calls_are_not_kept_for_ever(make: Make, issuer: FakeIssuer) -> None:
    """Each is held to its own rules all the same."""
    jwks, token = make(), issuer.sign(tenant="blue")
    good = [AccessToken(typ="JWT", claims={"tenant": "blue"}) for _ in range(MAX_PROFILES + 1)]
    bad = [AccessToken(typ="JWT", claims={"tenant": str(number)}) for number in range(MAX_PROFILES)]
    for profile in good:
        assert await jwks.verify_token(token, profile=profile)
    for profile in bad:
        with pytest.raises(jwt.InvalidTokenError):
            await jwks.verify_token(token, profile=profile)
    assert await jwks.verify_token(token, profile=good[0])


def test_rules_of_calls_tell_how_many_they_are() -> None:
    """And nothing of what they are."""
    rules = checked_rules(
        ["ES256"], None, 30.0, ("exp", "iat", "sub"), None,
        issuer=None, tenants=None, max_token_length=2048, numeric_sub=False,
    )  # fmt: skip
    calls = RulesOfCalls(rules)
    assert calls.under(IDToken(client_id="web")) is not rules
    assert repr(calls) == "RulesOfCalls(1)"
