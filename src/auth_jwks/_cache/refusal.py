"""The errors of a call that gets no keys. Pure."""

import jwt

from auth_jwks._cache.attempts import Attempts
from auth_jwks._cache.freshness import MIN_RETRY_AFTER
from auth_jwks._cache.outcome import Deferred, Failed, Outcome
from auth_jwks._jose.keys import KeySet
from auth_jwks._jose.tokens import Token, wrongly_signed
from auth_jwks._jose.words import shown
from auth_jwks.errors import IssuerMismatchError, KeysUnavailableError, UnknownKeyError

__all__ = ["not_found", "require_success", "unavailable"]

UNKNOWN = "no published key fits the token"


def not_found(token: Token, key_set: KeySet) -> UnknownKeyError | jwt.InvalidSignatureError:
    """Return the error for a token that no key of the set signed."""
    if key_set.select(token.kid, token.alg):
        return wrongly_signed(token, key_set)
    skipped = key_set.skipped and key_set.reason_for(token.kid, token.alg)
    named = "none" if token.kid is None else shown(token.kid)
    why = f"which is skipped, as {skipped}" if skipped else f"published are {key_set.published}"
    return UnknownKeyError(f"{UNKNOWN}: it names {named} ({token.alg}), {why}")


def unavailable(attempts: Attempts, now: float) -> IssuerMismatchError | KeysUnavailableError:
    """Return the error for a call that needs a refresh, and gets none."""
    failure = attempts.failure
    if failure is not None and failure.mismatch:
        return IssuerMismatchError(failure.reason)
    reason = "no answer in time" if failure is None else failure.reason
    text = f"the signing keys are unavailable: {reason}"
    return KeysUnavailableError(text, retry_after=max(MIN_RETRY_AFTER, attempts.not_before - now))


def require_success(outcome: Outcome | None, attempts: Attempts, now: float) -> None:
    """Raise the error for a call that wanted this refresh to succeed, if it did not."""
    if isinstance(outcome, Deferred):
        text = "too many refreshes were made recently"
        raise KeysUnavailableError(text, retry_after=outcome.retry_after)
    if isinstance(outcome, Failed):
        raise unavailable(attempts, now)
