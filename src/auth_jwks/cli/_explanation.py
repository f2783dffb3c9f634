"""Every check of a token with its verdict, and not only the first that fails. Pure.

Each check is the library's own code, given that part of the token alone.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import jwt

from auth_jwks._cache.current import CurrentKeys
from auth_jwks._cache.refusal import not_found
from auth_jwks._jose.claims import Expected, read_claims
from auth_jwks._jose.hints import missing
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._jose.keys import Key
from auth_jwks._jose.tenants import Tenants
from auth_jwks._jose.tokens import Token, compact, parse_token, signer
from auth_jwks._rules import Rules
from auth_jwks.cli._faults import words_of
from auth_jwks.cli._texts import moment, shown, shown_all
from auth_jwks.cli._unverified import part_of, shape_of
from auth_jwks.profiles._judgement import hold

__all__ = ["Check", "explanation"]

Verdict = Literal["ok", "fail", "skip"]
Claims = Mapping[str, Any]

FAR = 1 << 40  # an `exp` that has not passed
OF_AUDIENCE = ("aud", "azp", "client_id")  # the others are for a hint


class _Anything(frozenset[Any]):
    """The set of whatever a token names."""

    def __contains__(self, _: object) -> bool:
        return True


ANYTHING = _Anything(("RS256",))
_KINDS = {str: "a string", int: "a number", float: "a number", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a token. `expected` and `found` are for people."""

    name: str
    verdict: Verdict
    expected: str = ""
    found: str = ""
    message: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the check as JSON has it."""
        fields = asdict(self)
        return {"check": fields.pop("name"), **fields}


def explanation(
    token: str,
    rules: Rules,
    current: CurrentKeys | jwt.InvalidTokenError,
    verdict: Claims | jwt.InvalidTokenError,
    now: float,
) -> list[Check]:
    """Return what each check makes of a token. The `verdict` is `verify_token`'s, and final."""
    checks = list(_checks(token, rules, current, now))
    if isinstance(verdict, jwt.InvalidTokenError) and all(c.verdict != "fail" for c in checks):
        checks.append(Check("verdict", "fail", message=words_of(verdict)))
    return checks


def _checks(
    token: str, rules: Rules, current: CurrentKeys | jwt.InvalidTokenError, now: float
) -> Iterator[Check]:
    structure, parsed = _structure(token, rules)
    yield structure
    if structure.verdict == "fail":
        return
    bare = compact(token, rules.longest)
    header, claims = part_of(bare, 0) or {}, part_of(bare, 1)
    yield _typ(bare, header, rules)
    yield _algorithm(bare, header, rules)
    keys = None if isinstance(current, jwt.InvalidTokenError) else current
    found: Key | None = None
    if keys is None:
        yield Check("keys", "fail", "the provider's keys", "none", words_of(current))  # type: ignore[arg-type]
    elif parsed is not None and parsed.alg not in rules.allowed:
        yield Check("key", "skip", message="keys are for the allowed algorithms")
    elif parsed is not None:
        signature, found = _signature(parsed, keys)
        yield from (_key(parsed, keys), signature)
    if claims is None:
        yield _judged("payload", lambda: _parsed_payload(bare), "a JSON object", "none")
        return
    yield from _times(claims, rules, now)
    yield _issuer(claims, rules, keys, now)
    yield from _others(claims, rules, now)
    yield from _of_profile(parsed, claims, rules, now)
    if keys is not None and rules.tenants is not None:
        yield _tenant(claims, rules.tenants, found)


def _judged(name: str, judge: Callable[[], object], expected: str = "", found: str = "") -> Check:
    try:
        judge()
    except jwt.InvalidTokenError as error:
        return Check(name, "fail", expected, found, words_of(error))
    return Check(name, "ok", expected, found)


def _structure(token: str, rules: Rules) -> tuple[Check, Token | None]:
    """Check all but what the header names. There is no token if it names no algorithm."""
    parsed: Token | None = None

    def judge() -> None:
        nonlocal parsed
        with suppress(jwt.InvalidAlgorithmError):
            parsed = parse_token(compact(token, rules.longest), ANYTHING, ANYTHING)

    expected = "a signed token"
    return _judged("structure", judge, expected, shape_of(token)), parsed


def _typ(token: str, header: Claims, rules: Rules) -> Check:
    types, found = rules.types, shown(header.get("typ"))
    expected = "that of an access token or an ID token, or none"
    if types is not None:
        expected = " or ".join(sorted(map(shown, types)))
    if not isinstance(header.get("alg"), str):
        return Check("typ", "skip", expected, found, "the header names no algorithm")
    return _judged("typ", lambda: parse_token(token, ANYTHING, types), expected, found)


def _algorithm(token: str, header: Claims, rules: Rules) -> Check:
    expected, found = ", ".join(sorted(rules.allowed)), shown(header.get("alg"))
    judge = partial(parse_token, token, rules.allowed, ANYTHING)
    return _judged("algorithm", judge, expected, found)


def _key(token: Token, keys: CurrentKeys) -> Check:
    key_set = keys.key_set

    def judge() -> None:
        if not key_set.select(token.kid, token.alg):
            raise not_found(token, key_set)

    published = dict.fromkeys(key.kid for key in key_set.keys)
    expected = f"a usable key; published are {shown_all(published)}"
    return _judged("key", judge, expected, f"kid {shown(token.kid)}, alg {shown(token.alg)}")


def _signature(token: Token, keys: CurrentKeys) -> tuple[Check, Key | None]:
    candidates = keys.key_set.select(token.kid, token.alg)
    if not candidates:
        return Check("signature", "skip", message="there is no key to check it with"), None
    key = signer(token, candidates)
    if key is None:
        return Check(
            "signature", "fail", "the key's", "another", words_of(not_found(token, keys.key_set))
        ), None
    return Check("signature", "ok", "the key's", f"that of kid {shown(key.kid)}"), key


def _times(claims: Claims, rules: Rules, now: float) -> Iterator[Check]:
    limits = {"exp": "a time after now", "nbf": "a time before now", "iat": "a time before now"}
    for name, limit in limits.items():
        if name not in claims or (name == "exp" and claims[name] is None):
            yield Check(name, "skip", message="absent")
            continue
        alone = {"exp": FAR, name: claims[name]}
        yield _judged(
            name,
            lambda alone=alone: _read(alone, rules, now),  # type: ignore[misc]
            f"{limit}, with {rules.leeway:g} s of leeway",
            moment(claims[name], now),
        )


def _issuer(claims: Claims, rules: Rules, keys: CurrentKeys | None, now: float) -> Check:
    names = rules.issuer
    if not names.names and keys is not None and keys.issuer is not None:
        names = IssuerNames((keys.issuer,))
    if not names.names or keys is None:
        return Check("iss", "skip", "", shown(claims.get("iss")), "it is not known what to expect")
    return _judged(
        "iss",
        lambda: _read(_alone(claims, "iss"), rules, now, issuer=names),
        " or ".join(map(shown, names.names)),
        shown(claims.get("iss")),
    )


def _others(claims: Claims, rules: Rules, now: float) -> Iterator[Check]:
    found = shown(claims.get("aud"))
    if rules.audience is None:
        yield Check("aud", "skip", "", found, "not checked, as no --aud is given")
    else:
        yield _judged(
            "aud",
            lambda: _read(_alone(claims, *OF_AUDIENCE), rules, now, audience=rules.audience),
            " or ".join(map(shown, sorted(rules.audience))),
            found,
        )
    for name in ("sub", "jti"):
        if name in claims:
            yield _judged(
                name,
                lambda name=name: _read(_alone(claims, name), rules, now),  # type: ignore[misc]
                "a string", _KINDS.get(type(claims[name]), "another type"),
            )  # fmt: skip
    present = [name for name in rules.required if claims.get(name) is not None]
    yield _judged(
        "required claims",
        lambda: _require(claims, rules.required),
        ", ".join(rules.required),
        ", ".join(present) or "none",
    )


def _of_profile(token: Token | None, claims: Claims, rules: Rules, now: float) -> Iterator[Check]:
    profile = rules.profile
    if profile is not None and token is not None:
        name = type(profile).__name__
        judge = lambda: hold(profile, token, claims, now, rules.leeway)  # noqa: E731
        yield _judged("profile", judge, f"what {name} asks for")


def _tenant(claims: Claims, tenants: Tenants, key: Key | None) -> Check:
    def judge() -> None:
        tenants.check({**claims})
        if key is not None:
            tenants.confirm({**claims}, key.issuer)

    return _judged("tenant", judge, "one of --tenant, whose key this is", shown(claims.get("tid")))


def _parsed_payload(token: str) -> None:
    """Raise what the library raises for a payload that is no JSON object."""
    payload = urlsafe_b64decode(token.split(".")[1] + "==")
    read_claims(payload, Expected(0.0, (), None, None), 0.0)


def _require(claims: Claims, names: tuple[str, ...]) -> None:
    for name in names:
        if claims.get(name) is None:
            raise missing(name)


def _alone(claims: Claims, *names: str) -> dict[str, Any]:
    """Return these claims, and one that is always asked for."""
    return {"exp": FAR, **{name: claims[name] for name in names if name in claims}}


def _read(
    claims: Claims,
    rules: Rules,
    now: float,
    *,
    issuer: IssuerNames | None = None,
    audience: frozenset[str] | None = None,
) -> None:
    expected = Expected(rules.leeway, ("exp",), issuer, audience, rules.numeric_sub)
    read_claims(json.dumps(claims).encode(), expected, now)
