"""Who verifies a token: the one that has its issuer, and nobody else."""

from typing import Any

import jwt
import pytest

from auth_jwks import JWKS, Issuers, UnknownKeyError
from auth_jwks._jose.tokens import MAX_TOKEN
from auth_jwks.errors import reason_of
from auth_jwks.events import Event, TokenRefused
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.several_issuers.pair import A, B, Make, alike, fetches

Pair = tuple[FakeIssuer, FakeIssuer]


async def test_each_issuer_s_tokens_are_verified(issuers: Issuers, pair: Pair) -> None:
    """By its own keys, which are fetched when its first token comes."""
    for number, provider in enumerate(pair):
        token = provider.sign(jti="1")
        for spelled in (token, token, f"Bearer {token}", f"bearer   {token}  ", token):
            assert (await issuers.verify_token(spelled))["iss"] == provider.issuer
        assert fetches(pair) == ((2, 0), (2, 2))[number]


class Asking(JWKS):
    """A verifier whose user adds something to each verification."""

    async def verify_token(self, token: str, *args: Any, **options: Any) -> dict[str, Any]:
        """Say in the claims that it was asked."""
        return await super().verify_token(token, *args, **options) | {"asked": True}


async def test_a_verifier_of_the_user_s_own_class_is_asked(make: Make, pair: Pair) -> None:
    """Its own method, each time; and the token of the other one is its own affair."""
    issuers = Issuers(make(pair[0], kind=Asking), make(pair[1]))
    for provider, asked in zip(pair, (True, None), strict=True):
        token = provider.sign()
        for _ in range(3):
            assert (await issuers.verify_token(token)).get("asked") is asked


async def test_what_stands_in_for_the_method_is_asked(
    make: Make, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a verifier or on the class, before and after the choice: tests and tracers do so."""
    first, second = make(pair[0]), make(pair[1])
    issuers, token = Issuers(first, second), pair[0].sign()
    claims = await issuers.verify_token(token)

    async def stand_in(*_: object, **__: object) -> dict[str, Any]:
        return {"sub": "stand-in"}

    for owner in (JWKS, first):  # pytest may leave an attribute on the verifier
        with monkeypatch.context() as patches:
            patches.setattr(owner, "verify_token", stand_in)
            assert await issuers.verify_token(token) == {"sub": "stand-in"}
            assert await Issuers(first).verify_token(token) == {"sub": "stand-in"}
        assert await issuers.verify_token(token) == claims


async def test_a_token_that_is_too_long_to_be_remembered_chooses_for_itself(
    issuers: Issuers, pair: Pair
) -> None:
    """One with so many spaces before it is verified, and says nothing of the next one's issuer."""
    for provider in (*pair, *pair):
        claims = await issuers.verify_token(f"Bearer {' ' * MAX_TOKEN}{provider.sign()}")
        assert claims["iss"] == provider.issuer
    with pytest.raises(jwt.DecodeError):
        await issuers.verify_token(7)  # type: ignore[arg-type]
    assert issuers.refused == {"malformed": 1}


async def test_claims_are_the_callers_own(issuers: Issuers, pair: Pair) -> None:
    """What one caller does to them no other sees."""
    token = pair[0].sign(roles=["user"])
    for _ in range(3):
        claims = await issuers.verify_token(token)
        assert claims["roles"] == ["user"]
        claims["roles"].append("admin")
        claims["iss"] = B


@pytest.mark.parametrize(
    "stated", ["https://c.example", f"{A}/", A.upper(), f" {A}", "", "a.example", 5, True, [A], {}]
)
async def test_any_other_issuer_is_refused_without_a_request(
    issuers: Issuers, pair: Pair, stated: object
) -> None:
    """Names are compared to the letter, and no URL is made of one."""
    a, b = pair
    for token in (a.sign(iss=stated), b.sign(iss=stated), a.forge(iss=stated)):
        for _ in range(2):
            with pytest.raises(jwt.InvalidIssuerError):
                await issuers.verify_token(token)
    assert fetches(pair) == (0, 0)


async def test_a_token_without_issuer_is_refused(issuers: Issuers, pair: Pair) -> None:
    """Absent is missing, and null is no name."""
    with pytest.raises(jwt.MissingRequiredClaimError, match="iss"):
        await issuers.verify_token(pair[0].sign(iss=None))
    with pytest.raises(jwt.InvalidIssuerError):
        await issuers.verify_token(pair[0].signing_key.sign(b'{"iss":null}'))
    assert fetches(pair) == (0, 0)


@pytest.mark.parametrize("warm", [False, True])
async def test_a_key_of_one_issuer_signs_for_no_other(
    issuers: Issuers, pair: Pair, *, warm: bool
) -> None:
    """Though it has the `kid` that the other publishes, and whoever was there before."""
    a, b = pair
    if warm:
        for provider in pair:
            await issuers.verify_token(provider.sign())
    for token in (b.sign(iss=A), a.sign(iss=B)):
        for _ in range(2):
            with pytest.raises(jwt.InvalidSignatureError):
                await issuers.verify_token(token)


async def test_a_key_that_only_another_issuer_has_is_unknown(issuers: Issuers, pair: Pair) -> None:
    """The search asks the issuer that the token states, and no other."""
    a, b = pair
    await issuers.refresh()
    b.rotate(SigningKey.generate("ES256", "second"))
    await issuers.verify_token(b.sign())
    asked = fetches(pair)
    for _ in range(2):
        with pytest.raises(UnknownKeyError):
            await issuers.verify_token(b.sign(iss=A))
    assert len(a.requests) > asked[0]
    assert len(b.requests) == asked[1]


async def test_a_part_of_a_token_seen_before_opens_nothing(issuers: Issuers, pair: Pair) -> None:
    """Its signature, or its end, is no way to the keys, and none past them."""
    a, b = pair
    seen = a.sign()
    await issuers.verify_token(seen)
    await issuers.verify_token(b.sign())
    signature = seen.rpartition(".")[2]
    for stated, fault in ((A, jwt.InvalidSignatureError), (B, jwt.InvalidSignatureError)):
        pasted = a.sign(iss=stated, jti="x").rpartition(".")[0] + "." + signature
        with pytest.raises(fault):
            await issuers.verify_token(pasted)
    for junk in (f"junk.{signature}", f"a.b.{signature}", signature):
        with pytest.raises(jwt.DecodeError):
            await issuers.verify_token(junk)
    with pytest.raises(jwt.InvalidIssuerError):
        await issuers.verify_token(a.sign(iss="x").rpartition(".")[0] + "." + signature)
    assert await issuers.verify_token(seen)


@pytest.mark.parametrize("stated", [A, B, "https://c.example", None])
async def test_the_end_of_a_token_seen_before_causes_one_refusal(
    make: Make, pair: Pair, stated: str | None
) -> None:
    """It is counted and told once, where it belongs, and its error has no other behind it."""
    events: list[Event] = []
    observer = events.append
    first, second = (make(each, observer=observer) for each in pair)
    issuers = Issuers(first, second)
    seen = pair[0].sign()
    await issuers.verify_token(seen)
    pasted = f"{pair[0].sign(iss=stated, jti='x').rpartition('.')[0]}.{seen.rpartition('.')[2]}"
    with pytest.raises(jwt.InvalidTokenError) as refused:
        await issuers.verify_token(pasted)
    assert refused.value.__context__ is None
    assert len([event for event in events if isinstance(event, TokenRefused)]) == 1
    judges = [first.status().verifications, second.status().verifications, issuers.refused]
    told = [sum(counts.values()) - counts.get("ok", 0) for counts in judges]
    assert told == {A: [1, 0, 0], B: [0, 1, 0]}.get(str(stated), [0, 0, 1])


async def test_signatures_that_end_alike_confuse_nobody(make: Make, pair: Pair) -> None:
    """A provider may choose its key so that a token of its ends as another one does."""
    a, b = pair
    now = {"sub": "alice", "iat": 1_800_000_000, "exp": 1_800_000_300}
    key, (of_a, of_b) = alike({"iss": A, **now}, {"iss": B, **now})
    assert of_a[-40:] == of_b[-40:]
    a.publish(key)
    verifier, other = make(a), make(b)
    issuers = Issuers(verifier, other)
    assert (await issuers.verify_token(of_a))["iss"] == A
    with pytest.raises(UnknownKeyError):
        await issuers.verify_token(of_b)
    b.publish(key)
    await issuers.refresh(force=True)
    for _ in range(2):
        assert (await issuers.verify_token(of_b))["iss"] == B
        assert (await issuers.verify_token(of_a))["iss"] == A


async def test_an_exact_name_wins_over_a_template(make: Make, pair: Pair) -> None:
    """Whatever was seen before: a key for all tenants is none of the one that has its own."""
    a, b = pair
    now = {"sub": "alice", "iat": 1_800_000_000, "exp": 1_800_000_300}
    any_tenant, own = "https://idp.example/abc", "https://idp.example/def"
    key, (of_any, of_own) = alike(
        {"iss": any_tenant, "tid": "abc", **now}, {"iss": own, "tid": "def", **now}
    )
    a.publish(key)
    names = ["https://idp.example/{tenantid}", "https://old.example"]
    every = make(
        a, discovery_url=None, jwks_uri=a.jwks_uri, issuer=names, tenants=["abc", "def", "0"]
    )
    single = make(b, discovery_url=None, jwks_uri=b.jwks_uri, issuer=own)
    for issuers in (Issuers(every, single), Issuers(single, every)):
        for _ in range(2):
            assert (await issuers.verify_token(of_any))["iss"] == any_tenant
            assert await every.verify_token(of_own), "alone it would"
            with pytest.raises(UnknownKeyError):
                await issuers.verify_token(of_own)
        assert (await issuers.verify_token(b.sign(iss=own)))["iss"] == own
        assert await issuers.verify_token(a.sign(iss="https://idp.example/0", tid="0"))
        assert await issuers.verify_token(a.sign(iss="https://old.example"))
        for stated in ("https://idp.example/1", "https://idp.example/0/0", names[0]):
            with pytest.raises(jwt.InvalidIssuerError):
                await issuers.verify_token(a.sign(iss=stated, tid="1"))


@pytest.mark.parametrize("size", [0, 1024])
async def test_a_token_seen_before_is_judged_anew(
    make: Make, clock: FakeClock, pair: Pair, size: int
) -> None:
    """By its times, its audience and its key."""
    a, b = pair
    issuers = Issuers(make(a, token_cache_size=size), make(b, token_cache_size=size))
    token = a.sign(aud="api")
    for _ in range(2):
        assert await issuers.verify_token(token)
        assert await issuers.verify_token(token, ["api", "web"])
        with pytest.raises(jwt.InvalidAudienceError):
            await issuers.verify_token(token, "web")
    clock.advance(1)
    a.rotate(SigningKey.generate("ES256", "first"), keep=False)
    await issuers.refresh(force=True)
    with pytest.raises(jwt.InvalidSignatureError):
        await issuers.verify_token(token)
    other = b.sign(aud="api")
    await issuers.verify_token(other)
    clock.advance(331)
    with pytest.raises(jwt.ExpiredSignatureError):
        await issuers.verify_token(other)


async def test_each_verifier_has_its_own_rules(make: Make, pair: Pair) -> None:
    """Audience, algorithms, required claims: those of the issuer that the token states."""
    a, b = pair
    issuers = Issuers(make(a, aud="a"), make(b, aud="b", required_claims=["scope"]))
    assert await issuers.verify_token(a.sign(aud="a"))
    assert await issuers.verify_token(b.sign(aud="b", scope=""))
    for token, fault in (
        (a.sign(aud="b"), jwt.InvalidAudienceError),
        (b.sign(aud="a", scope=""), jwt.InvalidAudienceError),
        (b.sign(aud="b"), jwt.MissingRequiredClaimError),
        (a.sign(aud="a", key=SigningKey.generate("RS512")), jwt.InvalidAlgorithmError),
    ):
        with pytest.raises(fault):
            await issuers.verify_token(token)
    assert await issuers.verify_token(a.sign(aud="x"), "x"), "for this call"


MALFORMED: list[Any] = [
    *(None, 5, b"a.b.c", [], "", "a.b", "a.b.c", "é.b.c", "x" * 20_000, "a" * 9_000 + ".b.c"),
    "Bearer Bearer a.b.c",
]
HEADERS: list[Any] = [
    b"[]", b"{", b'{"alg":"ES256","alg":"ES256"}', {"alg": "none"}, {"alg": "HS256"}, {"alg": None},
    {"kid": 1}, {"kid": "k" * 257}, {"crit": ["b64"]}, {"crit": ["exp"]}, {"b64": False},
]  # fmt: skip


@pytest.mark.parametrize("stated", [A, "https://c.example", None])
async def test_a_malformed_token_is_refused_as_ever(
    issuers: Issuers, make: Make, pair: Pair, stated: str | None
) -> None:
    """As by a `JWKS`, by class, reason and words, whoever it claims to be from; and no request."""
    a, _ = pair
    single = make(a)
    tokens = [*MALFORMED, *(a.sign(iss=stated, headers=headers) for headers in HEADERS)]
    tokens.append(a.sign(iss=stated) + "=")
    for token in tokens:
        with pytest.raises(jwt.InvalidTokenError) as refused:
            await issuers.verify_token(token)
        with pytest.raises(refused.type) as told:
            await single.verify_token(token)
        assert (type(told.value), reason_of(told.value)) == (refused.type, reason_of(refused.value))
        if refused.type is not jwt.InvalidAlgorithmError:  # which of them depends on the verifier
            assert str(told.value) == str(refused.value)
    assert fetches(pair) == (0, 0)


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"null", b'"iss"', b"{", b'{"iss":NaN}', b"\xff", b"[" * 9_000]
)
async def test_a_payload_that_is_no_object_is_refused(
    issuers: Issuers, pair: Pair, payload: bytes
) -> None:
    """It has no issuer whose keys could be asked for."""
    with pytest.raises(jwt.DecodeError, match="the payload is not a JSON object"):
        await issuers.verify_token(pair[0].signing_key.sign(payload))
    assert fetches(pair) == (0, 0)


async def test_the_last_of_two_issuers_counts(issuers: Issuers, pair: Pair) -> None:
    """For the choice and for the check alike, as both read the payload in one way."""
    a, b = pair
    payload = b'{"iss":"%s","iss":"%s","sub":"x","iat":1800000000,"exp":1800000300}'
    for first, last, provider, other in ((A, B, b, a), (B, A, a, b)):
        twice = payload % (first.encode(), last.encode())
        assert (await issuers.verify_token(provider.signing_key.sign(twice)))["iss"] == last
        with pytest.raises(jwt.InvalidSignatureError):
            await issuers.verify_token(other.signing_key.sign(twice))


async def test_the_check_of_the_issuer_cant_be_waived(issuers: Issuers, pair: Pair) -> None:
    """It chooses the keys; a slip in the type is told apart."""
    for token in (pair[0].sign(), "junk"):
        with pytest.raises(ValueError, match=r"^verify_iss: expected True"):
            await issuers.verify_token(token, verify_iss=False)
        for wrong in (0, 1, None, "no"):
            slip: Any = wrong
            with pytest.raises(TypeError, match=r"^verify_iss: "):
                await issuers.verify_token(token, verify_iss=slip)
    with pytest.raises(ValueError, match=r"^audience: "):
        await issuers.verify_token(pair[0].sign(), "")
    assert await issuers.verify_token(pair[0].sign(), verify_iss=True)
