"""The pages of docs/providers, as they are printed, against what each provider has.

Their code reaches the provider's own hosts by TLS, through a proxy that leads all of them here.
"""

import asyncio
import re
from pathlib import Path

import httpx
import jwt
import pytest

from tests.issuers import shapes
from tests.issuers.shapes import Signed
from tests.issuers.sites import Site
from tests.provider_pages.expected import PAGES
from tests.provider_pages.pages import (
    FOLDER,
    INDEX,
    MISTAKES,
    TEXTS,
    Script,
    blocks,
    is_guard,
    is_verifier,
    mistakes,
    sections,
)
from tests.provider_pages.reading import Reading, present, printed_tokens, spoiled

EACH = pytest.mark.parametrize("page", PAGES)
TIMES = {"iat", "exp"}


def test_every_page_is_held_to_something() -> None:
    """No page is without its tokens, and none is missing."""
    assert PAGES.keys() == TEXTS.keys()
    for page, expected in PAGES.items():
        verifiers = [each.section for each in blocks(page) if is_verifier(each)]
        guards = [
            each.section for each in blocks(page) if is_guard(each) and not each.is_of_a_mistake
        ]
        assert [each for each in verifiers if each != MISTAKES] == list(expected.shapes), page
        assert guards == list(expected.denied), page
        assert mistakes(page) == list(expected.mistakes), page


@EACH
def test_a_page_has_what_all_have(page: str) -> None:
    """For whom it is, the values, the tokens, the mistakes, and where to read on."""
    text = TEXTS[page]
    assert re.match(r"# .+\n\nFor .+", text)
    assert sections(page)[0] == "Which values go where"
    assert "| parameter | value | where you find it |" in text
    assert [*printed_tokens(page)]
    assert len(mistakes(page)) >= 2
    assert sections(page)[-2:] == [MISTAKES, "Next"]
    assert {each.language for each in blocks(page)} <= {"python", "json", "text", "yaml", "console"}


@EACH
async def test_each_verifier_accepts_the_tokens_of_its_provider(
    page: str, internet: Site, files: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """The first time and the second, whole and as printed, and no others."""
    reading = Reading(page, internet, files, caplog)
    list(reading.without_mistakes())
    for section, jwks in reading.verifiers.items():
        async with jwks:
            for each in reading.page.accepted(section):
                token = str(each)
                for _ in range(2):
                    assert (await jwks.verify_token(token)).items() >= present(each).items()
                for bad in spoiled(each, any_issuer=not jwks.issuers):
                    with pytest.raises(jwt.InvalidTokenError):
                        await jwks.verify_token(bad)
    for section, other in reading.page.refused:
        async with reading.verifiers[section] as jwks:
            with pytest.raises(jwt.InvalidTokenError):
                await jwks.verify_token(str(other))


@EACH
async def test_each_printed_token_is_one_of_the_provider_s(
    page: str, internet: Site, files: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """It has the header and the claims of a whole one, or fewer, and is accepted like it."""
    reading = Reading(page, internet, files, caplog)
    list(reading.without_mistakes())
    above = [each.section for each in blocks(page) if is_verifier(each)]
    order = sections(page)
    for block, header, payload in printed_tokens(page):
        section = max(
            (each for each in above if order.index(each) <= order.index(block.section)),
            key=order.index,
        )
        claims = {name: value for name, value in payload.items() if name not in TIMES}
        accepted = reading.page.accepted(section)
        whole = next(each for each in accepted if present(each).items() >= claims.items())
        assert header.keys() == header_of(whole).keys()
        names = dict.fromkeys(("kid", "x5t"))  # printed short
        assert header | names == header_of(whole) | names
        without = dict.fromkeys(TIMES - payload.keys())
        assert all(whole.claims.get(name, 0) is None for name in without)
        printed = Signed(claims | without, whole.headers, whole.key)
        async with reading.verifiers[section] as jwks:
            assert (await jwks.verify_token(str(printed))).items() >= claims.items()


def header_of(token: Signed) -> dict[str, object]:
    """Return a token's header."""
    header: dict[str, object] = jwt.get_unverified_header(str(token))
    return header


@EACH
async def test_a_page_prints_what_its_code_logs(
    page: str, internet: Site, files: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """A warning at construction stands below the code that causes it, and there is no other."""
    reading = Reading(page, internet, files, caplog)
    printed, logged = [], []
    for block in reading.without_mistakes():
        if block.language == "text":
            printed.append(block.code)
        elif block.language == "python" and (lines := reading.logged()):
            logged.append(lines)
    assert printed == logged


@EACH
async def test_a_verifier_does_so_in_threads(
    page: str, internet: Site, files: dict[str, str]
) -> None:
    """With `SyncJWKS` in the place of `JWKS`."""
    expected = PAGES[page]
    internet.documents = expected.documents
    script = Script(files, threads=True)

    def verify() -> None:
        for block in blocks(page):
            if is_verifier(block) and not block.is_of_a_mistake:
                script.run(block.code)
                with script.names["jwks"] as jwks:
                    for token in expected.accepted(block.section):
                        assert jwks.verify_token(str(token))

    await asyncio.to_thread(verify)


@EACH
async def test_a_guard_asks_for_what_was_granted(
    page: str, internet: Site, files: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """The route of a page is open to the provider's token, and closed to one without the scope."""
    reading = Reading(page, internet, files, caplog)
    for block in reading.without_mistakes():
        if not is_guard(block):
            continue
        section = [*reading.verifiers][-1]
        granted = reading.page.accepted(section)[0]
        transport = httpx.ASGITransport(reading.names["app"])
        async with (
            reading.verifiers[section],
            httpx.AsyncClient(transport=transport, base_url="http://api") as client,
        ):
            for token, status in ((granted, 200), (reading.page.denied[block.section], 403)):
                headers = {"Authorization": f"Bearer {token}"}
                assert (await client.get("/things", headers=headers)).status_code == status


@pytest.mark.parametrize(
    ("page", "heading"), [(page, each) for page, it in PAGES.items() for each in it.mistakes]
)
async def test_a_mistake_looks_as_printed(
    page: str,
    heading: str,
    internet: Site,
    files: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The error and the log lines, to the letter; code that follows accepts the same token."""
    reading = Reading(page, internet, files, caplog)
    mistake = reading.page.mistakes[heading]
    told = await reading.told(heading, mistake, internet)
    parts = [each for each in reading.blocks if each.heading == heading]
    [at] = [at for at, each in enumerate(parts) if each.language == "text"]
    assert parts[at].code == told
    for cure in parts[at + 1 :]:
        reading.run(cure.code)
        async with reading.names["jwks"] as jwks:
            assert await jwks.verify_token(str(mistake.token))


async def test_the_pod_s_token_goes_to_the_api_server_alone(
    internet: Site, files: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """And is read anew for each request, as the kubelet replaces it."""
    reading = Reading("kubernetes", internet, files, caplog)
    list(reading.without_mistakes())
    [jwks] = reading.verifiers.values()
    async with jwks:
        await jwks.verify_token(str(shapes.KUBERNETES_TOKEN))
        internet.bearers["kubernetes.default.svc"] = "another"
        replace(files["TOKEN_FILE"], "another")
        await jwks.refresh(force=True)
    assert {httpx.URL(url).host for url in internet.asked} == {"kubernetes.default.svc"}


def replace(path: str, text: str) -> None:
    """Write another text into a file."""
    Path(path).write_text(text)


# The index.


def rows() -> list[list[str]]:
    """Return the cells of the table of providers."""
    _, _, rest = INDEX.partition("\n| provider | discovery | issuer | audience | check |\n")
    table = rest.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table]


def test_the_index_leads_to_every_page() -> None:
    """In its table, and to none that is not there."""
    linked = {target.partition(".md")[0] for row in rows() for target in links(row[0])}
    assert linked == PAGES.keys()


def test_the_index_says_what_the_pages_say() -> None:
    """Its discovery URLs and key sets are published, and its issuers are those of tokens."""
    for provider, discovery, issuer, *_ in rows():
        [page] = {target.partition(".md")[0] for target in links(provider)}
        documents = PAGES[page].documents
        assert set(re.findall("`(https?://[^`]+)`", discovery)) <= documents.keys(), provider
        named = {
            str(token.claims.get("iss"))
            for section in PAGES[page].shapes
            for token in PAGES[page].accepted(section)
        }
        named |= {
            it["issuer"] for it in documents.values() if isinstance(it, dict) and "issuer" in it
        }
        assert set(re.findall("`(https?://[^`]+)`", issuer)) <= named, provider


def links(text: str) -> list[str]:
    """Return what a text links to."""
    return re.findall(r"\]\(([^)]+)\)", text)


@pytest.mark.parametrize("page", ["index", *PAGES])
def test_links_to_a_heading_find_it(page: str) -> None:
    """Each link names a file, and a heading of that file if it names one."""
    text = INDEX if page == "index" else TEXTS[page]
    for link in links(text):
        if re.match("[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        path = FOLDER / (name or f"{page}.md")
        titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not anchor or anchor in anchors, link
