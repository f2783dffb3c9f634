"""What Sentry's SDK sends of refused requests: no part of a token, and no event of an outage."""

import gzip
import json
import os
import re
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

pytest.importorskip("sentry_sdk")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "logging.md").read_text(encoding="utf-8")
DEFAULT = "import sentry_sdk; sentry_sdk.init(traces_sample_rate=1.0)"
STATUSES = {
    **dict.fromkeys(("expired", "forged", "unknown key", "malformed"), 401),
    "outage": 503,
    "mismatch": 503,
}
EVERY_HEADER = urlsafe_b64encode(b'{"alg":"ES256"')[:16]


class Sentry:
    """A server that takes what the SDK sends."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def events(self) -> list[dict[str, Any]]:
        """Return the errors in all envelopes, of which a trace is none."""
        lines = [json.loads(line) for body in self.bodies for line in body.splitlines()]
        return [line for line in lines if "event_id" in line and "level" in line]


@pytest.fixture
def sentry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sentry]:
    """Serve on a free port, to which the environment leads the SDK."""
    sentry = Sentry()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            is_packed = self.headers.get("content-encoding") == "gzip"
            sentry.bodies.append(gzip.decompress(body) if is_packed else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Tell nobody."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setenv("SENTRY_DSN", f"http://key@127.0.0.1:{server.server_port}/1")
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield sentry
        server.shutdown()
        thread.join()


def block() -> str:
    """Return the example of the page."""
    found = re.search(r"\n## Sentry and APM\n.*?```python\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("code", "sites"),
    [
        (DEFAULT, ["asgi", "starlette", "flask", "django", "django async", "drf"]),
        (block(), ["fastapi"]),
    ],
    ids=["default settings", "the page's"],
)
def test_no_token_is_sent_and_no_refusal_is_an_event(
    code: str, sites: list[str], sentry: Sentry
) -> None:
    """Only the wrong settings of the service are one, by the line about them."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.web.sentry_worker", *sites], input=code, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src", "no_proxy": "127.0.0.1"},
        capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == dict.fromkeys(sites, STATUSES)
    assert sentry.bodies
    for secret in ("alice@example.com", "headerheader", "payloadpayload", "signaturesignature"):
        assert [body for body in sentry.bodies if secret.encode() in body] == []
    assert [body for body in sentry.bodies if EVERY_HEADER in body] == []
    told = [(each.get("logger"), each["level"], "exception" in each) for each in sentry.events()]
    assert set(told) == {("auth_jwks", "error", False)}
    assert len(told) == len(sites), "of the mismatch"
