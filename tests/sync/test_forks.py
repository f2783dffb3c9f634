"""`SyncJWKS`: what `JWKS` does, for threads; at a fork, at the end, and when things go wrong."""

import asyncio
import inspect
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import jwt
import pytest

from auth_jwks import (
    JWKS,
    FileKeyStore,
    KeyStore,
    KeysUnavailableError,
    MemoryKeyStore,
    RedisKeyStore,
    UnknownKeyError,
)
from auth_jwks._jose.tokens import signer
from auth_jwks.events import Event, StaleServed, UnknownKey
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey

KEY, OTHER = SigningKey.generate("ES256", "first"), SigningKey.generate("ES256", "second")
URL, ISSUER = "https://idp.test/.well-known/openid-configuration", "https://idp.test"

Make = Callable[..., SyncJWKS]


def threads() -> int:
    """Return how many background threads there are."""
    return sum(thread.name == "auth_jwks" for thread in threading.enumerate())


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> Iterator[FakeIssuer]:
    """Return a provider of one key, on loopback."""
    with FakeIssuer(keys=[KEY], clock=clock) as issuer:
        yield issuer


@pytest.fixture
def provider() -> Iterator[FakeIssuer]:
    """Return a provider whose time passes."""
    with FakeIssuer(keys=[KEY]) as issuer:
        yield issuer
        issuer.release()


@pytest.fixture
def make(clock: FakeClock, issuer: FakeIssuer) -> Iterator[Make]:
    """Return what makes verifiers, which are closed with the test: then no thread is left."""
    made: list[SyncJWKS] = []

    def make(**options: Any) -> SyncJWKS:
        defaults: dict[str, Any] = {
            "discovery_url": issuer.discovery_url,
            "issuer": issuer.issuer,
            "retries": 0,
            "clock": clock,
        }
        made.append(SyncJWKS(**(defaults | options)))
        return made[-1]

    yield make
    issuer.release()
    for jwks in made:
        jwks.close()
    assert threads() == 0


@pytest.fixture
def jwks(make: Make) -> SyncJWKS:
    """Return a verifier."""
    return make()


def until(holds: Callable[[], object]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it never does"
        time.sleep(0.002)


def outcome(verify: Callable[[], object]) -> tuple[str, str]:
    """Return the class and the words of what was raised, or the claims."""
    try:
        claims = verify()
    except (jwt.InvalidTokenError, TypeError, ValueError) as fault:
        return type(fault).__name__, str(fault)
    return "dict", json.dumps(claims)


def all_at_once(number: int, work: Callable[[], object]) -> list["Future[object]"]:
    """Let so many threads begin the same work at one time, and return how it ended."""
    barrier = threading.Barrier(number)

    def begin() -> object:
        barrier.wait(10)
        return work()

    with ThreadPoolExecutor(number) as pool:
        return [pool.submit(begin) for _ in range(number)]


# Construction.


def test_the_signature_is_that_of_the_other() -> None:
    """Parameter by parameter, but for the client's type."""
    ours, theirs = inspect.signature(SyncJWKS).parameters, inspect.signature(JWKS).parameters
    assert list(ours) == list(theirs)
    for name, parameter in theirs.items():
        if name == "http_client":
            parameter = parameter.replace(annotation=None)  # noqa: PLW2901
        assert ours[name] == parameter


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("discovery_url", None),
        ("discovery_url", "ftp://idp.test"),
        ("discovery_url", 5),
        ("jwks_uri", "https://alice:hunter2@idp.test/"),
        ("issuer", " "),
        ("aud", ""),
        ("allowed_algorithms", ["HS256"]),
        ("cache_ttl", -1),
        ("leeway", "5"),
        ("timeout", 0),
        ("retries", True),
        ("fix_local_url", 1),
        ("store", object()),
        ("max_stale", -1),
        ("token_cache_size", -1),
        ("token_cache_size", "3"),
        ("required_claims", "exp"),
        ("observer", "print"),
        ("clock", 5),
    ],
)
def test_wrong_options_are_refused_alike(name: str, value: object) -> None:
    """By the same error."""
    options: dict[str, Any] = {"discovery_url": URL, name: value}
    refused = outcome(lambda: SyncJWKS(**options))
    assert refused[0] in {"ValueError", "TypeError"}
    assert refused == outcome(lambda: JWKS(**options))


def test_a_client_is_refused() -> None:
    """Whatever it is, and with the reason."""
    options: dict[str, Any] = {"http_client": object()}
    with pytest.raises(TypeError, match=r"^http_client: expected None, .* event loop$"):
        SyncJWKS(URL, **options)


def test_positional_arguments_are_those_of_the_other(caplog: pytest.LogCaptureFixture) -> None:
    """All eight are passed on, and a missing issuer is warned of."""
    jwks = SyncJWKS(URL, "api", ["ES256"], 60, 0.0, 1.0, 0, False)  # noqa: FBT003
    assert caplog.records[0].levelno == logging.WARNING
    assert repr(jwks) == f"SyncJWKS({URL!r}, issuer=None, keys=0)"


# What it does as the other does.


@pytest.mark.parametrize(
    ("options", "audience", "verify_iss"),
    [
        ({}, None, True),
        ({"aud": "api"}, None, True),
        ({"aud": "api"}, ["web"], False),
        ({"aud": "api"}, "", "no"),
    ],
)
def test_the_answers_are_those_of_the_other(
    make: Make,
    clock: FakeClock,
    issuer: FakeIssuer,
    options: dict[str, Any],
    audience: Any,
    verify_iss: Any,
) -> None:
    """For all kinds of tokens, the first time and the second."""
    jwks = make(**options)
    other = JWKS(issuer.discovery_url, issuer=issuer.issuer, retries=0, clock=clock, **options)

    async def verify(token: str) -> dict[str, Any]:
        return await other.verify_token(token, audience, verify_iss=verify_iss)

    def ours(token: str) -> tuple[str, str]:
        return outcome(lambda: jwks.verify_token(token, audience, verify_iss=verify_iss))

    def theirs(token: str) -> tuple[str, str]:
        return outcome(lambda: asyncio.run(verify(token)))

    tokens = all_kinds(issuer) * 2
    answers = [ours(token) for token in tokens]
    assert answers == [theirs(token) for token in tokens]
    assert len({answer[0] for answer in answers}) > 5 or audience == ""


def all_kinds(issuer: FakeIssuer) -> list[Any]:
    """Return good and bad tokens, and what is none."""
    return [
        issuer.sign(),
        "bEaReR " + issuer.sign(aud="api"),
        issuer.sign(aud="web"),
        issuer.sign(aud="api", exp=1),
        issuer.sign(aud="api", nbf=int(1.9e9)),
        issuer.sign(aud="web", iss="https://other.test"),
        issuer.sign(aud="api", sub=None),
        issuer.forge(aud="api"),
        issuer.sign(aud="api", headers={"kid": "gone"}),
        issuer.sign(aud="api", headers={"kid": "gone too"}),
        issuer.sign(aud="api", headers={"crit": ["b64"]}),
        issuer.sign(aud="api", key=SigningKey.generate("RS256", "first")),
        *("a.b", "x" * 20_000, "", None),
    ]


def test_claims_are_the_callers_own(jwks: SyncJWKS, issuer: FakeIssuer) -> None:
    """A fresh dict each time."""
    token = issuer.sign(roles=["user"])
    jwks.verify_token(token)["roles"].append("admin")
    assert jwks.verify_token(token)["roles"] == ["user"]


def test_refresh_warms_up(jwks: SyncJWKS, issuer: FakeIssuer) -> None:
    """Once, unless it is forced; and says why it can't."""
    jwks.refresh()
    jwks.refresh()
    assert issuer.jwks_requests == 1
    jwks.refresh(force=True)
    assert issuer.jwks_requests == 2
    issuer.outage()
    with pytest.raises(KeysUnavailableError, match="503"):
        jwks.refresh(force=True)
    assert jwks.status().failure == "HTTP status 503 (discovery document)"


def test_its_state_is_told(jwks: SyncJWKS, issuer: FakeIssuer) -> None:
    """By `status` and the representation, without a thread."""
    assert (jwks.status().kids, jwks.status().fresh) == ((), False)
    assert repr(jwks) == f"SyncJWKS({issuer.discovery_url!r}, issuer={issuer.issuer!r}, keys=0)"
    assert threads() == 0
    jwks.refresh()
    assert (jwks.status().kids, jwks.status().fresh) == (("first",), True)
    assert repr(jwks).endswith("keys=1)")
    jwks.close()
    assert repr(jwks).endswith("closed)")


def test_after_close_nothing_works(make: Make, issuer: FakeIssuer) -> None:
    """But `status`, and another close; a block closes as well."""
    with make() as used, make() as unused:
        used.verify_token(issuer.sign())
    for jwks in (used, unused):
        jwks.close()
        with pytest.raises(RuntimeError, match="closed"):
            jwks.verify_token(issuer.sign())
        for call in (jwks.refresh, jwks.__enter__):
            with pytest.raises(RuntimeError, match="closed"):
                call()
    assert used.status().kids == ("first",)


# Threads.


def test_one_background_thread_for_all(make: Make, issuer: FakeIssuer) -> None:
    """It begins with the first need, and ends with the last verifier that used it."""
    first, second, unused = make(), make(), make()
    unused.close()
    assert threads() == 0
    first.verify_token(issuer.sign())
    second.verify_token(issuer.sign())
    assert threads() == 1
    first.close()
    assert threads() == 1
    second.close()
    assert threads() == 0
    make().verify_token(issuer.sign())
    assert threads() == 1


def test_verification_needs_no_other_thread(make: Make, issuer: FakeIssuer) -> None:
    """While the background is blocked, tokens are checked in the thread that asks."""
    entered, goes_on = threading.Event(), threading.Event()

    def block(_event: Event) -> None:
        entered.set()
        assert goes_on.wait(10)

    jwks = make(observer=block)
    with ThreadPoolExecutor(1) as pool:
        warming = pool.submit(jwks.refresh)
        entered.wait(10)
        tokens = [issuer.sign(jti=str(number)) for number in range(3)]
        checked: list[object] = []
        sys.setprofile(lambda frame, event, _: _note(frame, event, checked))
        try:
            for token in tokens * 2:
                jwks.verify_token(token)
        finally:
            sys.setprofile(None)
        goes_on.set()
        warming.result()
    assert len(checked) == 3


def _note(frame: FrameType, event: str, checked: list[object]) -> None:
    if event == "call" and frame.f_code is signer.__code__:
        checked.append(frame)


def test_many_threads_fetch_once(jwks: SyncJWKS, issuer: FakeIssuer) -> None:
    """A hundred that find no keys wait for one refresh."""
    token = issuer.sign()
    done = all_at_once(100, lambda: jwks.verify_token(token)["sub"])
    assert {each.result() for each in done} == {"alice"}
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


def test_each_thread_has_a_fault_of_its_own(jwks: SyncJWKS, issuer: FakeIssuer) -> None:
    """No exception, and so no traceback, is raised in two threads."""
    issuer.outage()
    token = issuer.sign()
    faults = [each.exception() for each in all_at_once(20, lambda: jwks.verify_token(token))]
    assert {type(fault) for fault in faults} == {KeysUnavailableError}
    assert len(set(map(id, faults))) == 20
    assert issuer.discovery_requests == 1


def test_closing_ends_all_waits(jwks: SyncJWKS, issuer: FakeIssuer) -> None:
    """Threads that wait for a provider that hangs are told at once."""
    issuer.hang()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(jwks.verify_token, issuer.sign()) for _ in range(8)]
        asyncio.run(issuer.arrived(1))
        began = time.monotonic()
        jwks.close()
        for each in waiting:
            with pytest.raises(RuntimeError, match="closed"):
                each.result(5)
        assert time.monotonic() - began < 2
    assert threads() == 0


def test_a_signal_ends_a_wait_alone(jwks: SyncJWKS, issuer: FakeIssuer) -> None:
    """What a handler raises in the main thread, as of a worker's timeout, ends no refresh."""

    class Timeout(Exception):  # noqa: N818 - not an error of this library
        pass

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Timeout

    def limited(token: str) -> object:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        return jwks.verify_token(token)

    before = signal.signal(signal.SIGALRM, stop)
    issuer.hang()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(jwks.verify_token, issuer.sign())
        asyncio.run(issuer.arrived(1))
        with pytest.raises(Timeout):
            limited(issuer.sign())
        signal.signal(signal.SIGALRM, before)
        issuer.recover()
        issuer.release()
        assert other.result(5)["sub"] == "alice"
    assert issuer.jwks_requests == 1


def test_an_observer_must_not_wait(
    make: Make, clock: FakeClock, issuer: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is called in the background thread: what waits for that is refused, and nothing hangs."""
    token, outcomes, made = issuer.sign(), list[str](), list[SyncJWKS]()

    def observe(event: Event) -> None:
        if isinstance(event, StaleServed):
            calls: list[Callable[[], None]] = [lambda: made[0].refresh(force=True), made[0].close]
            for call in calls:
                with pytest.raises(RuntimeError, match="wait for itself"):
                    call()
                outcomes.append("refused")
        else:
            outcomes.append(threading.current_thread().name)

    jwks = make(observer=observe)
    made.append(jwks)
    jwks.verify_token(token)
    issuer.outage()
    clock.advance(901)
    with pytest.raises(jwt.ExpiredSignatureError):
        jwks.verify_token(token)
    until(lambda: len(outcomes) == 4)
    assert outcomes == ["auth_jwks", "auth_jwks", "refused", "refused"]
    assert "observer failed" not in caplog.text


def test_the_token_cache_under_threads(make: Make, issuer: FakeIssuer) -> None:
    """Small, and with threads that change as often as can be, it confuses no tokens."""
    jwks = make(token_cache_size=3)
    tokens = {issuer.sign(jti=str(number)): str(number) for number in range(6)}
    jwks.refresh()

    def verify() -> int:
        wrong = 0
        for _ in range(15):
            for token, jti in tokens.items():
                wrong += jwks.verify_token(token)["jti"] != jti
        return wrong

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        assert sum(each.result() for each in all_at_once(6, verify)) == 0  # type: ignore[misc]
    finally:
        sys.setswitchinterval(before)


# The age of the keys.


def test_refresh_ahead_keeps_nobody_waiting(
    jwks: SyncJWKS, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """Before the keys expire they serve at once, while one refresh hangs, and then is done."""
    jwks.refresh()
    issuer.reset()
    issuer.hang()
    clock.advance(850)
    for _ in range(100):
        assert jwks.verify_token(issuer.sign())["sub"] == "alice"
    asyncio.run(issuer.arrived(1))
    clock.advance(1)
    assert jwks.verify_token(issuer.sign())["sub"] == "alice"
    assert jwks.status().refreshing
    issuer.recover()
    issuer.release()
    until(lambda: not jwks.status().refreshing)
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)
    assert jwks.status().age == 1.0


def test_stale_keys_serve_in_an_outage(make: Make, clock: FakeClock, issuer: FakeIssuer) -> None:
    """Within `max_stale`, which is told, and not beyond."""
    events: list[Event] = []
    jwks = make(max_stale=100, observer=events.append)
    jwks.refresh()
    issuer.outage()
    clock.advance(950)
    token = issuer.sign()
    began = threads()
    for _ in range(50):
        assert jwks.verify_token(token)["sub"] == "alice"
    assert threads() == began
    until(lambda: any(isinstance(event, StaleServed) for event in events))
    assert issuer.discovery_requests == 2, "one attempt, until the cool-down is over"
    clock.advance(51)
    with pytest.raises(KeysUnavailableError) as caught:
        jwks.verify_token(issuer.sign())
    assert caught.value.retry_after > 0


def test_stale_keys_serve_no_other_issuer(
    jwks: SyncJWKS, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """A provider that names another one has answered."""
    jwks.refresh()
    issuer.announce(issuer="https://other.test")
    clock.advance(950)
    for _ in range(3):
        assert outcome(lambda: jwks.verify_token(issuer.sign()))[0] == "IssuerMismatchError"


def test_an_unknown_key_is_asked_for(jwks: SyncJWKS, issuer: FakeIssuer) -> None:
    """Once, also by many; a rotation is picked up by that."""
    jwks.refresh()
    issuer.rotate(OTHER)
    token, stranger = issuer.sign(), issuer.sign(headers={"kid": "stranger"})
    assert [each.result() for each in all_at_once(10, lambda: jwks.verify_token(token)["sub"])]
    assert issuer.jwks_requests == 2
    for each in all_at_once(10, lambda: jwks.verify_token(stranger)):
        assert type(each.exception()) is UnknownKeyError
    assert issuer.jwks_requests == 3
    assert jwks.status().kids == ("first", "second")


class LateClock(FakeClock):
    """Lets one thread look at it once, and no second time before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = threading.Event()
        self.may_look = threading.Event()

    def monotonic(self) -> float:
        """Return the time, at a second look of that thread as late as it is told."""
        if threading.current_thread().name.startswith("late"):
            if self.looked.is_set():
                assert self.may_look.wait(10)
            self.looked.set()
        return super().monotonic()


def test_a_key_that_comes_on_the_way_is_found(issuer: FakeIssuer) -> None:
    """A token is good though its thread looked too early, and others spent the budget."""
    clock = LateClock()
    with SyncJWKS(issuer.discovery_url, issuer=issuer.issuer, clock=clock) as jwks:
        jwks.refresh()
        issuer.rotate(OTHER)
        with ThreadPoolExecutor(1, thread_name_prefix="late") as pool:
            late = pool.submit(jwks.verify_token, issuer.sign())
            assert clock.looked.wait(10)
            for number in range(3):
                with pytest.raises(UnknownKeyError):
                    jwks.verify_token(issuer.sign(headers={"kid": f"made-up-{number}"}))
            clock.may_look.set()
            assert late.result(10)["sub"] == "alice"


def test_made_up_keys_wait_for_nothing(make: Make, clock: FakeClock, issuer: FakeIssuer) -> None:
    """When the budget is spent they are refused in the thread that brings them."""
    told: list[tuple[bool, str]] = []

    def note(event: Event) -> None:
        if isinstance(event, UnknownKey):
            told.append((event.asked, threading.current_thread().name))

    jwks = make(observer=note)
    jwks.refresh()
    for number in range(4):
        with pytest.raises(UnknownKeyError):
            jwks.verify_token(issuer.sign(headers={"kid": f"made-up-{number}"}))
    here = threading.current_thread().name
    assert told == [(True, "auth_jwks")] * 2 + [(False, here)] * 2
    issuer.rotate(OTHER)
    clock.advance(30)
    assert jwks.verify_token(issuer.sign())["sub"] == "alice"


def test_a_process_at_its_limit(jwks: SyncJWKS, issuer: FakeIssuer) -> None:
    """Where no thread can be started, the keys can't be had; that ends with the lack."""
    before = threading.stack_size(1 << 46)
    try:
        with pytest.raises(KeysUnavailableError, match="no thread"):
            jwks.verify_token(issuer.sign())
    finally:
        threading.stack_size(before)
    assert jwks.verify_token(issuer.sign())["sub"] == "alice"


# Stores.


@pytest.mark.parametrize("kind", ["redis", "file", "memory"])
def test_verifiers_of_a_process_share_a_store(
    request: pytest.FixtureRequest, provider: FakeIssuer, tmp_path: Path, kind: str
) -> None:
    """Of threads, and but for the store in memory of asyncio as well: one fetch for all."""
    store: KeyStore = MemoryKeyStore()
    if kind == "redis":
        store = RedisKeyStore(request.getfixturevalue("redis_url"), integrity_key="k" * 32)
    elif kind == "file":
        store = FileKeyStore(tmp_path / "keys")
    issuer = provider
    options: dict[str, Any] = {"issuer": issuer.issuer, "store": store}
    with (
        SyncJWKS(issuer.discovery_url, **options) as first,
        SyncJWKS(issuer.discovery_url, **options) as second,
        ThreadPoolExecutor(2) as pool,
    ):
        token = issuer.sign()
        for each in (first, second):
            pool.submit(each.verify_token, token)
    assert first.status().kids == second.status().kids == ("first",)
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)
    if kind != "memory":
        assert asyncio.run(_verified(issuer, store))["sub"] == "alice"
        assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


async def _verified(issuer: FakeIssuer, store: KeyStore) -> dict[str, Any]:
    """Verify a token with asyncio, and once more beside a thread that refreshes."""
    async with JWKS(issuer.discovery_url, issuer=issuer.issuer, store=store) as jwks:
        claims = await jwks.verify_token(issuer.sign())
        with SyncJWKS(issuer.discovery_url, issuer=issuer.issuer, store=store) as other:
            both = asyncio.to_thread(other.verify_token, issuer.sign()), jwks.refresh()
            await asyncio.gather(*both)
        await store.aclose()
        return claims


# Forks, and the end.

PROGRAM = """
import os, signal, sys, threading, time, traceback, warnings
warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)
import logging
logging.getLogger("asyncio").setLevel(logging.ERROR)  # a slow machine is no fault
from auth_jwks import RedisKeyStore
from auth_jwks.sync import SyncJWKS

url, issuer, redis, *tokens = sys.argv[1:]
store = RedisKeyStore(redis, integrity_key="k" * 32) if redis else None
jwks = SyncJWKS(url, issuer=issuer, store=store, retries=0, token_cache_size=2)

def say(*words):
    print(*words, flush=True)

def told():
    assert sys.stdin.readline()

def fork(work):
    child = os.fork()
    if child:
        return child
    signal.alarm(15)  # by default it kills
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

def ended(child):
    assert os.waitpid(child, 0)[1] == 0

def verify(token=tokens[0]):
    assert jwks.verify_token(token)["sub"] == "alice"

def refresh():
    verify()
    jwks.refresh(force=True)

def background():
    return sum(thread.name == "auth_jwks" for thread in threading.enumerate())
"""


class Program:
    """A program with the names above, as a test sees it."""

    def __init__(
        self, issuer: FakeIssuer, text: str, redis: str = "", *, measured: bool = True
    ) -> None:
        tokens = [issuer.sign(jti=str(number)) for number in range(4)]
        environment = {
            name: value
            for name, value in os.environ.items()
            if measured or not name.startswith("COVERAGE")
        }
        self._process = subprocess.Popen(
            [
                sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM + text,
                issuer.discovery_url, issuer.issuer, redis, *tokens,
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, env=environment,
        )  # fmt: skip

    def tell(self) -> None:
        """Let it go on."""
        assert self._process.stdin
        self._process.stdin.write("go on\n")
        self._process.stdin.flush()

    def said(self) -> str:
        """Return the next line that it prints."""
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def end(self) -> str:
        """Return what else it prints, and check that it ends well and has nothing to complain."""
        try:
            self._process.wait(30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            output, errors = self._process.communicate()
        assert errors == ""
        assert self._process.returncode == 0
        return output


def test_a_child_has_the_keys(provider: FakeIssuer) -> None:
    """And the tokens, and so needs no thread for them; a child of its own likewise."""
    program = Program(
        provider,
        """
def child():
    verify()
    assert not background()
    assert jwks.status().kids == ("first",)
    before = threading.stack_size(1 << 46)
    verify(tokens[1])
    threading.stack_size(before)
    ended(fork(grandchild))
    refresh()
    assert background() == 1
    ended(fork(grandchild))
    jwks.close()
    assert not background()

def grandchild():
    verify()
    assert not background()
    refresh()

verify()
ended(fork(child))
refresh()
""",
    )
    assert program.end() == ""
    assert provider.jwks_requests == 1 + 1 + 1 + 1 + 1


def test_a_child_without_a_thread(provider: FakeIssuer) -> None:
    """If it can have none, keys that should be refreshed serve as long as they are fresh."""
    program = Program(
        provider,
        """
from auth_jwks.testing import FakeClock

clock = FakeClock(time.time())
jwks = SyncJWKS(url, issuer=issuer, retries=0, clock=clock)

def child():
    clock.advance(850)
    clock.set_time(time.time())
    before = threading.stack_size(1 << 46)
    verify()
    threading.stack_size(before)
    verify(tokens[1])
    while not background():
        verify()
        clock.advance(0.01)

verify()
ended(fork(child))
""",
    )
    assert program.end() == ""


def test_a_fork_amid_a_refresh(provider: FakeIssuer) -> None:
    """The child makes its own, and waits for nothing of its parent, whose refresh goes on."""
    provider.hang(times=1)
    program = Program(
        provider,
        """
waiting = threading.Thread(target=verify)
waiting.start()
told()
ended(fork(refresh))
say("child")
waiting.join()
verify()
assert background() == 1
say("parent")
""",
    )
    asyncio.run(provider.arrived(1))
    program.tell()
    assert program.said() == "child"
    provider.release()
    assert program.said() == "parent"
    assert program.end() == ""
    assert provider.jwks_requests == 3


@pytest.mark.parametrize("store", ["", "redis"])
def test_a_fork_amid_the_first_fetch(
    request: pytest.FixtureRequest, provider: FakeIssuer, store: str
) -> None:
    """It imports nothing any more, which the child would have half of."""
    program = Program(
        provider,
        """
before = {*sys.modules}
verify()
print(*{*sys.modules} - before)
""",
        request.getfixturevalue("redis_url") if store else "",
    )
    assert program.end() == "\n"


def test_forks_amid_verifications(provider: FakeIssuer) -> None:
    """Fifty of them, while threads verify without a pause: each child answers."""
    program = Program(
        provider,
        """
over = False

def hammer():
    while not over:
        for token in tokens:
            verify(token)

def child():
    for token in tokens:
        verify(token)
    if number % 10 == 0:
        refresh()

verify()
sys.setswitchinterval(1e-5)
hammers = [threading.Thread(target=hammer, daemon=True) for _ in range(2)]
for each in hammers:
    each.start()
for number in range(50):
    ended(fork(child))
over = True
for each in hammers:
    each.join()
refresh()
""",
        measured=False,  # the tracer's own lock may be held at a fork
    )
    assert program.end() == ""
    assert provider.jwks_requests == 1 + 5 + 1


@pytest.mark.parametrize("store", ["", "redis"])
@pytest.mark.parametrize(
    "ending",
    [
        "verify()",
        "verify(); jwks.close()",
        "verify(); import atexit; atexit.register(jwks.close)",
        "threading.Thread(target=verify, daemon=True).start(); told()",
        "verify(); del jwks, verify, refresh",
    ],
    ids=["open", "closed", "closed at exit", "hanging", "dropped"],
)
def test_the_end_of_a_program(
    request: pytest.FixtureRequest, provider: FakeIssuer, ending: str, store: str
) -> None:
    """It ends at once and without a word, whether the verifier was closed or is at work."""
    redis = request.getfixturevalue("redis_url") if store else ""
    hangs = "told" in ending
    if hangs:
        provider.hang()
    program = Program(provider, f"{ending}\nsay('done')", redis)
    if hangs:
        asyncio.run(provider.arrived(1))
        program.tell()
    assert program.said() == "done"
    began = time.monotonic()
    assert program.end() == ""
    assert time.monotonic() - began < 2
