"""The output of the fleet demo: the current scene, live, and all scenes at the end."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from auth_jwks.testing import FakeIssuer, Request
from examples.demo import counted
from examples.fleet_crew import BUSY, Worker

COLOURS = {
    "waits": "yellow", "fetches": "cyan", "fresh": "green", "stale": "magenta", "killed": "red",
}  # fmt: skip

EXPLANATION = """\
Workers are processes, with a JWKS over a sealed RedisKeyStore and retries=0.
asked: requests of one worker, by its User-Agent, as the provider counts them;
provider: requests of all workers, for discovery + for keys.
fetched, store: how often new keys came from the provider, from the store.
waited: for the slowest token, measured in the worker; took: the whole scene.
The provider takes 0.2 s for an answer, and waits are real. All clocks were put
forward: by two days before the 3rd scene and by 16 minutes before the 7th.
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """The result of a scene, at the workers and at the provider."""

    workers: str
    discovery: int
    keys: int
    fetched: int
    stored: int


@dataclass(frozen=True, slots=True)
class Scene:
    """The result of a scene, and the expected one. Times are seconds."""

    title: str
    counts: Counts
    expected: Counts
    waited: float
    took: float

    @property
    def ok(self) -> bool:
        """Whether it ended as expected."""
        return self.counts == self.expected


def count(workers: Iterable[Worker], provider: FakeIssuer) -> Counts:
    """Sum up what happened since the scene began."""
    involved = [worker for worker in workers if worker.outcomes or not worker.alive]
    return Counts(
        counted(sorted(map(fate, involved))),
        provider.discovery_requests,
        provider.jwks_requests,
        sum(worker.fetched for worker in involved),
        sum(worker.stored for worker in involved),
    )


def fate(worker: Worker) -> str:
    """Return the state of a worker that verified every token, otherwise the errors it raised."""
    bad = [outcome for outcome in worker.outcomes if outcome != "alice"]
    return counted(bad) or worker.state


def picture(title: str, note: str, workers: Iterable[Worker], provider: FakeIssuer) -> Group:
    """Return the current scene: a row for each worker, and the requests at the provider."""
    asked = Counter(request.headers["user-agent"] for request in provider.requests)
    table = Table("worker", box=box.SIMPLE_HEAD)
    # The widths stay the same from the first frame to the last.
    table.add_column("pid", min_width=7)
    table.add_column("state", min_width=9)
    for header in ("asked", "fetched", "store"):
        table.add_column(header, justify="right")
    table.add_column("waited", justify="right", min_width=7)
    table.add_column("outcome", min_width=10)
    for worker in workers:
        add_row(table, worker, asked[worker.name])
    saw = Text(seen(provider.requests))
    return Group(Text(title, style="bold"), Text(note, style="dim"), table, saw)


def add_row(table: Table, worker: Worker, asked: int) -> None:
    """Add a worker to the table."""
    state = "fetches" if asked and worker.state in BUSY else worker.state
    numbers = (str(number or "") for number in (asked, worker.fetched, worker.stored))
    waited = f"{worker.waited * 1000:.0f} ms" if worker.waited else ""
    table.add_row(
        worker.name.removeprefix("worker "), str(worker.pid),
        Text(state, style=COLOURS.get(state, "")), *numbers, waited,
        counted(worker.outcomes.elements()),
    )  # fmt: skip


def seen(requests: Iterable[Request]) -> str:
    """Return the requests that the provider saw, by worker."""
    asked: dict[str, list[str]] = {}
    for request in requests:
        asked.setdefault(request.headers["user-agent"], []).append(named(request))
    text = "; ".join(f"{name}: {', '.join(documents)}" for name, documents in asked.items())
    return f" The provider saw {text or 'nothing'}."


def named(request: Request) -> str:
    """Return which document was requested, and the status if it is an error."""
    name = "keys" if request.path == "/jwks" else "discovery"
    failed = request.status is not None and request.status >= HTTPStatus.BAD_REQUEST
    return f"{name} ({request.status})" if failed else name


def report(scenes: Iterable[Scene], console: Console) -> bool:
    """Print the results of all scenes. Return whether each ended as expected."""
    table = Table("scene", "workers", "provider", box=box.SIMPLE_HEAD, padding=0)
    for header in ("fetched", "store", "waited", "took"):
        table.add_column(header, justify="right")
    table.add_column("")
    failed = [scene for scene in scenes if not add_scene(table, scene)]
    console.print(table)
    console.print(EXPLANATION, highlight=False)
    for scene in failed:
        console.print(
            f"FAILED {scene.title}: expected {scene.expected}, got {scene.counts}", style="red"
        )
    console.print("FAILED" if failed else "Every scene ended as expected.", style="bold")
    return not failed


def add_scene(table: Table, scene: Scene) -> bool:
    """Add the scene to the table. Return whether it ended as expected."""
    counts = scene.counts
    mark = "[green]ok[/]" if scene.ok else "[red]FAILED[/]"
    table.add_row(
        scene.title, counts.workers, f"{counts.discovery} + {counts.keys}", str(counts.fetched),
        str(counts.stored), f"{scene.waited:.2f} s", f"{scene.took:.2f} s", mark,
    )  # fmt: skip
    return scene.ok
