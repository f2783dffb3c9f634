"""The verified-token cache: what it keeps, for how long, and that it changes no answer."""

import asyncio
import json
import random
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import httpx
import jwt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auth_jwks import JWKS
from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.token_cache import SeenToken, TokenCache, cache_key
from auth_jwks._jose.keys import KeySet, parse_key_set
from auth_jwks._jose.tokens import signer
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey

ALLOWED = frozenset(("ES256", "RS256"))
KEYS = [SigningKey.generate("ES256", kid) for kid in ("k0", "k1", "k2")]


def key_set(*members: dict[str, Any]) -> KeySet:
    """Return the key set of these JWKs."""
    return parse_key_set(json.dumps({"keys": members}).encode(), ALLOWED)


def held(keys: KeySet, issuer: str | None = None) -> CurrentKeys:
    """Return these keys as a worker has them."""
    return CurrentKeys(key_set=keys, issuer=issuer)


def token_of(kid: str | None, current: CurrentKeys, payload: bytes) -> SeenToken:
    """Return a token that the first of these keys has signed."""
    key = current.key_set.keys[0]
    return SeenToken(kid, key.alg, key.thumbprint, current.issuer, current.generation, payload)


def seen(size: int = 0, kid: str | None = "k0", **claims: Any) -> SeenToken:
    """Return a token of about that size that the first key has signed."""
    keys = key_set(KEYS[0].jwk())
    claims = {"exp": 100, "text": "x" * size} | claims
    return token_of(kid, held(keys), json.dumps(claims).encode())


def test_token_is_found_again() -> None:
    """What was put is got, under its own name alone."""
    cache, token = TokenCache(2), seen()
    cache.put("name", token)
    assert cache.get("name") is token
    assert cache.get("another") is None
    assert len(cache) == 1


def test_least_recently_used_leaves_first() -> None:
    """Beyond its size the cache gives up what was not asked for the longest."""
    cache = TokenCache(2)
    for name in ("old", "used"):
        cache.put(name, seen())
    cache.put("old", seen(4))
    cache.get("old")
    cache.put("new", seen())
    assert [cache.get(name) is not None for name in ("old", "used", "new")] == [True, False, True]
    assert len(cache) == 2


def test_entries_are_bounded_however_small() -> None:
    """A thousand empty tokens take no more than the size."""
    cache = TokenCache(10)
    for name in range(1000):
        cache.put(name, seen())
    assert len(cache) == 10
    assert cache.get(999) is not None


def test_bytes_are_bounded_however_few() -> None:
    """Long tokens push others out before the number is reached: 4 KiB for each on average."""
    cache = TokenCache(10)
    for name in range(10):
        cache.put(name, seen(4096))
    assert len(cache) == 4
    assert cache.get(9) is not None


def test_token_that_fits_nowhere_is_not_kept() -> None:
    """A token longer than the whole cache is left out, and pushes out nothing."""
    cache = TokenCache(1)
    cache.put("small", seen())
    cache.put("huge", seen(6_000))
    assert cache.get("huge") is None
    assert cache.get("small") is not None


def test_size_zero_is_off() -> None:
    """Nothing is kept at all."""
    cache = TokenCache(0)
    cache.put("name", seen())
    assert (cache.get("name"), len(cache)) == (None, 0)


def test_state_is_told_without_tokens() -> None:
    """The representation counts, and shows no name and no claim."""
    cache = TokenCache(3)
    token = seen(sub="secret")
    cache.put(cache_key("a.secret.c"), token)
    assert repr(cache) == "TokenCache(size=3, used=1)"
    assert "secret" not in repr(token)


def test_name_holds_everything_that_shaped_the_check() -> None:
    """Another token, audience or option is another name; the same ones are the same."""
    names = [
        cache_key(token, (audience, verify_iss))
        for token in ("a.b." + "c" * 5000, "a.b." + "c" * 4999 + "d")
        for audience in (None, frozenset(("api",)), frozenset(("api", "web")))
        for verify_iss in (True, False)
    ]
    assert len(set(names)) == len(names)
    assert cache_key("a.b.c", (frozenset(("web", "api")),)) == cache_key(
        "a.b.c", (frozenset(("api", "web")),)
    )


def test_name_does_not_hold_the_token() -> None:
    """No raw token is kept."""
    assert "secret" not in repr(cache_key("a.secret.c"))


@pytest.mark.parametrize(
    ("members", "vouched"),
    [
        ([KEYS[0].jwk()], True),
        ([KEYS[0].jwk(), KEYS[1].jwk()], True),
        ([KEYS[1].jwk(), KEYS[0].jwk(), KEYS[1].jwk(kid="k0")], True),
        ([KEYS[1].jwk()], False),
        ([KEYS[1].jwk(kid="k0")], False),
        ([KEYS[0].jwk(kid="k1")], False),
        ([KEYS[0].jwk(x5t="changed")], False),
        ([KEYS[1].jwk(kid="k0") for _ in range(4)] + [KEYS[0].jwk()], False),
    ],
)
def test_signature_holds_while_its_key_would_be_tried(
    members: list[dict[str, Any]], *, vouched: bool
) -> None:
    """A key that left the set, or changed, vouches for nothing any more."""
    assert (seen().claims(held(key_set(*members)), 0.0, 0.0) is not None) is vouched


@pytest.mark.parametrize(
    ("members", "vouched"),
    [
        ([KEYS[0].jwk()], True),
        ([KEYS[1].jwk(), KEYS[0].jwk()], True),
        ([KEYS[1].jwk()], False),
        ([KEYS[1].jwk()] * 4 + [KEYS[0].jwk()], False),
    ],
)
def test_token_without_kid_holds_while_its_key_would_be_tried(
    members: list[dict[str, Any]], *, vouched: bool
) -> None:
    """Among the first four that fit, as for a token that is new."""
    assert (seen(kid=None).claims(held(key_set(*members)), 0.0, 0.0) is not None) is vouched


def test_another_issuer_is_no_answer() -> None:
    """A document that names another one vouches for no token of before."""
    keys = key_set(KEYS[0].jwk())
    token = token_of("k0", held(keys, "one"), b'{"exp": 100}')
    assert token.claims(held(keys, "two"), 0.0, 0.0) is None
    assert token.claims(held(keys, "one"), 0.0, 0.0) == {"exp": 100}


@pytest.mark.parametrize(
    ("now", "leeway", "valid"),
    [
        (99.9, 0, True), (100, 0, False), (104.9, 5, True), (105, 5, False),
        (50, 0, True), (49.9, 0, False), (45, 5, True), (44.9, 5, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("begins", ["iat", "nbf"])
def test_times_are_judged_each_time(begins: str, now: float, leeway: float, *, valid: bool) -> None:
    """To the second, as for a token that is new."""
    times: dict[str, Any] = {begins: 50.9, "exp": 100.9}
    token = seen(**times)
    assert (token.claims(held(key_set(KEYS[0].jwk())), now, leeway) is not None) is valid


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=40
)


@given(st.dictionaries(st.text(), VALUES))
@example({"groups": ["a"] * 3, "name": "alice"})
@example({"tree": [["a"], {"b": []}]})
@example({"address": {"country": "DE"}})
@example({"text": "x" * 1000})
@example({"numbers": [0.5] * 100})
def test_each_hit_has_claims_of_its_own(claims: dict[str, Any]) -> None:
    """They are what the payload says, whatever a caller before did to his."""
    payload = json.dumps(claims | {"exp": 100}).encode()
    current = held(key_set(KEYS[0].jwk()))
    token = token_of("k0", current, payload)
    for _ in range(3):
        found = token.claims(current, 0.0, 0.0)
        assert found == json.loads(payload)
        spoil(found)


def spoil(value: object) -> None:
    """Empty every list and dict."""
    if isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            spoil(each)
        value.clear()


def test_what_can_be_no_token_has_no_name() -> None:
    """And is not remembered."""
    cache = TokenCache(1)
    for name in (cache_key(7), cache_key(b"a.b.c"), cache_key("abc"), cache_key("." * 16_385)):
        assert name is None
        cache.put(name, seen())
    assert len(cache) == 0
    assert cache_key("." * 16_384) is not None
    assert cache_key("\ud800.") is not None


def test_replaced_token_is_counted_once() -> None:
    """Its bytes are given back."""
    cache = TokenCache(10)
    for size in (15_000, 1, 15_000, 15_000):
        cache.put("name", seen(size))
        cache.put("other", seen(1))
    assert len(cache) == 2


def test_cleared_cache_begins_anew() -> None:
    """It knows no token, and has all its room."""
    cache = TokenCache(2)
    for _ in range(2):
        for name in range(2):
            cache.put(name, seen(1000))
        assert len(cache) == 2
        cache.clear()
        assert (cache.get(0), len(cache)) == (None, 0)


def fill(cache: TokenCache, cost: int) -> int:
    """Return how many tokens of that cost the cache keeps, of those that come last."""
    size = (cost - 512) // 2 - len(seen().payload)
    for number in range(100):
        cache.put(("fill", number), seen(size))
    return len(cache)


def test_cache_of_threads_is_one() -> None:
    """What was put is got, and the least recently used leave first."""
    cache, token = TokenCache(2), seen()
    cache.put("used", token)
    cache.put("old", seen())
    assert cache.get("used") is token
    assert cache.get("another") is None
    cache.put("new", seen())
    assert [cache.get(name) is not None for name in ("old", "used", "new")] == [False, True, True]


def test_threads_lose_no_byte() -> None:
    """However they get in each other's way, the bounds hold, during and after."""
    cache = TokenCache(10)
    tokens = {name: seen(name * 100, sub=str(name)) for name in range(30)}
    names = random.sample([*tokens] * 20, 600)

    def work(start: int) -> int:
        faults = 0
        for name in names[start:] + names[:start]:
            found = cache.get(name)
            faults += found is not None and found is not tokens[name]
            cache.put(name, tokens[name])
            faults += len(cache) > 10 + 1  # one is being put
        return faults

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(work, range(6))) == 0
    finally:
        sys.setswitchinterval(before)
    # 40,960 bytes in all: a fifth of 8,194 does not fit, one of 8,192 does, and not one more.
    assert (fill(cache, 8194), fill(cache, 8192), fill(cache, 4096)) == (4, 5, 10)


@pytest.mark.parametrize("amid_a_change", [True, False])
def test_child_process_keeps_the_cache(*, amid_a_change: bool) -> None:
    """But one that another thread was changing at the fork: that is empty, and usable."""
    cache, name = TokenCache(2), SlowName()
    cache.put("name", seen())
    thread = threading.Thread(target=cache.put, args=(name, seen()))
    if amid_a_change:
        thread.start()
        assert name.asked.wait(60)
    cache.forked()
    assert (cache.get("name") is None) is amid_a_change
    cache.put("name", seen())
    assert cache.get("name") is not None
    name.goes_on.set()
    if amid_a_change:
        thread.join()


class SlowName:
    """A name that takes its time to be looked up."""

    def __init__(self) -> None:
        self.asked, self.goes_on = threading.Event(), threading.Event()

    def __hash__(self) -> int:
        self.asked.set()
        assert self.goes_on.wait(60)
        return 7

    def __eq__(self, other: object) -> bool:
        return self is other


class Pair:
    """Two verifiers of one provider that differ in their token cache alone."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.issuer = FakeIssuer(keys=[KEYS[0]], clock=self.clock)
        self.tokens: list[str] = []
        self._client = httpx.AsyncClient(transport=self.issuer.transport())
        self.verifiers = [self._verifier(size) for size in (1024, 0)]
        self._calls = 0

    def _verifier(self, size: int) -> JWKS:
        return JWKS(
            self.issuer.discovery_url, "api", issuer=self.issuer.issuer, cache_ttl=120,
            max_stale=240, leeway=5, retries=0, clock=self.clock, token_cache_size=size,
            http_client=self._client,
        )  # fmt: skip

    async def aclose(self) -> None:
        """Close what was opened."""
        for verifier in self.verifiers:
            await verifier.close()
        await self._client.aclose()

    async def verify(
        self, token: str, audience: str | list[str] | None = None, *, verify_iss: bool = True
    ) -> None:
        """Let both judge the token; the answers must be the same, and the dicts fresh."""
        self._calls += 1
        answers = [
            await self._answer(one, token, audience, verify_iss=verify_iss)
            for one in self.verifiers
        ]
        assert answers[0] == answers[1]

    async def _answer(
        self, verifier: JWKS, token: str, audience: str | list[str] | None, *, verify_iss: bool
    ) -> tuple[type, object]:
        # The refresh point is drawn at random: both must draw the same.
        random.seed(self._calls)
        try:
            claims = await verifier.verify_token(token, audience, verify_iss=verify_iss)
        except jwt.InvalidTokenError as fault:
            answer: tuple[type, object] = type(fault), str(fault)
        else:
            answer = dict, json.dumps(claims)
            claims["roles"].append("admin")
            claims["sub"] = "mallory"
        await _until_quiet(verifier)
        return answer

    async def carry_out(self, step: tuple[Any, ...]) -> None:
        """Do one step of a generated story."""
        match step:
            case "verify", number, audience, verify_iss:
                await self.verify(self._token(number), audience, verify_iss=verify_iss)
            case "sign", number, changes:
                self.tokens.append(self._sign(KEYS[number], changes))
            case "rotate", number, keep:
                self.issuer.rotate(KEYS[number], keep=keep)
            case "replace", number:
                self._replace(KEYS[number])
            case "outage", lasts:
                self.issuer.outage() if lasts else self.issuer.recover()
            case "advance", seconds:
                self.clock.advance(seconds)
            case "step", seconds:
                self.clock.set_time(self.clock.time() + seconds)

    def _token(self, number: int) -> str:
        return self.tokens[-1 - number % len(self.tokens)]

    def _sign(self, key: SigningKey, changes: dict[str, Any]) -> str:
        now = int(self.clock.time())
        headers = {"kid": changes.get("kid", key.kid)}
        times = {name: now + changes[name] for name in ("exp", "nbf") if name in changes}
        claims = {"roles": ["user"], "aud": "api", "iss": changes.get("iss", self.issuer.issuer)}
        return self.issuer.sign(claims | times, key=key, headers=headers)

    def _replace(self, key: SigningKey) -> None:
        """Publish another key under the same `kid`, and no other."""
        self.issuer.rotate(SigningKey("ES256", key.kid, KEYS[2].private_key), keep=False)


steps = st.one_of(
    st.tuples(
        st.just("verify"),
        st.integers(0, 3),
        st.sampled_from([None, "api", "web", ["web", "api"]]),
        st.booleans(),
    ),
    st.tuples(
        st.just("sign"),
        st.integers(0, 2),
        st.fixed_dictionaries(
            {},
            optional={
                "exp": st.sampled_from([1, 60, 600]),
                "nbf": st.sampled_from([-10, 30]),
                "iss": st.sampled_from(["https://other.test", None]),
                "kid": st.sampled_from(["k0", "k9", None]),
            },
        ),
    ),
    st.tuples(st.just("rotate"), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("replace"), st.integers(0, 2)),
    st.tuples(st.just("outage"), st.booleans()),
    st.tuples(st.just("advance"), st.sampled_from([0.5, 1, 6, 30, 95, 130])),
    st.tuples(st.just("step"), st.sampled_from([-100, -6, 6, 400])),
)


@settings(max_examples=150)
@given(story=st.lists(steps, min_size=5, max_size=30))
def test_cache_changes_no_answer(story: list[tuple[Any, ...]]) -> None:
    """Whatever happens to keys, tokens and time, with and without a cache the answer is one."""
    asyncio.run(asyncio.wait_for(_tell(story), 30))


async def _until_quiet(verifier: JWKS) -> None:
    for _ in range(1000):
        if not verifier.status().refreshing:
            return
        await asyncio.sleep(0)
    raise AssertionError("a refresh does not end")


async def _tell(story: Iterable[tuple[Any, ...]]) -> None:
    """Let all that happens be followed by a look at the latest tokens."""
    pair = Pair()
    for step in (("sign", 0, {}), *story):
        await pair.carry_out(step)
        for token in pair.tokens[-3:]:
            await pair.verify(token)
    await pair.aclose()


def test_token_seen_before_is_not_checked_again() -> None:
    """One signature check for ten calls; without a cache, ten."""
    assert asyncio.run(_signature_checks()) == [1, 10]


async def _signature_checks() -> list[int]:
    pair = Pair()
    await pair.carry_out(("sign", 0, {}))
    checks = [
        [await _count_calls(signer, verifier, pair.tokens[0]) for _ in range(10)]
        for verifier in pair.verifiers
    ]
    await pair.aclose()
    return [sum(counts) for counts in checks]


async def _count_calls(function: Callable[..., object], verifier: JWKS, token: str) -> int:
    called: list[object] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code is getattr(function, "__code__", None):
            called.append(frame.f_code)

    sys.setprofile(note)
    try:
        await verifier.verify_token(token)
    finally:
        sys.setprofile(None)
    return len(called)


class Leaving:
    """A key that is found once, and then is not there any more."""

    def __init__(self, *, leaves: bool) -> None:
        self._leaves = leaves
        self._asked = 0

    def __hash__(self) -> int:
        self._asked += 1
        if self._leaves and self._asked == 2:
            raise KeyError(self)
        return 7

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Leaving)


def test_token_may_leave_while_it_is_looked_up() -> None:
    """Another thread may drop it between the two steps of a hit."""
    cache, token = TokenCache(2), seen()
    cache.put(Leaving(leaves=False), token)
    assert cache.get(Leaving(leaves=True)) is token
