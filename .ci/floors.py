"""Print the lowest release of each distribution that users' installations name, as constraints."""

import re
import tomllib
from itertools import chain
from pathlib import Path

FLOOR = re.compile(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)")

with Path("pyproject.toml").open("rb") as file:
    project = tomllib.load(file)["project"]

extras = project["optional-dependencies"]
for line in sorted({*project["dependencies"], *chain.from_iterable(extras.values())}):
    if floor := FLOOR.fullmatch(line):
        print("{}=={}".format(*floor.groups()))
    elif not line.startswith(f"{project['name']}["):
        raise SystemExit(f"{line!r} has no floor, or more than that")
