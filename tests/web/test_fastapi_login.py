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
from selenium.common.exceptions import StaleElementReferenceException
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
        # Swagger UI replaces elements while it works.
        self.wait = WebDriverWait(driver, TIMEOUT, 0.05, [StaleElementReferenceException])
        driver.get(url)
        self.page = driver.current_window_handle

    def find(self, selector: str, text: str = "") -> WebElement:
        """Return the first element that a CSS selector matches and that is shown with this text."""

        def found(driver: WebDriver) -> WebElement | bool:
            elements = driver.find_elements(By.CSS_SELECTOR, selector)
            return next((it for it in elements if it.is_displayed() and text in it.text), False)

        element = self.wait.until(found, f"{selector} with {text!r}")
        assert isinstance(element, WebElement)
        return element

    def log_in(self, flow: str, scope: str) -> None:
        """Press Authorize, log in at the provider as alice, allow the scope, and come back."""
        self.find("button.authorize").click()
        box = self.find(f"label[for='{scope}-{flow}-checkbox-JWTBearer']")
        if not self.driver.find_element(By.ID, box.get_attribute("for") or "").is_selected():
            box.click()
        form = box.find_element(By.XPATH, "./ancestor::div[@class='auth-container']")
        form.find_element(By.CSS_SELECTOR, "button.authorize").click()
        self.turn(2)
        self.find("[name=login]").send_keys("alice")
        self.find("[name=password]").send_keys("any")
        self.find("[type=submit]").click()
        # The window closes after it, and a driver that waits for what a click does would fail.
        button = self.find("[type=submit]", "Continue")
        self.driver.execute_script("setTimeout(() => arguments[0].click())", button)
        self.turn(1)
        self.find(".auth-container button", "Logout")
        self.find(".close-modal").click()

    def try_out(self) -> list[str]:
        """Open the one operation, and return the statuses that it lists."""
        self.find(".opblock-summary-control").click()
        self.find("button.try-out__btn").click()
        statuses = self.driver.find_elements(By.CSS_SELECTOR, ".response td.response-col_status")
        return [each.text for each in statuses]

    def execute(self, status: str) -> Any:
        """Send the request, and return the body of the answer, which has that status."""
        self.find("button.execute").click()
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
