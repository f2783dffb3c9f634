"""The words for why a connection failed."""

import socket
import ssl

import pytest

from auth_jwks._causes import cause_of


def untrusted() -> ssl.SSLCertVerificationError:
    """Return the error about a certificate that has expired."""
    error = ssl.SSLCertVerificationError()
    error.verify_message = "certificate has expired"
    return error


def below(cause: BaseException) -> Exception:
    """Return an error of a library with that cause."""
    error = Exception("hunter2")
    error.__cause__ = cause
    return error


def without_end() -> Exception:
    """Return an error that is its own cause."""
    first, second = Exception(), Exception()
    first.__cause__, second.__cause__ = second, first
    return first


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (untrusted(), "the certificate is not trusted: certificate has expired"),
        (ssl.SSLError(), "TLS failed"),
        (socket.gaierror(), "the host name can't be resolved"),
        (ConnectionRefusedError(), "connection refused"),
        (OSError(), None),
    ],
)
def test_cause_is_told_wherever_it_is(fault: Exception, words: str | None) -> None:
    """By itself, below the error of a library, or in a group of one for each address."""
    assert cause_of(fault) == words
    assert cause_of(below(fault)) == words
    assert cause_of(below(ExceptionGroup("addresses", [fault]))) == words


def test_a_cycle_has_an_end() -> None:
    """A user's client may raise anything."""
    assert cause_of(without_end()) is None
