"""What is to be said of a provider, line by line, and what to change. Pure but for the time."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from auth_jwks._cache.freshness import Policy, lifetime
from auth_jwks._jose.issuer import PLACEHOLDER, issuer_names
from auth_jwks._provider.headers import compressions, max_age
from auth_jwks._provider.urls import is_exposed, redacted
from auth_jwks.cli._key_facts import KeyFacts
from auth_jwks.cli._look import TLS, Answer, Found
from auth_jwks.cli._texts import shown, span

__all__ = ["Finding", "findings"]

DAY = 86_400
SOON = 21  # days, in which a certificate should have been renewed
SKEW = 5.0  # seconds between two clocks that are worth a word
LEEWAY = 30.0  # seconds, that `JWKS` grants by default


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `advice` says what to change.

    `unavailable`: it leaves a verifier without keys.
    """

    check: str
    verdict: Literal["ok", "warn", "fail", "note"]
    message: str
    advice: str = ""
    unavailable: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON has it."""
        return {name: value for name, value in asdict(self).items() if name != "unavailable"}

    def row(self) -> tuple[str, str, str]:
        """Return the finding as a row of a table."""
        return self.verdict.replace("fail", "FAIL"), self.check, self.message


def findings(found: Found, keys: list[KeyFacts], now: float) -> Iterator[Finding]:
    """Yield what there is to say of what was found."""
    if found.kind == "jwks_uri":
        advice = "give the issuer too, as issuer=, or the iss claim of tokens is not checked"
        yield Finding("discovery", "note", "this is a key set, without discovery", advice)
    else:
        yield from _of_discovery(found)
    if found.keys is not None:
        yield _of_keys(found.keys, keys)
    yield from _of_tls(found, now)
    for answer in found.answers:
        if answer.fault is None:
            yield _of_headers(answer)
    if found.keys is not None and found.keys.fault is None:
        yield _of_lifetime(found.keys)
    yield from _of_clock(found, now)


def _of_discovery(found: Found) -> Iterator[Finding]:
    *before, last = found.discovery
    for answer in before:
        yield Finding("discovery", "note", f"nothing at {redacted(answer.url)}")
    if last.fault is not None:
        text = f"{redacted(last.url)}: {last.fault.reason}"
        yield Finding("discovery", "fail", text, _mending(found, last), unavailable=True)
        return
    if found.metadata is None:
        text = f"{redacted(last.url)} is not a JSON object"
        advice = "give the issuer, or the whole URL of the discovery document"
        yield Finding("discovery", "fail", text, advice, unavailable=True)
        return
    yield Finding("discovery", "ok", redacted(last.url))
    yield _of_issuer(found)
    yield _of_jwks_uri(found)


def _mending(found: Found, answer: Answer) -> str:
    reason = "" if answer.fault is None else answer.fault.reason
    if "redirects are not followed" in reason:
        return "give the URL that the redirect leads to: redirects are never followed"
    if answer.status == 404:
        what = "the issuer" if found.kind == "issuer" else "the URL"
        return f"check {what} against what the provider documents, letter by letter"
    if "certificate" in reason:
        return "name the CA of a private provider by SSL_CERT_FILE"
    return "make this URL reachable from here: see the cause"


def _of_issuer(found: Found) -> Finding:
    named = (found.metadata or {}).get("issuer")
    if not isinstance(named, str) or not named.strip():
        advice = "ask the provider: OpenID Connect Discovery §3 requires it"
        return Finding("issuer", "fail", "the document names none", advice, unavailable=True)
    if found.issuer is None:
        advice = f"pass issuer={shown(named)}, if that is the provider you mean"
        return Finding("issuer", "note", f"the document names {shown(named)}", advice)
    if named == found.issuer:
        return Finding("issuer", "ok", shown(named))
    text = f"expected {shown(found.issuer)}, the document names {shown(named)}"
    if issuer_names((found.issuer,)).lacks_slash(named):
        text += ": they differ in the slash at the end"
    advice = f"pass issuer={shown(named)}"
    if PLACEHOLDER in named:
        advice += ", with tenants= for the tenants to let in"
    return Finding("issuer", "fail", text, advice)


def _of_jwks_uri(found: Found) -> Finding:
    stated = (found.metadata or {}).get("jwks_uri")
    if found.jwks_uri is None:
        text = "none that can be asked" if stated else "the document names none"
        advice = "give the URL of the keys as jwks_uri="
        return Finding("jwks_uri", "fail", text, advice, unavailable=True)
    url = redacted(found.jwks_uri)
    if found.discovery[-1].url.lower().startswith("https:") and not url.startswith("https:"):
        advice = "have the provider publish its keys by https, as its discovery"
        return Finding("jwks_uri", "fail", f"{url} is not https", advice, unavailable=True)
    if found.jwks_uri != stated:
        text = f"{url}, in place of {shown(redacted(str(stated)))}, which is local (fix_local_url)"
        return Finding("jwks_uri", "note", text)
    return Finding("jwks_uri", "ok", url)


def _of_keys(answer: Answer, keys: list[KeyFacts]) -> Finding:
    if answer.fault is not None:
        text = f"{redacted(answer.url)}: {answer.fault.reason}"
        advice = "make this URL reachable from here: see the cause"
        return Finding("keys", "fail", text, advice, unavailable=True)
    usable = sum(key.fault is None for key in keys)
    text = f"{usable} of {len(keys)} can be used"
    others = sorted({name for key in keys for name in key.instead})
    advice = f"if tokens are signed by one of {', '.join(others)}, pass it in allowed_algorithms="
    if not usable:
        advice = advice if others else "see why at each key"
        return Finding("keys", "fail", text, advice, unavailable=True)
    return Finding("keys", "warn", text, advice) if others else Finding("keys", "ok", text)


def _of_tls(found: Found, now: float) -> Iterator[Finding]:
    """Yield one finding for each host."""
    seen = set[str]()
    for answer in found.answers:
        host = urlsplit(answer.url).netloc
        if host in seen:
            continue
        seen.add(host)
        if is_exposed(answer.url):
            text = f"{host}: plain http, so whoever is on the way can forge its keys"
            yield Finding("tls", "warn", text, "use https")
        elif answer.url.startswith("http:"):
            yield Finding("tls", "note", f"{host}: plain http, to a local host")
        elif answer.tls is not None and answer.tls.expires is not None:
            yield _of_certificate(answer.tls, answer.tls.expires, now)


def _of_certificate(tls: TLS, expires: float, now: float) -> Finding:
    days = (expires - now) / DAY
    names = ", ".join(tls.names[:3])
    text = f"{tls.version}, certificate for {names}, expires in {days:,.0f} days"
    if days < SOON:
        return Finding("tls", "warn", text, "renew the certificate: an expired one is refused")
    return Finding("tls", "ok", text)


def _of_headers(answer: Answer) -> Finding:
    headers = answer.headers
    shown_headers = {
        "content type": headers.get("content-type", ""),
        "coding": ", ".join(compressions(headers.get("content-encoding", ""))),
        "ETag": headers.get("etag", ""),
        "Cache-Control": headers.get("cache-control", ""),
    }
    text = ", ".join(
        f"{name} {shown(each) if each else 'none'}" for name, each in shown_headers.items()
    )
    return Finding("headers", "note", f"{redacted(answer.url)}: {text}")


def _of_lifetime(answer: Answer) -> Finding:
    policy = Policy()
    stated = max_age(answer.headers.get("cache-control", ""), answer.headers.get("age", ""))
    life = lifetime(policy, fetched=0.0, max_age=stated, refresh_ahead=1.0)
    says = "the provider does not say how long" if stated is None else f"max-age is {stated:g} s"
    text = f"keys are fresh for {life.expires:g} s, and usable for {span(life.dies)} in an outage"
    return Finding("lifetime", "ok", f"{text} (cache_ttl {policy.cache_ttl:g} s; {says})")


def _of_clock(found: Found, now: float) -> Iterator[Finding]:
    for answer in found.answers:
        try:
            date = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
        except ValueError:
            continue
        age = answer.headers.get("age", "")
        skew = now - date - (int(age) if age.isdecimal() and len(age) < 10 else 0)
        text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the provider's"
        if abs(skew) <= SKEW:
            yield Finding("clock", "ok", f"within {SKEW:g} s of the provider's")
        elif abs(skew) <= LEEWAY:
            yield Finding("clock", "warn", text, "set the clock of this host by NTP")
        else:
            advice = f"set the clock by NTP: {LEEWAY:g} s of leeway do not cover it"
            yield Finding("clock", "fail", text, advice)
        return
