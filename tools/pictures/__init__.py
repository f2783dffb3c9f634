"""The pictures of the documentation, with figures from the code: python -m tools.pictures."""

from collections.abc import Callable
from pathlib import Path

from tools.pictures.cold_start import cold_start
from tools.pictures.lifetime import lifetime
from tools.pictures.outages import outages
from tools.pictures.rooms import rooms
from tools.pictures.svg import Drawing

__all__ = ["FOLDER", "PICTURES"]

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
PICTURES: dict[str, Callable[[], Drawing]] = {
    "cold-start": cold_start,
    "lifetime": lifetime,
    "outages": outages,
    "rooms": rooms,
}
