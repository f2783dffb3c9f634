"""The playground, clicked through in a real browser, and what guards it."""

import re
import signal
import time

import httpx
import pytest

from examples.playground.screenshot import Page, playing

READ, WRITE, FLOOD = "[data-call=GET]", "[data-call=PUT]", "#flood"
WORKER_B = "[name=worker][value=B]"
MINUTE, QUARTER, DAY = (f"[data-seconds='{seconds}']" for seconds in (60, 900, 86_400))
NOTHING = "\N{EN DASH}"
HEALTHY = "[data-fault=none]"


def asked(page: Page) -> tuple[int, ...]:
    """Return how often the provider was asked for discovery and keys, and had no news."""
    return tuple(map(int, re.findall(r"\d+", page.find("#asked").text)))


def told(page: Page, *rows: str) -> list[str]:
    """Return what the answer says in those rows."""
    return [page.find(f"#{row}").text for row in rows]


# The way in.


def test_the_key_is_named_with_where_it_came_from(page: Page) -> None:
    """One worker asks the provider, the other takes the keys from the store."""
    before = asked(page)
    page.sign_in()
    assert [page.find(f"#token .{part}").text for part in ("head", "claims", "signature")] == (
        page.find("#token").text.split(".")
    )
    assert '"sub": "alice"' in page.find("#claims").text
    assert page.call() == "200 OK"
    kid = page.texts("#published .mine")[0].removesuffix(" signs")
    assert told(page, "key")[0] == kid
    assert kid in page.find("#head").text
    assert page.find("#origin").text.startswith("the provider, ")
    assert re.fullmatch(r"[\d.]+ (µs|ms|s), verified, during a refresh", page.find("#took").text)
    assert page.call() == "200 OK"
    assert re.fullmatch(r"[\d.]+ (µs|ms|s), verified", page.find("#took").text)
    page.click(WORKER_B)
    assert page.call() == "200 OK"
    assert page.find("#origin").text.startswith("the shared store, ")
    assert [now - then for now, then in zip(asked(page), before, strict=True)] == [1, 1, 0]
    assert [row.split()[1:3] for row in page.texts("#events li")[:2]] == [
        ["B", "KeysRefreshed"], ["A", "KeysRefreshed"]
    ]  # fmt: skip


def test_scopes_decide(page: Page) -> None:
    """403 without the scope, 200 with it; 401 without a token, and no error code."""
    page.sign_in()
    assert page.call(WRITE) == "403 Forbidden"
    assert 'error="insufficient_scope"' in page.find("#challenge").text
    page.click("[value='documents:write']")
    page.sign_in()
    assert page.call(WRITE) == "200 OK"
    page.click("#bare")
    assert page.call() == "401 Unauthorized"
    challenge, *others = told(page, "challenge", "key", "took")
    assert challenge.endswith('scope="documents:read"')
    assert ("error" in challenge, others) == (False, [NOTHING, NOTHING])


def pressed(page: Page) -> list[str]:
    """Return which ways of tampering are shown as pressed."""
    script = "return [...document.querySelectorAll('[data-tamper][aria-pressed=true]')]"
    names: list[str] = page.driver.execute_script(f"{script}.map((it) => it.dataset.tamper)")
    return names


@pytest.mark.parametrize(
    ("how", "raised", "detail"),
    [
        ("subject", "InvalidSignatureError", "Invalid token"),
        ("signature", "InvalidSignatureError", "Invalid token"),
        ("none", "InvalidAlgorithmError", "Invalid token"),
        ("kid", "UnknownKeyError", "Invalid token"),
        ("expired", "ExpiredSignatureError", "The token has expired"),
    ],
)
def test_a_tampered_token_is_refused(page: Page, how: str, raised: str, detail: str) -> None:
    """401; the page shows which part was changed, and how. Pressed again, the token is back."""
    page.sign_in()
    before = page.find("#token").text
    page.click(f"[data-tamper={how}]")
    page.until(lambda: page.find("#token").text != before)
    assert page.all("#token .changed")
    assert pressed(page) == [how]
    assert page.call() == "401 Unauthorized"
    assert f'error_description="{detail}"' in page.find("#challenge").text
    assert page.find("#took").text.split(", ")[1] == raised
    page.click(f"[data-tamper={how}]")
    page.expect("#token", before)
    assert pressed(page) == page.all("#token .changed") == []
    assert page.call() == "200 OK"


def test_one_way_of_tampering_replaces_the_other(page: Page) -> None:
    """Both start from the token as it was issued. A new token is not tampered with."""
    page.sign_in()
    page.click("[data-tamper=kid]")
    page.expect("#head", "made-up")
    page.click("[data-tamper=subject]")
    page.expect("#claims", "mallory")
    assert ("made-up" in page.find("#head").text, pressed(page)) == (False, ["subject"])
    page.sign_in()
    assert pressed(page) == []


def test_there_is_nothing_to_tamper_with_before_a_login(page: Page) -> None:
    """The buttons are disabled and the page says why, until there is a token."""
    buttons = "#tampers button"
    assert [button.is_enabled() for button in page.all(buttons)] == [False] * 5
    assert page.find("#tampers legend").text == "To tamper, sign in first:"
    page.sign_in()
    assert [button.is_enabled() for button in page.all(buttons)] == [True] * 5
    page.click("[data-post=start-over]")
    page.expect("#tampers legend", "sign in first")
    assert page.find("#token").text == "Sign in to get one."
    assert page.find("#tokens").text == "none yet"


def test_what_a_token_says_is_text(page: Page) -> None:
    """Markup in a claim stays what it is."""
    name = "<img src=x onerror=alert(1)>"
    script = "document.querySelector('[name=user]').add(new Option(arguments[0], undefined, 0, 1))"
    page.driver.execute_script(script, name)
    page.sign_in()
    assert page.call() == "200 OK"
    assert name in page.find("#claims").text
    assert name in page.find("#summary").text
    assert page.all("main img") == []


# Rotation, outages, floods.


def test_rotations_are_followed(page: Page) -> None:
    """Tokens of a new key verify at once, those of an old one as long as the set has it."""
    page.sign_in()
    assert page.call() == "200 OK"
    [old] = told(page, "key")
    page.click("[data-keep=true]")
    assert page.call() == "200 OK"
    page.sign_in()
    assert page.call() == "200 OK"
    assert told(page, "key") != [old]
    page.click("#tokens option:last-child")
    assert page.call() == "200 OK"
    assert told(page, "key") == [old]
    page.click("[data-keep=false]")
    page.sign_in()
    assert page.call() == "200 OK"
    page.click("#tokens option:last-child")
    assert page.call() == "401 Unauthorized"
    assert page.find("#took").text.split(", ")[1] == "UnknownKeyError"


@pytest.mark.parametrize(
    ("fault", "answer"), [("503", "503"), ("hang", "unanswered"), ("junk", "200")]
)
def test_tokens_outlast_the_provider(page: Page, fault: str, answer: str) -> None:
    """For 15 minutes with fresh keys, for a day more with stale ones; then 503 until it is back."""
    page.sign_in()
    assert page.call() == "200 OK"
    page.click(f"[data-fault='{fault}']")
    page.until(lambda: page.find(f"[data-fault='{fault}']").get_attribute("aria-pressed") == "true")
    assert (page.call(), page.find("#summary").text.split()[-2]) == ("200 OK", "fresh")
    page.click(QUARTER)
    page.expect("#workers .pill", "stale")
    assert (page.call(), page.find("#summary").text.split()[-2]) == ("200 OK", "stale")
    page.expect("#lately span", f"discovery {answer}")
    page.click(DAY)
    page.expect("#workers .pill", "too old")
    assert page.call() == "503 Service Unavailable"
    assert re.fullmatch(r"\d+ s", page.find("#retry").text)
    assert page.find("#took").text.split(", ")[1] == "KeysUnavailableError"
    page.click(HEALTHY)
    page.click(MINUTE)
    page.expect("#workers .pill", "too old")
    assert (page.call(), page.find("#summary").text.split()[-2]) == ("200 OK", "fresh")


def test_another_issuer_is_never_trusted(page: Page) -> None:
    """Keys at hand serve while they are fresh; a set that another issuer names never does."""
    page.sign_in()
    assert page.call() == "200 OK"
    page.click("[data-fault=impostor]")
    assert page.call() == "200 OK"
    page.click(QUARTER)
    page.expect("#workers .pill", "stale")
    assert page.call() == "503 Service Unavailable"
    assert page.find("#took").text.split(", ")[1] == "IssuerMismatchError"
    assert "kind: issuer_mismatch" in page.find("#events").text


def test_a_worker_that_starts_in_an_outage_takes_keys_from_the_store(page: Page) -> None:
    """Without a request to the provider."""
    page.sign_in()
    assert page.call() == "200 OK"
    page.click("[data-fault='503']")
    page.click("[data-post=restart][data-worker=A]")
    page.expect("#workers .pill", "no keys")
    before = asked(page)
    assert page.call() == "200 OK"
    assert page.find("#origin").text.startswith("the shared store, ")
    assert asked(page) == before


def test_a_flood_reaches_the_provider_twice_at_most(page: Page) -> None:
    """Three thousand made-up kids are refused, and a good token is not; twice in 10 seconds."""
    page.sign_in()
    assert page.call() == "200 OK"
    _, before, _ = asked(page)
    since = time.monotonic()
    for _ in range(3):
        assert page.call(FLOOD) == "1,000 tokens"
        assert told(page, "body") == ["UnknownKeyError x1000"]
    most = 2 * (1 + (time.monotonic() - since) // 10)
    assert 1 <= asked(page)[1] - before <= most
    assert page.call() == "200 OK"


# The page itself.


def test_the_page_allows_no_inline_script(url: str) -> None:
    """By its Content-Security-Policy."""
    policy = httpx.get(url, trust_env=False, timeout=60).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", "/api/state", "/A/documents"])
def test_other_hosts_are_refused(url: str, path: str) -> None:
    """A name that leads here by DNS rebinding is none of ours."""
    answer = httpx.get(url + path, headers={"Host": "evil.example"}, trust_env=False, timeout=60)
    assert answer.status_code == 400


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-origin", 200)])
def test_other_pages_press_no_buttons(url: str, site: str, status: int) -> None:
    """A browser sends what they send, but says where it is from."""
    headers = {"Sec-Fetch-Site": site}
    answer = httpx.post(
        f"{url}api/provider?fault=none", headers=headers, trust_env=False, timeout=60
    )
    assert answer.status_code == status


def test_it_ends_with_ctrl_c() -> None:
    """Without a word."""
    with playing() as (process, url):
        assert httpx.get(url, trust_env=False, timeout=60).status_code == 200
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")


def test_it_ends_when_nobody_looks() -> None:
    """After the time it was given."""
    with playing("--idle", "0.05") as (process, _):
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")
