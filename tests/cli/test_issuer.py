"""`auth-jwks issuer` and `demo`: a provider as a process, and the library at work."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from auth_jwks.cli._control import ControlledIssuer
from auth_jwks.testing import FakeIssuer, SigningKey
from tests.cli.conftest import Command

EVERYWHERE = "0.0.0.0"  # noqa: S104 - as in a container


@pytest.fixture
def controlled(key: SigningKey) -> Iterator[ControlledIssuer]:
    """Return the provider that the command runs."""
    with ControlledIssuer(keys=[key]) as provider:
        yield provider


def post(provider: FakeIssuer, action: str, *, answered: int = 200, **query: str) -> dict[str, Any]:
    """Tell the provider what to do."""
    answer = httpx.post(
        f"{provider.url}/control/{action}", params=query, trust_env=False, timeout=60
    )
    assert answer.status_code == answered
    loaded: dict[str, Any] = answer.json()
    return loaded


def jwks_status(provider: FakeIssuer) -> int:
    """Return the status of the key set."""
    return httpx.get(provider.jwks_uri, trust_env=False, timeout=60).status_code


def test_tokens_by_post(controlled: ControlledIssuer, command: Command) -> None:
    """Claims are parameters, each as JSON or as a string."""
    token = post(controlled, "token", aud="api", exp="99999999999", roles='["a"]')["access_token"]
    run = command("verify", "--issuer", controlled.issuer, "--aud", "api", stdin=token)
    assert (run.status, run.json["roles"], run.json["exp"]) == (0, ["a"], 99_999_999_999)
    forged = post(controlled, "forge", aud="api")["access_token"]
    assert command("verify", "--issuer", controlled.issuer, stdin=forged).status == 1


def test_faults_by_post(controlled: ControlledIssuer) -> None:
    """Faults come and go as with the methods of `FakeIssuer`."""
    assert post(controlled, "outage", status="500", times="1")["kids"] == ["k1"]
    assert (jwks_status(controlled), jwks_status(controlled)) == (500, 200)
    post(controlled, "junk", body="<html>", on="jwks")
    assert httpx.get(controlled.jwks_uri, trust_env=False, timeout=60).text == "<html>"
    post(controlled, "recover")
    kids = post(controlled, "rotate", keep="false")["kids"]
    assert kids != ["k1"]
    assert post(controlled, "state")["jwks_requests"] == 3
    post(controlled, "withdraw", kid=kids[0])
    assert httpx.get(controlled.jwks_uri, trust_env=False, timeout=60).json() == {"keys": []}


@pytest.mark.parametrize(
    ("action", "query", "words"),
    [
        ("sing", {}, "expected one of announce, cache, drip"),
        ("close", {}, "expected one of"),
        ("slow", {}, "missing 1 required positional argument: 'seconds'"),
        ("outage", {"on": "x"}, "on: expected 'discovery' or 'jwks'"),
    ],
)
def test_bad_control(
    action: str, query: dict[str, str], words: str, controlled: ControlledIssuer
) -> None:
    """It is answered what was expected."""
    assert words in post(controlled, action, answered=400, **query)["error"]


def test_control_by_get(controlled: ControlledIssuer) -> None:
    """A link can't change anything."""
    answer = httpx.get(f"{controlled.url}/control/rotate", trust_env=False, timeout=60)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the provider as a process."""
    environment = {**os.environ, "COLUMNS": "80"}
    argv = [sys.executable, "-m", "auth_jwks", "issuer", "--port", "0", *arguments]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.posix
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_process(number: signal.Signals, status: int) -> None:
    """It prints its issuer, is a provider, and ends quietly when it is told to."""
    with started("--alg", "ES256") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        found = httpx.get(f"{url}/.well-known/openid-configuration", trust_env=False, timeout=60)
        assert found.json()["issuer"] == url
        assert found.headers["Access-Control-Allow-Origin"] == "*"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (status, "")
    assert re.fullmatch(r"A fake provider at .*\nA token: curl -X POST .*\n", err)


@pytest.mark.posix
def test_name_for_others() -> None:
    """In a compose file it has another name, which its documents have too."""
    with started("--issuer", "http://issuer:8080", "--host", EVERYWHERE, "--json") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        told = json.loads("".join(lines))
        assert told["issuer"] == "http://issuer:8080"
        assert told["control"] == told["url"] + "/control/"
        found = httpx.get(
            f"{told['url']}/.well-known/openid-configuration", trust_env=False, timeout=60
        )
        assert found.json()["jwks_uri"] == "http://issuer:8080/jwks"
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: --port"),
        (["--port", "x"], "expected a port from 0 to 65535"),
        (["--port", "65536"], "expected a port from 0 to 65535"),
        (["--port", "0", "--alg", "HS256"], "--alg: expected one of"),
        (["--port", "0", "--issuer", "x"], "--issuer: the scheme must be http or https"),
    ],
)
def test_bad_command_line(arguments: list[str], words: str, command: Command) -> None:
    """It is told what was expected."""
    run = command("issuer", *arguments)
    assert (run.status, words in run.words) == (2, True)


def test_port_that_is_taken(command: Command) -> None:
    """The cause is told. Nor does it need to be the main thread that runs it."""
    statuses = list[int]()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ("issuer", "--alg", "ES256", "--port", port)
        run = command(*arguments)
        thread = threading.Thread(target=lambda: statuses.append(command(*arguments).status))
        thread.start()
        thread.join()
    assert (run.status, statuses) == (2, [2])
    assert "--host, --port: can't be listened at: Address already in use" in run.words


def test_address_of_the_fake_issuer(key: SigningKey) -> None:
    """`FakeIssuer` listens where it is told to."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with FakeIssuer(keys=[key], host="localhost", port=port) as provider:
        assert provider.url == f"http://localhost:{port}"
        assert jwks_status(provider) == 200
    with FakeIssuer(keys=[key], host=EVERYWHERE) as provider:
        assert provider.url.startswith("http://127.0.0.1:")
        assert jwks_status(provider) == 200


@pytest.mark.posix
def test_demo(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step ends as expected, whatever proxy there is."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid")
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("no_proxy", "example.com")
    run = command("demo")
    assert run.status == 0
    assert "FAIL" not in run.out
    line = "ok  another worker's: shared    0      verified: alice     asked 1, verified\n"
    assert line in run.out
    assert "jwt.PyJWKClient" in run.err
    assert run.err.endswith("\nEvery step ended as expected.\n")
    assert max(map(len, (run.out + run.err).splitlines())) <= 80
    assert os.environ["no_proxy"] == "example.com"


@pytest.mark.posix
def test_demo_as_json(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step has its outcome, and that of PyJWT alone, which shares nothing."""
    monkeypatch.delenv("no_proxy", raising=False)
    run = command("demo", "--json")
    assert [step["ok"] for step in run.json["steps"]] == [True] * 7
    first, second, *_ = run.json["steps"]
    assert (first["jwks_requests"], second["jwks_requests"]) == (1, 0)
    assert (first["pyjwt_requests"], second["pyjwt_requests"]) == (1, 1)
    assert "no_proxy" not in os.environ
