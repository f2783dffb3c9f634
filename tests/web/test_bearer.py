"""Bearer tokens over HTTP: what a request carries, what a token grants, what a refusal says."""

import logging
import re
from math import inf, nan
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_jwks import errors
from auth_jwks.bearer import Challenge, Refusal, bearer_token, granted, scopes_of
from auth_jwks.errors import (
    IdentityUnavailableError,
    InsufficientScopeError,
    InvalidRequestError,
    IssuerMismatchError,
    KeysUnavailableError,
    MissingTokenError,
    UnknownKeyError,
)

PAGE = (Path(__file__).parents[2] / "docs" / "web.md").read_text("utf-8")
SECRET = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2VjcmV0"
TEXTS = {"more than one set of credentials", "no bearer token", "malformed credentials"}
ANYTHING = st.text() | st.sampled_from(["Bearer", " ", "\t", ",", "a.b.c", "Basic", "\ud800"])

# What a request carries.


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
@pytest.mark.parametrize("value", ["{} {}", "{}    {}", "{} {}  "])
def test_a_token_follows_its_scheme(scheme: str, value: str) -> None:
    """The scheme may be written in any case, with several spaces after it (RFC 9110 §11.4)."""
    assert bearer_token([value.format(scheme, SECRET)]) == SECRET


@pytest.mark.parametrize(
    "value",
    ["", "Basic YTpi", "Basic", SECRET, "BearerX a", "Bearer\ta.b.c", "Bearer,a", "\tBearer a",
     "B\xe9arer a", "Digest username=a, Bearer a", "DPoP a.b.c", "\udce9", " Bearer a"],
)  # fmt: skip
def test_other_credentials_are_no_bearer_token(value: str) -> None:
    """Another scheme is like none at all, and is told how to come back (RFC 6750 §3.1)."""
    with pytest.raises(MissingTokenError):
        bearer_token([value])


@pytest.mark.parametrize("values", ["Bearer a.b.c", b"Bearer a.b.c", None], ids=repr)
def test_a_header_alone_is_no_list_of_them(values: Any) -> None:
    """The caller is blamed for nothing that is a slip of the program."""
    with pytest.raises(TypeError, match=r"^values: expected a list of the headers' values, got"):
        bearer_token(values)


def test_no_header_is_no_token() -> None:
    """As without any header."""
    with pytest.raises(MissingTokenError):
        bearer_token([])


@pytest.mark.parametrize(
    "values",
    [
        ["Bearer"],
        ["Bearer "],
        ["Bearer    "],
        ["Bearer a b"],
        ["Bearer Bearer a"],
        ["Bearer a\tb"],
        ["Bearer a,b"],
        ["Bearer a, Bearer b"],
        ["bearer a,Basic YTpi"],
        ["Bearer \xe9"],
        ["Bearer a\udce9"],
        ["Bearer a", "Bearer b"],
        ["Bearer a", "Bearer a"],
        ["Bearer a", ""],
        ["Basic YTpi", "Bearer a"],
        ["Basic YTpi", "Basic YTpi"],
    ],
)
def test_malformed_and_repeated_credentials_are_an_invalid_request(values: list[str]) -> None:
    """Nobody guesses which one was meant."""
    with pytest.raises(InvalidRequestError):
        bearer_token(values)


def outcome(values: list[str]) -> str | Exception:
    """Return the token, or the refusal."""
    try:
        return bearer_token(values)
    except (InvalidRequestError, MissingTokenError) as error:
        return error


@given(st.lists(st.lists(ANYTHING).map("".join), max_size=3))
def test_whatever_is_sent_is_a_token_or_refused(values: list[str]) -> None:
    """There is no other exception, and no refusal repeats what was sent."""
    found = outcome(values)
    if isinstance(found, str):
        assert re.fullmatch("[^ ,\t]+", found)
        assert found.isascii()
        assert [value.partition(" ")[0].lower() for value in values] == ["bearer"]
    else:
        assert str(found) in TEXTS
        assert (found.__cause__, found.__context__) == (None, None)


# What a token grants.


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, set()),
        ({"scope": "read write"}, {"read", "write"}),
        ({"scope": "  read   write "}, {"read", "write"}),
        ({"scope": ""}, set()),
        ({"scope": "Read"}, {"Read"}),
        ({"scope": "read\twrite"}, {"read\twrite"}),
        ({"scope": ["read", "write"]}, {"read", "write"}),
        ({"scp": "read write"}, {"read", "write"}),
        ({"scp": ["read", "write"]}, {"read", "write"}),
        ({"scp": ["read write"]}, {"read write"}),
        ({"scope": "read", "scp": "write"}, {"read"}),
        ({"scope": None, "scp": "write"}, set()),
        ({"scope": ["read", 1, None, ["write"], {"a": 1}]}, {"read"}),
        *(({"scope": junk}, set()) for junk in (None, True, 1, 1.5, {"read": True})),
        ({"permissions": ["read"]}, set()),
    ],
)
def test_scopes_of_a_token(claims: dict[str, Any], scopes: set[str]) -> None:
    """`scope` counts, or else `scp`, each a string or a list; junk grants nothing."""
    assert scopes_of(claims) == scopes
    assert granted(claims, scopes_of) == scopes


@pytest.mark.parametrize(
    "found",
    [
        ["read"], ("read",), {"read"}, {"read": 1}.keys(), iter(["read"]),
        ["read", None, {"a": 1}, 1],
    ],
)  # fmt: skip
def test_scopes_may_come_from_elsewhere(found: Any) -> None:
    """A function of the user's says what the claims grant, in any collection."""
    claims = {"permissions": found}
    assert granted(claims, lambda claims: claims["permissions"]) == {"read"}


def test_no_scopes_elsewhere_are_none() -> None:
    """A claim that is null, or not there, grants nothing."""
    assert granted({"permissions": None}, lambda claims: claims["permissions"]) == set()


@pytest.mark.parametrize("found", ["read", b"bytes", 1, True, {"read": False}])
def test_what_is_no_collection_of_scopes_is_misuse(found: Any) -> None:
    """The letters of a bare string are no scopes, nor are a mapping's keys."""
    with pytest.raises(TypeError, match="scopes_from: expected it to return a collection"):
        granted({}, lambda _: found)


# What a refusal says.

FAULTS: list[tuple[jwt.InvalidTokenError, int, str, str | None]] = [
    (MissingTokenError(SECRET), 401, "Not authenticated", None),
    (InvalidRequestError(SECRET), 400, "Malformed credentials", "invalid_request"),
    (InsufficientScopeError(SECRET), 403, "Insufficient scope", "insufficient_scope"),
    (jwt.ExpiredSignatureError(SECRET), 401, "The token has expired", "invalid_token"),
    (jwt.InvalidTokenError(SECRET), 401, "Invalid token", "invalid_token"),
    (jwt.InvalidSignatureError(SECRET), 401, "Invalid token", "invalid_token"),
    (UnknownKeyError(SECRET), 401, "Invalid token", "invalid_token"),
]
FULL = Challenge("an api", ["read", "write"], "https://api.example.com/.well-known/x")


@pytest.mark.parametrize(("error", "status", "detail", "code"), FAULTS)
def test_a_refusal_challenges(
    error: jwt.InvalidTokenError, status: int, detail: str, code: str | None
) -> None:
    """It says what is wanted; the code of the fault only to who tried (RFC 6750 §3)."""
    told = f'error="{code}", error_description="{detail}"' if code else ""
    refusal = Challenge("an api").refusal(error)
    challenge = f'Bearer realm="an api", {told}'.removesuffix(", ")
    assert refusal == Refusal(status, detail, {"WWW-Authenticate": challenge})
    full = FULL.refusal(error).headers["WWW-Authenticate"]
    assert full == (
        f'{challenge}, scope="read write"'
        ', resource_metadata="https://api.example.com/.well-known/x"'
    )


def test_the_page_tells_what_is_answered() -> None:
    """Each row of docs/web.md has the status, text and code of the errors that it names."""
    table = PAGE.split("| `error` of the challenge |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in row.split("|")[2:-1]] for row in table.splitlines()[2:]]
    named = []
    for raised, status, detail, code in rows:
        for name in re.findall(r"`(?:jwt\.)?(\w+)`", raised):
            kind = getattr(errors if hasattr(errors, name) else jwt, name)
            refusal = Challenge().refusal(kind())
            assert (str(refusal.status), refusal.detail) == (status, detail)
            header = refusal.headers.get("WWW-Authenticate", "no challenge")
            told = re.findall('error="([a-z_]+)"', header)
            assert code.startswith(f"`{told[0]}`" if told else ("none", "no challenge"))
            assert ("no challenge" in code) is (header == "no challenge")
            assert ("`Retry-After`" in code) is ("Retry-After" in refusal.headers)
            named.append(name)
    elsewhere = {"IdentityUnavailableError", "Reason", "reason_of"}
    assert set(errors.__all__) - elsewhere <= set(named)


def test_a_challenge_says_something_always() -> None:
    """The scheme alone is no challenge (RFC 6750 §3), so there is a realm for want of another."""
    refusal = Challenge().refusal(MissingTokenError())
    assert refusal.headers == {"WWW-Authenticate": 'Bearer realm="api"'}


UNAVAILABLE = [KeysUnavailableError, IdentityUnavailableError]


@pytest.mark.parametrize("kind", UNAVAILABLE)
@pytest.mark.parametrize(
    ("seconds", "header"),
    [(5, "5"), (5.0, "5"), (1.2, "2"), (0, "1"), (-3, "1"), (0.1, "1"), (300, "300"),
     (1e12, "86400"), (inf, "86400"), (nan, "1")],
)  # fmt: skip
def test_who_can_not_be_served_now_is_told_when(
    kind: type[KeysUnavailableError], seconds: float, header: str
) -> None:
    """In whole seconds, at least one and at most a day; nobody is asked to log in again."""
    refusal = FULL.refusal(kind(SECRET, retry_after=seconds))
    assert refusal == Refusal(503, "Temporarily unavailable", {"Retry-After": header})


def test_another_issuer_is_nobodys_login() -> None:
    """The caller can't mend the configuration, and nobody knows when it will be."""
    refusal = FULL.refusal(IssuerMismatchError(SECRET))
    assert refusal == Refusal(503, "Temporarily unavailable", {})


@pytest.mark.parametrize("error", [*(fault[0] for fault in FAULTS), KeysUnavailableError(SECRET)])
def test_a_refusal_tells_nothing_of_the_fault(error: jwt.InvalidTokenError) -> None:
    """No message of an exception goes to a client."""
    assert SECRET not in repr(FULL.refusal(error))


def test_why_is_told_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, for who looks for it: clients cause as many as they like."""
    with caplog.at_level(logging.DEBUG, "auth_jwks"):
        FULL.refusal(jwt.InvalidAudienceError("none of ours"))
    assert caplog.record_tuples == [
        ("auth_jwks", logging.DEBUG, "refused a request: InvalidAudienceError: none of ours")
    ]


def test_notes_are_told_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What PyJWT's words don't say stands in a note; clients see neither."""
    error = jwt.MissingRequiredClaimError("sub")
    error.add_note("required_claims= says so")
    with caplog.at_level(logging.DEBUG, "auth_jwks"):
        assert "required" not in repr(FULL.refusal(error))
    [message] = caplog.messages
    assert message.endswith('Token is missing the "sub" claim (required_claims= says so)')


def test_only_a_token_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Another error is no answer to a request, and what it says is not logged."""
    caplog.set_level(logging.DEBUG, "auth_jwks")
    error: Any = KeyError(SECRET)
    with pytest.raises(
        TypeError, match=r"^error: expected a jwt\.InvalidTokenError, got KeyError$"
    ):
        FULL.refusal(error)
    assert caplog.records == []


PARAMETER = r'[a-z_]+="[ !#-\[\]-~]+"'
QUOTED = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1)


@given(realm=QUOTED, scopes=st.lists(QUOTED | st.text(min_size=1)))
def test_a_challenge_is_well_formed_or_not_made(realm: str, scopes: list[str]) -> None:
    """Whatever is configured, a header has the form of RFC 9110 §11.2 and no line end."""
    try:
        challenge = Challenge(realm, scopes)
    except ValueError:
        return
    for fault in FAULTS:
        header = challenge.refusal(fault[0]).headers["WWW-Authenticate"]
        assert re.fullmatch(f"Bearer {PARAMETER}(, {PARAMETER})*", header)
        assert not scopes or header.endswith(f'scope="{" ".join(dict.fromkeys(scopes))}"')


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"realm": ""}, ValueError, "realm"),
        ({"realm": " "}, ValueError, "realm"),
        ({"realm": 'a "b"'}, ValueError, 'realm: expected printable ASCII without " and \\'),
        ({"realm": "a\\b"}, ValueError, "realm"),
        ({"realm": "a\r\nSet-Cookie: b"}, ValueError, "realm"),
        ({"realm": "caf\xe9"}, ValueError, "realm"),
        ({"realm": 1}, TypeError, "realm"),
        ({"scopes": "read"}, TypeError, "scopes: expected a collection of strings"),
        ({"scopes": [1]}, TypeError, "scopes"),
        ({"scopes": [""]}, ValueError, "scopes"),
        ({"scopes": ["read write"]}, ValueError, "scopes: expected words"),
        ({"scopes": ['"']}, ValueError, "scopes"),
        ({"scopes": ["caf\xe9"]}, ValueError, "scopes"),
        ({"resource_metadata": "api.example.com"}, ValueError, "resource_metadata: the scheme"),
        ({"resource_metadata": 'https://a.example/"'}, ValueError, "resource_metadata"),
        ({"resource_metadata": "https://a.example/ b"}, ValueError, "resource_metadata"),
        ({"resource_metadata": "https://a:b@a.example/"}, ValueError, "resource_metadata"),
        ({"resource_metadata": "https://caf\xe9.example/"}, ValueError, "resource_metadata"),
        ({"resource_metadata": 1}, TypeError, "resource_metadata"),
    ],
)
def test_what_can_not_stand_in_a_challenge_is_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """At construction, with the parameter's name."""
    with pytest.raises(error, match=re.escape(message)):
        Challenge(**options)


def test_scopes_are_told_once_each() -> None:
    """In the order in which they were given."""
    challenge = Challenge(scopes=["write", "read", "write"])
    assert challenge.scopes == ("write", "read")
