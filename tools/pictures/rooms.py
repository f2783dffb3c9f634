"""The rooms of the code, floor by floor: the import contract as a picture."""

import tomllib
from pathlib import Path

from tools.pictures.svg import WIDTH, Drawing

__all__ = ["rooms"]

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
CONTRACT = "Arrows point downward only"
LEFT, TOP, FLOOR, GAP = 48, 70, 44, 6
# What a floor is for, by one of its rooms, and its colour.
PURPOSES = {
    "__main__": ("plain", "python -m auth_jwks"),
    "cli": ("plain", "the command auth-jwks"),
    "testing": ("plain", "a provider, a clock, faults, and a suite for stores"),
    "drf": ("ahead", "integrations on top of an integration"),
    "django": ("ahead", "Django, in threads and on an event loop"),
    "fastapi": ("ahead", "integrations: web frameworks, MCP, threads"),
    "prometheus": ("ahead", "observers: metrics and spans"),
    "asgi": ("ahead", "any ASGI application; readiness"),
    "_asgi": ("ahead", "the credentials in a request"),
    "_issuers": ("good", "which JWKS a token is for"),
    "_verifier": ("good", "JWKS, for asyncio"),
    "_verification": ("good", "the calls that all verifiers have"),
    "_token_checks": ("good", "what a token must be"),
    "_cache": ("good", "which keys, how old, who refreshes, who waits"),
    "stores": ("good", "RFC 6750; purposes of tokens; the shared store"),
    "_settings": ("good", "checks on the configuration"),
    "_provider": ("wait", "HTTP: what the provider publishes; or a file"),
    "_jose": ("wait", "tokens and key sets as bytes; events; time"),
    "errors": ("wait", "what is raised"),
}


def floors() -> list[list[str]]:
    """Return the rooms of each floor, the topmost first, as the contract has them."""
    settings = tomllib.loads(PROJECT.read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contracts if each["name"] == CONTRACT]
    return [layer.split(" | ") for layer in layers]


def rooms() -> Drawing:
    """Return the picture."""
    house = floors()
    drawing = Drawing(
        TOP + (FLOOR + GAP) * len(house) + 8,
        "The rooms of the code",
        "From top to bottom: " + "; ".join(", ".join(floor) for floor in house)
        + ". A module imports from lower floors only.",
    )  # fmt: skip
    drawing.text(20, 28, "The rooms of auth_jwks", "bold")
    drawing.text(
        20, 50, "A module imports from the floors below its own, and from no other.", "small soft"
    )
    for number, floor in enumerate(house):
        kind, purpose = next(PURPOSES[room] for room in floor if room in PURPOSES)
        y = TOP + (FLOOR + GAP) * number
        drawing.box(LEFT, y, WIDTH - LEFT - 20, FLOOR, kind)
        drawing.text(LEFT + 12, y + 18, " ".join(floor), "code")
        drawing.text(LEFT + 12, y + 36, purpose, "soft small")
    drawing.falling(28, TOP + 4, TOP + (FLOOR + GAP) * len(house) - GAP)
    return drawing
