"""The page itself: for those who hear it, who use a keyboard, a phone, a dark room."""

from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from examples.playground.screenshot import Page, outage
from tests.npm import install

DESKTOP, PHONE, SMALL = (1280, 900), (375, 667), (320, 568)
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
FINDINGS = """
const [rules, done] = arguments;
axe.run({ runOnly: rules }).then(
  ({ violations }) => done(violations.map(({ id, nodes }) => [id, ...nodes.map((it) => it.html)])),
);
"""
# The elements that can be scrolled, the log of events aside.
SCROLLING = """
return [...document.querySelectorAll("main *")].filter((it) => !it.closest("#events") &&
  it.scrollHeight > it.clientHeight && getComputedStyle(it).overflowY !== "visible");
"""
# Whether all of it is on the screen, and nothing lies on top of its middle.
SEEN = """
const { top, bottom, left, width, height } = arguments[0].getBoundingClientRect();
const there = document.elementFromPoint(left + width / 2, top + height / 2);
return top >= 0 && bottom <= innerHeight && arguments[0].contains(there);
"""


@pytest.fixture(scope="session")
def axe() -> str:
    """Return the program that checks pages."""
    folder = install(Path(__file__).with_name("axe"))
    return (folder / "axe-core" / "axe.min.js").read_text("utf-8")


def findings(page: Page, axe: str) -> list[list[str]]:
    """Return what axe finds on the page as it is."""
    page.driver.execute_script(axe)
    page.driver.set_script_timeout(120)
    found: list[list[str]] = page.driver.execute_async_script(FINDINGS, RULES)
    return found


def test_axe_has_no_finding(page: Page, axe: str) -> None:
    """Light and dark, on a desktop and on a phone, at the start and with all that may be shown."""
    assert findings(page, axe) == []
    outage(page)
    page.click("[data-tamper=subject]")
    for size in (DESKTOP, PHONE):
        page.resize(*size)
        for scheme in ("light", "dark"):
            page.look(scheme)
            assert (size, scheme, findings(page, axe)) == (size, scheme, [])
    page.click("[popovertarget=about-provider]")
    assert findings(page, axe) == []


def test_every_control_has_a_name(page: Page) -> None:
    """For those who hear the page."""
    controls = page.all(":is(button, input, select, [tabindex]):not([popover] *)")
    names = [control.accessible_name for control in controls]
    assert len(names) > 30
    assert "" not in names


def test_a_keyboard_reaches_every_control(page: Page) -> None:
    """With Tab alone, “Try this” first; on a phone nothing lies on top of what has the focus."""
    page.resize(*PHONE)
    # Of a group of choices, Tab reaches the chosen one.
    controls = ":is(button, select, [tabindex], input:not([value=B])):enabled:not([popover] *)"
    expected = page.all(f"{controls}, #events")
    reached = []
    for _ in expected:
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        reached.append(page.driver.switch_to.active_element)
        assert page.driver.execute_script(SEEN, reached[-1])
    assert reached[0].get_attribute("data-post") == "start-over"
    assert reached[1].get_attribute("data-step") == "read"
    assert {*reached} == {*expected}
    reached[1].send_keys(Keys.ENTER)
    page.expect("#did", "Pressed for you: ")


def test_words_are_explained(page: Page) -> None:
    """A question mark tells what they mean; Close hides that again."""
    about = {"token": ["kid"], "keys": ["stale"], "provider": ["Junk", "Other issuer", "304"]}
    for subject, words in about.items():
        page.click(f"[popovertarget=about-{subject}]")
        text = page.find(f"#about-{subject}").text
        assert [word for word in words if word not in text] == []
        page.click(f"#about-{subject} button")
        assert not page.find(f"#about-{subject}").is_displayed()


def test_a_row_without_a_value_has_a_dash(page: Page) -> None:
    """Before anything has happened too."""
    rows = page.all("main dd")
    assert len(rows) == 15
    assert [row.text for row in rows if not row.text] == []


def test_the_picture_fits(page: Page) -> None:
    """That of the README: on a desktop only the log scrolls, on a phone nothing does sideways."""
    outage(page)
    assert page.find("#status").text == "200 OK"
    assert "RefreshFailed" in page.find("#events").text
    root = page.find("html")
    assert [root.get_property("scrollWidth"), root.get_property("scrollHeight")] == [*DESKTOP]
    assert page.driver.execute_script(SCROLLING) == []
    for size in (PHONE, SMALL):
        page.resize(*size)
        assert root.get_property("scrollWidth") == size[0]


def on_one_screen(page: Page, button: str) -> bool:
    """Tell whether the button and the effects are seen, without scrolling."""
    parts = [page.find(part) for part in (button, "#echo-status", "#changes", "#did")]
    return all(page.driver.execute_script(SEEN, part) for part in parts)


def test_cause_and_effect_are_on_one_screen(page: Page) -> None:
    """On a phone: the button that was pressed, the answer, and what has changed in the workers."""
    page.resize(*PHONE)
    for line in page.all("[data-step]"):
        step = str(line.get_attribute("data-step"))
        status = page.take(step)
        assert page.find("#echo-status").text == status
        assert on_one_screen(page, f"[data-step={step}]")
    for button, text in (
        ("[data-fault=junk]", "from now on: Junk"),
        ("[data-seconds='900']", "A: fresh → stale"),
        ("[data-call=GET]", "with stale keys"),
        ("[data-tamper=none]", "press again to undo"),
        ("[data-post=restart][data-worker=A]", "A: stale → no keys"),
    ):
        page.click(button)
        page.expect("#dock", text)
        assert on_one_screen(page, button)
