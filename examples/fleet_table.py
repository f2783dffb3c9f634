"""The output of the fleet demo: the current scene, live, and all scenes at the end."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from auth_jwks.testing import FakeIssuer, Request
from examples.fleet_crew import BUSY, Worker
from examples.output import counted, say, show

COLOURS = {
    "waits": "yellow", "fetches": "cyan", "fresh": "green", "stale": "magenta", "killed": "red",
}  # fmt: skip

TITLE = "A fleet: workers that share their keys, scene by scene"
INTRODUCTION = (
    (
        "Workers are processes, with a JWKS over a sealed RedisKeyStore and retries=0. The "
        "provider takes 0.2 s for an answer, and waits are real. All clocks are put forward: by "
        "two days before the 3rd scene, by 16 minutes before the 7th."
    ),
    (
        "asked: requests of this worker, as the provider counts them by User-Agent. "
        "fetched, store: how often it got new keys from the provider, from the store. "
        "waited: for its slowest token, measured in the worker. "
        "outcome: whom its tokens were for, and how many."
    ),
)
CONCLUSION = (
    "provider: requests of all workers, for discovery + for keys. fetched, store: how often new "
    "keys came from the provider, from the store. waited: for the slowest token. took: the whole "
    "scene."
)


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


Alone = Callable[[Sequence[Worker], FakeIssuer], str]


def each_asks(workers: Sequence[Worker], provider: FakeIssuer) -> str:
    """Tell how many requests there would be if each worker fetched the keys itself."""
    asking = [worker for worker in workers if worker.outcomes]
    documents = len({request.path for request in provider.requests})
    return (
        f" Without a shared store: {len(asking)} workers x {documents} documents = "
        f"{len(asking) * documents} requests instead of {len(provider.requests)}."
    )


def none_verifies(then: str) -> Alone:
    """Tell how many tokens there were, none of which would have been verified then."""

    def told(workers: Sequence[Worker], _: FakeIssuer) -> str:
        tokens = sum(worker.outcomes["alice"] for worker in workers)
        return f" {then}: {tokens} good token{'s' * (tokens != 1)} refused."

    return told


def picture(workers: Iterable[Worker], provider: FakeIssuer) -> tuple[Table, Text]:
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
    return table, Text(seen(provider.requests))


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


def report(scenes: Sequence[Scene], console: Console) -> bool:
    """Print the results of all scenes. Return whether each ended as expected."""
    table = Table("scene", "workers", "provider", box=box.SIMPLE_HEAD, padding=0)
    for header in ("fetched", "store", "waited", "took"):
        table.add_column(header, justify="right")
    table.add_column("")
    failed = [scene for scene in scenes if not add_scene(table, scene)]
    say(console, "All scenes", style="bold")
    show(console, table)
    say(console, CONCLUSION, "")
    for scene in failed:
        told = f"FAILED {scene.title}: expected {scene.expected}, got {scene.counts}"
        say(console, told, "", style="red")
    good = f"All {len(scenes)} scenes ended as expected."
    bad = f"{len(failed)} of {len(scenes)} scenes did not end as expected."
    say(console, bad if failed else good, style="bold")
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
