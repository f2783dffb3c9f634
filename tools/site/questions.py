"""What a reader finds: each question of the home page, by clicks and by the site's own search.

python -m tools.site.questions prints the paths. It needs the built site, and Chromium.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tools.site.checks import pages, target
from tools.site.html import Page

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
SITE = Path(__file__).parents[2] / "build" / "site"
# What people type of each question, and the page that answers it.
QUESTIONS = {
    "Why is my token rejected?": ("token rejected", "troubleshooting"),
    "How do I set up Entra ID for three tenants?": ("entra tenants", "providers/entra"),
    "What goes into my readiness probe?": ("readiness probe", "readiness"),
    "What does a token cost?": ("token cost", "performance"),
    "How do I test a guarded route?": ("test", "testing"),
    "How do I move from PyJWKClient?": ("PyJWKClient", "migrate/pyjwt"),
    "Can I use Postgres as the store?": ("postgres", "stores"),
    "What happens when Redis is down?": ("redis down", "outages"),
    "How do I run it on AWS Lambda?": ("lambda", "workers"),
    "What is in Redis?": ("what is in redis", "runbooks"),
    "A key has leaked. What now?": ("key leaked", "runbooks"),
    "Which algorithms are accepted?": ("algorithms", "tokens"),
}
MAX_CLICKS, MAX_RANK = 2, 5
SECONDS = 60  # for a page or an answer of the search, on a busy machine
FOUND = """
const list = [...document.querySelectorAll("*")].flatMap(each => each.shadowRoot
    ? [...each.shadowRoot.querySelectorAll("[role=option]")] : []);
return list.map(each => each.href);
"""
TYPED = """
const input = [...document.querySelectorAll("*")].flatMap(each => each.shadowRoot
    ? [...each.shadowRoot.querySelectorAll("input[role=combobox]")] : [])[0];
const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
set.call(input, arguments[0]);
input.dispatchEvent(new Event("input", {bubbles: true, composed: true}));
"""
STATE = "return document.readyState;"
LOADED = "return performance.getEntriesByType('resource').map(each => each.name);"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder over plain HTTP on loopback, and yield its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def browsing() -> Iterator[webdriver.Chrome]:
    """Yield a browser that knows no proxy, and so reaches loopback alone by its own."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage",
                     "--no-proxy-server", "--window-size=1280,900"):  # fmt: skip
        options.add_argument(argument)
    options.binary_location = str(CHROMIUM)
    driver = webdriver.Chrome(options, Service(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


def clicks(known: dict[str, Page], wanted: str) -> list[str] | None:
    """Return the shortest way from the home page, None if it takes too many clicks."""
    ways: list[list[str]] = [[""]]
    for _ in range(MAX_CLICKS):
        steps = [(way, target(way[-1], link)) for way in ways for link in known[way[-1]].links]
        ways = [[*way, where[0]] for way, where in steps if where and where[0] in known]
        for way in ways:
            if way[-1] == wanted:
                return way
    return None


def searched(driver: webdriver.Chrome, words: str) -> list[str]:
    """Return the pages that the search of the open page finds, the best first."""
    wait = WebDriverWait(driver, SECONDS)
    # Each in one step, so that no answer to half of the words is taken for the answer.
    driver.execute_script(TYPED, "")
    wait.until(lambda browser: not browser.execute_script(FOUND))
    driver.execute_script(TYPED, words)
    found = wait.until(lambda browser: browser.execute_script(FOUND))
    return list(dict.fromkeys(urlsplit(str(each)).path.strip("/") for each in found))


def asked(driver: webdriver.Chrome, url: str, known: dict[str, Page]) -> Iterator[str]:
    """Print the ways to each answer, and yield what can't be found."""
    driver.get(url)
    WebDriverWait(driver, SECONDS).until(
        lambda page: page.find_element(By.CLASS_NAME, "md-search__button")
    ).click()
    for question, (words, wanted) in QUESTIONS.items():
        way = clicks(known, wanted)
        # The home page has all questions itself.
        found = [name for name in searched(driver, words) if name]
        rank = found.index(wanted) + 1 if wanted in found else None
        print(f"{question}\n    clicks: {' > '.join(name or 'home' for name in way or ())}")
        print(f"    search for {words!r}: {rank or 'not found'} of {len(found)}")
        if way is None:
            yield f"{wanted} is more than {MAX_CLICKS} clicks away: {question}"
        if rank is None or rank > MAX_RANK:
            yield f"{wanted} is not among the first {MAX_RANK}: {question} {found}"
    for name in ("", "freshness/", "api/auth_jwks/"):  # words, a picture, code
        driver.get(url + name)
        WebDriverWait(driver, SECONDS).until(lambda page: "complete" in page.execute_script(STATE))
        foreign = [each for each in driver.execute_script(LOADED) if not each.startswith(url)]
        if foreign:
            yield f"/{name} asks others: {foreign}"


def main() -> str | None:
    """Return what can't be found."""
    if missing := [str(path) for path in (CHROMIUM, DRIVER) if not path.exists()]:
        return f"needs {' and '.join(missing)}"
    with serving(SITE) as url, browsing() as driver:
        return "\n".join(asked(driver, url, pages(SITE))) or None


if __name__ == "__main__":
    sys.exit(main())
