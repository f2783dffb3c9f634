"""What the hosting platform reads: fits its schemas, calls what is there, may do very little."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
HOSTED = ROOT / ".github"
WORKFLOWS = {path.name: path for path in (HOSTED / "workflows").glob("*.yml")}
SCHEMAS = {
    "vendor.github-workflows": "workflows/*.yml",
    "custom.github-workflows-require-timeout": "workflows/*.yml",
    "vendor.dependabot": "dependabot.yml",
    "vendor.github-issue-config": "ISSUE_TEMPLATE/config.yml",
    "vendor.github-issue-forms": "ISSUE_TEMPLATE/[!c]*.yml",
}
CALLERS = (
    ".github/pull_request_template.md", ".github/workflows/ci.yml", ".pre-commit-config.yaml",
    "CONTRIBUTING.md",
)  # fmt: skip

TARGET = re.compile(r"^([a-z][a-z -]*):(?!=)", re.MULTILINE)
CALL = re.compile(r"(?:^|[`:] ?)make ([a-z-]+)", re.MULTILINE)
PINNED = re.compile(r"[\w-]+(?:/[\w-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def workflow(name: str) -> dict[str, Any]:
    """Return what a workflow says."""
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(WORKFLOWS[name])
    return loaded


def jobs() -> dict[str, dict[str, Any]]:
    """Return the jobs of all workflows, as `file:job`."""
    return {f"{name}:{job}": it for name in WORKFLOWS for job, it in workflow(name)["jobs"].items()}


def steps() -> list[dict[str, Any]]:
    """Return the steps of all jobs."""
    return [step for job in jobs().values() for step in job.get("steps", ())]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_file_fits_its_schema(schema: str) -> None:
    """Each file is of the form that the platform expects, and no job may run for ever."""
    files = [str(path) for path in HOSTED.glob(SCHEMAS[schema])]
    assert files
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files]
    check = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.parametrize("caller", CALLERS)
def test_make_is_asked_for_what_it_makes(caller: str) -> None:
    """Each target that a file names is one of the Makefile."""
    rules = TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
    targets = {target for rule in rules for target in rule.split()}
    asked = set(CALL.findall((ROOT / caller).read_text(encoding="utf-8")))
    assert asked
    assert asked <= targets


def test_every_python_that_is_declared_is_tested() -> None:
    """The classifiers name no version that the tests don't run on, and the lowest is the floor."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tested = workflow("ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    declared = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert set(declared) <= set(tested)
    assert project["requires-python"] == f">={tested[0]}"


def test_workflows_may_read_and_one_job_may_publish() -> None:
    """No job has a right beyond reading, but the one that proves who it is to the index."""
    assert {name: workflow(name)["permissions"] for name in WORKFLOWS} == {
        name: {"contents": "read"} for name in WORKFLOWS
    }
    assert {name: job["permissions"] for name, job in jobs().items() if "permissions" in job} == {
        "release.yml:publish": {"id-token": "write"}
    }


def test_publishing_runs_no_code_of_ours() -> None:
    """The job with that right waits for the tests and runs actions only, within `pypi`."""
    publish = jobs()["release.yml:publish"]
    assert publish["environment"] == "pypi"
    assert publish["needs"] == ["test", "build"]
    assert [step["uses"].partition("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]


def test_actions_are_pinned() -> None:
    """A foreign action is named by its commit, with the version beside it for the reader."""
    used = [
        line.partition("uses: ")[2]
        for path in WORKFLOWS.values()
        for line in path.read_text(encoding="utf-8").splitlines()
        if "uses: " in line
    ]
    assert [it for it in used if not it.startswith("./") and not PINNED.fullmatch(it)] == []


def test_checkout_leaves_no_credentials() -> None:
    """No later step finds the platform's token in the clone."""
    checkouts = [it for it in steps() if it.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(it["with"] == {"persist-credentials": False} for it in checkouts)


def test_strangers_words_reach_no_shell() -> None:
    """No script is put together from an expression, and no pull request runs with more rights."""
    assert [step["run"] for step in steps() if "${{" in step.get("run", "")] == []
    assert set().union(*(workflow(name)["on"] for name in WORKFLOWS)) == {
        "push", "pull_request", "release", "workflow_call",
    }  # fmt: skip
