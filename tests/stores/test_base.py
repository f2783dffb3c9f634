"""What the values of the store's contract tell, and how its numbers fit together."""

import pytest

from auth_jwks.stores.base import (
    LEASE,
    MAX_CALL,
    MAX_PAYLOAD,
    MAX_STORED,
    Granted,
    Lease,
    LeaseRequest,
    StoreUnavailable,
)


@pytest.mark.parametrize(
    "value",
    [
        LeaseRequest("secret", 3.0, "age"),
        Lease("key", "secret", 7, 3.0, 1.0, 0),
        Granted(Lease("key", "secret", 7, 3.0, 1.0, 0)),
    ],
)
def test_representation_tells_no_holder(value: object) -> None:
    """Whoever reads it in a log could end the lease with it."""
    assert "secret" not in repr(value)


def test_representations_tell_the_rest() -> None:
    """What a lease is for, and which one it is."""
    assert repr(LeaseRequest("x", 3.0, "age")) == "LeaseRequest(ttl=3.0, cause='age')"
    assert repr(Lease("key", "x", 7, 3.0, 1.0, 2)) == "Lease(key='key', fence=7, failures=2)"


def test_lease_outlasts_the_calls_that_renew_it() -> None:
    """One renewal may fail, and the next one, a third of a lease later, is still in time."""
    assert LEASE / 3 + 2 * MAX_CALL < LEASE


def test_seal_fits_around_the_longest_payload() -> None:
    """What is stored may be longer than what was handed in."""
    assert MAX_STORED > MAX_PAYLOAD


def test_unavailable_store_says_why() -> None:
    """In its one argument."""
    assert str(StoreUnavailable("timed out")) == "timed out"


def test_call_takes_a_quarter_of_a_lease_at_most() -> None:
    """Both numbers are in the specification: 0.75 s of 3 s."""
    assert (MAX_CALL, LEASE) == (0.75, 3.0)
    assert MAX_CALL * 4 == LEASE


def test_unavailable_store_is_no_kind_of_built_in_error() -> None:
    """Whoever catches `OSError` or `TimeoutError` around a call does not catch it by chance."""
    assert StoreUnavailable.__bases__ == (Exception,)
