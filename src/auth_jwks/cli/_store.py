"""`auth-jwks store`: what a fleet shares, a fetch for all of it, and a clean slate."""

import os
import time
from argparse import Namespace
from pathlib import Path

import jwt

from auth_jwks._cache.freshness import POLL_SPREAD, Policy
from auth_jwks._provider.urls import redacted
from auth_jwks.cli._console import Console
from auth_jwks.cli._entries import EntryFacts, facts_of
from auth_jwks.cli._faults import (
    GOOD,
    REFUSED,
    USAGE,
    UnavailableError,
    UsageError,
    words_of,
)
from auth_jwks.cli._loop import finished
from auth_jwks.cli._verifier import in_options, verifier
from auth_jwks.errors import IssuerMismatchError
from auth_jwks.events import Event, StoreFailed
from auth_jwks.stores._inspect import InspectedDirectory, InspectedRedis
from auth_jwks.stores._sealed import checked_keys
from auth_jwks.stores.base import StoreUnavailable

__all__ = ["store"]

URL_VARIABLE = "AUTH_JWKS_STORE_URL"
KEY_VARIABLE = "AUTH_JWKS_INTEGRITY_KEY"
TIMEOUT = 0.75  # seconds: one operator may wait longer than a worker

Inspected = InspectedDirectory | InspectedRedis


def store(arguments: Namespace, console: Console) -> int:
    """Show a store, fetch the keys for its fleet, or delete what it holds."""
    name = arguments.store or os.environ.get(URL_VARIABLE, "")
    keys = _integrity_keys(arguments.integrity_key_file)
    opened = _opened(name, arguments.prefix, keys)
    act = {"show": _show, "refresh": _refresh, "purge": _purge}[arguments.action]
    try:
        return finished(act(arguments, console, opened, keys))
    except StoreUnavailable as fault:
        reason = str(fault)
    raise UnavailableError(f"{redacted(name)}: {reason}")


async def _show(_: Namespace, console: Console, opened: Inspected, keys: tuple[bytes, ...]) -> int:
    async with opened:
        facts = await _facts(opened, keys)
    if console.as_json:
        console.put_json({"sources": [each.as_json() for each in facts]})
        return GOOD
    for number, each in enumerate(facts):
        if number:
            console.put()
        console.put(each.title)
        console.table([("", *row) for row in each.rows()])
    if not facts:
        console.say("The store holds nothing under that name. Is the prefix that of the fleet?")
    return GOOD


async def _refresh(
    arguments: Namespace, console: Console, opened: Inspected, keys: tuple[bytes, ...]
) -> int:
    """Fetch the keys and commit them, as a worker of the fleet whose keys were withdrawn."""
    async with opened:
        before = await _facts(opened, keys)
        _refuse_to_break(before, keys)
        events = list[Event]()
        jwks = verifier(
            arguments, store=opened, observer=events.append,
            fix_local_url=not arguments.no_fix_local_url, cache_ttl=arguments.cache_ttl,
            max_stale=arguments.max_stale, allowed_algorithms=arguments.alg or None,
        )  # fmt: skip
        async with jwks:
            try:
                await jwks.refresh(force=True)
            except IssuerMismatchError as fault:
                console.say(f"auth-jwks: {words_of(fault)}")
                return REFUSED
            except jwt.InvalidTokenError as fault:
                raise UnavailableError(words_of(fault)) from None
            status = jwks.status()
        broken = [event for event in events if isinstance(event, StoreFailed)]
        if broken:
            raise StoreUnavailable(f"fetched, but not shared: {broken[-1].reason}")
        facts = [each for each in await _facts(opened, keys) if each.version == status.version]
    if not {each.name for each in facts} & {each.name for each in before}:
        console.say(
            "The store had nothing under that source. Are --issuer, --discovery-url, --jwks-uri and"
            " --no-fix-local-url what the fleet has?"
        )
    _tell_refresh(console, facts, len(status.kids))
    return GOOD


def _tell_refresh(console: Console, facts: list[EntryFacts], count: int) -> None:
    within = Policy().poll_interval * POLL_SPREAD[1]
    if console.as_json:
        sources = [each.as_json() for each in facts]
        console.put_json({"sources": sources, "keys": count, "adopted_within": within})
        return
    for each in facts:
        console.put(f"{each.title}: version {each.version}, keys: {count}")
    console.say(
        f"Workers that verify tokens adopt it within {within:g} s, idle ones as a token comes."
    )


async def _purge(
    arguments: Namespace, console: Console, opened: Inspected, keys: tuple[bytes, ...]
) -> int:
    async with opened:
        entries = await opened.entries()
        facts = [facts_of(each, keys, time.time()) for each in entries]
        if arguments.yes:
            for entry in entries:
                await opened.purge(entry)
    if console.as_json:
        console.put_json({"purged": arguments.yes, "sources": [each.as_json() for each in facts]})
    else:
        for each in facts:
            console.put(f"{'deleted' if arguments.yes else 'would delete'} {each.title}")
    if arguments.yes:
        return GOOD
    console.say("Nothing was deleted. Say --yes to delete; each source is then fetched anew.")
    return USAGE


async def _facts(opened: Inspected, keys: tuple[bytes, ...]) -> list[EntryFacts]:
    return [facts_of(each, keys, time.time()) for each in await opened.entries()]


def _refuse_to_break(facts: list[EntryFacts], keys: tuple[bytes, ...]) -> None:
    """Keep an operator from storing a document that every worker would reject."""
    sealed = [each for each in facts if each.sealed]
    if sealed and not any(each.is_opened for each in sealed):
        key = "another key" if keys else "a key"
        raise UsageError(
            f"--integrity-key-file: expected {key}, as the fleet seals"
            f" what it stores, and would reject what is not sealed by its own; or {KEY_VARIABLE}"
        )


def _opened(name: str, prefix: str, keys: tuple[bytes, ...]) -> Inspected:
    """Return the store of that name. Raises `UsageError`, which does not repeat the name."""
    expected = "a redis://, rediss:// or unix:// URL, or a directory that exists"
    if not name:
        raise UsageError(f"STORE: expected {expected}; or {URL_VARIABLE}")
    if "://" in name:
        try:
            return in_options(
                lambda: InspectedRedis(
                    name, prefix=prefix, integrity_key=keys or None,
                    timeout=TIMEOUT, connect_timeout=2 * TIMEOUT,
                )
            )  # fmt: skip
        except ImportError as fault:
            text = words_of(fault)
        raise UsageError(text)
    if not Path(name).is_dir():
        raise UsageError(f"STORE: expected {expected}")
    return in_options(lambda: InspectedDirectory(name))


def _integrity_keys(files: list[Path]) -> tuple[bytes, ...]:
    """Return the keys of the seal, from files or else from the environment."""
    try:
        found = [file.read_bytes().strip() for file in files]
    except (OSError, ValueError) as fault:
        reason = getattr(fault, "strerror", None) or "no name of a file"
    else:
        found = found or os.environ.get(KEY_VARIABLE, "").encode().split()
        return _checked(found) if found else ()
    raise UsageError(f"--integrity-key-file: can't be read: {reason}")


def _checked(keys: list[bytes]) -> tuple[bytes, ...]:
    """Return the keys. Raises `UsageError` if one is too short."""
    return in_options(lambda: checked_keys("integrity_key", keys))
