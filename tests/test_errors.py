"""The errors of this library: what they are, and what survives of them."""

import copy
import pickle

import jwt
import pytest

from auth_jwks import errors
from auth_jwks._jose.reasons import because
from auth_jwks.errors import (
    BoundTokenError,
    IdentityUnavailableError,
    InsufficientScopeError,
    InvalidRequestError,
    IssuerMismatchError,
    KeysUnavailableError,
    MissingTokenError,
    Reason,
    UnknownKeyError,
    reason_of,
)

EVERY_ERROR = [
    UnknownKeyError("no key fits"),
    IssuerMismatchError("another issuer"),
    KeysUnavailableError(),
    KeysUnavailableError("the provider is down", retry_after=1.5),
    MissingTokenError("no bearer token"),
    InvalidRequestError("malformed credentials"),
    InsufficientScopeError("the token lacks a scope"),
    BoundTokenError("cnf: found one"),
    IdentityUnavailableError(),
    IdentityUnavailableError("Cloudflare is down", retry_after=1.5),
]
NAMES = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, Exception)
}


def pickled(error: Exception, protocol: int) -> Exception:
    """Return what is left of an error after a journey between processes."""
    twin: Exception = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own bytes
    return twin


def test_the_module_exports_its_errors() -> None:
    """`__all__` names every error, the reasons, and what tells them."""
    assert set(errors.__all__) == {*NAMES, "Reason", "reason_of"}


def test_no_error_is_forgotten() -> None:
    """Each is among those below, and in the tree that the module draws."""
    assert {type(error).__name__ for error in EVERY_ERROR} == NAMES
    assert [name for name in NAMES if f"    {name} " not in (errors.__doc__ or "")] == []


@pytest.mark.parametrize("error", EVERY_ERROR, ids=repr)
def test_one_except_clause_catches_every_error(error: Exception) -> None:
    """Whatever is raised is a `jwt.InvalidTokenError`, and none of PyJWT's narrower classes."""
    assert type(error).__bases__ == (jwt.InvalidTokenError,)


@pytest.mark.parametrize("error", EVERY_ERROR, ids=repr)
def test_errors_copy_and_pickle(error: Exception) -> None:
    """A copy has the class, the message and all that the error carries."""
    protocols = range(pickle.HIGHEST_PROTOCOL + 1)
    twins = [copy.copy(error), copy.deepcopy(error), *(pickled(error, one) for one in protocols)]
    for twin in twins:
        assert twin is not error
        assert (type(twin), twin.args, str(twin)) == (type(error), error.args, str(error))
        assert vars(twin) == vars(error)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (KeysUnavailableError, "the signing keys are unavailable"),
        (IdentityUnavailableError, "the identity is unavailable"),
    ],
)
def test_what_is_unavailable_says_when_to_come_back(
    kind: type[KeysUnavailableError], message: str
) -> None:
    """There is always a message and a number of seconds, chosen or by default."""
    default = kind()
    assert (str(default), default.retry_after) == (message, 5.0)
    chosen = kind(message="the provider is down", retry_after=1.5)
    assert (str(chosen), chosen.retry_after) == ("the provider is down", 1.5)


class Derived(jwt.ExpiredSignatureError):
    """An error of somebody else's."""


REASONS = [
    (MissingTokenError(), Reason.MALFORMED),
    (InvalidRequestError(), Reason.MALFORMED),
    (UnknownKeyError(), Reason.UNKNOWN_KEY),
    (KeysUnavailableError(), Reason.UNAVAILABLE),
    (IdentityUnavailableError(), Reason.UNAVAILABLE),
    (IssuerMismatchError(), Reason.MISMATCH),
    (InsufficientScopeError(), Reason.SCOPE),
    (BoundTokenError(), Reason.BOUND),
    (jwt.DecodeError(), Reason.MALFORMED),
    (jwt.InvalidSignatureError(), Reason.SIGNATURE),
    (jwt.InvalidAlgorithmError(), Reason.ALGORITHM),
    (jwt.ExpiredSignatureError(), Reason.EXPIRED),
    (jwt.ImmatureSignatureError(), Reason.NOT_YET_VALID),
    (jwt.InvalidIssuedAtError(), Reason.CLAIM),
    (jwt.InvalidIssuerError(), Reason.ISSUER),
    (jwt.InvalidAudienceError(), Reason.AUDIENCE),
    (jwt.MissingRequiredClaimError("sub"), Reason.CLAIM),
    (jwt.exceptions.InvalidSubjectError(), Reason.CLAIM),
    (jwt.exceptions.InvalidJTIError(), Reason.CLAIM),
    (jwt.InvalidTokenError(), Reason.CLAIM),
    (jwt.PyJWKClientConnectionError(), Reason.UNAVAILABLE),
    (jwt.PyJWKClientError(), Reason.UNKNOWN_KEY),
    (jwt.PyJWKSetError(), Reason.UNAVAILABLE),
    (jwt.PyJWKError(), Reason.UNAVAILABLE),
    (jwt.InvalidKeyError(), Reason.UNAVAILABLE),
    (jwt.PyJWTError(), Reason.UNAVAILABLE),
    (Derived(), Reason.EXPIRED),
    *((because(reason, jwt.DecodeError()), reason) for reason in Reason),
]


@pytest.mark.parametrize(("error", "reason"), REASONS)
def test_every_error_has_a_reason(error: jwt.PyJWTError, reason: Reason) -> None:
    """Also after a journey between processes."""
    for each in (error, copy.copy(error), pickled(error, pickle.HIGHEST_PROTOCOL)):
        assert isinstance(each, jwt.PyJWTError)
        assert reason_of(each) is reason


def test_no_reason_is_made_up() -> None:
    """Any other exception is a fault of the program."""
    with pytest.raises(TypeError, match=r"^error: expected a jwt\.PyJWTError, got KeyError$"):
        reason_of(KeyError())  # type: ignore[arg-type]
