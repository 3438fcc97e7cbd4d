"""How a picture gets into a box of another shape."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

#: The colour of a border that nothing hides.
TRANSPARENT = "transparent"
_COLOUR = re.compile(rf"#[0-9a-f]{{6}}|{TRANSPARENT}")


class Gravity(StrEnum):
    """The part of a picture that stays when it is cropped, or the place of a picture in a larger box."""

    CENTRE = "centre"
    NORTH = "north"
    EAST = "east"
    SOUTH = "south"
    WEST = "west"
    ATTENTION = "attention"  # what people look at first: skin, edges, strong colours
    FACES = "faces"  # faces; if there are none, as `ATTENTION`; if nobody can look for them, as `CENTRE`


#: They look at the picture.
LOOKING = frozenset({Gravity.ATTENTION, Gravity.FACES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """The picture fills the box, and the rest is cropped. A smaller picture is not enlarged."""

    gravity: Gravity = Gravity.CENTRE

    def __str__(self) -> str:
        return "cover" + _unless_centre(self.gravity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contain:
    """The whole picture is in the box, and the rest of the box has a colour: `#rrggbb` or `transparent`."""

    colour: str
    gravity: Gravity = Gravity.CENTRE

    def __post_init__(self) -> None:
        """Raises `ValueError`."""
        if not _COLOUR.fullmatch(self.colour):
            raise ValueError("a colour is #rrggbb or transparent")
        if self.gravity in LOOKING:
            raise ValueError(f"{self.gravity} chooses what is not cropped, and contain crops nothing")

    @property
    def is_transparent(self) -> bool:
        """Whether the file needs alpha, even if the picture has none."""
        return self.colour == TRANSPARENT

    def __str__(self) -> str:
        return f"contain:{self.colour}" + _unless_centre(self.gravity)


Fit = Cover | Contain


def read_fit(text: str) -> Fit | None:
    """Reads `inside`, `cover`, `cover:north`, `contain:#ffffff` or `contain:transparent:south`.

    `inside` gives None: the picture keeps its shape, and fills as much of the box as it can. Raises `ValueError`.
    """
    match text.split(":"):
        case ["inside"]:
            return None
        case ["cover"]:
            return Cover()
        case ["cover", gravity]:
            return Cover(gravity=_gravity(gravity))
        case ["contain", colour]:
            return Contain(colour=colour)
        case ["contain", colour, gravity]:
            return Contain(colour=colour, gravity=_gravity(gravity))
    raise ValueError("must be inside, cover, cover:GRAVITY, contain:COLOUR or contain:COLOUR:GRAVITY")


def _gravity(name: str) -> Gravity:
    if name not in set(Gravity):
        raise ValueError(f"a gravity is {', '.join(Gravity)}")
    return Gravity(name)


def _unless_centre(gravity: Gravity) -> str:
    return "" if gravity is Gravity.CENTRE else f":{gravity}"
