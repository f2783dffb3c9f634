"""`JWKS` as its users hold it: what it takes, what it returns, what it raises."""

import asyncio
import copy
import inspect
import logging
import pickle
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from math import inf, nan
from typing import Any

import httpx
import jwt
import pytest

from auth_jwks import (
    JWKS,
    IssuerMismatchError,
    KeysUnavailableError,
    MemoryKeyStore,
    UnknownKeyError,
)
from auth_jwks.events import Event, KeysRefreshed
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey

KEY, RSA = SigningKey.generate("ES256", "first"), SigningKey.generate("RS256", "rsa")
URL, ISSUER = "https://idp.test/.well-known/openid-configuration", "https://idp.test"


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> FakeIssuer:
    """Return a provider of one key."""
    return FakeIssuer(keys=[KEY], clock=clock)


@pytest.fixture
async def client(issuer: FakeIssuer) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client that reaches the provider without a socket."""
    async with httpx.AsyncClient(transport=issuer.transport()) as client:
        yield client


Make = Callable[..., JWKS]


@pytest.fixture
async def make(
    clock: FakeClock, issuer: FakeIssuer, client: httpx.AsyncClient
) -> AsyncIterator[Make]:
    """Return what makes verifiers, closed with the test; whoever wants retries asks for them."""
    made: list[JWKS] = []

    def make(**options: Any) -> JWKS:
        defaults: dict[str, Any] = {
            "discovery_url": issuer.discovery_url,
            "issuer": issuer.issuer,
            "retries": 0,
            "http_client": client,
            "clock": clock,
        }
        made.append(JWKS(**(defaults | options)))
        return made[-1]

    yield make
    issuer.release()
    for jwks in made:
        await jwks.close()


async def landed(jwks: JWKS) -> None:
    """Return when nothing is under way in the background."""
    async with asyncio.timeout(5):
        while jwks.status().refreshing:  # noqa: ASYNC110 - a state, and no event
            await asyncio.sleep(0)


# Construction.


def test_the_positional_order_is_that_of_old() -> None:
    """Eight parameters may be given by position, as in 0.4.0; all others by name only."""
    parameters = inspect.signature(JWKS).parameters.values()
    positional = [
        (each.name, each.default) for each in parameters if each.kind != each.KEYWORD_ONLY
    ]
    assert positional == [
        ("discovery_url", None),
        ("aud", None),
        ("allowed_algorithms", None),
        ("cache_ttl", 900),
        ("leeway", 30.0),
        ("timeout", 5.0),
        ("retries", 3),
        ("fix_local_url", True),
    ]
    named = {each.name: each.default for each in parameters if each.kind == each.KEYWORD_ONLY}
    del named["clock"]
    assert named == {
        "jwks_uri": None,
        "issuer": None,
        "store": None,
        "max_stale": 86_400,
        "token_cache_size": 1024,
        "required_claims": ("exp", "iat", "sub"),
        "http_client": None,
        "observer": None,
    }


NUMBERS = ("cache_ttl", "leeway", "timeout", "max_stale")
URLS = ("discovery_url", "jwks_uri")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("discovery_url", None),
        *(
            (name, value)
            for name in URLS
            for value in ("", "idp.test", "ftp://idp.test", "https://")
        ),
        *((name, "https://alice:hunter2@idp.test/") for name in URLS),
        *((name, "https://hunter2@idp.test/") for name in URLS),
        ("issuer", ""),
        ("issuer", " "),
        ("aud", ""),
        ("aud", " "),
        ("aud", []),
        ("aud", ["api", ""]),
        ("allowed_algorithms", []),
        ("allowed_algorithms", ["HS256"]),
        ("allowed_algorithms", ["RS256", "HS512"]),
        ("allowed_algorithms", ["none"]),
        ("allowed_algorithms", ["rs256"]),
        ("allowed_algorithms", [""]),
        *((name, value) for name in NUMBERS for value in (-1, -0.1, nan, inf, -inf, 10**400)),
        ("timeout", 0),
        ("retries", -1),
        ("token_cache_size", -1),
        ("required_claims", [""]),
    ],
)
def test_a_wrong_value_is_refused(
    name: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    """At construction, by a `ValueError` that names the parameter and repeats no secret."""
    options: dict[str, Any] = {"discovery_url": URL, name: value}
    with pytest.raises(ValueError, match=f"^{name}\\b") as caught:
        JWKS(**options)
    assert "hunter2" not in str(caught.value)
    assert caplog.records == []


async def _awaited(_event: Event, /) -> None:
    """Take note, were it awaited."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 5) for name in (*URLS, "issuer", "aud", "allowed_algorithms", "required_claims")),
        ("discovery_url", b"https://idp.test"),
        ("aud", b"api"),
        ("aud", ["api", 5]),
        ("allowed_algorithms", "RS256"),
        ("allowed_algorithms", [256]),
        ("required_claims", "exp"),
        ("required_claims", None),
        ("required_claims", [5]),
        *((name, value) for name in NUMBERS for value in (None, "5", True)),
        *((name, value) for name in ("retries", "token_cache_size") for value in (1.5, True, "3")),
        *(("fix_local_url", value) for value in (None, 1, "false")),
        ("store", object()),
        ("http_client", object()),
        ("observer", "print"),
        ("observer", _awaited),
        ("clock", 5),
    ],
)
def test_a_wrong_type_is_refused(name: str, value: object) -> None:
    """At construction, by a `TypeError` that names the parameter."""
    options: dict[str, Any] = {"discovery_url": URL, name: value}
    with pytest.raises(TypeError, match=f"^{name}\\b"):
        JWKS(**options)


def test_a_synchronous_client_is_refused() -> None:
    """`httpx.Client` looks much like the one that is expected."""
    with httpx.Client(transport=httpx.MockTransport(_never)) as client:
        options: dict[str, Any] = {"discovery_url": URL, "http_client": client}
        with pytest.raises(TypeError, match=r"^http_client: .+ an httpx\.AsyncClient, got Client$"):
            JWKS(**options)


@pytest.mark.parametrize(
    "options",
    [{"discovery_url": URL}, {"jwks_uri": URL}, {"discovery_url": URL, "jwks_uri": URL}],
)
def test_a_missing_issuer_is_one_warning(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """At construction, naming the parameter; with `issuer` there is none."""
    with caplog.at_level(logging.WARNING):
        JWKS(**options, issuer=ISSUER)
        assert caplog.messages == []
        JWKS(**options)
    [record] = caplog.records
    assert (record.name, record.levelno) == ("auth_jwks", logging.WARNING)
    assert record.getMessage().startswith("issuer: ")


async def test_the_warning_is_not_repeated(make: Make, issuer: FakeIssuer) -> None:
    """Verifications log nothing of it."""
    jwks = make(issuer=None)
    await jwks.verify_token(issuer.sign())


def test_what_it_says_of_itself_holds_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the warning nor `repr` shows the query of a URL."""
    jwks = JWKS(jwks_uri="https://idp.test/jwks?key=hunter2#hunter2")
    assert repr(jwks) == "JWKS('https://idp.test/jwks', issuer=None, keys=0)"
    assert "https://idp.test/jwks" in caplog.text
    assert "hunter2" not in caplog.text + repr(jwks.status())


def test_nothing_is_fetched_before_it_is_needed(issuer: FakeIssuer) -> None:
    """A verifier can be made and looked at without an event loop, and does no I/O."""
    with issuer:
        jwks = JWKS(issuer.discovery_url, issuer=issuer.issuer)
        status = jwks.status()
        assert (status.kids, status.fresh, status.refreshing) == ((), False, False)
        assert issuer.requests == ()


# The main job.


async def test_a_token_is_verified(make: Make, issuer: FakeIssuer) -> None:
    """Its claims come back, all of them."""
    claims = await make().verify_token(issuer.sign(scope="read"))
    assert claims.keys() == {"iss", "sub", "iat", "exp", "scope"}
    assert (claims["sub"], claims["scope"]) == ("alice", "read")
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


async def test_it_works_over_real_http_with_defaults() -> None:
    """A hundred tokens at once are one discovery and one key set."""
    with FakeIssuer(keys=[RSA, KEY]) as issuer:
        async with JWKS(issuer.discovery_url, issuer=issuer.issuer) as jwks:
            tokens = [issuer.sign(key=key, n=n) for key in (RSA, KEY) for n in range(50)]
            claims = await asyncio.gather(*map(jwks.verify_token, tokens))
            assert [each["n"] for each in claims] == [*range(50)] * 2
        assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


async def test_parameters_may_be_given_by_position() -> None:
    """As code written for 0.4.0 does."""
    with FakeIssuer(keys=[KEY]) as issuer:
        jwks = JWKS(issuer.discovery_url, "api", {"ES256"}, 600, 10, 2.5, 1, False)  # noqa: FBT003 - as of old
        claims = await jwks.verify_token(issuer.sign(aud="api"), "api")
        assert claims["aud"] == "api"
        assert jwks.status().expires_in == pytest.approx(600, abs=5)
        await jwks.close()


@pytest.mark.parametrize(
    "algorithm",
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "ES256K",
     "EdDSA", "Ed25519"],
)  # fmt: skip
async def test_every_asymmetric_algorithm_can_be_named(
    make: Make, issuer: FakeIssuer, algorithm: str
) -> None:
    """Its tokens are verified, forged ones refused."""
    is_rsa = algorithm.startswith(("RS", "PS"))
    key = replace(RSA, algorithm=algorithm) if is_rsa else SigningKey.generate(algorithm)
    issuer.rotate(key, keep=False)
    jwks = make(allowed_algorithms={algorithm})
    assert (await jwks.verify_token(issuer.sign()))["sub"] == "alice"
    with pytest.raises(jwt.InvalidSignatureError):
        await jwks.verify_token(issuer.forge())


@pytest.mark.parametrize("algorithm", ["PS256", "EdDSA", "ES384"])
async def test_other_algorithms_must_be_asked_for(
    make: Make, issuer: FakeIssuer, algorithm: str
) -> None:
    """Without `allowed_algorithms` only RS256 and ES256 are allowed."""
    jwks = make()
    header = {"alg": algorithm}
    with pytest.raises(jwt.InvalidAlgorithmError):
        await jwks.verify_token(issuer.sign(headers=header))
    assert issuer.requests == ()


async def test_a_key_without_alg_serves_what_fits_it(make: Make, issuer: FakeIssuer) -> None:
    """As Entra ID publishes them."""
    issuer.withdraw("first")
    issuer.publish(RSA.jwk(alg=None))
    jwks = make(allowed_algorithms=["RS256", "PS256", "ES256"])
    for algorithm in ("RS256", "PS256"):
        token = issuer.sign(key=replace(RSA, algorithm=algorithm))
        assert (await jwks.verify_token(token))["sub"] == "alice"
    with pytest.raises(UnknownKeyError):
        await jwks.verify_token(issuer.sign(key=replace(KEY, kid="rsa")))


async def test_a_token_without_kid_needs_a_single_candidate(make: Make, issuer: FakeIssuer) -> None:
    """One key that fits is taken; among several it is not guessed."""
    issuer.publish(RSA)
    jwks = make()
    token = issuer.sign(headers={"kid": None})
    assert (await jwks.verify_token(token))["sub"] == "alice"
    issuer.publish(SigningKey.generate("ES256"))
    await jwks.refresh(force=True)
    with pytest.raises(UnknownKeyError):
        await jwks.verify_token(token)


async def test_several_keys_may_share_a_kid(make: Make, issuer: FakeIssuer) -> None:
    """Each is tried."""
    twin = SigningKey.generate("ES256", "first")
    issuer.publish(twin)
    jwks = make()
    for key in (KEY, twin):
        assert (await jwks.verify_token(issuer.sign(key=key)))["sub"] == "alice"
    with pytest.raises(jwt.InvalidSignatureError):
        await jwks.verify_token(issuer.forge())


async def test_members_that_cannot_be_used_are_skipped_alone(
    make: Make, issuer: FakeIssuer
) -> None:
    """Junk, encryption keys and unknown key types spoil nothing."""
    for member in (
        "junk",
        {"kty": "AKP", "kid": "pq"},
        RSA.jwk(use="enc"),
        {"kty": "oct", "k": "x"},
    ):
        issuer.publish(member)
    jwks = make()
    await jwks.verify_token(issuer.sign())
    assert jwks.status().kids == ("first",)
    assert len(jwks.status().skipped) == 4


async def test_a_rotation_is_followed(make: Make, clock: FakeClock, issuer: FakeIssuer) -> None:
    """A token of a new key is verified as soon as it comes."""
    jwks = make()
    await jwks.verify_token(issuer.sign())
    clock.advance(1)
    issuer.rotate()
    assert (await jwks.verify_token(issuer.sign()))["sub"] == "alice"


# The token is at fault.


@pytest.mark.parametrize("prefix", ["Bearer ", "bearer ", "BEARER ", "bEaReR   "])
async def test_bearer_is_stripped(make: Make, issuer: FakeIssuer, prefix: str) -> None:
    """In whatever case."""
    assert (await make().verify_token(prefix + issuer.sign()))["sub"] == "alice"


@pytest.mark.parametrize("token", ["", "junk", "a.b", "a.b.c", "Bearer", "é.a.a", "." * 20_000])
async def test_a_malformed_token_is_refused_before_any_request(
    make: Make, issuer: FakeIssuer, token: str
) -> None:
    """PyJWT's `DecodeError` says so."""
    with pytest.raises(jwt.DecodeError):
        await make().verify_token(token)
    assert issuer.requests == ()


@pytest.mark.parametrize("token", [None, 5, b"a.b.c"])
async def test_a_token_is_a_string(make: Make, issuer: FakeIssuer, token: Any) -> None:
    """Anything else is malformed."""
    with pytest.raises(jwt.DecodeError):
        await make().verify_token(token)
    assert issuer.requests == ()


@pytest.mark.parametrize(
    "headers", [{"alg": "none"}, {"alg": "HS256"}, {"kid": 5}, {"kid": "x" * 257}, {"crit": ["x"]}]
)
async def test_a_bad_header_is_refused_before_any_request(
    make: Make, issuer: FakeIssuer, headers: dict[str, object]
) -> None:
    """What no key could make acceptable is not looked up."""
    with pytest.raises(jwt.InvalidTokenError):
        await make().verify_token(issuer.sign(headers=headers))
    assert issuer.requests == ()


async def test_a_forged_token_is_refused(make: Make, issuer: FakeIssuer) -> None:
    """A bad signature under a known `kid` never causes a refresh."""
    jwks = make()
    for _ in range(3):
        with pytest.raises(jwt.InvalidSignatureError):
            await jwks.verify_token(issuer.forge())
    assert issuer.jwks_requests == 1


async def test_an_unknown_kid_is_refused(make: Make, issuer: FakeIssuer) -> None:
    """After one look at the provider."""
    jwks = make()
    await jwks.refresh()
    with pytest.raises(UnknownKeyError):
        await jwks.verify_token(issuer.sign(key=replace(KEY, kid="other")))
    assert issuer.jwks_requests == 2


@pytest.mark.parametrize("name", ["exp", "iat", "sub"])
async def test_claims_are_required(make: Make, issuer: FakeIssuer, name: str) -> None:
    """By default `exp`, `iat` and `sub`."""
    with pytest.raises(jwt.MissingRequiredClaimError, match=name):
        await make().verify_token(issuer.sign({name: None}))


async def test_required_claims_only_add(make: Make, issuer: FakeIssuer) -> None:
    """Others may be named, and `exp` and a checked `iss` are required regardless."""
    jwks = make(required_claims=())
    await jwks.verify_token(issuer.sign(iat=None, sub=None))
    for name in ("exp", "iss"):
        with pytest.raises(jwt.MissingRequiredClaimError, match=name):
            await jwks.verify_token(issuer.sign({name: None}))
    jwks = make(required_claims=["scope"])
    await jwks.verify_token(issuer.sign(iat=None, sub=None, scope="x"))
    with pytest.raises(jwt.MissingRequiredClaimError, match="scope"):
        await jwks.verify_token(issuer.sign())


@pytest.mark.parametrize(("options", "leeway"), [({}, 30), ({"leeway": 0}, 0), ({"leeway": 5}, 5)])
async def test_times_have_leeway(
    make: Make, clock: FakeClock, issuer: FakeIssuer, options: dict[str, float], leeway: int
) -> None:
    """Thirty seconds, unless told otherwise, on `exp`, `nbf` and `iat`."""
    jwks = make(**options)
    now = int(clock.time())
    for good in ({"exp": now - leeway + 1}, {"nbf": now + leeway}, {"iat": now + leeway}):
        assert await jwks.verify_token(issuer.sign(good))
    with pytest.raises(jwt.ExpiredSignatureError):
        await jwks.verify_token(issuer.sign(exp=now - leeway))
    for name in ("nbf", "iat"):
        with pytest.raises(jwt.ImmatureSignatureError):
            await jwks.verify_token(issuer.sign({name: now + leeway + 1}))


# The audience.


@pytest.mark.parametrize(
    ("aud", "audience", "stated"),
    [
        (None, None, None),
        (None, None, "anything"),
        ("api", None, "api"),
        ("api", None, ["web", "api"]),
        (["api", "web"], None, "web"),
        ({"api"}, None, "api"),
        (iter(["api"]), None, "api"),
        (None, "api", "api"),
        ("api", "web", "web"),
        ("api", ["web", "app"], "app"),
    ],
)
async def test_an_audience_fits(
    make: Make, issuer: FakeIssuer, aud: Any, audience: Any, stated: object
) -> None:
    """One of those expected is among those stated; what a call says replaces `aud`."""
    jwks = make(aud=aud)
    for _ in range(2):
        assert await jwks.verify_token(issuer.sign(aud=stated), audience)


@pytest.mark.parametrize(
    ("aud", "audience", "stated", "error"),
    [
        ("api", None, "web", jwt.InvalidAudienceError),
        ("api", None, "API", jwt.InvalidAudienceError),
        ("api", None, "api2", jwt.InvalidAudienceError),
        ("api", None, ["web"], jwt.InvalidAudienceError),
        ("api", None, None, jwt.MissingRequiredClaimError),
        ("api", "web", "api", jwt.InvalidAudienceError),
        (None, "web", "api", jwt.InvalidAudienceError),
        (None, ["web"], None, jwt.MissingRequiredClaimError),
    ],
)
async def test_an_audience_does_not_fit(
    make: Make, issuer: FakeIssuer, aud: Any, audience: Any, stated: object, error: type[Exception]
) -> None:
    """The token is for somebody else, or does not say for whom."""
    with pytest.raises(error):
        await make(aud=aud).verify_token(issuer.sign(aud=stated), audience)


@pytest.mark.parametrize(
    ("audience", "error"),
    [("", ValueError), (" ", ValueError), ([], ValueError), (["api", ""], ValueError),
     (5, TypeError), (b"api", TypeError), ([5], TypeError)],
)  # fmt: skip
async def test_an_empty_audience_does_not_disable_the_check(
    make: Make, issuer: FakeIssuer, audience: Any, error: type[Exception]
) -> None:
    """A call's `audience` is held to the same rules as `aud`."""
    with pytest.raises(error, match=r"^audience: "):
        await make(aud="api").verify_token(issuer.sign(aud="api"), audience)
    assert issuer.requests == ()


# The issuer.


async def test_the_issuer_of_a_token_is_checked(make: Make, issuer: FakeIssuer) -> None:
    """It must be the configured one, to the letter, unless a call waives it."""
    jwks = make()
    for stated in ("https://other.test", issuer.issuer + "/", issuer.issuer.upper()):
        with pytest.raises(jwt.InvalidIssuerError):
            await jwks.verify_token(issuer.sign(iss=stated))
        assert await jwks.verify_token(issuer.sign(iss=stated), verify_iss=False)
        with pytest.raises(jwt.InvalidIssuerError):
            await jwks.verify_token(issuer.sign(iss=stated))
    assert await jwks.verify_token(issuer.sign(iss=None), verify_iss=False)


async def test_without_issuer_that_of_the_discovery_document_is_trusted(
    make: Make, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Whatever it is, and from one refresh to the next."""
    jwks = make(issuer=None)
    with pytest.raises(jwt.InvalidIssuerError):
        await jwks.verify_token(issuer.sign(iss="https://other.test"))
    assert await jwks.verify_token(issuer.sign())
    assert jwks.status().issuer == issuer.issuer
    issuer.announce(issuer="https://other.test")
    clock.advance(1)
    await jwks.refresh(force=True)
    assert await jwks.verify_token(issuer.sign(iss="https://other.test"))
    with pytest.raises(jwt.InvalidIssuerError):
        await jwks.verify_token(issuer.sign())


async def test_a_jwks_uri_wins_over_discovery(make: Make, issuer: FakeIssuer) -> None:
    """Discovery is never asked, whatever it would say."""
    issuer.announce(issuer="https://other.test", jwks_uri="https://other.test/jwks")
    jwks = make(jwks_uri=issuer.jwks_uri)
    assert await jwks.verify_token(issuer.sign())
    with pytest.raises(jwt.InvalidIssuerError):
        await jwks.verify_token(issuer.sign(iss="https://other.test"))
    await jwks.refresh(force=True)
    assert (issuer.discovery_requests, issuer.jwks_requests) == (0, 2)


async def test_in_direct_mode_without_issuer_none_is_checked(
    make: Make, issuer: FakeIssuer
) -> None:
    """As the warning said."""
    jwks = make(discovery_url=None, jwks_uri=issuer.jwks_uri, issuer=None)
    for stated in (issuer.issuer, "https://other.test", None):
        assert await jwks.verify_token(issuer.sign(iss=stated))


async def test_another_issuer_is_refused_before_its_keys(
    make: Make, clock: FakeClock, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """A discovery document that differs by a slash is refused: an ERROR, and no key is fetched."""
    jwks = make(issuer=issuer.issuer + "/")
    for _ in range(3):
        with pytest.raises(IssuerMismatchError, match=r"^issuer: ") as caught:
            await jwks.verify_token(issuer.sign())
        assert isinstance(caught.value, jwt.InvalidTokenError)
    with pytest.raises(IssuerMismatchError):
        await jwks.refresh(force=True)
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 0)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    clock.advance(10)
    with pytest.raises(IssuerMismatchError):
        await jwks.refresh()
    assert issuer.discovery_requests == 2


async def test_an_issuer_that_changes_is_never_papered_over(
    make: Make, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Fresh keys serve to their end; then every call fails, until the document is mended."""
    jwks = make(cache_ttl=900)
    token = issuer.sign(exp=int(clock.time()) + 86_400)
    await jwks.verify_token(token)
    issuer.announce(issuer="https://other.test")
    for wait in (850, 40, 9):
        clock.advance(wait)
        assert await jwks.verify_token(token)
        await landed(jwks)
    assert issuer.discovery_requests > 1
    for wait in (1, 1, 60, 600):
        clock.advance(wait)
        with pytest.raises(IssuerMismatchError):
            await jwks.verify_token(token)
    assert issuer.jwks_requests == 1
    issuer.announce(issuer=issuer.issuer)
    clock.advance(310)
    assert await jwks.verify_token(token)
    assert jwks.status().fresh


@pytest.mark.parametrize(
    "said", [{"issuer": None}, {"issuer": ""}, {"issuer": 5}, {"jwks_uri": None}, {"jwks_uri": ""}]
)
@pytest.mark.parametrize("expected", ["https://issuer.test", None])
async def test_a_discovery_document_must_say_both(
    make: Make, issuer: FakeIssuer, said: dict[str, object], expected: str | None
) -> None:
    """Without `issuer` or `jwks_uri` there are no keys to trust."""
    issuer.announce(**said)
    with pytest.raises(KeysUnavailableError):
        await make(issuer=expected).verify_token(issuer.sign())
    assert issuer.jwks_requests == 0


@pytest.mark.parametrize(
    ("advertised", "fix_local_url", "asked"),
    [
        ("http://keycloak:8080/jwks", True, "https://issuer.test/jwks"),
        ("http://keycloak:8080/jwks", False, None),
        ("https://keycloak:8080/jwks", False, "https://keycloak:8080/jwks"),
        ("https://www.keys.test/jwks", True, "https://www.keys.test/jwks"),
        ("http://www.keys.test/jwks", True, None),
    ],
)
async def test_local_urls_are_repaired_and_public_ones_left_alone(
    issuer: FakeIssuer, make: Make, advertised: str, *, fix_local_url: bool, asked: str | None
) -> None:
    """A name of the provider's own network is replaced; https never becomes http."""
    asks: list[str] = []

    async def note(request: httpx.Request) -> None:
        asks.append(str(request.url))

    issuer.announce(jwks_uri=advertised)
    hooks: dict[str, Any] = {"request": [note]}
    async with httpx.AsyncClient(transport=issuer.transport(), event_hooks=hooks) as client:
        jwks = make(fix_local_url=fix_local_url, http_client=client)
        if asked is None:
            with pytest.raises(KeysUnavailableError):
                await jwks.verify_token(issuer.sign())
        else:
            await jwks.verify_token(issuer.sign())
    assert asks[1:] == ([] if asked is None else [asked])


# The keys can't be had.


FAULTS: dict[str, Callable[[FakeIssuer], None]] = {
    "500": lambda issuer: issuer.outage(500),
    "404": lambda issuer: issuer.outage(404),
    "HTML": lambda issuer: issuer.junk(b"<html>"),
    "no members": lambda issuer: issuer.junk(b"{}"),
    "no keys": lambda issuer: issuer.junk(b'{"keys": []}', on="jwks"),
    "5 MiB": lambda issuer: issuer.junk(b" " * (5 << 20)),
    "redirect": lambda issuer: issuer.redirect("https://other.test/"),
    "refused": lambda issuer: issuer.refuse(),
    "cut off": lambda issuer: issuer.truncate(),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_faulty_provider_makes_the_keys_unavailable(
    make: Make, clock: FakeClock, issuer: FakeIssuer, fault: str
) -> None:
    """When nothing is cached; when something is, it costs nothing."""
    cold, warm = make(), make()
    await warm.verify_token(issuer.sign())
    FAULTS[fault](issuer)
    with pytest.raises(KeysUnavailableError) as caught:
        await cold.verify_token(issuer.sign())
    assert 6 <= caught.value.retry_after <= 7.25
    assert caught.value.__cause__ is caught.value.__context__ is None
    clock.advance(850)
    assert await warm.verify_token(issuer.sign())
    await landed(warm)
    assert warm.status().failure is not None
    clock.advance(100)
    assert await warm.verify_token(issuer.sign())
    assert not warm.status().fresh


@pytest.mark.parametrize(("mode", "deadline"), [("discovery", 4.0), ("direct", 2.0)])
async def test_a_provider_that_hangs_is_given_up_on(
    make: Make, clock: FakeClock, issuer: FakeIssuer, mode: str, deadline: float
) -> None:
    """After `timeout` for each of the documents."""
    jwks_uri = issuer.jwks_uri if mode == "direct" else None
    jwks = make(timeout=2.0, jwks_uri=jwks_uri)
    issuer.hang()
    waiting = asyncio.ensure_future(jwks.verify_token(issuer.sign()))
    await issuer.arrived(1)
    clock.advance(deadline - 0.1)
    await clock.until_sleeping(2)
    assert not waiting.done()
    clock.advance(0.1)
    with pytest.raises(KeysUnavailableError):
        await waiting


@pytest.mark.parametrize("retries", [0, 2])
async def test_a_refresh_has_that_many_retries(
    make: Make, clock: FakeClock, issuer: FakeIssuer, retries: int
) -> None:
    """An error that may pass is worth another attempt."""
    issuer.outage()
    waiting = asyncio.ensure_future(make(retries=retries).verify_token(issuer.sign()))
    while not waiting.done():
        await asyncio.sleep(0)
        clock.advance(0.01)
    with pytest.raises(KeysUnavailableError):
        await waiting
    assert issuer.discovery_requests == retries + 1


async def test_lifetimes_are_as_configured(
    make: Make, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """`cache_ttl` and `max_stale` count from the fetch."""
    jwks = make(cache_ttl=100, max_stale=50)
    await jwks.refresh()
    assert (jwks.status().expires_in, jwks.status().usable_for) == (100, 150)
    issuer.outage()
    clock.advance(149)
    assert await jwks.verify_token(issuer.sign())
    clock.advance(1)
    with pytest.raises(KeysUnavailableError):
        await jwks.verify_token(issuer.sign())


async def test_errors_hold_no_secret(make: Make, issuer: FakeIssuer) -> None:
    """What a handed-in client raises, and what it sends, stays in it."""

    def fail(request: httpx.Request) -> httpx.Response:
        message = f"hunter2 {request.headers}"
        raise ValueError(message)

    secret = {"authorization": "Bearer hunter2"}
    async with httpx.AsyncClient(transport=httpx.MockTransport(fail), headers=secret) as client:
        with pytest.raises(KeysUnavailableError) as caught:
            await make(http_client=client).verify_token(issuer.sign())
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("kind", [KeysUnavailableError, UnknownKeyError, IssuerMismatchError])
async def test_errors_survive_pickling_and_copying(
    make: Make, issuer: FakeIssuer, kind: type[Exception]
) -> None:
    """So that they pass between processes, with all they say."""
    if kind is KeysUnavailableError:
        issuer.outage(retry_after=40)
    if kind is IssuerMismatchError:
        issuer.announce(issuer="https://other.test")
    with pytest.raises(kind) as caught:
        await make().verify_token(issuer.sign(key=replace(KEY, kid="other")))
    error = caught.value
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - our own
        assert type(twin) is kind
        assert (twin.args, vars(twin)) == (error.args, vars(error))
    if kind is KeysUnavailableError:
        assert vars(error)["retry_after"] == 41


# Tokens seen before.


async def test_claims_are_the_callers_own(make: Make, issuer: FakeIssuer) -> None:
    """What one caller does to them no other sees."""
    jwks, token = make(), issuer.sign(roles=["user"])
    for _ in range(3):
        claims = await jwks.verify_token(token)
        assert claims["roles"] == ["user"]
        claims["roles"].append("admin")


@pytest.mark.parametrize("token_cache_size", [0, 1, 1024])
async def test_a_token_seen_before_is_judged_anew(
    make: Make, clock: FakeClock, issuer: FakeIssuer, token_cache_size: int
) -> None:
    """By its times, the audience and the issuer: the cache can't change an answer."""
    jwks, token = make(token_cache_size=token_cache_size), issuer.sign(aud="api")
    for _ in range(2):
        assert await jwks.verify_token(token)
        assert await jwks.verify_token(token, "api", verify_iss=False)
        with pytest.raises(jwt.InvalidAudienceError):
            await jwks.verify_token(token, "web")
    clock.advance(331)
    with pytest.raises(jwt.ExpiredSignatureError):
        await jwks.verify_token(token)


async def test_a_token_seen_before_dies_with_its_key(
    make: Make, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """A withdrawn key verifies nothing any more, nor does another one under its `kid`."""
    jwks, token = make(), issuer.sign()
    await jwks.verify_token(token)
    clock.advance(1)
    issuer.rotate(SigningKey.generate("ES256", "first"), keep=False)
    await jwks.refresh(force=True)
    with pytest.raises(jwt.InvalidSignatureError):
        await jwks.verify_token(token)
    clock.advance(1)
    issuer.rotate(keep=False)
    await jwks.refresh(force=True)
    with pytest.raises(UnknownKeyError):
        await jwks.verify_token(token)


async def test_a_token_seen_before_keeps_the_keys_fresh(
    make: Make, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Repeated tokens alone drive the refreshes, and are no way around the end of the keys."""
    jwks = make(max_stale=100)
    token = issuer.sign(exp=int(clock.time()) + 86_400)
    await jwks.verify_token(token)
    clock.advance(850)
    await jwks.verify_token(token)
    await landed(jwks)
    assert issuer.jwks_requests == 2
    issuer.outage()
    clock.advance(1001)
    with pytest.raises(KeysUnavailableError):
        await jwks.verify_token(token)


# Refresh, status, observer.


async def test_a_warm_up_spares_the_first_token_the_wait(make: Make, issuer: FakeIssuer) -> None:
    """`refresh()` fetches what is not there, `refresh(force=True)` what is."""
    jwks = make()
    await jwks.refresh()
    await jwks.refresh()
    assert issuer.jwks_requests == 1
    assert jwks.status().fresh
    await jwks.verify_token(issuer.sign())
    assert issuer.jwks_requests == 1
    await jwks.refresh(force=True)
    assert issuer.jwks_requests == 2


async def test_force_is_a_flag(make: Make, issuer: FakeIssuer) -> None:
    """What merely looks like one fetches nothing."""
    force: Any = "no"
    with pytest.raises(TypeError, match=r"^force: expected True or False, got str"):
        await make().refresh(force=force)
    assert issuer.requests == ()


async def test_an_observer_is_told(make: Make, issuer: FakeIssuer) -> None:
    """Each event once; and an observer that fails harms nobody."""
    events: list[Event] = []

    def observe(event: Event) -> None:
        events.append(event)
        raise ValueError

    assert await make(observer=observe).verify_token(issuer.sign())
    assert events == [KeysRefreshed(issuer.discovery_url, "provider", 1, (), 0.0)]


async def test_it_tells_its_state(make: Make, issuer: FakeIssuer) -> None:
    """By `repr`, without a key or a token."""
    jwks = make()
    await jwks.verify_token(issuer.sign())
    url, name = issuer.discovery_url, issuer.issuer
    assert repr(jwks) == f"JWKS({url!r}, issuer={name!r}, keys=1)"
    await jwks.close()
    assert repr(jwks) == f"JWKS({url!r}, issuer={name!r}, closed)"


# The end.


class ClosingStore(MemoryKeyStore):
    """A store in memory that tells when it is closed."""

    closed = False

    async def aclose(self) -> None:
        """Remember it."""
        self.closed = True
        await super().aclose()


@pytest.mark.parametrize("name", ["close", "aclose"])
async def test_use_after_close_is_refused(make: Make, issuer: FakeIssuer, name: str) -> None:
    """Closing twice is fine; anything that would need keys is not."""
    jwks = make()
    await jwks.verify_token(issuer.sign())
    for _ in range(2):
        await getattr(jwks, name)()
    with pytest.raises(RuntimeError, match="closed"):
        await jwks.verify_token(issuer.sign())
    for force in (False, True):
        with pytest.raises(RuntimeError, match="closed"):
            await jwks.refresh(force=force)
    with pytest.raises(RuntimeError, match="closed"):
        async with jwks:
            pass
    assert jwks.status().kids == ("first",)


async def test_a_block_closes(make: Make, issuer: FakeIssuer) -> None:
    """`async with` yields the verifier and closes it, even if it was never used."""
    async with make() as jwks:
        await jwks.verify_token(issuer.sign())
    async with make() as unused:
        pass
    for each in (jwks, unused):
        with pytest.raises(RuntimeError):
            await each.verify_token(issuer.sign())


async def test_what_was_handed_in_stays_open(
    make: Make, clock: FakeClock, issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """Whoever made the store and the client closes them; others may go on with both."""
    store = ClosingStore(timer=clock.monotonic)
    async with make(store=store) as jwks:
        await jwks.verify_token(issuer.sign())
    assert not store.closed
    assert not client.is_closed
    assert await make(store=store).verify_token(issuer.sign())
    assert issuer.jwks_requests == 1


async def test_closing_ends_a_wait(make: Make, issuer: FakeIssuer) -> None:
    """A verification that waits for keys is told."""
    jwks = make()
    issuer.hang()
    waiting = asyncio.ensure_future(jwks.verify_token(issuer.sign()))
    await issuer.arrived(1)
    await jwks.close()
    with pytest.raises(RuntimeError, match="closed"):
        await waiting


def _never(_request: httpx.Request) -> httpx.Response:
    raise AssertionError
