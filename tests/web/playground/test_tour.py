"""“Try this”: each line presses the page's own buttons, and ends in what it promises."""

import re

from examples.playground.screenshot import Page

# Each line: the status of its last answer, what the answer says, and what has changed.
LINES = {
    "read": ("200 OK", "fresh keys", "A: no keys → fresh"),
    "share": ("200 OK", "Worker B", "B: no keys → fresh"),
    "rotate": ("200 OK", "fresh keys", "provider: [1-9]"),
    "forge": ("401 Unauthorized", "Invalid token", ""),
    "outage": ("200 OK", "stale keys", "→ stale"),
    "age": ("503 Service Unavailable", "refused", "→ too old"),
    "repair": ("200 OK", "fresh keys", "A: too old → fresh"),
}


def check(page: Page, step: str) -> None:
    """Play a line, and hold it to what it says."""
    status, summary, _ = LINES[step]
    assert page.take(step) == status
    assert summary in page.find("#summary").text
    assert page.find("#did").text.startswith("Pressed for you: ")
    assert page.find("#tour [aria-current]").get_attribute("data-step") == step


def test_the_lines_in_their_order(page: Page) -> None:
    """Each goes on from where the last one ended, with no more presses than it takes."""
    assert [*LINES] == [line.get_attribute("data-step") for line in page.all("[data-step]")]
    found = {}
    for step, (_, _, changed) in LINES.items():
        check(page, step)
        assert re.search(changed, page.find("#changes").text)
        parts = ("did", "origin", "key", "took", "retry", "claims", "changes")
        found[step] = {part: page.find(f"#{part}").text for part in parts}
    assert found["read"]["did"] == "Pressed for you: Sign in, Read."
    assert found["read"]["origin"].startswith("the provider")
    assert found["share"]["origin"].startswith("the shared store")
    assert "provider: not asked" in found["share"]["changes"]
    assert found["rotate"]["key"] != found["share"]["key"]
    assert "mallory" in found["forge"]["claims"]
    assert "InvalidSignatureError" in found["forge"]["took"]
    assert re.fullmatch(r"\d+ s", found["age"]["retry"])
    assert found["repair"]["did"] == "Pressed for you: Healthy, +1 min, Read."


def test_each_line_from_anywhere(page: Page) -> None:
    """In the opposite order: what a line needs, it does first."""
    for step in reversed(LINES):
        check(page, step)


def test_a_line_undoes_what_a_visitor_did(page: Page) -> None:
    """A tampered token, a request without one, another worker, a provider that lies, a reload."""
    page.take("read")
    page.click("[data-fault=impostor]")
    page.click("#bare")
    page.click("[name=worker][value=B]")
    page.click("[data-tamper=none]")
    page.expect("#did", "alg none")
    check(page, "outage")
    page.driver.refresh()
    page.expect("#workers .pill", "stale")
    check(page, "age")


# Begins one line and then another, notes what is marked, and returns what the page says.
TWO_LINES = """
window.marked = [];
const note = (records) => window.marked.push(
  ...records.map(({ target }) => target).filter((it) => it.matches(".driven")));
new MutationObserver(note).observe(document.body, { subtree: true, attributeFilter: ["class"] });
document.querySelector("[data-step=read]").click();
document.querySelector("[data-step=age]").click();
return document.querySelector("#did").textContent;
"""


def test_a_visitor_can_watch(page: Page) -> None:
    """Where motion is welcome, each press is shown. Meanwhile no other line begins."""
    page.look("light", motion=True)
    assert "still being played" in page.driver.execute_script(TWO_LINES)
    tour = page.find("#tour")
    page.until(lambda: tour.get_attribute("aria-busy") == "false", "the end")
    assert page.find("#status").text == "200 OK"
    assert page.driver.execute_script("return window.marked.map((it) => it.textContent)") == [
        "Sign in", "Read",
    ]  # fmt: skip
    assert page.all(".driven") == []


def test_nothing_happens_silently(page: Page) -> None:
    """Every button is followed by a line that says what it did."""
    page.sign_in()
    for button, said in (
        ("[data-fault=hang]", "from now on: Hangs."),
        ("[data-keep=false]", "the only one published"),
        ("[data-seconds='900']", "+15 min"),
        ("[data-post=restart][data-worker=B]", "Worker B has started anew"),
        ("[data-fault=none]", "is healthy"),
        ("[data-tamper=kid]", "press again to undo"),
        ("#flood", "A thousand tokens"),
        ("[data-call=PUT]", "Called with the token"),
        ("[data-post=start-over]", "back at the start"),
        ("[data-call=GET]", "Called with no token"),
    ):
        page.click(button)
        page.expect("#did", said)
