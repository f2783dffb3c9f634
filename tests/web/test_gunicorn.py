"""The integrations as they are deployed: one gunicorn, whose ASGI worker runs `behind_gunicorn`."""

from collections.abc import Iterator

import httpx
import pytest

from auth_jwks.testing import FakeIssuer
from tests.web.recipes import NO_TOKEN, Site, serving
from tests.web.status_table import (
    AUDIENCE,
    REFUSED,
    UNAVAILABLE,
    answer_of,
    answers,
    challenge,
    denial,
    received,
    repeated,
)

COMMAND = (
    "gunicorn", "-k", "asgi", "--no-control-socket", "--bind", "fd://{fd}",
    "tests.web.behind_gunicorn:app",
)  # fmt: skip

SCOPE = "things:write"
TOLD = f', scope="{SCOPE}"'
# Where a bearer token is asked for, and what a challenge there says beside the error.
ASKING = {
    "fastapi/me": "",
    "fastapi/things": TOLD,
    "starlette/me": "",
    "starlette/things": "",
    "asgi/me": "",
    "scoped/me": TOLD,
}
SCOPED = ("fastapi/things", "starlette/things", "scoped/me")
HEADER, COOKIE = "Cf-Access-Jwt-Assertion", "CF_Authorization"

Fields = list[tuple[str, str]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve the application, which ends without a complaint."""
    folder = tmp_path_factory.mktemp("gunicorn")
    with FakeIssuer(algorithm="ES256") as issuer, FakeIssuer(algorithm="ES256") as down:
        down.outage(retry_after=60)
        told = {"ISSUER": issuer.issuer, "UP": issuer.jwks_uri, "DOWN": down.jwks_uri}
        with serving(COMMAND, folder, **told) as client:
            yield Site(client, issuer)
    assert "Traceback" not in (folder / "log").read_text()


def address(site: Site) -> str:
    """Return `host:port` of a server."""
    return site.client.base_url.netloc.decode()


def access(token: str) -> list[Fields]:
    """Return the headers of requests that bring a token as Cloudflare sends it: two ways."""
    return [[(HEADER, token)], [("Cookie", f"a=b; {COOKIE}={token}")]]


@pytest.mark.parametrize(("path", "scope"), ASKING.items(), ids=ASKING)
def test_what_is_refused(site: Site, path: str, scope: str) -> None:
    """Bad credentials are answered as RFC 6750 asks; who brings none is told of no error."""
    requests = {name: repeated(row.headers(site.issuer)) for name, row in REFUSED.items()}
    refused = {
        name: answer_of(site.client.get(f"/up/{path}", headers=headers))
        for name, headers in {"none": [], **requests}.items()
    }
    nobody = (401, "Not authenticated", [NO_TOKEN])
    assert refused == {
        name: (status, detail, [f"{told}{scope}"])
        for name, (status, detail, [told]) in {"none": nobody, **answers(REFUSED)}.items()
    }


@pytest.mark.parametrize("path", ASKING)
def test_a_good_token_lets_in(site: Site, path: str) -> None:
    """The endpoint finds whom the token speaks for."""
    answer = site.client.get(f"/up/{path}", headers=site.bearer(sub="bob", scope=SCOPE))
    assert (answer.status_code, answer.json()) == (200, "bob")


@pytest.mark.parametrize("path", SCOPED)
def test_scopes(site: Site, path: str) -> None:
    """Who was granted too little is told what lacks."""
    answer = site.client.get(f"/up/{path}", headers=site.bearer(scope="things:read"))
    told = challenge("insufficient_scope", "Insufficient scope") + TOLD
    assert answer_of(answer) == (403, "Insufficient scope", [told])


def test_what_cloudflare_access_refuses(site: Site) -> None:
    """No token and a bad one, in the header or in the cookie, each have one answer."""
    good, forged, expired = (
        site.issuer.sign(aud=AUDIENCE),
        site.issuer.forge(aud=AUDIENCE),
        site.issuer.sign(aud=AUDIENCE, exp=1),
    )
    bad = [*access(forged), *access(expired), access(good)[0] * 2]
    none: list[Fields] = [[], repeated([f"Bearer {good}"])]
    refused = [answer_of(site.client.get("/up/cfa/me", headers=fields)) for fields in [*none, *bad]]
    assert (
        refused
        == [(401, "Invalid CFA Token", ["Cloudflare-Access"])] * 2
        + [(401, "CFA token verification failed", ["Cloudflare-Access"])] * 5
    )


def test_cloudflare_access_lets_in(site: Site) -> None:
    """The header's token or the cookie's is the user's."""
    for fields in access(site.issuer.sign(aud=AUDIENCE, sub="bob")):
        answer = site.client.get("/up/cfa/me", headers=fields)
        assert (answer.status_code, answer.json()) == (200, "bob")


def check_unavailable(answer: httpx.Response) -> None:
    """It is nobody's fault who asks, and told until when; no credentials are asked for."""
    assert (answer.status_code, answer.json()) == UNAVAILABLE
    assert 30 <= int(answer.headers["Retry-After"]) <= 300
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("path", ASKING)
def test_without_keys(site: Site, path: str) -> None:
    """While the provider is down, a good token is answered 503, and when to come again."""
    check_unavailable(site.client.get(f"/down/{path}", headers=site.bearer(scope=SCOPE)))


def test_cloudflare_access_without_keys(site: Site) -> None:
    """It answers so too, however the token came."""
    for fields in access(site.issuer.sign(aud=AUDIENCE)):
        check_unavailable(site.client.get("/down/cfa/me", headers=fields))


@pytest.mark.parametrize("integration", ["fastapi", "asgi", "cfa"])
async def test_websockets(site: Site, integration: str) -> None:
    """A handshake without a token is refused, with no more than 403; with one it gets in."""
    feed = f"{address(site)}/up/{integration}/feed"
    assert (await denial(feed)).status_code == 403
    token = site.issuer.sign(aud=AUDIENCE, sub="bob")
    headers = {HEADER: token} if integration == "cfa" else {"Authorization": f"Bearer {token}"}
    assert await received(feed, headers) == "bob"
