"""The metrics of four gunicorn workers, by the modules of docs/metrics.md and a real scrape."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from auth_jwks.testing import FakeIssuer
from tests.web.recipes import OWN_AUDIENCE, PROVIDER, ROOT, Site, serving
from tests.web.status_table import AUDIENCE

COMMAND = (
    "gunicorn", "--config", "shop/gunicorn.conf.py", "--worker-class", "asgi", "--workers", "4",
    "--no-control-socket", "--bind", "fd://{fd}", "shop.app:app",
)  # fmt: skip
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
MODULE = re.compile(r"^```py\n(# (shop/[\w.]+)\n.*?)^```$", re.MULTILINE | re.DOTALL)
HEALTH = '\n\n@app.get("/health")\nasync def health() -> None: ...\n'
DEADLINE = 2000  # requests, until every worker must have answered one

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def written(folder: Path, provider: str) -> None:
    """Write the modules of the page, for a provider."""
    for code, name in MODULE.findall(PAGE):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code.replace(PROVIDER, provider).replace(OWN_AUDIENCE, f'"{AUDIENCE}"'))
    with (folder / "shop" / "app.py").open("a") as module:
        module.write(HEALTH)


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Serve the page's application with the page's configuration."""
    told = {"PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"), "KEYS": str(folder / "keys")}
    with FakeIssuer(algorithm="ES256") as issuer:
        written(folder, issuer.issuer)
        with serving(COMMAND, folder, **told) as client:
            yield Site(client, issuer)


def scraped(site: Site) -> Samples:
    """Return what one scrape finds, of whichever worker, without the source."""
    text = site.client.get("/metrics/").raise_for_status().text
    source = f"{site.issuer.issuer}/.well-known/openid-configuration"
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels.pop("source") == source
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def workers(site: Site, headers: dict[str, str]) -> list[int]:
    """Ask until four workers have answered; return who answered, for each request."""
    url, answered = f"{site.client.base_url}/me", list[int]()

    def asked(_number: int) -> int:
        worker: int = httpx.get(url, headers=headers, trust_env=False, timeout=60).json()["worker"]
        return worker

    with ThreadPoolExecutor(8) as threads:
        while len({*answered}) < 4 and len(answered) < DEADLINE:
            answered.extend(threads.map(asked, range(40)))
    assert len({*answered}) == 4
    return answered


def pids(folder: Path, kind: str) -> set[str]:
    """Return which processes have metrics of a kind."""
    return {re.sub(r"\D", "", path.name) for path in folder.glob(f"metrics/{kind}_*.db")}


def test_four_workers(tmp_path: Path) -> None:
    """One scrape has the sums over all, and shows that they have the same keys.

    When they have ended, the gauges of workers that are gone do not count, and their counts do.
    """
    (tmp_path / "metrics").mkdir()
    with site(tmp_path) as shop:
        answered = workers(shop, shop.bearer())
        forged = {"Authorization": f"Bearer {shop.issuer.forge(aud=AUDIENCE)}"}
        assert shop.client.get("/me", headers=forged).status_code == 401
        found = scraped(shop)
        everyone = {str(worker) for worker in answered}
        assert pids(tmp_path, "gauge_livemin") == pids(tmp_path, "counter") == everyone

    def value(name: str, **labels: str) -> float:
        return found[f"auth_jwks_{name}", frozenset(labels.items())]

    good = value("verifications_total", result="ok")
    assert 4 <= good <= len(answered), "one worker may get the first tokens at the same time"
    assert good + value("verifications_total", result="seen") == len(answered)
    assert value("verifications_total", result="signature") == 1
    assert value("refreshes_total", origin="provider", result="ok") == 1
    assert value("refreshes_total", origin="store", result="ok") == 3
    assert value("key_set_version") == value("key_set_newest_version") > 0
    assert value("keys") == 1
    assert value("refresh_duration_seconds_count") >= 4
    assert value("store_operations_total", operation="commit", result="ok") == 1
    assert (pids(tmp_path, "gauge_livemin"), pids(tmp_path, "counter")) == (set(), everyone)
