"""One playground and one browser for all tests here, and a page that is as at the start."""

from collections.abc import Iterator

import httpx
import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from examples.playground.screenshot import CHROMIUM, DRIVER, Page, browsing, playing


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """Return where a playground is."""
    with playing() as (_, url):
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[WebDriver]:
    """Return a browser."""
    missing = [str(path) for path in (CHROMIUM, DRIVER) if not path.exists()]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}")
    with browsing(1280, 900) as driver:
        yield driver


@pytest.fixture
def page(url: str, browser: WebDriver) -> Iterator[Page]:
    """Return the page at the start: a provider in good health, an empty store, new workers."""
    httpx.post(f"{url}api/start-over", trust_env=False, timeout=60).raise_for_status()
    page = Page(browser)
    page.resize(1280, 900)
    page.look("light")
    browser.get(url)
    page.until(lambda: len(page.all("#workers .pill")) == 2, "the state of both workers")
    yield page
    # Refusals are answers that the page asked for; all else in the console is a fault.
    told = [entry["message"] for entry in browser.execute("getLog", {"type": "browser"})["value"]]
    assert [message for message in told if "/documents - Failed to load" not in message] == []
