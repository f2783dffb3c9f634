"""The rules of a verifier: what it requires of tokens, and of one under a call's profile."""

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from auth_jwks._jose.claims import Expected
from auth_jwks._jose.issuer import IssuerNames
from auth_jwks._jose.keys import checked_algorithms
from auth_jwks._jose.tokens import TOKEN_LENGTHS
from auth_jwks._settings import (
    checked_audience,
    checked_count,
    checked_flag,
    checked_issuer,
    checked_number,
    checked_strings,
    checked_tenants,
)
from auth_jwks.profiles._judgement import accepted_types, checked_profile, comes_once, passed
from auth_jwks.profiles._kinds import AccessToken, IDToken, Profile

if TYPE_CHECKING:
    from auth_jwks._jose.tenants import Tenants

__all__ = [
    "Call",
    "Rules",
    "RulesOfCalls",
    "ask",
    "audience_of_call",
    "cached_call",
    "checked_rules",
]

DEFAULT_ALGORITHMS = ("RS256", "ES256")
DEFAULT_CLAIMS = ("exp", "iat", "sub")
MAX_PROFILES = 64  # of calls, whose rules are at hand


class Rules:
    """The rules that a token must meet; `leeway` is in seconds, `longest` in characters.

    `issuer` has no names if that of the discovery document is trusted. A `profile` has the accepted
    `types`, a `check` of the user's, and says whether a result may be remembered. Rules are equal
    only to themselves, because they are part of the token cache's key.
    """

    __slots__ = (
        "allowed", "audience", "check", "is_lasting", "issuer", "leeway", "longest", "numeric_sub",
        "profile", "required", "tenants", "types",
    )  # fmt: skip

    def __init__(
        self, allowed: frozenset[str], issuer: IssuerNames, tenants: "Tenants | None",
        audience: frozenset[str] | None, leeway: float, required: tuple[str, ...], longest: int,
        *, numeric_sub: bool, profile: Profile | None = None,
        types: frozenset[str | None] | None = None,
        check: Callable[[dict[str, Any]], object] | None = None, is_lasting: bool = True,
    ) -> None:  # fmt: skip
        self.allowed: Final = allowed
        self.issuer: Final = issuer
        self.tenants: Final = tenants
        self.audience: Final = audience
        self.leeway: Final = leeway
        self.required: Final = required
        self.longest: Final = longest
        self.numeric_sub: Final = numeric_sub
        self.profile: Final = profile
        self.types: Final = types
        self.check: Final = check
        self.is_lasting: Final = is_lasting


def checked_rules(
    allowed_algorithms: Collection[str] | None,
    aud: str | Iterable[str] | None,
    leeway: float,
    required_claims: Collection[str],
    profile: Profile | None,
    *,
    issuer: str | Sequence[str] | None,
    tenants: Collection[str] | Callable[[str], bool] | None,
    max_token_length: int,
    numeric_sub: bool,
) -> Rules:
    """Check the parameters of `JWKS` that are about tokens. `exp` is always required."""
    algorithms = DEFAULT_ALGORITHMS if allowed_algorithms is None else allowed_algorithms
    required = checked_strings("required_claims", required_claims)
    names = checked_issuer(issuer)
    rules = Rules(
        checked_algorithms(checked_strings("allowed_algorithms", algorithms)),
        names,
        checked_tenants(tenants, names),
        None if aud is None else checked_audience("aud", aud),
        checked_number("leeway", leeway),
        tuple(dict.fromkeys(("exp", *required))),
        checked_count("max_token_length", max_token_length, within=TOKEN_LENGTHS),
        numeric_sub=checked_flag("numeric_sub", numeric_sub),
    )
    if profile is None:
        return rules
    rules = _rules_under(rules, checked_profile(profile))
    if set(required) != set(DEFAULT_CLAIMS):
        raise ValueError("required_claims: expected none of your own, as the profile has its own")
    if isinstance(profile, IDToken) and aud is not None:
        raise TypeError("aud: expected None, as the audience of an ID token is its client_id")
    return rules


class Call:
    """The rules of one call, the audience that it wants, and whether it checks the issuer."""

    __slots__ = ("asks_again", "audience", "expected", "options", "rules", "verify_iss")

    def __init__(
        self,
        rules: Rules,
        audience: frozenset[str] | None,
        *,
        verify_iss: bool,
        is_usual: bool = False,
    ) -> None:
        """Of an unusual call, the `options` are part of the token cache's key.

        `expected` is what claims must meet; None if that depends on the discovery document.
        """
        self.rules = rules
        self.audience = audience
        self.verify_iss = verify_iss
        self.options: tuple[Hashable, ...] = () if is_usual else (audience, verify_iss, rules)
        self.asks_again = rules.tenants is not None or rules.check is not None
        named = rules.issuer if verify_iss else None
        is_known = named is None or named.names
        self.expected = self._with(named) if is_known else None

    def __repr__(self) -> str:
        return f"Call(audience={self.audience!r}, verify_iss={self.verify_iss!r})"

    def expected_of(self, issuer: str | None) -> Expected:
        """Return what claims must meet; `issuer` is that of the discovery document.

        It is None before the provider has confirmed one: the configured one may be wrong.
        """
        return self._with(_exactly(issuer))

    def _with(self, issuer: IssuerNames | None) -> Expected:
        rules = self.rules
        return _expected(rules.leeway, rules.required, issuer, self.audience, rules.numeric_sub)


cached_call = lru_cache(maxsize=256)(Call)


class RulesOfCalls:
    """The rules of a verifier under the profiles of its calls: the same each time.

    They are part of the token cache's key.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._by_profile: dict[int, Rules] = {}

    def __repr__(self) -> str:
        return f"RulesOfCalls({len(self._by_profile)})"

    def under(self, profile: Profile) -> Rules:
        """Return the rules under the profile of a call, which is mostly one that came before."""
        known = self._by_profile.get(id(profile))
        if known is not None and known.profile is profile:
            return known
        rules = _rules_of_call(self._rules, profile)
        if rules.is_lasting:
            if len(self._by_profile) >= MAX_PROFILES:
                self._by_profile.clear()
            self._by_profile[id(profile)] = rules
        return rules


def _rules_of_call(rules: Rules, profile: Profile) -> Rules:
    """Return the rules under the profile of a call: the same each time, for the token cache."""
    checked_profile(profile)
    if isinstance(profile, IDToken) and comes_once(profile):
        return _rules_under(rules, profile)  # not kept: it holds what is secret
    return _cached_rules_under(rules, profile)


def _rules_under(rules: Rules, profile: Profile) -> Rules:
    client = frozenset((profile.client_id,)) if isinstance(profile, IDToken) else None
    return Rules(
        rules.allowed,
        rules.issuer,
        rules.tenants,
        client or rules.audience,
        rules.leeway,
        ("exp",),
        rules.longest,
        numeric_sub=rules.numeric_sub,
        profile=profile,
        types=accepted_types(profile),
        check=profile.check if isinstance(profile, AccessToken) else None,
        is_lasting=not (isinstance(profile, IDToken) and comes_once(profile)),
    )


_cached_rules_under = lru_cache(maxsize=256)(_rules_under)


def audience_of_call(audience: object, rules: Rules) -> frozenset[str]:
    """Return the audiences that a call names in place of the verifier's."""
    if isinstance(rules.profile, IDToken):
        raise TypeError("audience: expected None, as that of an ID token is its client_id")
    if type(audience) is str:
        return _cached_audience(audience)
    return checked_audience("audience", audience)


@lru_cache(maxsize=256)
def _cached_audience(audience: str) -> frozenset[str]:
    return checked_audience("audience", audience)


def ask(rules: Rules, claims: dict[str, Any]) -> None:
    """Ask the user's functions about a token that was seen before, as they may change their mind.

    Raises what these raise.
    """
    if rules.tenants is not None:
        rules.tenants.asked(claims)
    if rules.check is not None:
        passed(rules.check, claims)


@lru_cache(maxsize=256)
def _exactly(issuer: str | None) -> IssuerNames | None:
    """Return the issuer of a discovery document, of which no template is trusted."""
    return None if issuer is None else IssuerNames((issuer,))


_expected = lru_cache(maxsize=256)(Expected)
