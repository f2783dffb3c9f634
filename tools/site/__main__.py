"""Builds the site and checks it: python -m tools.site."""

import subprocess
import sys
from pathlib import Path

from tools.site.checks import faults, pages, unnamed
from tools.site.llms import write_llms, write_twins
from tools.site.staging import staged

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "site"


def main() -> str | None:
    """Return what is wrong, if anything is."""
    staged(ROOT, ROOT / "build" / "docs")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:  # noqa: S603
        return "Zensical refuses the pages: see above."
    known = pages(BUILT)
    write_twins(BUILT, known)
    write_llms(ROOT, BUILT, known)
    if wrong := [*faults(BUILT), *unnamed(known, ROOT / "src", ROOT / "docs" / "api")]:
        return "\n".join(wrong)
    print(f"{len(known)} pages in {BUILT.relative_to(ROOT)}")
    return None


if __name__ == "__main__":
    sys.exit(main())
