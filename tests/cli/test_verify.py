"""`auth-jwks verify` and `inspect`: every check is shown, and the verdict is the library's."""

import json
from pathlib import Path

import pytest

from auth_jwks.testing import FakeIssuer, SigningKey
from tests.cli.conftest import Command

CHECKS = [
    "structure", "typ", "algorithm", "key", "signature", "exp", "nbf", "iat", "iss", "aud", "sub",
    "required claims",
]  # fmt: skip


def checks(provider: FakeIssuer, command: Command, token: str, *more: str) -> dict[str, str]:
    """Return the verdict of each check of a token."""
    run = command(
        "verify", "--issuer", provider.issuer, "--aud", "api", "--json", *more, stdin=token
    )
    return {check["check"]: check["verdict"] for check in run.json["checks"]}


def test_good_token(provider: FakeIssuer, command: Command) -> None:
    """The claims alone are the payload, and each check is told beside it."""
    token = provider.sign(aud="api")
    run = command("verify", "--issuer", provider.issuer, "--aud", "api", stdin=token)
    assert run.status == 0
    assert run.json["sub"] == "alice"
    assert run.err.endswith("\nVerified.\n")
    assert "FAIL" not in run.err
    assert max(map(len, run.err.splitlines())) <= 80
    assert token not in run.out + run.err


def test_every_check_is_shown(provider: FakeIssuer, command: Command) -> None:
    """Not only the first that fails: here the audience, the time and the signature."""
    token = provider.forge(aud="account", exp=1)
    run = command("verify", "--issuer", provider.issuer, "--aud", "api", stdin=token)
    assert (run.status, run.out) == (1, "")
    assert "FAIL  aud" in run.err
    assert "'account'" in run.err
    assert "FAIL  signature" in run.err
    assert "FAIL  exp" in run.err
    assert "Refused (expired): " in run.words


def test_nothing_is_said_twice(provider: FakeIssuer, command: Command) -> None:
    """Where the error says what was expected and found, that is enough."""
    token = provider.sign(headers={"typ": "logout+jwt"})
    run = command("verify", "--issuer", provider.issuer, stdin=token)
    assert run.words.count("'logout+jwt'") == 2  # once at its check, once in the verdict


def test_as_json(provider: FakeIssuer, command: Command) -> None:
    """The verdict, its reason and each check are fields; claims are there if verified."""
    arguments = ("verify", "--issuer", provider.issuer, "--aud", "api", "--json")
    good = command(*arguments, stdin=provider.sign(aud="api"))
    assert (good.json["verified"], good.json["reason"]) == (True, None)
    assert good.json["claims"]["aud"] == "api"
    assert [check["check"] for check in good.json["checks"]] == CHECKS
    bad = command(*arguments, stdin=provider.sign(aud="other"))
    assert bad.json.keys() == good.json.keys()
    assert (bad.json["verified"], bad.json["reason"]) == (False, "audience")
    assert (bad.json["claims"], bad.err, bad.status) == (None, "", 1)
    aud = next(check for check in bad.json["checks"] if check["check"] == "aud")
    assert (aud["expected"], aud["found"]) == ("'api'", "'other'")


@pytest.mark.parametrize(
    ("claims", "headers", "failing"),
    [
        ({"iss": "https://other.example"}, {}, "iss"),
        ({"sub": None}, {}, "required claims"),
        ({"sub": 7}, {}, "sub"),
        ({"jti": ["x"]}, {}, "jti"),
        ({"nbf": 99_999_999_999}, {}, "nbf"),
        ({"iat": 99_999_999_999}, {}, "iat"),
        ({"exp": 10**30}, {"alg": "HS256"}, "algorithm"),
        ({}, {"alg": None}, "algorithm"),
        ({}, {"kid": "k2"}, "key"),
        ({}, {"typ": "logout+jwt"}, "typ"),
        ({}, {"crit": ["x"]}, "structure"),
    ],
)
def test_one_check_fails(
    claims: dict[str, object],
    headers: dict[str, object],
    failing: str,
    provider: FakeIssuer,
    command: Command,
) -> None:
    """What is wrong is told by its check, and by no other."""
    token = provider.sign(claims, aud="api", headers=headers)
    found = checks(provider, command, token)
    assert [name for name, verdict in found.items() if verdict == "fail"] == [failing]


def test_payload_that_is_no_object(provider: FakeIssuer, command: Command, key: SigningKey) -> None:
    """A signed list has no claims to check."""
    assert checks(provider, command, key.sign(b"[]"))["payload"] == "fail"


def test_token_without_exp(provider: FakeIssuer, command: Command) -> None:
    """What is absent is told by the required claims alone."""
    found = checks(provider, command, provider.sign(aud="api", exp=None))
    assert (found["exp"], found["required claims"]) == ("skip", "fail")


@pytest.mark.parametrize(
    ("profile", "claims", "headers", "verdict"),
    [
        ("access", {"client_id": "c", "jti": "1"}, {"typ": "at+jwt"}, "ok"),
        ("access", {}, {"typ": "at+jwt"}, "fail"),
        ("id", {}, {}, "ok"),
        ("id", {"nonce": "n"}, {}, "fail"),
        ("logout", {}, {}, "fail"),
    ],
)
def test_profiles(
    profile: str,
    claims: dict[str, object],
    headers: dict[str, object],
    verdict: str,
    provider: FakeIssuer,
    command: Command,
) -> None:
    """A profile is one more check. Of an ID token the audience is the client."""
    token = provider.sign(claims, aud="api", headers=headers)
    assert checks(provider, command, token, "--profile", profile)["profile"] == verdict


def test_profile_of_a_token_without_algorithm(provider: FakeIssuer, command: Command) -> None:
    """There is nothing to hold to it."""
    token = provider.sign(aud="api", headers={"alg": None})
    assert "profile" not in checks(provider, command, token, "--profile", "id")


def test_tenants(key: SigningKey, command: Command) -> None:
    """Of a template the tenant is a check too, with the key's own issuer."""
    template = "https://login.example/{tenantid}/v2.0"
    with FakeIssuer(keys=[key], issuer=template) as provider:
        arguments = ["verify", "--issuer", template, "--jwks-uri", provider.jwks_uri]
        arguments += ["--tenant", "a1", "--json"]
        for tenant, expected in (("a1", "ok"), ("b2", "fail")):
            token = provider.sign(iss=template.replace("{tenantid}", tenant), tid=tenant)
            run = command(*arguments, stdin=token)
            assert [c["verdict"] for c in run.json["checks"] if c["check"] == "tenant"] == [
                expected
            ]
        forged = provider.forge(iss=template.replace("{tenantid}", "a1"), tid="a1")
        assert command(*arguments, stdin=forged).json["checks"][-1]["verdict"] == "ok"


def test_without_expectations(provider: FakeIssuer, command: Command) -> None:
    """What nobody expects is not checked, and that is said."""
    run = command("verify", "--jwks-uri", provider.jwks_uri, "--json", stdin=provider.sign())
    found = {check["check"]: check for check in run.json["checks"]}
    assert run.status == 0
    assert (found["iss"]["verdict"], found["aud"]["verdict"]) == ("skip", "skip")
    assert found["aud"]["message"] == "not checked, as no --aud is given"


def test_issuer_of_discovery_counts(provider: FakeIssuer, command: Command) -> None:
    """If none is given, that of the document is expected."""
    token = provider.sign(iss="https://other.example")
    run = command("verify", "--discovery-url", provider.discovery_url, stdin=token)
    assert "FAIL  iss" in run.err
    assert run.status == 1


def test_many_keys(provider: FakeIssuer, command: Command, key: SigningKey) -> None:
    """Of a large set the first few are named, and how many more there are."""
    for number in range(20):
        provider.publish(key.jwk(kid=f"extra{number}"))
    token = provider.sign(headers={"kid": "x" * 200})
    run = command("verify", "--issuer", provider.issuer, stdin=token)
    assert "'extra6' and 13 more, found kid 'xxxx" in run.words
    assert "x" * 100 not in run.words


def test_leeway(provider: FakeIssuer, command: Command) -> None:
    """`--leeway` is granted on times."""
    token = provider.sign(aud="api", exp=1)
    assert checks(provider, command, token, "--leeway", "0")["exp"] == "fail"
    assert checks(provider, command, token, "--leeway", "99999999999")["exp"] == "ok"


def test_provider_that_is_down(provider: FakeIssuer, command: Command) -> None:
    """The claims are checked all the same, and the status is its own."""
    provider.outage(404)
    run = command(
        "verify", "--issuer", provider.issuer, "--aud", "api", stdin=provider.sign(aud="api")
    )
    assert run.status == 3
    assert "FAIL  keys" in run.err
    assert "ok    aud" in run.err
    assert "Refused (unavailable): " in run.err


def test_search_that_can_not_be_made(provider: FakeIssuer, command: Command) -> None:
    """Whether an unknown key is published can't be told in an outage of the keys."""
    provider.outage(404, on="jwks")
    run = command("verify", "--issuer", provider.issuer, "--json", stdin=provider.sign())
    assert (run.status, run.json["reason"]) == (3, "unavailable")


def test_provider_of_another_name(provider: FakeIssuer, command: Command) -> None:
    """An issuer that is misspelt is a fault of the configuration, and not an outage."""
    run = command("verify", "--issuer", provider.issuer + "/", stdin=provider.sign())
    assert run.status == 1
    assert "slash at the end" in run.words


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("opaque", "no dots: it is opaque"),
        ("a.b.c.d.e", "five segments: it is encrypted (JWE)"),
        ("a.b", "2 segments, of which no token has so many"),
    ],
)
def test_no_signed_token(token: str, words: str, provider: FakeIssuer, command: Command) -> None:
    """What the shape says is told."""
    run = command("verify", "--issuer", provider.issuer, stdin=token)
    assert run.status == 1
    assert words in run.words


@pytest.mark.parametrize(
    ("around", "said"),
    [
        ("{}", ""),
        ("{}\n", "blanks or line ends"),
        ("Bearer {}", "word Bearer"),
        ("Authorization: Bearer {}\r\n", "blanks or line ends and the word Authorization"),
        ('"{}"', "quotes"),
        (" 'bearer  {}'", "blanks or line ends and the quotes and the word Bearer"),
        ("\ufeff{}", "blanks or line ends"),
    ],
)
def test_what_is_around_a_token(
    around: str, said: str, provider: FakeIssuer, command: Command, tmp_path: Path
) -> None:
    """It is taken off and told, from standard input as from a file."""
    text = around.format(provider.sign(aud="api"))
    (tmp_path / "token").write_text(text, "utf-8")
    options = ("verify", "--issuer", provider.issuer, "--aud", "api")
    for run in (
        command(*options, stdin=text),
        command(*options, "--token-file", str(tmp_path / "token")),
    ):
        assert run.status == 0
        assert (f"read without the {said}" in run.err) is bool(said)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "expected at least one of them"),
        (["--issuer", "no url"], "--issuer: the scheme must be http or https"),
        (["--issuer", "https://x.example", "--alg", "HS256"], "--alg: expected one or more of"),
        (["--issuer", "https://x.example", "--aud", ""], "--aud: expected non-empty strings"),
        (["--issuer", "https://x.example", "--profile", "id"], "--aud: expected exactly one"),
        (["--issuer", "https://x.example", "--profile", "x"], "expected one of those (choose from"),
        (["--issuer", "https://x.example", "--leeway", "soon"], "expected a number of seconds"),
        (["--issuer", "https://x.example", "--leeway", "-1"], "expected a number of seconds"),
        (["--issuer", "https://x.example", "--token-file", "/none"], "can't be read: No such file"),
        (
            ["--issuer", "https://x.example", "--token-file", "\0"],
            "can't be read: no name of a file",
        ),
        (["--issuer", "https://x.example"], "expected one in standard input, found nothing"),
        (["--issuer", "https://x.example", "--json=eyJ"], "expected no value"),
        (["--issuer", "https://x.example", "eyJ.eyJ.sig"], "a token is read from standard input"),
    ],
)
def test_bad_command_line(arguments: list[str], words: str, command: Command) -> None:
    """It is told what was expected, and nothing that was typed is repeated."""
    run = command("verify", *arguments)
    assert (run.status, run.out) == (2, "")
    assert words in run.words
    assert "eyJ" not in run.err


def test_token_of_more_than_a_megabyte(provider: FakeIssuer, command: Command) -> None:
    """It is not read to its end."""
    run = command("verify", "--issuer", provider.issuer, stdin="x" * 1_100_000)
    assert (run.status, run.err) == (2, "auth-jwks: token: expected at most 1048576 bytes\n")


def test_inspect(provider: FakeIssuer, command: Command) -> None:
    """It shows the header and the claims, marked as what they are."""
    run = command("inspect", "--unverified", stdin=provider.forge(exp=1, odd={"a": "\x1b[31m"}))
    assert run.status == 0
    assert run.out.startswith("UNVERIFIED: anyone can have written this.")
    assert "  exp  1970-01-01 00:00:01Z, " in run.out
    assert "  odd  {'a': '\\x1b[31m'}" in run.out
    parsed = command("inspect", "--unverified", "--json", stdin=provider.sign(exp=1)).json
    assert parsed["verified"] is False
    assert (parsed["header"]["kid"], parsed["unverified_claims"]["exp"]) == ("k1", 1)


@pytest.mark.parametrize("time", ["x", True, 1e300, -(10**20)])
def test_inspect_of_odd_times(time: object, provider: FakeIssuer, command: Command) -> None:
    """A time that is none is shown as it is."""
    run = command("inspect", "--unverified", stdin=provider.sign(exp=time))
    assert f"  exp  {time!r}\n" in run.out


def test_inspect_of_what_is_no_token(command: Command) -> None:
    """There may be no header in it, or nothing but one."""
    run = command("inspect", "--unverified", stdin="junk")
    assert (run.status, run.out.count("no JSON object")) == (1, 2)
    header = "eyJhbGciOiJSU0EtT0FFUCJ9"
    run = command("inspect", "--unverified", stdin=f"{header}.a.b.c.d")
    assert (run.status, run.out.count("no JSON object")) == (0, 0)
    assert "alg  'RSA-OAEP'" in run.out


def test_inspect_says_what_it_does_not_do(command: Command) -> None:
    """Without `--unverified` nothing is shown, and the reason is told."""
    run = command("inspect", stdin="x")
    assert run.status == 2
    assert "nothing is checked here" in run.err


def test_claims_are_ascii(provider: FakeIssuer, command: Command) -> None:
    """No console fails at what a provider wrote."""
    run = command("verify", "--issuer", provider.issuer, stdin=provider.sign(sub="José"))
    assert "Jos\\u00e9" in run.out
    assert json.loads(run.out)["sub"] == "José"
