"""The pages in docs/start: their applications run, and pass the tests printed beside them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "start"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
FILE = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```py(?:thon)?$", re.MULTILINE)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ISSUER, SERVER = "http://127.0.0.1:8080", "http://127.0.0.1:8000"
# Free ports, told where the servers look for them.
ENVIRONMENT = os.environ | {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "UVICORN_PORT": "0",
    "GUNICORN_CMD_ARGS": "--bind 127.0.0.1:0 --no-control-socket",
    "NO_PROXY": "127.0.0.1",
}


@pytest.mark.parametrize("name", PAGES)
def test_application_passes_its_test(name: str, tmp_path: Path) -> None:
    """Each snippet is a file; with them in one folder, pytest passes as printed."""
    files = dict(FILE.findall(PAGES[name]))
    assert len(files) == len(BLOCK.findall(PAGES[name])) == 2
    for file, code in files.items():
        (tmp_path / file).write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "-rs"]
    command.append("--color=no")
    command += ["-p", "anyio", "-p", "pytest_auth_jwks"]  # and no other plugin, to be quick
    command += ["-W", "ignore:The anyio:DeprecationWarning"]  # Starlette's test client
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = subprocess.run(
        command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"= 2 passed in ", run.stdout)


@pytest.mark.posix
@pytest.mark.parametrize("name", PAGES)
def test_application_answers(name: str, tmp_path: Path) -> None:
    """The commands of *Try it* run as printed, but for the ports, and say who alice is."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    for file, code in FILE.findall(PAGES[name]):
        (tmp_path / file).write_text(code, encoding="utf-8")
    _, _, rest = PAGES[name].partition("\n## Try it\n")
    provider, *servers, call = CONSOLE.findall(rest.partition("\n## ")[0])
    with ExitStack() as stack:
        url = stack.enter_context(running(provider.replace("8080", "0"), tmp_path))
        call = call.replace(ISSUER, url)
        for server in servers:
            at = stack.enter_context(running(server.replace(ISSUER, url), tmp_path))
            call = call.replace(SERVER, at)
        answer = subprocess.run(
            ["/bin/sh", "-c", call], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
    assert "alice" in answer.stdout, answer.stderr


@contextmanager
def running(command: str, folder: Path) -> Iterator[str]:
    """Run a server in the folder, and yield the URL that it says."""
    with subprocess.Popen(
        ["/bin/sh", "-c", f"exec env {command}"], cwd=folder, env=ENVIRONMENT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if url := re.search(r"http://127\.0\.0\.1:\d+", line):
                    yield url[0]
                    break
            else:
                pytest.fail("".join(said))
        finally:
            process.terminate()


@pytest.mark.parametrize("name", PAGES)
def test_page_leads_to_the_full_one(name: str) -> None:
    """A page ends in a list of where to read on."""
    _, found, rest = PAGES[name].partition("\n## Next\n")
    assert found
    assert re.findall(r"\]\((\.\./[\w-]+\.md)", rest)
