"""The playground, clicked through in a real browser, and what guards it."""

import re
import signal
from collections.abc import Iterator

import httpx
import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from examples.playground.screenshot import CHROMIUM, DRIVER, Page, browsing, outage, playing

READ, WRITE, FLOOD = "[data-call=GET]", "[data-call=PUT]", "#flood"
WORKER_B = "[name=worker][value=B]"
MINUTE, QUARTER, DAY = (f"[data-seconds='{seconds}']" for seconds in (60, 900, 86_400))
NOTHING = "\N{EN DASH}"
HEALTHY = "[data-fault=none]"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Return where a playground is."""
    with playing() as (_, url):
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    """Return a browser."""
    missing = [str(path) for path in (CHROMIUM, DRIVER) if not path.exists()]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}")
    with browsing(1280, 800) as driver:
        yield driver


@pytest.fixture
def page(url: str, browser: WebDriver) -> Iterator[Page]:
    """Return the page of a provider in good health, with workers that have just started.

    What the store still holds is too old for them, and its cool-downs are over.
    """
    with httpx.Client(base_url=url, trust_env=False) as client:
        for action in ("provider?fault=none", "clock?seconds=200000", "restart?worker=A",
                       "restart?worker=B"):  # fmt: skip
            client.post(f"/api/{action}").raise_for_status()
    browser.get(url)
    page = Page(browser)
    page.until(lambda: len(page.all("#workers .pill")) == 2, "the state of both workers")
    yield page
    # Refusals are answers that the page asked for; all else in the console is a fault.
    told = [entry["message"] for entry in browser.execute("getLog", {"type": "browser"})["value"]]
    assert [message for message in told if "/documents - Failed to load" not in message] == []


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
    """401, and the page shows which part was changed."""
    page.sign_in()
    before = page.find("#token").text
    page.click(f"[data-tamper={how}]")
    page.until(lambda: page.find("#token").text != before)
    assert bool(page.all("#token .changed")) == (how != "expired")
    assert page.call() == "401 Unauthorized"
    assert f'error_description="{detail}"' in page.find("#challenge").text
    assert page.find("#took").text.endswith(raised)


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
    assert page.find("#took").text.endswith("UnknownKeyError")


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
    assert page.find("#took").text.endswith("KeysUnavailableError")
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
    assert page.find("#took").text.endswith("IssuerMismatchError")
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
    """Three thousand made-up kids are refused, and a good token is not."""
    page.sign_in()
    assert page.call() == "200 OK"
    _, before, _ = asked(page)
    for _ in range(3):
        assert page.call(FLOOD) == "1,000 tokens"
        assert told(page, "body") == ["UnknownKeyError x1000"]
    assert 1 <= asked(page)[1] - before <= 2
    assert page.call() == "200 OK"


# The page itself.


def test_the_picture_fits(page: Page) -> None:
    """That of the README: on a laptop without scrolling, on a phone without scrolling sideways."""
    outage(page)
    assert page.find("#status").text == "200 OK"
    assert "RefreshFailed" in page.find("#events").text
    root = page.find("html")
    assert [root.get_property("scrollWidth"), root.get_property("scrollHeight")] == [1280, 800]
    page.resize(390, 844)
    assert root.get_property("scrollWidth") == 390
    page.resize(1280, 800)


def test_every_control_has_a_name(page: Page) -> None:
    """For those who hear the page."""
    names = [control.accessible_name for control in page.all("button, input, select, [tabindex]")]
    assert len(names) > 30
    assert "" not in names


def test_the_page_allows_no_inline_script(url: str) -> None:
    """By its Content-Security-Policy."""
    policy = httpx.get(url, trust_env=False).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", "/api/state", "/A/documents"])
def test_other_hosts_are_refused(url: str, path: str) -> None:
    """A name that leads here by DNS rebinding is none of ours."""
    answer = httpx.get(url + path, headers={"Host": "evil.example"}, trust_env=False)
    assert answer.status_code == 400


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-origin", 200)])
def test_other_pages_press_no_buttons(url: str, site: str, status: int) -> None:
    """A browser sends what they send, but says where it is from."""
    headers = {"Sec-Fetch-Site": site}
    answer = httpx.post(f"{url}api/provider?fault=none", headers=headers, trust_env=False)
    assert answer.status_code == status


def test_it_ends_with_ctrl_c() -> None:
    """Without a word."""
    with playing() as (process, url):
        assert httpx.get(url, trust_env=False).status_code == 200
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=10)
    assert (process.returncode, stderr) == (0, "")


def test_it_ends_when_nobody_looks() -> None:
    """After the time it was given."""
    with playing("--idle", "0.05") as (process, _):
        _, stderr = process.communicate(timeout=10)
    assert (process.returncode, stderr) == (0, "")
