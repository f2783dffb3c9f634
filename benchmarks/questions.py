"""What docs/performance.md answers, as questions.toml says: a table and a picture for each."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LIMIT", "QUESTIONS", "Question"]

LIMIT = "limit of "


@dataclass(frozen=True, slots=True)
class Question:
    """The rows of the table, and the picture: its title, its panels, and which bars are ours.

    A row, and a bar of a panel, is given by what a reader is shown for it.
    """

    title: str
    ours: list[str]
    rows: dict[str, str]
    panels: dict[str, dict[str, str]]

    @property
    def programs(self) -> list[str]:
        """Return the programs that answer it."""
        return [*dict.fromkeys(row.partition(" | ")[0] for row in self.rows.values())]


def _questions() -> dict[str, Question]:
    content = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    return {
        name: Question(each["title"], each["ours"], each["rows"], {
            panel: {words: row.format(what) for what, words in each["bars"].items()}
            if isinstance(row, str) else row
            for panel, row in each["panels"].items()
        })
        for name, each in content.items()
    }  # fmt: skip


QUESTIONS = _questions()
