"""The fake provider: its documents, its keys, its tokens and its record."""

from typing import Any

import httpx
import jwt
import pytest

from auth_jwks.testing import FakeClock, FakeIssuer, Request, SigningKey


def _decode(
    issuer: FakeIssuer, token: str, jwk: dict[str, Any] | None = None, audience: str | None = None
) -> dict[str, Any]:
    public = jwt.PyJWK(jwk or issuer.signing_key.jwk())
    # Its times are by the issuer's clock, not by PyJWT's.
    decoded: dict[str, Any] = jwt.decode(
        token,
        public,
        issuer=issuer.issuer,
        audience=audience,
        options={"verify_exp": False, "verify_iat": False},
    )
    return decoded


async def _key_set(issuer: FakeIssuer, client: httpx.AsyncClient) -> list[Any]:
    answer = await client.get(issuer.jwks_uri)
    keys: list[Any] = answer.json()["keys"]
    return keys


async def test_discovery_leads_to_the_keys(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """The discovery document names the issuer and where its keys are; there they are."""
    discovery = await client.get(issuer.discovery_url)
    assert discovery.headers["content-type"] == "application/json"
    assert discovery.json()["issuer"] == issuer.issuer
    jwks = await client.get(discovery.json()["jwks_uri"])
    assert jwks.headers["content-type"] == "application/json"
    assert jwks.json() == {"keys": [issuer.signing_key.jwk()]}


async def test_a_token_verifies_with_the_published_keys(
    issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """A client that knows only the key set can verify what the provider signs."""
    [jwk] = await _key_set(issuer, client)
    assert _decode(issuer, issuer.sign(aud="api"), jwk, "api")["sub"] == "alice"


def test_tokens_are_valid_for_five_minutes(issuer: FakeIssuer, clock: FakeClock) -> None:
    """By default a token has `iss`, `sub`, `iat` and `exp`, by the injected clock."""
    clock.advance(0.5)
    now = 1_800_000_000
    valid = {"iss": "https://issuer.test", "sub": "alice", "iat": now, "exp": now + 300}
    assert _decode(issuer, issuer.sign()) == valid


def test_claims_can_be_changed(issuer: FakeIssuer) -> None:
    """Claims come as a mapping or by name, the name wins, and `None` leaves a claim out."""
    token = issuer.sign({"sub": "bob", "scope": "a"}, scope="b", exp=None)
    claims = _decode(issuer, token)
    assert claims.keys() == {"iss", "sub", "iat", "scope"}
    assert (claims["sub"], claims["scope"]) == ("bob", "b")


def test_key_and_headers_of_a_token_can_be_chosen(issuer: FakeIssuer) -> None:
    """Another key may sign, and the header may say anything."""
    other = SigningKey.generate("EdDSA", kid="other")
    token = issuer.sign(key=other, headers={"typ": "at+jwt", "kid": None})
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "at+jwt"}
    assert _decode(issuer, token, other.jwk())["sub"] == "alice"


def test_a_forged_token_looks_right_and_is_not(issuer: FakeIssuer) -> None:
    """A forgery differs from the real token in nothing but its signature."""
    forged, real = issuer.forge(sub="eve"), issuer.sign(sub="eve")
    assert forged.rpartition(".")[0] == real.rpartition(".")[0]
    assert jwt.get_unverified_header(issuer.forge(headers={"typ": "x"}))["typ"] == "x"
    with pytest.raises(jwt.InvalidSignatureError):
        _decode(issuer, forged)


def test_defaults_are_a_common_provider() -> None:
    """Without arguments it signs RS256 under its one published key, by the machine's clock."""
    issuer = FakeIssuer()
    assert issuer.keys == (issuer.signing_key,)
    claims = jwt.decode(issuer.sign(), jwt.PyJWK(issuer.signing_key.jwk()), algorithms=["RS256"])
    assert claims["iss"] == issuer.issuer == issuer.url == "https://issuer.test"
    assert (issuer.discovery_url, issuer.jwks_uri) == (
        "https://issuer.test/.well-known/openid-configuration",
        "https://issuer.test/jwks",
    )


async def test_a_provider_can_be_told_what_it_is(es256: SigningKey) -> None:
    """`issuer`, `jwks_path` and `headers` are what the documents and answers say."""
    issuer = FakeIssuer(
        issuer="https://login.example/v2.0",
        keys=[es256],
        jwks_path="/discovery/v2.0/keys",
        headers={"Server": "example"},
    )
    async with httpx.AsyncClient(transport=issuer.transport()) as client:
        discovery = await client.get(issuer.discovery_url)
        assert discovery.json()["issuer"] == issuer.issuer == "https://login.example/v2.0"
        assert discovery.json()["jwks_uri"] == "https://issuer.test/discovery/v2.0/keys"
        assert await _key_set(issuer, client) == [es256.jwk()]
        missing = await client.get("https://issuer.test/jwks")
    assert (discovery.headers["server"], missing.headers["server"]) == ("example", "example")
    assert _decode(issuer, issuer.sign())["iss"] == "https://login.example/v2.0"


async def test_a_provider_without_keys() -> None:
    """An empty `keys` publishes an empty set, and tokens are signed all the same."""
    issuer = FakeIssuer(keys=[], algorithm="ES384")
    async with httpx.AsyncClient(transport=issuer.transport()) as client:
        assert await _key_set(issuer, client) == []
    assert issuer.keys == ()
    assert jwt.get_unverified_header(issuer.sign())["alg"] == "ES384"


async def test_the_transport_answers_for_every_host(
    issuer: FakeIssuer, over_transport: httpx.AsyncClient
) -> None:
    """Only the path counts, so that keys may live on another host."""
    answer = await over_transport.get("https://keys.example:8443/jwks?v=1")
    assert answer.json()["keys"] == [issuer.signing_key.jwk()]
    assert issuer.requests[0].headers["host"] == "keys.example:8443"


async def test_rotation_keeps_the_old_key_published(
    issuer: FakeIssuer, client: httpx.AsyncClient, es256: SigningKey
) -> None:
    """After `rotate` new tokens have the new key, and the old ones still verify."""
    old_token = issuer.sign()
    new = issuer.rotate()
    assert (new.algorithm, issuer.signing_key, issuer.keys) == ("ES256", new, (es256, new))
    assert await _key_set(issuer, client) == [es256.jwk(), new.jwk()]
    assert jwt.get_unverified_header(issuer.sign())["kid"] == new.kid
    assert _decode(issuer, old_token, es256.jwk())["sub"] == "alice"


async def test_rotation_can_withdraw_the_old_keys(
    issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """`keep=False` leaves the new key, and what was no signing key."""
    issuer.publish({"kty": "oct"})
    new = issuer.rotate(keep=False)
    assert issuer.keys == (new,)
    assert await _key_set(issuer, client) == [{"kty": "oct"}, new.jwk()]


def test_rotation_to_a_key_that_was_announced(issuer: FakeIssuer, es256: SigningKey) -> None:
    """A key published ahead of its use is not published twice."""
    coming = SigningKey.generate("Ed25519")
    issuer.publish(coming)
    assert (issuer.signing_key, issuer.keys) == (es256, (es256, coming))
    assert issuer.rotate(coming) is coming
    assert (issuer.signing_key, issuer.keys) == (coming, (es256, coming))


async def test_anything_can_be_published(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """Encryption keys, unknown types and what is no key at all join the set as they are."""
    junk = [issuer.signing_key.jwk(use="enc", kid="enc"), {"kty": "AKP"}, "text", None, 7]
    for member in junk:
        issuer.publish(member)
    assert (await _key_set(issuer, client))[1:] == junk
    assert len(issuer.keys) == 1


async def test_keys_can_be_withdrawn(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """`withdraw` takes every member of that `kid`, and the provider may go on signing with it."""
    issuer.publish({"kty": "oct", "kid": "first"})
    issuer.publish("junk")
    issuer.withdraw("first")
    assert await _key_set(issuer, client) == ["junk"]
    assert jwt.get_unverified_header(issuer.sign())["kid"] == "first"


def test_withdrawing_what_is_not_there_is_a_mistake(issuer: FakeIssuer) -> None:
    """An unknown `kid` is a `ValueError`: the test would not test what it says."""
    with pytest.raises(ValueError, match="kid='nope'"):
        issuer.withdraw("nope")


async def test_discovery_says_what_is_announced(
    issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """`announce` replaces, adds and removes members, and tokens stay as they were."""
    before = issuer.issuer
    issuer.announce(issuer="https://evil.example", extra=[1])
    issuer.announce(jwks_uri=None)
    said = (await client.get(issuer.discovery_url)).json()
    assert (said["issuer"], said["extra"]) == ("https://evil.example", [1])
    assert "jwks_uri" not in said
    assert _decode(issuer, issuer.sign())["iss"] == before


async def test_caching_headers_are_set(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """`cache` sets `Cache-Control` and `Age` of the key set alone, until the next call."""
    issuer.cache("public, max-age=600", age=30)
    jwks, discovery = [await client.get(u) for u in (issuer.jwks_uri, issuer.discovery_url)]
    assert jwks.headers["cache-control"] == "public, max-age=600"
    assert jwks.headers["age"] == "30"
    assert not {"cache-control", "age", "etag"} & set(discovery.headers)
    issuer.cache(age=0)
    jwks = await client.get(issuer.jwks_uri)
    assert (jwks.headers["age"], "cache-control" in jwks.headers) == ("0", False)


@pytest.mark.parametrize("pattern", ["{}", "W/{}", '"other", {}', "*"])
async def test_an_unchanged_key_set_is_not_sent_again(
    pattern: str, issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """A client that names the current `ETag` is answered 304, without a body."""
    issuer.cache("max-age=60")
    etag = (await client.get(issuer.jwks_uri)).headers["etag"]
    again = await client.get(issuer.jwks_uri, headers={"If-None-Match": pattern.format(etag)})
    assert (again.status_code, again.content) == (304, b"")
    assert "content-length" not in again.headers
    assert (again.headers["etag"], again.headers["cache-control"]) == (etag, "max-age=60")
    assert issuer.not_modified == 1


async def test_a_changed_key_set_has_another_etag(
    issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """After a rotation the old `ETag` brings the new set."""
    etag = (await client.get(issuer.jwks_uri)).headers["etag"]
    issuer.rotate()
    again = await client.get(issuer.jwks_uri, headers={"If-None-Match": etag})
    assert (again.status_code, len(again.json()["keys"])) == (200, 2)
    assert again.headers["etag"] != etag
    assert issuer.not_modified == 0


async def test_etag_can_be_left_out(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """With `etag=False` the provider knows no conditional requests."""
    issuer.cache(etag=False)
    answer = await client.get(issuer.jwks_uri, headers={"If-None-Match": "*"})
    assert (answer.status_code, "etag" in answer.headers) == (200, False)


@pytest.mark.parametrize("method", ["POST", "HEAD"])
async def test_documents_can_only_be_read(
    method: str, issuer: FakeIssuer, client: httpx.AsyncClient
) -> None:
    """Any method but GET is answered 405."""
    answer = await client.request(method, issuer.jwks_uri)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_there_is_nothing_else(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """Any other path is answered 404, whatever fault there is."""
    issuer.outage()
    assert (await client.get(f"{issuer.url}/jwks/")).status_code == 404


async def test_requests_are_recorded(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """Each request is kept with method, target, lower-case headers and its answer's status."""
    await client.get(f"{issuer.jwks_uri}?v=1", headers={"X-Trace": "Abc"})
    await client.get(issuer.discovery_url)
    await client.get(issuer.url + "/")
    first, *others = issuer.requests
    assert first == Request("GET", "/jwks?v=1", first.headers, 200)
    assert first.headers["x-trace"] == "Abc"
    assert [(r.path, r.status) for r in others] == [
        ("/.well-known/openid-configuration", 200),
        ("/", 404),
    ]
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


async def test_counting_starts_again(issuer: FakeIssuer, client: httpx.AsyncClient) -> None:
    """`reset` forgets the requests, and nothing else."""
    issuer.outage()
    await client.get(issuer.jwks_uri)
    issuer.reset()
    assert (issuer.requests, issuer.jwks_requests) == ((), 0)
    assert (await client.get(issuer.jwks_uri)).status_code == 503
    assert issuer.jwks_requests == 1


async def test_repr_tells_the_state(issuer: FakeIssuer, over_transport: httpx.AsyncClient) -> None:
    """`repr` shows the issuer, how many keys it has and how often it was asked."""
    await over_transport.get(issuer.jwks_uri)
    assert repr(issuer) == "FakeIssuer('https://issuer.test', keys=1, requests=1)"
