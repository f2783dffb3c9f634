"""Keys that can't be told by their names, in threads."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jwt
import pytest

from auth_jwks._clock import SYSTEM_CLOCK
from auth_jwks.sync import SyncJWKS
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.sync.threads import OTHER, Make, outcome, until

NAMELESS: dict[str, Any] = {"headers": {"kid": None}}


def test_a_new_key_without_a_name_is_found(
    jwks: SyncJWKS, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """By its first token, which waits for that."""
    assert jwks.verify_token(issuer.sign(**NAMELESS))["sub"] == "alice"
    clock.advance(1)
    issuer.rotate(OTHER)
    assert jwks.verify_token(issuer.sign(**NAMELESS))["sub"] == "alice"
    assert issuer.jwks_requests == 2


def test_a_reused_kid_heals_in_the_background(
    jwks: SyncJWKS, clock: FakeClock, issuer: FakeIssuer
) -> None:
    """The thread that notices is refused, and waits for nothing."""
    old = issuer.sign()
    jwks.verify_token(old)
    clock.advance(1)
    issuer.rotate(SigningKey.generate("ES256", "first"), keep=False)
    new = issuer.sign()
    with pytest.raises(jwt.InvalidSignatureError):
        jwks.verify_token(new)
    until(lambda: outcome(lambda: jwks.verify_token(new))[0] == "dict")
    assert issuer.jwks_requests == 2
    for _ in range(2):
        with pytest.raises(jwt.InvalidSignatureError):
            jwks.verify_token(old)


def test_junk_under_a_known_kid_holds_no_thread(provider: FakeIssuer, make: Make) -> None:
    """While the provider hangs it is refused at once, and asked for once."""
    issuer = provider
    jwks = make(discovery_url=issuer.discovery_url, issuer=issuer.issuer, clock=SYSTEM_CLOCK)
    jwks.refresh()
    issuer.reset()
    issuer.hang()
    for number in range(50):
        with pytest.raises(jwt.InvalidSignatureError):
            jwks.verify_token(issuer.forge(jti=str(number)))
    until(lambda: issuer.discovery_requests == 1)
    assert jwks.verify_token(issuer.sign())["sub"] == "alice"
    assert issuer.discovery_requests == 1
    issuer.recover()
    issuer.release()


def test_junk_without_kid_holds_two_threads_of_a_pool(provider: FakeIssuer, make: Make) -> None:
    """While the provider hangs others are told soon; good tokens never wait."""
    issuer = provider
    jwks = make(discovery_url=issuer.discovery_url, issuer=issuer.issuer, clock=SYSTEM_CLOCK)
    jwks.refresh()
    issuer.hang()
    junk = [issuer.forge(jti=str(number), **NAMELESS) for number in range(12)]
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(outcome, partial(jwks.verify_token, token)) for token in junk]
        good = pool.submit(jwks.verify_token, issuer.sign(**NAMELESS))
        assert good.result(3)["sub"] == "alice", "though all eight threads were taken"
        until(lambda: sum(each.done() for each in waiting) == 10)
        assert {each.result()[0] for each in waiting if each.done()} == {"KeysUnavailableError"}
        issuer.recover()
        issuer.release()
        kinds = {each.result(10)[0] for each in waiting}
        assert kinds == {"KeysUnavailableError", "InvalidSignatureError"}


@pytest.mark.parametrize("options", [{}, NAMELESS], ids=["kid", "no kid"])
def test_junk_costs_the_provider_two_fetches(
    jwks: SyncJWKS, clock: FakeClock, issuer: FakeIssuer, options: dict[str, Any]
) -> None:
    """A thread that can tell that nothing is searched for leaves the loop alone."""
    jwks.refresh()
    issuer.reset()
    for number in range(60):
        clock.advance(0.1)
        with pytest.raises(jwt.InvalidSignatureError):
            jwks.verify_token(issuer.forge(jti=str(number), **options))
        until(lambda: not jwks.status().refreshing)
    assert issuer.jwks_requests == 2
    assert jwks.verify_token(issuer.sign())["sub"] == "alice"


def test_what_its_own_claims_rule_out_is_not_searched_for(
    jwks: SyncJWKS, issuer: FakeIssuer
) -> None:
    """Its signature is the first fault, and nothing is asked."""
    jwks.refresh()
    issuer.reset()
    for options in ({}, NAMELESS):
        with pytest.raises(jwt.InvalidSignatureError):
            jwks.verify_token(issuer.forge(exp=1, **options))
    assert issuer.requests == ()
