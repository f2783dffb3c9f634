"""The login in /docs: Chromium, Swagger UI, and npm's oidc-provider, over real connections."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.staticfiles import StaticFiles
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait
from starlette.responses import HTMLResponse

from examples.playground.screenshot import CHROMIUM, DRIVER, browsing
from tests.openid import SWAGGER_UI, Provider, running
from tests.web.serving import serving

PAGE = (Path(__file__).parents[2] / "docs" / "fastapi.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = [block for block in BLOCKS if "usePkceWithAuthorizationCodeGrant" in block]
# Where FastAPI's page gets Swagger UI from.
ELSEWHERE = re.compile(rb"https://[\w./-]+/swagger-ui-dist@\d+")
TIMEOUT = 60.0


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """Run one provider for all tests of this module."""
    with running() as provider:
        yield provider


@pytest.fixture
def browser() -> Iterator[WebDriver]:
    """Return a browser that nobody has logged in with."""
    missing = [str(path) for path in (CHROMIUM, DRIVER) if not path.exists()]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}")
    with browsing(1280, 1000) as driver:
        yield driver


def application(code: str, provider: Provider) -> FastAPI:
    """Return the application of a block, for this provider, with Swagger UI from this machine."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(code.replace("https://login.example.com", provider.issuer), namespace)  # noqa: S102
    app: FastAPI = namespace["app"]
    app.mount("/swagger-ui-dist", StaticFiles(directory=SWAGGER_UI))

    @app.middleware("http")
    async def local(request: Request, call_next: Callable[[Request], Awaitable[Any]]) -> Any:
        response = await call_next(request)
        if request.url.path != "/docs":
            return response
        page = b"".join([part async for part in response.body_iterator])
        return HTMLResponse(ELSEWHERE.sub(b"/swagger-ui-dist", page))

    return app


class Docs:
    """Swagger UI, as its user sees it."""

    def __init__(self, driver: WebDriver, url: str) -> None:
        self.driver = driver
        # Swagger UI replaces elements while it works, and moves what it opens.
        passing = (
            ElementClickInterceptedException,
            ElementNotInteractableException,
            StaleElementReferenceException,
        )
        self.wait = WebDriverWait(driver, TIMEOUT, 0.05, passing)
        driver.get(url)
        self.page = driver.current_window_handle

    def shown(self, selector: str, text: str = "") -> WebElement | None:
        """Return the first element that a CSS selector matches and that is shown with this text."""
        elements = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return next((it for it in elements if it.is_displayed() and text in it.text), None)

    def find(self, selector: str, text: str = "") -> WebElement:
        """Wait for such an element, and return it."""
        element = self.wait.until(lambda _: self.shown(selector, text), f"{selector}: {text!r}")
        assert element
        return element

    def click(self, selector: str) -> None:
        """Wait until such an element takes a click."""

        def clicked(_driver: WebDriver) -> bool:
            element = self.shown(selector)
            if element is not None:
                element.click()
            return element is not None

        self.wait.until(clicked, selector)

    def chosen(self, label: str) -> bool:
        """Tell whether the box of a label is ticked, and tick it if it is not."""
        text = self.driver.find_element(By.CSS_SELECTOR, label)
        if self.driver.find_element(By.ID, text.get_attribute("for") or "").is_selected():
            return True
        text.click()
        return False

    def log_in(self, flow: str, scope: str) -> None:
        """Press Authorize, log in at the provider as alice, allow the scope, and come back."""
        self.click("button.authorize")
        box = f"label[for='{scope}-{flow}-checkbox-JWTBearer']"
        self.find(box)
        self.wait.until(lambda _: self.chosen(box), box)
        self.click(f".auth-container:has({box}) button.authorize")
        self.turn(2)
        self.find("[name=login]").send_keys("alice")
        self.find("[name=password]").send_keys("any")
        self.click("[type=submit]")
        # The window closes after it, and a driver that waits for what a click does would fail.
        button = self.find("[type=submit]", "Continue")
        self.driver.execute_script("setTimeout(() => arguments[0].click())", button)
        self.turn(1)
        self.find(".auth-container button", "Logout")
        self.click(".close-modal")

    def try_out(self) -> list[str]:
        """Open the one operation, and return the statuses that it lists."""
        self.click(".opblock-summary-control")
        self.click("button.try-out__btn")
        self.find("button.execute")
        script = "return [...document.querySelectorAll(arguments[0])].map((it) => it.innerText)"
        found = self.driver.execute_script(script, ".response td.response-col_status")
        return [str(each).strip() for each in found]

    def execute(self, status: str) -> Any:
        """Send the request, and return the body of the answer, which has that status."""
        self.click("button.execute")
        self.find(".live-responses-table .response td.response-col_status", status)
        body = ".live-responses-table .highlight-code code"
        return json.loads(self.wait.until(lambda it: it.find_element(By.CSS_SELECTOR, body).text))

    def turn(self, windows: int) -> None:
        """Wait until there are so many windows, and turn to the newest."""
        self.wait.until(lambda it: len(it.window_handles) == windows, f"{windows} windows")
        [*others] = {*self.driver.window_handles} - {self.page}
        self.driver.switch_to.window((*others, self.page)[0])


@pytest.mark.parametrize(
    ("code", "flow", "listed"),
    [
        (EXAMPLES[0], "authorizationCode", ["200", "401", "403", "503"]),
        (EXAMPLES[1], "authorization_code", ["200"]),
    ],
    ids=["flows", "discovery"],
)
async def test_a_login_in_docs(
    code: str, flow: str, listed: list[str], provider: Provider, browser: WebDriver
) -> None:
    """Nobody is refused; who logs in by PKCE comes back with a token that the route takes."""

    def used(url: str) -> None:
        docs = Docs(browser, url)
        assert docs.try_out() == listed
        assert docs.execute("401") == {"detail": "Not authenticated"}
        docs.log_in(flow, "things:read")
        assert docs.execute("200") == {"sub": "alice", "scope": "things:read"}

    async with serving(application(code, provider)) as address:
        await asyncio.to_thread(used, f"http://{address}/docs")
