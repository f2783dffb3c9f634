"""`SyncIssuers`: several issuers in threads."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS, Issuers, KeysUnavailableError, MemoryKeyStore, UnknownKeyError
from auth_jwks.events import Event
from auth_jwks.profiles import AccessToken
from auth_jwks.sync import SyncIssuers, SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.several_issuers.members import ISSUED, crossed, verifiers
from tests.several_issuers.pair import alike
from tests.sync.test_answers import all_kinds
from tests.sync.threads import Make, all_at_once, outcome, threads, until


@pytest.fixture
def other(clock: FakeClock) -> Iterator[FakeIssuer]:
    """Return another provider, whose key has the same `kid`."""
    keys = [SigningKey.generate("ES256", "first")]
    with FakeIssuer(keys=keys, clock=clock) as other:
        yield other
        other.release()


@pytest.fixture
def issuers(make: Make, issuer: FakeIssuer, other: FakeIssuer) -> SyncIssuers:
    """Return a verifier of both providers' tokens."""
    return SyncIssuers(*(made(make, each) for each in (issuer, other)))


def made(make: Make, provider: FakeIssuer, **options: Any) -> SyncJWKS:
    """Return a verifier of one provider's tokens."""
    return make(discovery_url=provider.discovery_url, issuer=provider.issuer, **options)


class Asking(SyncJWKS):
    """A verifier whose user adds something to each verification."""

    def verify_token(self, token: str, *args: Any, **options: Any) -> dict[str, Any]:
        """Say in the claims that it was asked."""
        return super().verify_token(token, *args, **options) | {"asked": True}


def test_a_verifier_of_the_user_s_own_class_is_asked(issuer: FakeIssuer) -> None:
    """Its own method, each time."""
    own = Asking(issuer.discovery_url, issuer=issuer.issuer)
    with SyncIssuers(own) as issuers:
        token = issuer.sign(exp=4_000_000_000, iat=0)
        for _ in range(3):
            assert issuers.verify_token(token)["asked"] is True


def test_what_stands_in_for_the_method_is_asked(
    issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a verifier or on the class: tests and tracers do so."""
    with SyncJWKS(issuer.discovery_url, issuer=issuer.issuer) as jwks:
        issuers, token = SyncIssuers(jwks), issuer.sign(exp=4_000_000_000, iat=0)
        claims = issuers.verify_token(token)
        for owner in (SyncJWKS, jwks):  # pytest may leave an attribute on the verifier
            with monkeypatch.context() as patches:
                patches.setattr(owner, "verify_token", lambda *_, **__: {"sub": "stand-in"})
                assert issuers.verify_token(token) == {"sub": "stand-in"}
                assert SyncIssuers(jwks).verify_token(token) == {"sub": "stand-in"}
            assert issuers.verify_token(token) == claims


def test_each_issuer_s_tokens_are_verified(
    issuers: SyncIssuers, issuer: FakeIssuer, other: FakeIssuer
) -> None:
    """By its own keys alone, the first time and the second."""
    for _ in range(2):
        for here in (issuer, other):
            token = here.sign()
            for _ in range(2):
                assert issuers.verify_token(token)["iss"] == here.issuer
            with pytest.raises(jwt.MissingRequiredClaimError):
                issuers.verify_token(token, "api")
        with pytest.raises(jwt.InvalidIssuerError):
            issuers.verify_token(issuer.sign(iss="https://other.test"))
    assert (issuer.jwks_requests, other.jwks_requests) == (1, 1)
    assert threads() == 1
    for here, there in ((issuer, other), (other, issuer)):
        with pytest.raises(jwt.InvalidSignatureError):
            issuers.verify_token(there.sign(iss=here.issuer))


@pytest.mark.parametrize(
    ("audience", "verify_iss"), [(None, True), (["api"], True), ("", True), (None, False)]
)
def test_the_answers_are_those_of_the_other(
    issuers: SyncIssuers,
    clock: FakeClock,
    issuer: FakeIssuer,
    other: FakeIssuer,
    audience: Any,
    *,
    verify_iss: bool,
) -> None:
    """`Issuers` and this one: for all kinds of tokens, the first time and the second."""
    theirs = Issuers(
        *(
            JWKS(each.discovery_url, issuer=each.issuer, retries=0, clock=clock)
            for each in (issuer, other)
        )
    )

    async def verify(token: str) -> dict[str, Any]:
        return await theirs.verify_token(token, audience, verify_iss=verify_iss)

    def here(token: str) -> tuple[str, str]:
        return outcome(lambda: issuers.verify_token(token, audience, verify_iss=verify_iss))

    def there(token: str) -> tuple[str, str]:
        return outcome(lambda: asyncio.run(verify(token)))

    tokens = [*all_kinds(issuer), *all_kinds(other)] * 2
    answers = [here(token) for token in tokens]
    assert answers == [there(token) for token in tokens]
    assert len({answer[0] for answer in answers}) > 5 or audience == "" or not verify_iss


def test_signatures_that_end_alike_confuse_nobody(
    issuers: SyncIssuers, issuer: FakeIssuer, other: FakeIssuer
) -> None:
    """A provider may choose its key so that a token of its ends as another one does."""
    now = {"sub": "alice", "iat": 1_800_000_000, "exp": 1_800_000_300}
    key, (ours, theirs) = alike({"iss": issuer.issuer, **now}, {"iss": other.issuer, **now})
    issuer.publish(key)
    assert issuers.verify_token(ours)["iss"] == issuer.issuer
    with pytest.raises(UnknownKeyError):
        issuers.verify_token(theirs)
    other.publish(key)
    issuers.refresh(force=True)
    for _ in range(2):
        assert issuers.verify_token(theirs)["iss"] == other.issuer
        assert issuers.verify_token(ours)["iss"] == issuer.issuer


def test_an_exact_name_wins_over_a_template(clock: FakeClock, issuer: FakeIssuer) -> None:
    """Whatever was seen before: a key for all tenants is none of the one that has its own."""
    now = {"sub": "alice", "iat": 1_800_000_000, "exp": 1_800_000_300}
    any_tenant, own = "https://idp.example/abc", "https://idp.example/def"
    key, (of_any, of_own) = alike(
        {"iss": any_tenant, "tid": "abc", **now}, {"iss": own, "tid": "def", **now}
    )
    with FakeIssuer(keys=[key], clock=clock) as provider:
        template = "https://idp.example/{tenantid}"
        every = SyncJWKS(
            jwks_uri=provider.jwks_uri, issuer=template, tenants=["abc", "def"], clock=clock
        )
        single = SyncJWKS(jwks_uri=issuer.jwks_uri, issuer=own, clock=clock)
        with SyncIssuers(every, single) as issuers:
            for _ in range(2):
                assert issuers.verify_token(of_any)["iss"] == any_tenant
                assert every.verify_token(of_own), "alone it would"
                with pytest.raises(UnknownKeyError):
                    issuers.verify_token(of_own)


def test_refreshes_run_at_the_same_time(
    issuers: SyncIssuers, issuer: FakeIssuer, other: FakeIssuer
) -> None:
    """Nobody waits for a provider that hangs, but the call."""
    issuer.hang()
    with ThreadPoolExecutor(1) as pool:
        refresh = pool.submit(issuers.refresh)
        asyncio.run(issuer.arrived())
        asyncio.run(other.arrived(2))
        assert issuers.verify_token(other.sign())["sub"] == "alice"
        assert not refresh.done()
        issuer.recover()
        issuer.release()
        refresh.result()
    assert [status.fresh for status in issuers.status()] == [True, True]
    issuers.refresh()
    assert (issuer.jwks_requests, other.jwks_requests) == (1, 1)


@pytest.mark.parametrize("down", [0, 1])
def test_a_failure_keeps_no_other_from_its_refresh(
    issuers: SyncIssuers, issuer: FakeIssuer, other: FakeIssuer, down: int
) -> None:
    """It is raised once all have ended; and an outage touches one issuer's tokens."""
    away, here = (issuer, other)[down], (issuer, other)[1 - down]
    away.outage()
    with pytest.raises(KeysUnavailableError, match="503"):
        issuers.refresh()
    with pytest.raises(TypeError, match=r"^force: "):
        issuers.refresh(force=1)  # type: ignore[arg-type]
    assert [status.fresh for status in issuers.status()] == [down == 1, down == 0]
    assert issuers.verify_token(here.sign())
    with pytest.raises(KeysUnavailableError):
        issuers.verify_token(away.sign())


def test_an_observer_must_not_wait(make: Make, issuer: FakeIssuer, other: FakeIssuer) -> None:
    """It is called in the background thread: a refresh there is refused, and nothing hangs."""
    made_here, told = list[SyncIssuers](), list[str]()

    def observe(_event: Event) -> None:
        with pytest.raises(RuntimeError, match="wait for itself"):
            made_here[0].refresh(force=True)
        told.append("refused")

    made_here.append(SyncIssuers(make(observer=observe), made(make, other)))
    made_here[0].verify_token(issuer.sign())
    until(lambda: told)
    assert told == ["refused"]


def test_after_close_nothing_works_until_it_is_entered(
    issuers: SyncIssuers, issuer: FakeIssuer, other: FakeIssuer
) -> None:
    """With all its parts, as often as one likes."""
    token = issuer.sign()
    for _ in range(3):
        with issuers as same:
            assert same is issuers
            assert issuers.verify_token(token)
            assert issuers.verify_token(other.sign())
        assert threads() == 0
        issuers.close()
        for each in (token, issuer.sign(iss="https://other.test"), "junk"):
            with pytest.raises(RuntimeError, match="closed"):
                issuers.verify_token(each)
        with pytest.raises(RuntimeError, match="closed"):
            issuers.refresh()
    assert [status.kids for status in issuers.status()] == [("first",)] * 2


def test_many_threads_confuse_nothing(
    issuers: SyncIssuers, issuer: FakeIssuer, other: FakeIssuer
) -> None:
    """Each token gets its own claims, though all are verified at once."""
    tokens = {
        each.sign(jti=str(number)): (each.issuer, str(number))
        for number in range(20)
        for each in (issuer, other)
    }

    def verify() -> bool:
        found = {token: issuers.verify_token(token) for _ in range(3) for token in tokens}
        return all((it["iss"], it["jti"]) == tokens[token] for token, it in found.items())

    assert all(each.result() for each in all_at_once(6, verify))
    assert (issuer.jwks_requests, other.jwks_requests) == (1, 1)


def test_nothing_crosses_from_one_kind_of_member_to_another(tmp_path: Path) -> None:
    """Profiles, keys without a network, tenants: in many threads at once."""
    with verifiers(SyncJWKS, tmp_path) as members, SyncIssuers(*members) as issuers:
        good = {each.sign(): each.issuer for each in ISSUED.values()}
        bad = crossed()
        login = ISSUED["discovery"].sign(aud="web")
        profile = AccessToken()

        def verify() -> bool:
            for _ in range(2):
                for what, token in bad.items():
                    with pytest.raises(jwt.InvalidTokenError):
                        pytest.fail(f"{what}: {issuers.verify_token(token)}")
                assert issuers.verify_token(login, "web", profile=profile)
                with pytest.raises(jwt.InvalidAudienceError):
                    issuers.verify_token(login)
            return {token: issuers.verify_token(token)["iss"] for token in good} == good

        assert all(each.result() for each in all_at_once(4, verify))


def test_one_store_does_for_all(make: Make, issuer: FakeIssuer, other: FakeIssuer) -> None:
    """Each issuer has a record of its own in it."""
    store = MemoryKeyStore()
    for _ in range(2):
        with SyncIssuers(make(store=store), made(make, other, store=store)) as issuers:
            for each in (issuer, other):
                assert issuers.verify_token(each.sign())["iss"] == each.issuer
    assert (issuer.jwks_requests, other.jwks_requests) == (1, 1)
