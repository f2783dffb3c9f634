"""Many threads, one in the background, and what happens between them."""

import asyncio
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import TYPE_CHECKING

import pytest

from auth_jwks import KeysUnavailableError
from auth_jwks._jose.tokens import signer
from auth_jwks.events import Event, StaleServed
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.sync.threads import Make, all_at_once, threads, until

if TYPE_CHECKING:
    from collections.abc import Callable


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
        assert goes_on.wait(60)

    jwks = make(observer=block)
    with ThreadPoolExecutor(1) as pool:
        warming = pool.submit(jwks.refresh)
        entered.wait(60)
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


@pytest.mark.posix
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
    token, outcomes, made = issuer.sign(exp=4_000_000_000), list[str](), list[SyncJWKS]()

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
