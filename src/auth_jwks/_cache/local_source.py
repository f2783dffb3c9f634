"""The sources without a network: checks of `jwks` and `jwks_file`."""

import json
from collections.abc import Mapping
from math import inf
from os import PathLike, fspath

from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.freshness import Lifetime
from auth_jwks._clock import Clock
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._jose.keys import UnusableKeySetError, parse_key_set, summary
from auth_jwks._provider.client import MAX_BODY
from auth_jwks._provider.key_source import KeySource
from auth_jwks._provider.local import USES, FileSource, FixedSource
from auth_jwks._settings import checked_text

__all__ = ["keys_at_first", "local_source"]


def local_source(
    jwks: object,
    jwks_file: object,
    beside: Mapping[str, object],
    *,
    issuer: IssuerNames,
    timeout: float,
    allowed: frozenset[str],
    clock: Clock,
) -> FixedSource | FileSource:
    """Return the source that `jwks` or `jwks_file` is; one of them is given.

    `beside` are the parameters that can't be combined with them, by name. `timeout` is in seconds.
    Raises `ValueError` or `TypeError`, which name the parameters.
    """
    given = {"jwks": jwks, "jwks_file": jwks_file}
    local, others = _given(given), _given(beside)
    if len(local) + len(others) > 1:
        raise ValueError(f"{', '.join(local + others)}: expected {local[0]} without the other")
    if jwks is None:
        path = fspath(jwks_file) if isinstance(jwks_file, PathLike) else jwks_file
        name = checked_text("jwks_file", path) or ""
        return FileSource(name, issuer=issuer, timeout=timeout, clock=clock)
    return _fixed(jwks, issuer, allowed)


def keys_at_first(source: KeySource, now: float) -> CurrentKeys:
    """Return the keys that need no fetch: those of a fixed source never expire, a file has none."""
    if not isinstance(source, FixedSource):
        return CurrentKeys()
    life = Lifetime(now, inf, inf, inf)
    return CurrentKeys(source.keys, life, source.document, source.document.issuer)


def _given(parameters: Mapping[str, object]) -> list[str]:
    return [name for name, value in parameters.items() if value is not None]


def _fixed(jwks: object, issuer: IssuerNames, allowed: frozenset[str]) -> FixedSource:
    if not isinstance(jwks, Mapping):
        raise TypeError(f"jwks: expected a JWK Set as a dict, got {type(jwks).__name__}")
    document = _encoded(jwks)
    if document is None or len(document) > MAX_BODY:
        raise ValueError(f"jwks: expected JSON, of at most {MAX_BODY} bytes")
    try:
        keys = parse_key_set(document, allowed, USES)
    except UnusableKeySetError as fault:
        reason = str(fault)
    else:
        if keys.keys:
            return FixedSource(document, keys, issuer=issuer)
        reason = f"no key fits allowed_algorithms: {summary(keys.skipped)}"
    raise ValueError(f"jwks: {reason}")


def _encoded(jwks: Mapping[object, object]) -> bytes | None:
    try:
        return json.dumps(dict(jwks), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        return None
