"""Real photographs and graphics from Debian packages. They are fetched when needed, and are not in the repository."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

#: The folder for them, which git ignores.
FOLDER = Path(".local/photos")
_PLASMA = ("plasma-workspace-wallpapers", "usr/share/wallpapers/{}")
_LOMIRI = ("lomiri-wallpapers-16.04", "usr/share/backgrounds/{}.jpg")
_MATE = ("mate-backgrounds", "usr/share/backgrounds/mate/{}")
_UKUI = ("ukui-wallpapers", "usr/share/backgrounds/{}")
_CLIPART = ("openclipart-png", "usr/share/openclipart/png/{}.png")

#: Photographs from cameras and phones, 1.8 to 16 megapixels.
PHOTOGRAPHS = (
    (_LOMIRI, "Bridge_by_Sander_Klootwijk"),
    (_LOMIRI, "Dragonfly_by_Bolly"),
    (_LOMIRI, "Wine_by_Jakkub_Mede"),
    (_LOMIRI, "aitzgorri_by_Aitzol_Berasategi"),
    (_LOMIRI, "friends_by_Aitzol_Berasategi"),
    (_LOMIRI, "greentock_by_Peter_Nerlich"),
    (_LOMIRI, "picosdeeuropa_by_Aitzol_Berasategi"),
    (_LOMIRI, "seeding_by_Clements_Engelhardt"),
    (_LOMIRI, "sunset_by_Aitzol_Berasategi"),
    (_PLASMA, "Autumn/contents/images/2560x1600.jpg"),
    (_PLASMA, "BytheWater/contents/images/2560x1600.jpg"),
    (_PLASMA, "ColorfulCups/contents/images/2560x1600.jpg"),
    (_PLASMA, "FallenLeaf/contents/images/2560x1600.jpg"),
    (_PLASMA, "Path/contents/images/2560x1600.jpg"),
    (_MATE, "nature/Dune.jpg"),
    (_MATE, "nature/Storm.jpg"),
    (_MATE, "nature/Wood.jpg"),
    (_UKUI, "string.jpg"),
)
#: Drawings and pictures made by programs, with alpha and without.
GRAPHICS = (
    (_PLASMA, "Canopee/contents/images/3840x2160.png"),
    (_PLASMA, "Kokkini/contents/images/3840x2160.png"),
    (_MATE, "abstract/Arc-Colors-Transparent-Wallpaper.png"),
    (_UKUI, "goldfish.png"),
    (_CLIPART, "geography/world_map_02"),
    (_CLIPART, "unsorted/mygraph_john_rariden_01"),
    (_CLIPART, "recreation/religion/daedalus_and_ikarus_pete_01"),
    (_CLIPART, "food/fruit/watermelon_james_kilfige_01"),
)


def files(only: int | None = None) -> Sequence[Path]:
    """All of them, or only some of each kind: `only` in all.

    apt downloads the packages and dpkg unpacks them; nothing is installed.
    """
    return _fetched((*PHOTOGRAPHS, *GRAPHICS), only)


def photographs(only: int | None = None) -> Sequence[Path]:
    """The photographs alone, likewise."""
    return _fetched(PHOTOGRAPHS, only)


def drawings(only: int | None = None) -> Sequence[Path]:
    """The graphics alone, likewise."""
    return _fetched(GRAPHICS, only)


def _fetched(named: Sequence[tuple[tuple[str, str], str]], only: int | None) -> Sequence[Path]:
    wanted = [(package, pattern.format(name)) for (package, pattern), name in named]
    if only is not None:
        wanted = wanted[:: -(-len(wanted) // only)]
    for package in sorted({package for package, _ in wanted}):
        _unpack(package)
    return [FOLDER / package / path for package, path in wanted]


def _unpack(package: str) -> None:
    folder = FOLDER / package
    if folder.exists():
        return
    downloads = FOLDER / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", package], cwd=downloads, check=True)
    archive = next(downloads.glob(f"{package}_*.deb"))
    unfinished = FOLDER / f"{package}.{os.getpid()}"
    subprocess.run(["dpkg-deb", "-x", str(archive), str(unfinished)], check=True)
    unfinished.rename(folder)
    archive.unlink()
