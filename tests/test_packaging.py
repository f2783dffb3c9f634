"""What users install: the wheel and the sdist, as built from this tree."""

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
from collections import defaultdict
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import auth_jwks
from tests.environment import unmeasured

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/auth-jwks/auth-jwks"
RAW = "https://raw.githubusercontent.com/auth-jwks/auth-jwks/main"
# Of Markdown, whatever stands between the brackets, and of HTML.
LINK = re.compile(r"""(?:\]\(|^\[[^\]]+\]:\s*|(?:href|src)=["'])([^)"'\s]+)""", re.MULTILINE)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist from the tree and the wheel from the sdist."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    build = subprocess.run(command, capture_output=True, check=False, text=True)
    assert build.returncode == 0, build.stdout + build.stderr
    return out


@pytest.fixture(scope="module")
def wheel(dist: Path) -> dict[str, str]:
    """Read the wheel: its files' contents by name."""
    with ZipFile(next(dist.glob("*.whl"))) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(wheel: dict[str, str]) -> Metadata:
    """Parse the wheel's core metadata."""
    return Metadata.from_email(next(wheel[name] for name in wheel if name.endswith("/METADATA")))


@pytest.fixture(scope="module")
def requirements(metadata: Metadata) -> dict[str, list[Requirement]]:
    """Sort the requirements by the extra that asks for them; the core's own are under `""`."""
    by_extra = defaultdict(list)
    for requirement in metadata.requires_dist or []:
        extra = str(requirement.marker or "").removeprefix("extra == ").strip('"')
        by_extra[extra].append(requirement)
    return by_extra


def test_wheel_holds_the_typed_package_alone(wheel: dict[str, str], metadata: Metadata) -> None:
    """The wheel brings the package with `py.typed`, the pytest plugin and its metadata alone."""
    assert "auth_jwks/py.typed" in wheel
    assert {name.partition("/")[0] for name in wheel} == {
        "auth_jwks",
        f"auth_jwks-{metadata.version}.dist-info",
        "pytest_auth_jwks.py",
    }


def test_every_module_is_in_the_wheel(wheel: dict[str, str]) -> None:
    """No module is left out of the wheel."""
    package = ROOT / "src" / "auth_jwks"
    modules = {each.relative_to(package.parent).as_posix() for each in package.rglob("*.py")}
    modules.add("pytest_auth_jwks.py")
    assert modules == {name for name in wheel if name.endswith(".py")}


def test_wheel_records_the_licence(wheel: dict[str, str], metadata: Metadata) -> None:
    """The wheel is MIT and carries the text."""
    licence = f"auth_jwks-{metadata.version}.dist-info/licenses/LICENSE"
    assert metadata.license_expression == "MIT"
    assert licence in wheel[f"auth_jwks-{metadata.version}.dist-info/RECORD"]
    assert "auth-jwks contributors" in wheel[licence]


def test_core_needs_three_distributions(requirements: dict[str, list[Requirement]]) -> None:
    """Without an extra only cachetools, httpx and a PyJWT with cryptography are installed."""
    core = {each.name: each for each in requirements[""]}
    assert core.keys() == {"cachetools", "httpx", "pyjwt"}
    assert core["pyjwt"].extras == {"crypto"}
    assert not core["pyjwt"].specifier.contains("2.14")


def test_extras_bring_what_they_are_named_for(requirements: dict[str, list[Requirement]]) -> None:
    """Each documented extra brings its distributions, and `all` brings those of every extra."""
    extras = {extra: {each.name for each in needed} for extra, needed in requirements.items()}
    assert extras.pop("all") == set().union(*extras.values()) - extras.pop("")
    assert extras == {
        "cli": {"rich"},
        "django": {"django"},
        "drf": {"django", "djangorestframework"},
        "fastapi": {"fastapi", "starlette"},
        "flask": {"flask"},
        "mcp": {"mcp"},
        "opentelemetry": {"opentelemetry-api"},
        "prometheus": {"prometheus-client"},
        "redis": {"redis"},
        "starlette": {"starlette"},
        "testing": {"hypothesis", "pytest"},
    }


def test_extras_without_code_of_ours_are_gone(metadata: Metadata) -> None:
    """That of Cloudflare Access, which 0.4.0 had, stays though the core is enough for it."""
    assert set(metadata.provides_extra or ()) == {
        "all", "cli", "cloudflare", "django", "drf", "fastapi", "flask", "mcp", "opentelemetry",
        "prometheus", "redis", "starlette", "testing",
    }  # fmt: skip


def test_requirements_are_floors(requirements: dict[str, list[Requirement]]) -> None:
    """Every requirement has a lowest release, and none an upper bound."""
    specifiers = [each.specifier for needed in requirements.values() for each in needed]
    assert {tuple(each.operator for each in specifier) for specifier in specifiers} == {(">=",)}


def test_the_project_can_be_found(metadata: Metadata) -> None:
    """Whoever has installed it finds its documents and where to report a fault."""
    urls = metadata.project_urls or {}
    assert urls.keys() == {"Homepage", "Documentation", "Changelog", "Source", "Issues"}
    assert all(url.startswith(REPOSITORY) for url in urls.values())
    assert [url for url in urls.values() if (file := file_of(url)) and not file.exists()] == []


def test_links_of_the_long_description_work_anywhere(metadata: Metadata) -> None:
    """None is relative, which is dead on an index; those to the repository name its files."""
    links = LINK.findall(metadata.description or "")
    assert [link for link in links if not re.match("https?://", link)] == []
    ours = [link for link in links if (file := file_of(link)) and file.exists()]
    assert [link for link in links if file_of(link) and link not in ours] == []
    assert len(links) == len(LINK.findall((ROOT / "README.md").read_text("utf-8")))
    assert ours


def test_pictures_of_the_long_description_are_pictures(metadata: Metadata) -> None:
    """They come from where a file is handed out as it is, not on a page about it."""
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", metadata.description or "")
    assert [each for each in pictures if not each.startswith(RAW)] == []
    assert all((file := file_of(each)) and file.suffix in {".png", ".svg"} for each in pictures)


def test_version_is_told_by_the_package(metadata: Metadata) -> None:
    """`auth_jwks.__version__` is the installed version and that of the wheel."""
    assert auth_jwks.__version__ == str(metadata.version)


def test_sdist_can_be_tested(dist: Path) -> None:
    """The sdist brings sources, tests and texts, and nothing that was installed or built."""
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"src/auth_jwks/py.typed", "tests/conftest.py", "pyproject.toml"} <= names
    assert {"docs/tokens.md", "examples/demo.py", "Makefile", ".ci/floors.py"} <= names
    assert {"deploy/prometheus/auth-jwks.rules.yml", "deploy/grafana/auth-jwks.json"} <= names
    assert {"README.md", "CHANGELOG.md", "LICENSE"} <= names
    assert not any("node_modules" in name or "__pycache__" in name for name in names)


@pytest.mark.parametrize(
    ("group", "programs"),
    [
        pytest.param(
            "demo", "examples.demo examples.fleet_demo examples.fleet_worker", id="make-demo"
        ),
        pytest.param("playground", "examples.playground.__main__", id="make-playground"),
    ],
)
def test_environment_brings_what_its_programs_import(group: str, programs: str) -> None:
    """Each `make` program finds all it imports, though the tests have more installed."""
    distributions = packages_distributions()
    imported = {name.partition(".")[0] for name in imported_by(programs.split())}
    foreign = imported - {"auth_jwks", "examples", *sys.stdlib_module_names}
    assert {canonicalize_name(distributions[name][0]) for name in foreign} <= installed_by(group)


def file_of(link: str) -> Path | None:
    """Return the file of this tree that a link into the repository leads to."""
    bare = link.partition("#")[0]
    for form in (f"{REPOSITORY}/blob/main/", f"{REPOSITORY}/tree/main/", f"{RAW}/"):
        if bare.startswith(form):
            return ROOT / bare.removeprefix(form)
    return None


def imported_by(modules: list[str]) -> set[str]:
    """Return what these import, wherever they do, by way of other examples as well."""
    found = {*modules}
    while modules:
        file = ROOT.joinpath(*modules.pop().split(".")).with_suffix(".py")
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            new = {*names} - found
            modules += [name for name in new if name.startswith("examples.")]
            found |= new
    return found


def installed_by(group: str) -> set[str]:
    """Return the distributions that a dependency group names, by way of our extras or by itself."""
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project, lines = tables["project"], tables["dependency-groups"][group]
    lines += project["dependencies"]
    for line in map(Requirement, [*lines]):
        for extra in line.extras if line.name == project["name"] else ():
            lines += project["optional-dependencies"][extra]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_command_works_without_extras(dist: Path, tmp_path: Path) -> None:
    """The wheel declares the command, and it runs with what the core installs."""
    with ZipFile(next(dist.glob("*.whl"))) as archive:
        for name in archive.namelist():
            archive.extract(name, tmp_path)
    [entry] = tmp_path.glob("*.dist-info/entry_points.txt")
    assert "auth-jwks = auth_jwks.cli:main" in entry.read_text("utf-8")
    absent = ("rich", "redis", "pytest", "hypothesis", "starlette", "fastapi", "prometheus_client")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
    code += "from auth_jwks import cli; sys.exit(cli.main(['demo']))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=unmeasured(), capture_output=True,
        check=False, text=True,
    )  # fmt: skip
    assert (run.returncode, run.stdout.count("ok  "), "FAIL" in run.stdout) == (0, 7, False)
