"""Draws the pictures of the documentation: python -m tools.pictures."""

from tools.pictures import FOLDER, PICTURES

for name, draw in PICTURES.items():
    (FOLDER / f"{name}.svg").write_text(str(draw()), encoding="utf-8", newline="\n")
