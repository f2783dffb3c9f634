"""Takes the picture for the README: an outage, in headless Chromium.

    python -m examples.playground.screenshot docs/playground.png

Needs Selenium, Chromium and its driver. The tests drive the page with this code too.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

__all__ = ["CHROMIUM", "DRIVER", "Page", "browsing", "outage", "playing"]

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
ROOT = Path(__file__).parents[2]
TIMEOUT = 60.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--no-proxy-server",
)  # fmt: skip


@contextmanager
def playing(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the playground as a user does, on a free port. Yields the process and the URL."""
    command = [sys.executable, "-m", "examples.playground", *options]
    with subprocess.Popen(  # noqa: S603 - this very interpreter
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            greeting = next(iter(process.stdout or ()), "")
            if not greeting:
                raise RuntimeError(process.communicate()[1])
            yield process, greeting.split()[1]
        finally:
            process.kill()


@contextmanager
def browsing(width: int, height: int, *, scale: float = 1) -> Iterator[webdriver.Chrome]:
    """Run a browser whose pages have that size, in CSS pixels."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, Service(str(DRIVER)))
        try:
            Page(driver).resize(width, height, scale=scale)
            yield driver
        finally:
            driver.quit()


class Page:
    """The playground in a browser, as its user sees it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def resize(self, width: int, height: int, *, scale: float = 1) -> None:
        """Show it in that size, in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def look(self, scheme: str, *, motion: bool = False) -> None:
        """Prefer "light" or "dark" colours; without `motion`, nothing waits to be watched."""
        wishes = {
            "prefers-color-scheme": scheme,
            "prefers-reduced-motion": "no-preference" if motion else "reduce",
        }
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def find(self, selector: str) -> WebElement:
        """Return the first element that a CSS selector matches."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """Return every element that a CSS selector matches."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Return their texts, all read at one moment: the page replaces elements now and then."""
        script = "return [...document.querySelectorAll(arguments[0])].map((it) => it.innerText)"
        texts: list[str] = self.driver.execute_script(script, selector)
        return texts

    def click(self, selector: str) -> None:
        """Click the first match, once it is in the middle of the screen or as near as can be."""
        element = self.find(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({ block: 'center' })", element)
        element.click()

    def until(self, condition: Callable[[], bool], meaning: str = "") -> None:
        """Return once the condition holds; selenium's `TimeoutException` after a minute."""
        wait = WebDriverWait(self.driver, TIMEOUT, poll_frequency=0.02)
        wait.until(lambda _: condition(), meaning)

    def expect(self, selector: str, text: str) -> None:
        """Return once the element contains that text."""
        self.until(lambda: text in "".join(self.texts(selector)[:1]), f"{selector} to say {text!r}")

    def sign_in(self) -> None:
        """Get another token, and return once it is there."""
        before = self.find("#token").text
        self.click("#sign-in .primary")
        self.until(lambda: self.find("#token").text != before, "another token")
        self.expect("#did", "Signed in: ")  # the last thing that happens

    def call(self, button: str = "[data-call=GET]") -> str:
        """Click a button that calls the API, and return the status of the answer."""
        answer = self.find("#answer")
        before = answer.get_attribute("data-answers")
        self.click(button)
        self.until(lambda: answer.get_attribute("data-answers") != before, "an answer")
        return self.find("#status").text

    def take(self, step: str) -> str:
        """Play a line of “Try this” to its end, and return the status of its last answer."""
        self.click(f"[data-step={step}]")
        tour = self.find("#tour")
        self.until(lambda: tour.get_attribute("aria-busy") == "false", f"the end of {step}")
        return self.find("#status").text


def outage(page: Page) -> None:
    """Bring the page to its main scene: a provider that is down, and tokens that still verify."""
    for step in ("read", "rotate", "share", "outage"):
        page.take(step)
    page.expect("#workers section", "503 (discovery document); again in")
    page.driver.execute_script("document.activeElement.blur(); scrollTo(0, 0)")


def main() -> None:
    """Take the picture."""
    parser = argparse.ArgumentParser(description="take the picture of the playground")
    parser.add_argument("path", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=900)
    parser.add_argument("--scale", type=float, default=1.5)
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    with (
        playing() as (_, url),
        browsing(options.width, options.height, scale=options.scale) as driver,
    ):
        page = Page(driver)
        page.look("dark" if options.dark else "light")
        driver.get(url)
        outage(page)
        driver.save_screenshot(str(options.path))


if __name__ == "__main__":
    main()
