"""`auth-jwks doctor` and `keys`: what an operator sees of each fault, and what to change."""

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
import trustme

from auth_jwks.cli._findings import Finding, findings
from auth_jwks.cli._look import Answer, Found, looked_at
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.cli.conftest import Command, Run, context


def finding(run: Run, check: str) -> dict[str, Any]:
    """Return the last finding of that name."""
    found: dict[str, Any] = [each for each in run.json["findings"] if each["check"] == check][-1]
    return found


def test_healthy_provider(provider: FakeIssuer, command: Command) -> None:
    """Each thing that was looked at has a line, and each key; nothing is to be changed."""
    run = command("doctor", provider.issuer)
    assert (run.status, run.err) == (0, "")
    assert "ok    issuer     " in run.out
    assert "ok  'k1'  EC P-256  ES256  sig  256 bits  verifies ES256\n" in run.out
    assert run.out.endswith("\nNothing to change.\n")
    assert max(map(len, run.out.splitlines())) <= 80
    assert "\x1b" not in run.out


def test_as_json(provider: FakeIssuer, command: Command) -> None:
    """The whole report is one document."""
    run = command("doctor", provider.issuer, "--json")
    assert run.json.keys() == {"target", "healthy", "findings", "keys", "token"}
    assert (run.json["healthy"], run.json["token"]) == (True, None)
    assert run.json["findings"][0] == {
        "check": "discovery", "verdict": "ok", "message": provider.discovery_url, "advice": "",
    }  # fmt: skip
    assert run.json["keys"] == [
        {
            "kid": "k1", "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "bits": 256,
            "algorithms": ["ES256"], "fault": None, "instead": [], "usable": True,
        }
    ]  # fmt: skip


def test_discovery_url(provider: FakeIssuer, command: Command) -> None:
    """The document may be named itself; then the issuer is what it says."""
    run = command("doctor", provider.discovery_url, "--json")
    assert finding(run, "issuer")["verdict"] == "note"
    assert finding(run, "issuer")["advice"].startswith(f"pass issuer='{provider.issuer}'")


def test_key_set(provider: FakeIssuer, command: Command) -> None:
    """So may the key set, which leaves the issuer unknown."""
    run = command("doctor", provider.jwks_uri, "--json")
    assert (run.status, finding(run, "discovery")["verdict"]) == (0, "note")


def test_key_set_beneath_well_known(key: SigningKey, command: Command) -> None:
    """A key set is known by its keys, and not by its name."""
    with FakeIssuer(keys=[key], jwks_path="/.well-known/jwks.json") as provider:
        assert finding(command("doctor", provider.jwks_uri, "--json"), "keys")["verdict"] == "ok"


def test_second_place(provider: FakeIssuer, command: Command) -> None:
    """Where OpenID Connect's place is empty, OAuth's is asked; here there is nothing either."""
    provider.outage(404, on="discovery")
    run = command("doctor", provider.issuer)
    assert run.status == 3
    assert "note  discovery  nothing at" in run.out
    assert "oauth-authorization-server: HTTP status 404" in run.words
    assert "check the issuer against what the provider documents" in run.words


def test_missing_document(provider: FakeIssuer, command: Command) -> None:
    """A URL is checked letter by letter, as an issuer is."""
    run = command("doctor", f"{provider.url}/.well-known/other", "--json")
    assert run.status == 3
    assert finding(run, "discovery")["advice"].startswith("check the URL")


@pytest.mark.parametrize("slash", ["", "/"])
def test_slash_at_the_end(slash: str, key: SigningKey, command: Command) -> None:
    """The commonest misspelling is named, and what to pass in its place."""
    with FakeIssuer(keys=[key]) as provider:
        provider.announce(issuer=provider.url + ("" if slash else "/"))
        run = command("doctor", provider.url + slash, "--json")
    assert run.status == 1
    assert finding(run, "issuer")["message"].endswith("they differ in the slash at the end")
    assert finding(run, "issuer")["advice"] == f"pass issuer='{provider.issuer}'" or slash == ""


def test_template(provider: FakeIssuer, command: Command) -> None:
    """A document for all tenants wants to be told which are let in."""
    provider.announce(issuer="https://login.example/{tenantid}/v2.0")
    run = command("doctor", provider.url, "--json")
    assert "with tenants=" in finding(run, "issuer")["advice"]


Fault = Callable[[FakeIssuer], object]


@pytest.mark.parametrize(
    ("fault", "status", "check", "words"),
    [
        pytest.param(
            lambda it: it.outage(503), 3, "discovery", "HTTP status 503", id="discovery is down"
        ),
        pytest.param(
            lambda it: it.outage(503, on="jwks"), 3, "keys", "HTTP status 503", id="keys are down"
        ),
        pytest.param(
            lambda it: it.redirect("https://new.example/x"), 3, "discovery",
            "this one leads to https://new.example/x", id="redirect",
        ),
        pytest.param(
            lambda it: it.junk(b"<html>"), 3, "discovery", "is not a JSON object", id="html"
        ),
        pytest.param(
            lambda it: it.announce(issuer=None), 3, "issuer", "names none", id="no issuer"
        ),
        pytest.param(
            lambda it: it.announce(jwks_uri=None), 3, "jwks_uri", "names none", id="no jwks_uri"
        ),
        pytest.param(
            lambda it: it.announce(jwks_uri="ftp://x"), 3, "jwks_uri", "none that can be asked",
            id="ftp",
        ),
        pytest.param(lambda it: it.withdraw("k1"), 3, "keys", "0 of 0", id="no keys"),
        pytest.param(
            lambda it: it.junk(b"[]", on="jwks"), 3, "keys", "0 of 0 can be used", id="no set"
        ),
        pytest.param(lambda it: it.refuse(), 3, "discovery", "failed: Remote", id="refused"),
    ],
)  # fmt: skip
def test_fault(
    fault: Fault, status: int, check: str, words: str, provider: FakeIssuer, command: Command
) -> None:
    """It is told with its cause, and what to change."""
    fault(provider)
    run = command("doctor", provider.url, "--json")
    assert run.status == status
    assert run.json["healthy"] is False
    found = finding(run, check)
    assert (found["verdict"], words in found["message"]) == ("fail", True)
    assert found["advice"]


def test_nobody_listens(command: Command) -> None:
    """The cause is told."""
    run = command("doctor", "http://127.0.0.1:9")
    assert run.status == 3
    assert "ConnectError (connection refused)" in run.words


async def test_provider_that_does_not_answer(provider: FakeIssuer) -> None:
    """A look ends at its deadline."""
    provider.hang()
    [answer] = (await looked_at(provider.url, timeout=0.05)).answers
    assert answer.fault is not None
    assert answer.fault.reason in {"no answer within 0.05 s", "the request failed: ReadTimeout"}


def test_other_algorithms(command: Command) -> None:
    """A key that needs another configuration is told with it."""
    with FakeIssuer(algorithm="ES384") as provider:
        run = command("doctor", provider.issuer, "--json")
        assert (run.status, run.json["keys"][0]["instead"]) == (3, ["ES384"])
        assert "ES384" in finding(run, "keys")["advice"]
        assert command("doctor", provider.issuer, "--alg", "ES384").status == 0
        provider.publish(SigningKey.generate("ES256"))
        assert finding(command("doctor", provider.issuer, "--json"), "keys")["verdict"] == "warn"


def test_each_kind_of_key(provider: FakeIssuer, command: Command) -> None:
    """Its type, curve and bits are told, and why it can't be used."""
    rsa = SigningKey.generate("RS256", "rsa")
    provider.publish(rsa)
    provider.publish(rsa.jwk(kid="enc", use="enc"))
    provider.publish({"kty": "oct", "k": "c2VjcmV0", "kid": "\x1b[31m"})
    provider.publish({"kty": "RSA", "n": "A"})
    provider.publish({"kty": "EC", "crv": 5, "kid": 7})
    provider.publish("junk")
    run = command("keys", provider.issuer)
    assert run.status == 0
    lines = run.out.splitlines()
    assert lines[0].split() == ["kid", "kty", "alg", "use", "bits"]
    assert any(line.split()[:6] == ["ok", "'rsa'", "RSA", "RS256", "sig", "2048"] for line in lines)
    assert "its use is not sig" in run.words
    assert "'\\x1b[31m'" in run.out
    assert "\x1b" not in run.out
    parsed = command("keys", provider.issuer, "--json").json
    assert [key["usable"] for key in parsed["keys"]] == [True, True] + [False] * 5
    assert "secret" not in run.out


def test_keys_that_are_unavailable(provider: FakeIssuer, command: Command) -> None:
    """No keys, no lines: the cause goes beside the payload."""
    provider.outage()
    run = command("keys", provider.issuer)
    assert (run.status, run.out) == (3, "")
    assert "HTTP status 503" in run.err


def test_no_usable_keys(command: Command) -> None:
    """They are shown, and the status says it."""
    with FakeIssuer(algorithm="ES384") as provider:
        assert command("keys", provider.jwks_uri).status == 3


def test_empty_key_set(provider: FakeIssuer, command: Command) -> None:
    """It is as good as none."""
    provider.withdraw("k1")
    assert "0 of 0 can be used" in command("keys", provider.jwks_uri).err


def test_headers_and_lifetime(provider: FakeIssuer, command: Command) -> None:
    """What the provider says of caching, and what the library makes of it."""
    provider.cache("max-age=60", age=10)
    run = command("doctor", provider.issuer, "--json")
    assert "Cache-Control 'max-age=60'" in finding(run, "headers")["message"]
    message = finding(run, "lifetime")["message"]
    assert message.startswith("keys are fresh for 300 s, and usable for 24 h")
    assert "max-age is 50 s" in message


@pytest.mark.parametrize(
    ("skew", "age", "verdict", "words"),
    [
        (0, "0", "ok", "within 5 s"),
        (-100, "100", "ok", "within 5 s"),
        (-15, "x", "warn", "ahead of"),
        (200, "0", "fail", "behind"),
    ],
)
def test_clock(
    skew: float, age: str, verdict: str, words: str, key: SigningKey, command: Command
) -> None:
    """The clocks of both are compared, less the time that a cache has held the answer."""
    headers = {"Date": formatdate(time.time() + skew, usegmt=True), "Age": age}
    with FakeIssuer(keys=[key], headers=headers) as provider:
        run = command("doctor", provider.issuer, "--json")
    assert finding(run, "clock")["verdict"] == verdict
    assert words in finding(run, "clock")["message"]
    assert run.status == (1 if verdict == "fail" else 0)


def test_tls(secure: FakeIssuer, command: Command) -> None:
    """The protocol, the name and the end of the certificate are told, once for each host."""
    run = command("doctor", secure.issuer, "--json")
    assert run.status == 0
    [tls] = [each for each in run.json["findings"] if each["check"] == "tls"]
    assert tls["verdict"] == "ok"
    assert tls["message"].startswith("TLSv1.3, certificate for 127.0.0.1, expires in ")


def test_certificate_that_is_not_trusted(
    secure: FakeIssuer, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cause is told, and how a private CA is named."""
    monkeypatch.delenv("SSL_CERT_FILE")
    run = command("doctor", secure.issuer, "--json")
    assert run.status == 3
    assert "the certificate is not trusted" in finding(run, "discovery")["message"]
    assert "SSL_CERT_FILE" in finding(run, "discovery")["advice"]


def test_advertised_local_url(secure: FakeIssuer, command: Command) -> None:
    """It is asked where discovery was, as the library does."""
    secure.announce(jwks_uri="http://keys.example/jwks")
    run = command("doctor", secure.url, "--json")
    assert (run.status, finding(run, "jwks_uri")["verdict"]) == (0, "note")
    assert "in place of 'http://keys.example/jwks'" in finding(run, "jwks_uri")["message"]


def public(discovery: str, jwks_uri: str) -> dict[str, Finding]:
    """Return what is said of a provider at public hosts."""
    stated = {"issuer": "https://login.example", "jwks_uri": jwks_uri}
    answers = (Answer(discovery), Answer(jwks_uri))
    found = Found("issuer", stated["issuer"], answers[:1], stated, jwks_uri, answers[1])
    return {each.check: each for each in findings(found, [], 0.0)}


def test_keys_by_http_beneath_https() -> None:
    """The library refuses them."""
    said = public("https://login.example/x", "http://keys.example/jwks")
    assert (said["jwks_uri"].verdict, said["jwks_uri"].unavailable) == ("fail", True)
    assert "by https" in said["jwks_uri"].advice


def test_plain_http_to_a_public_host() -> None:
    """Whoever is on the way can forge keys."""
    assert public("http://login.example/x", "http://login.example/jwks")["tls"].verdict == "warn"


def test_token_beside(provider: FakeIssuer, command: Command) -> None:
    """A token is verified as well, with what was found."""
    good, other = provider.sign(aud="api"), provider.sign(aud="other")
    for target in (provider.issuer, provider.discovery_url, provider.jwks_uri):
        options = ("doctor", target, "--aud", "api", "--token-file", "-")
        assert command(*options, stdin=good).status == 0
        run = command(*options, stdin=other)
        assert run.status == 1
        assert "FAIL  aud" in run.out
        assert "Refused (audience)" in run.out
        assert command(*options, "--json", stdin=other).json["token"]["reason"] == "audience"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: ISSUER|URL"),
        (["ftp://x"], "expected an http or https URL"),
        (["https://u:secret@x"], "must not contain credentials"),
        (["https://x", "--alg", "none"], "--alg: expected one or more of"),
        (["https://x", "--aud", "api"], "expected only beside --token-file"),
    ],
)
def test_bad_command_line(arguments: list[str], words: str, command: Command) -> None:
    """It is told what was expected, and shown no secret."""
    run = command("doctor", *arguments)
    assert (run.status, run.out) == (2, "")
    assert words in run.words
    assert "secret" not in run.err


@pytest.mark.parametrize("days", [3])
def test_certificate_that_ends_soon(
    days: int, key: SigningKey, command: Command, ca: trustme.CA, secure: FakeIssuer
) -> None:
    """It is to be renewed before it does."""
    assert secure.url
    ended = context(ca, days=days)
    with FakeIssuer(keys=[key], ssl_context=ended) as provider:
        run = command("doctor", provider.issuer, "--json")
    assert (run.status, finding(run, "tls")["verdict"]) == (0, "warn")
