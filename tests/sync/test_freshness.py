"""The age of the keys: who waits for a refresh, and who need not."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from auth_jwks import KeysUnavailableError, UnknownKeyError
from auth_jwks._clock import SYSTEM_CLOCK
from auth_jwks.events import Event, StaleServed, UnknownKey
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer
from tests.sync.threads import OTHER, Make, all_at_once, outcome, threads, until


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
                assert self.may_look.wait(60)
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
            assert clock.looked.wait(60)
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


def test_made_up_keys_hold_two_threads_of_a_pool(provider: FakeIssuer, make: Make) -> None:
    """While the provider hangs others are told soon, then at once; good tokens never wait."""
    issuer = provider
    jwks = make(discovery_url=issuer.discovery_url, issuer=issuer.issuer, clock=SYSTEM_CLOCK)
    jwks.refresh()
    issuer.hang()
    made_up = [issuer.sign(headers={"kid": f"made-up-{number}"}) for number in range(12)]
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(outcome, partial(jwks.verify_token, token)) for token in made_up]
        good = pool.submit(jwks.verify_token, issuer.sign())
        assert good.result(3)["sub"] == "alice", "though all eight threads were taken"
        until(lambda: sum(each.done() for each in waiting) == 10)
        [(kind, words)] = {each.result() for each in waiting if each.done()}
        assert kind == "KeysUnavailableError"
        assert "under way" in words
        with pytest.raises(KeysUnavailableError) as caught:
            jwks.verify_token(made_up[0])
        assert 0 < caught.value.retry_after <= 1
        issuer.recover()
        issuer.release()
        kinds = {each.result(10)[0] for each in waiting}
        assert kinds == {"KeysUnavailableError", "UnknownKeyError"}


def test_a_search_that_takes_long_is_found_by_those_who_come_back(
    make: Make, issuer: FakeIssuer
) -> None:
    """A token of a new key is no 401 while the search for it goes on."""
    jwks = make()
    jwks.refresh()
    issuer.rotate(OTHER)
    issuer.hang()
    token = issuer.sign()
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(jwks.verify_token, token) for _ in range(6)]
        until(lambda: sum(each.done() for each in waiting) == 4)
        refused = [each for each in waiting if each.done()]
        assert {type(each.exception()) for each in refused} == {KeysUnavailableError}
        issuer.recover()
        issuer.release()
        found = [each.result(10)["sub"] for each in waiting if each not in refused]
    assert found == ["alice"] * 2
    assert jwks.verify_token(token)["sub"] == "alice"


def test_a_process_at_its_limit(jwks: SyncJWKS, issuer: FakeIssuer) -> None:
    """Where no thread can be started, the keys can't be had; that ends with the lack."""
    before = threading.stack_size(1 << 46)
    try:
        with pytest.raises(KeysUnavailableError, match="no thread"):
            jwks.verify_token(issuer.sign())
    finally:
        threading.stack_size(before)
    assert jwks.verify_token(issuer.sign())["sub"] == "alice"
