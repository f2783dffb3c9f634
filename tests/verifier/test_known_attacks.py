"""Attacks that other libraries fell for, against a whole verifier.

docs/security.md has them all; most have their tests where the part is tested that stops them.
"""

import base64
import json
from typing import Any

import jwt
import pytest

from auth_jwks import JWKS, KeysUnavailableError
from auth_jwks.testing import FakeClock, FakeIssuer, SigningKey
from tests.verifier.maker import KEY, Make

DEEP = {
    "lists": b'{"keys":' + b"[" * 250_000 + b"]" * 250_000 + b"}",
    "objects": b'{"keys":[' + b'{"a":' * 80_000 + b"1" + b"}" * 80_000 + b"]}",
    "brackets without end": b"[" * 500_000,
}


@pytest.mark.parametrize("depth", DEEP)
@pytest.mark.parametrize("document", ["discovery", "jwks"])
async def test_nested_documents_are_failures_like_others(
    make: Make, issuer: FakeIssuer, document: Any, depth: str
) -> None:
    """They are not parsed, so they exhaust no stack, and they take away no key that is held."""
    jwks = make()
    issuer.junk(DEEP[depth], on=document)
    with pytest.raises(KeysUnavailableError, match="document is not a J"):
        await jwks.verify_token(issuer.sign())
    issuer.recover()
    await jwks.refresh(force=True)
    issuer.junk(DEEP[depth], on=document)
    with pytest.raises(KeysUnavailableError):
        await jwks.refresh(force=True)
    assert (await jwks.verify_token(issuer.sign()))["sub"] == "alice"


async def test_no_url_in_a_token_is_asked(
    make: Make, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that of a key set or a certificate, nor one in the place of a key's name."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    eve = SigningKey.generate("ES256", KEY.kid)
    with FakeIssuer(keys=[eve]) as theirs, FakeIssuer(keys=[KEY]) as provider:
        async with JWKS(issuer=provider.issuer, retries=0) as jwks:
            await jwks.refresh()
            for headers in (
                {"jku": theirs.jwks_uri, "x5u": theirs.jwks_uri, "jwk": eve.jwk()},
                {"kid": theirs.jwks_uri, "jku": theirs.jwks_uri},
                {"kid": f"{theirs.jwks_uri}#{eve.kid}", "iss": theirs.issuer},
            ):
                with pytest.raises(jwt.InvalidTokenError):
                    await jwks.verify_token(provider.sign(key=eve, headers=headers))
            with pytest.raises(jwt.InvalidTokenError):
                await jwks.verify_token(theirs.sign(headers={"jku": theirs.jwks_uri}))
        assert theirs.requests == ()
    assert (await make().verify_token(issuer.sign()))["sub"] == "alice"


@pytest.mark.parametrize(
    "claims",
    [{"exp": 1}, {"nbf": 99_999_999_999}, {"aud": "other"}, {"iss": "https://eve.example"}],
    ids=repr,
)
async def test_a_bad_signature_is_told_before_any_claim(
    make: Make, issuer: FakeIssuer, claims: dict[str, object]
) -> None:
    """Where the key is at hand, no forgery is told as an expired token, say."""
    jwks = make(aud="my-api")
    await jwks.refresh()
    with pytest.raises(jwt.InvalidSignatureError) as raised:
        await jwks.verify_token(issuer.forge({"aud": "my-api", **claims}))
    assert raised.type is jwt.InvalidSignatureError
    assert raised.value.__context__ is None


@pytest.mark.parametrize("said", ["my-apis", "my.api", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"])
@pytest.mark.parametrize("audience", ["my-api.*", "(a+)+$", "*", "my-?pi"])
async def test_an_audience_is_no_pattern(
    make: Make, issuer: FakeIssuer, audience: str, said: str
) -> None:
    """Neither yours nor the token's: each is compared as it is written."""
    jwks = make(aud=audience)
    assert (await jwks.verify_token(issuer.sign(aud=audience)))["aud"] == audience
    with pytest.raises(jwt.InvalidAudienceError):
        await jwks.verify_token(issuer.sign(aud=said))
    with pytest.raises(jwt.InvalidAudienceError):
        await make(aud=said).verify_token(issuer.sign(aud=audience))


async def test_a_remembered_token_expires_without_iat(
    make: Make, issuer: FakeIssuer, clock: FakeClock
) -> None:
    """At the same moment as any other."""
    jwks = make(required_claims=("exp",), leeway=0)
    token = issuer.sign(iat=None, exp=int(clock.time()) + 60)
    await jwks.verify_token(token)
    clock.advance(59)
    await jwks.verify_token(token)
    clock.advance(1)
    with pytest.raises(jwt.ExpiredSignatureError):
        await jwks.verify_token(token)


async def test_remembered_tokens_that_are_alike_stay_apart(make: Make, issuer: FakeIssuer) -> None:
    """Same issuer, audience, times and `jti`: each has its own subject, in any order."""
    jwks = make(aud="my-api")
    tokens = {name: issuer.sign(aud="my-api", sub=name, jti="1") for name in ("alice", "bob")}
    for name in ("alice", "bob", "alice", "bob"):
        assert (await jwks.verify_token(tokens[name]))["sub"] == name
    head, payload, _ = tokens["alice"].split(".")
    _, _, signature = tokens["bob"].split(".")
    with pytest.raises(jwt.InvalidSignatureError):
        await jwks.verify_token(f"{head}.{payload}.{signature}")


def flattened(token: str) -> dict[str, str]:
    """Return the JSON serialization of a token (RFC 7515 §7.2.2)."""
    protected, payload, signature = token.split(".")
    return {"protected": protected, "payload": payload, "signature": signature}


async def test_no_json_serialization_is_a_token(make: Make, issuer: FakeIssuer) -> None:
    """Flattened, general, without a signature, or with a compact token inside: all are refused."""
    token = issuer.sign()
    parts = flattened(token)
    signature = {name: parts[name] for name in ("protected", "signature")}
    unsigned = {"payload": parts["payload"]}
    forms: list[object] = [parts, unsigned | {"signatures": [signature]}]
    forms += [unsigned | {"signatures": []}, unsigned, [token], token]
    texts = [json.dumps(form) for form in forms]
    texts += [f'{{"a":".{token}.","payload":"e30"}}', f'"{token}', f"{token}{{}}"]
    texts += [base64.urlsafe_b64encode(text.encode()).decode() + ".." for text in texts[:1]]
    jwks = make()
    for text in texts:
        with pytest.raises(jwt.DecodeError):
            await jwks.verify_token(text)
    assert issuer.requests == ()
