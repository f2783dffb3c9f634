"""`auth-jwks verify`: each check of a token, and the verdict of `JWKS.verify_token`."""

import time
from argparse import Namespace
from typing import Any

import jwt

from auth_jwks.cli._console import Console
from auth_jwks.cli._explanation import Check
from auth_jwks.cli._faults import GOOD, REFUSED, UNAVAILABLE, reason_of, words_of
from auth_jwks.cli._loop import finished
from auth_jwks.cli._token import read_token
from auth_jwks.cli._verifier import ExplainingJWKS, StillClock, asked_of_tokens, verifier
from auth_jwks.errors import KeysUnavailableError

__all__ = ["as_json", "explained", "rows", "status_of", "verdict_line", "verify"]

MARKS = {"ok": "ok", "fail": "FAIL", "skip": "skip"}

Result = dict[str, Any] | jwt.InvalidTokenError


def verify(arguments: Namespace, console: Console) -> int:
    """Verify a token, and show every check of it."""
    jwks = verifier(arguments, clock=StillClock(time.time()), **asked_of_tokens(arguments))
    token = read_token(console, arguments.token_file)
    return finished(_verify(jwks, token, console))


async def explained(jwks: ExplainingJWKS, token: str) -> tuple[Result, list[Check]]:
    """Return what the verifier makes of a token, and close it."""
    async with jwks:
        return await jwks.explain(token)


async def _verify(jwks: ExplainingJWKS, token: str, console: Console) -> int:
    result, checks = await explained(jwks, token)
    if console.as_json:
        console.put_json(as_json(result, checks))
        return status_of(result)
    console.table(rows(checks), aside=True)
    console.say()
    console.say(verdict_line(result))
    if isinstance(result, dict):
        console.put_json(result)
    return status_of(result)


def status_of(result: Result) -> int:
    """Return the exit status for a verdict."""
    if isinstance(result, dict):
        return GOOD
    return UNAVAILABLE if isinstance(result, KeysUnavailableError) else REFUSED


def verdict_line(result: Result) -> str:
    """Return the verdict for people."""
    if isinstance(result, dict):
        return "Verified."
    return f"Refused ({reason_of(result)}): {words_of(result)}."


def rows(checks: list[Check]) -> list[tuple[str, str, str]]:
    """Return the checks as rows of a table."""
    return [(MARKS[check.verdict], check.name, _text(check)) for check in checks]


def as_json(result: Result, checks: list[Check]) -> dict[str, Any]:
    """Return the verdict and the checks as JSON has them."""
    fault = result if isinstance(result, jwt.InvalidTokenError) else None
    return {
        "verified": fault is None,
        "reason": None if fault is None else str(reason_of(fault)),
        "message": None if fault is None else words_of(fault),
        "checks": [check.as_json() for check in checks],
        "claims": result if fault is None else None,
    }


def _text(check: Check) -> str:
    if check.message.startswith(f"{check.name}: expected "):  # it says what was found, too
        return check.message
    parts = []
    if check.expected:
        parts.append(f"expected {check.expected}")
    if check.found:
        parts.append(f"found {check.found}")
    text = ", ".join(parts)
    return f"{text}: {check.message}" if text and check.message else text or check.message
