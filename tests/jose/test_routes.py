"""Which verifier an issuer belongs to, and what is remembered of it."""

from dataclasses import dataclass

import pytest

from auth_jwks._jose.routes import MAX_REMEMBERED, Routes

TEMPLATE, OTHER = "https://idp.example/{tenantid}/v2.0", "https://idp.example/{tenantid}/"


@dataclass(frozen=True)
class Verifier:
    """A verifier that has names and nothing else."""

    issuers: tuple[str, ...]
    max_token_length: int = 16_384


def routes(*names: tuple[str, ...]) -> tuple[Routes[Verifier], list[Verifier]]:
    """Return the routes to verifiers with these names."""
    verifiers = [Verifier(each) for each in names]
    return Routes(verifiers), verifiers


def test_each_name_leads_to_its_verifier() -> None:
    """To the letter, and nothing else does."""
    found, (a, b) = routes(("https://a.example", "a.example"), ("https://b.example",))
    assert [found.of(name) for name in ("https://a.example", "a.example")] == [a, a]
    assert found.of("https://b.example") is b
    others: list[object] = ["https://b.example/", "B.example", "", None, 5, [], {}, b"a.example"]
    assert [found.of(other) for other in others] == [None] * len(others)


@pytest.mark.parametrize("turned", [False, True])
def test_an_exact_name_wins_over_a_template(*, turned: bool) -> None:
    """In any order; of two templates that fit, the first one's verifier wins."""
    exact = "https://idp.example/abc/v2.0"
    names = [(TEMPLATE, OTHER), (exact,)]
    found, verifiers = routes(*(reversed(names) if turned else names))
    every, single = reversed(verifiers) if turned else verifiers
    assert found.of(exact) is single
    assert found.of("https://idp.example/abd/v2.0") is every
    assert found.of("https://idp.example/abc/") is every
    for other in (TEMPLATE, OTHER, "https://idp.example/xyz/v2.0", "https://idp.example//v2.0"):
        assert found.of(other) is None
    both, (first, _) = routes(("https://h/{tenantid}/abc",), ("https://h/abc/{tenantid}",))
    assert both.of("https://h/abc/abc") is first


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "verifiers: expected at least one"),
        ([()], "verifiers: expected each with issuer=, number 1 has none"),
        ([("a",), ()], "verifiers: expected each with issuer=, number 2 has none"),
        ([("a",), ("a",)], "verifiers: expected each issuer once, got 'a' twice"),
        ([("a", "b"), ("c", "b")], "verifiers: expected each issuer once, got 'b' twice"),
        ([(TEMPLATE,), ("a", TEMPLATE)], f"verifiers: expected each issuer once, got {TEMPLATE!r}"),
    ],
)
def test_a_name_has_one_verifier(names: list[tuple[str, ...]], told: str) -> None:
    """And each verifier has a name."""
    with pytest.raises(ValueError, match=rf"\A{told.replace('{', '.').replace('}', '.')}"):
        routes(*names)


def test_a_verifier_may_repeat_itself() -> None:
    """It claims nothing of another one's."""
    found, (a,) = routes(("a", "a", TEMPLATE, TEMPLATE))
    assert found.of("a") is a


def test_a_token_is_remembered() -> None:
    """By its digest; nothing else is known by it, nor what has none."""
    found, (a, b) = routes(("a",), ("b",))
    found.remember(b"1" * 32, a)
    found.remember(b"2" * 32, b)
    found.remember(None, a)
    assert found.recall(b"1" * 32) is a
    assert found.recall(b"2" * 32) is b
    assert [found.recall(other) for other in (b"3" * 32, b"1" * 31, None)] == [None] * 3


def test_what_is_remembered_is_bounded() -> None:
    """Beyond that it begins anew, with the last one."""
    found, (a,) = routes(("a",))
    for number in range(MAX_REMEMBERED + 1):
        found.remember(b"%32d" % number, a)
    assert [found.recall(b"%32d" % number) for number in (0, MAX_REMEMBERED)] == [None, a]
