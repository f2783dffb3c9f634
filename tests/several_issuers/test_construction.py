"""What `Issuers` is made of, and what it refuses."""

import inspect
from typing import Any

import pytest

from auth_jwks import JWKS, Issuers
from auth_jwks.cloudflare import CloudFlareTokenValidation
from auth_jwks.sync import SyncIssuers, SyncJWKS
from tests.several_issuers.pair import A, B

URL = "https://{}.example/.well-known/openid-configuration"
KINDS = pytest.mark.parametrize(("many", "one"), [(Issuers, JWKS), (SyncIssuers, SyncJWKS)])


def made(one: type[Any], name: str, **options: Any) -> Any:
    """Return a verifier."""
    return one(URL.format(name), "api", **({"issuer": f"https://{name}.example"} | options))


@KINDS
def test_it_tells_what_it_is_made_of(many: type[Any], one: type[Any]) -> None:
    """Its issuers, the state of all keys, and both in its representation; in order."""
    a, b = made(one, "a"), made(one, "b")
    issuers = many(a, b)
    assert issuers.issuers == (A, B)
    assert issuers.max_token_length == 16_384
    assert issuers.status() == (a.status(), b.status())
    assert repr(issuers) == f"{many.__name__}({a!r}, {b!r})"
    assert many(b).issuers == (B,)
    assert many(made(one, "c", max_token_length=20_000), b).max_token_length == 20_000


@KINDS
def test_every_issuer_has_one_verifier(many: type[Any], one: type[Any]) -> None:
    """None, one without issuer, and two of the same are refused, with the parameter's name."""
    a = made(one, "a")
    for wrong in ([], [made(one, "b", issuer=None)], [a, made(one, "b", issuer=None)], [a, a],
                  [a, made(one, "b", issuer=A)]):  # fmt: skip
        with pytest.raises(ValueError, match=r"\Averifiers: expected "):
            many(*wrong)


@KINDS
def test_only_verifiers_of_its_kind_are_taken(many: type[Any], one: type[Any]) -> None:
    """Not the other kind, which would block or never be awaited; nor lists, classes, nests."""
    a = made(one, "a")
    other = SyncJWKS if one is JWKS else JWKS
    cloudflare = CloudFlareTokenValidation(aud="x", team="team")
    for wrong in ([a], a.issuers[0], None, one, made(other, "b"), cloudflare, many(a)):
        told = rf"\Averifiers: expected each to be a {one.__name__}, got a {type(wrong).__name__}"
        with pytest.raises(TypeError, match=told):
            many(a, wrong)


@KINDS
def test_its_methods_take_what_those_of_a_verifier_take(many: type[Any], one: type[Any]) -> None:
    """So that it stands wherever one of them does."""
    for name in ("verify_token", "refresh", "close"):
        theirs = inspect.signature(getattr(one, name))
        assert inspect.signature(getattr(many, name)) == theirs, name
    members = {name for name in dir(one) if not name.startswith("_")}
    assert {name for name in dir(many) if not name.startswith("_")} == members | {"refused"}


def test_a_token_may_be_as_long_as_any_verifier_allows() -> None:
    """Which of them it is for is seen only then."""
    a = JWKS("https://a.example", issuer="https://a.example", max_token_length=2000)
    b = JWKS("https://b.example", issuer="https://b.example", max_token_length=3000)
    assert Issuers(a, b).max_token_length == 3000
