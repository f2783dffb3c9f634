"""`auth-jwks doctor` and `auth-jwks keys`: what a provider publishes, and what to change."""

import time
from argparse import Namespace
from typing import Any

from auth_jwks._jose.keys import checked_algorithms
from auth_jwks._provider.urls import redacted
from auth_jwks._rules import DEFAULT_ALGORITHMS
from auth_jwks.cli._console import Console
from auth_jwks.cli._explanation import Check
from auth_jwks.cli._faults import GOOD, REFUSED, UNAVAILABLE, UnavailableError, UsageError
from auth_jwks.cli._findings import Finding, findings
from auth_jwks.cli._key_facts import KeyFacts, facts_of
from auth_jwks.cli._look import Found, looked_at
from auth_jwks.cli._loop import finished
from auth_jwks.cli._token import read_token
from auth_jwks.cli._verifier import StillClock, in_options, verifier
from auth_jwks.cli._verify import Result, as_json, explained, rows, status_of, verdict_line

__all__ = ["doctor", "keys"]

HEADINGS = ("", "kid", "kty", "alg", "use", "bits", "")


def doctor(arguments: Namespace, console: Console) -> int:
    """Look at a provider, and at a token of it if there is one."""
    allowed = _allowed(arguments)
    if arguments.aud and arguments.token_file is None:
        raise UsageError("--aud: expected only beside --token-file, as a token is held to it")
    token = None if arguments.token_file is None else read_token(console, arguments.token_file)
    return finished(_doctor(arguments, console, allowed, token))


async def _doctor(
    arguments: Namespace, console: Console, allowed: frozenset[str], token: str | None
) -> int:
    found = await looked_at(arguments.target)
    facts = _facts(found, allowed)
    said = list(findings(found, facts, time.time()))
    verdict = None if token is None else await _verdict(arguments, found, token)
    status = _status(said, verdict)
    if console.as_json:
        console.put_json(_as_json(arguments.target, said, facts, verdict, status))
    else:
        _show(console, said, facts, verdict)
    return status


def keys(arguments: Namespace, console: Console) -> int:
    """Show the keys of a provider, one in a line."""
    return finished(_keys(arguments, console, _allowed(arguments)))


async def _keys(arguments: Namespace, console: Console, allowed: frozenset[str]) -> int:
    found = await looked_at(arguments.target)
    facts = _facts(found, allowed)
    failed = [each for each in findings(found, facts, time.time()) if each.unavailable]
    if not facts:
        raise UnavailableError("; ".join(each.message for each in failed) or "there are no keys")
    if console.as_json:
        uri = redacted(found.jwks_uri or "")
        console.put_json({"jwks_uri": uri, "keys": [each.as_json() for each in facts]})
    else:
        console.table([each.row() for each in facts], headings=HEADINGS)
    return UNAVAILABLE if failed else GOOD


def _allowed(arguments: Namespace) -> frozenset[str]:
    return in_options(lambda: checked_algorithms(arguments.alg or DEFAULT_ALGORITHMS))


def _facts(found: Found, allowed: frozenset[str]) -> list[KeyFacts]:
    content = None if found.keys is None else found.keys.content
    members = None if content is None else content.get("keys")
    return [facts_of(each, allowed) for each in members] if isinstance(members, list) else []


async def _verdict(arguments: Namespace, found: Found, token: str) -> tuple[Result, list[Check]]:
    """Return what a verifier makes of the token that is configured by what was given."""
    target: dict[str, Any] = {"issuer": [], "discovery_url": None, "jwks_uri": None, "tenant": []}
    key = found.kind if found.kind in target else "discovery_url"
    target[key] = [arguments.target] if key == "issuer" else arguments.target
    jwks = verifier(
        Namespace(**target), clock=StillClock(time.time()),
        aud=arguments.aud or None, allowed_algorithms=arguments.alg or None,
    )  # fmt: skip
    return await explained(jwks, token)


def _status(said: list[Finding], verdict: tuple[Result, list[Check]] | None) -> int:
    if any(each.unavailable for each in said):
        return UNAVAILABLE
    if any(each.verdict == "fail" for each in said):
        return REFUSED
    return GOOD if verdict is None else status_of(verdict[0])


def _as_json(
    target: str,
    said: list[Finding],
    facts: list[KeyFacts],
    verdict: tuple[Result, list[Check]] | None,
    status: int,
) -> dict[str, Any]:
    return {
        "target": redacted(target),
        "healthy": status == GOOD,
        "findings": [each.as_json() for each in said],
        "keys": [each.as_json() for each in facts],
        "token": None if verdict is None else as_json(*verdict),
    }


def _show(
    console: Console,
    said: list[Finding],
    facts: list[KeyFacts],
    verdict: tuple[Result, list[Check]] | None,
) -> None:
    console.table([each.row() for each in said])
    if facts:
        console.put()
        console.table([each.row() for each in facts], headings=HEADINGS)
    if verdict is not None:
        console.put()
        console.table(rows(verdict[1]))
        console.put(verdict_line(verdict[0]))
    console.put()
    advice = list(dict.fromkeys(each.advice for each in said if each.advice))
    console.put("What to change:" if advice else "Nothing to change.")
    for each in advice:
        console.table([("-", each)])
