"""The pages in docs/start: their applications pass the tests that they print beside them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "start"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
FILE = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```py(?:thon)?$", re.MULTILINE)


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


@pytest.mark.parametrize("name", PAGES)
def test_page_leads_to_the_full_one(name: str) -> None:
    """A page ends in a list of where to read on."""
    _, found, rest = PAGES[name].partition("\n## Next\n")
    assert found
    assert re.findall(r"\]\((\.\./[\w-]+\.md)", rest)
