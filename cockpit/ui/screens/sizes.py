"""The sizes of the main screen: the classes that lay it out, and the text for one that is too small."""

from __future__ import annotations

from textual.geometry import Size

from cockpit.text.next_steps import End

MIN_WIDTH, MIN_HEIGHT = 60, 18
"""The smallest size at which the screen is readable."""

_SIZES = (("-large", 170, 42), ("-medium", 110, 34))
"""Sizes from which the side column is wide, and from which there is one."""


def classes_for(size: Size) -> dict[str, bool]:
    """Return the classes that depend on the size, and whether each is set."""
    width, height = size
    fitting = next((name for name, columns, lines in _SIZES if width >= columns and height >= lines), "")
    is_too_small = width < MIN_WIDTH or height < MIN_HEIGHT
    return {"-too-small": is_too_small, **{name: name == fitting for name, _, _ in _SIZES}}


def too_small(size: Size, end: End | None) -> str:
    """Return the text that replaces a screen of this size; `end` is that of the run, `None` while it continues."""
    goes_on = "the training continues" if end is None else f"the run has {end.word}"
    return (
        f"{size.width} x {size.height} is too small for the cockpit.\nIt needs {MIN_WIDTH} x {MIN_HEIGHT}; {goes_on}."
    )
