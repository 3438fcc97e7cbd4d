"""How much of faces stays when pictures are cropped, by gravity.

    python -m benchmarks.crops [--pictures 40]

Faces are drawn at random places in clouds and edges; where they are is known. `MODELS_DIR` names the folder of the
models.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyvips

from processor.faces import Face
from processor.fits import Cover, Gravity
from processor.looking.models import use
from processor.pipeline.geometry import cover_size
from processor.pipeline.steps.box import fit_into
from processor.pipeline.steps.fit import fit
from processor.pipeline.view import View
from tests.corpus.faces import SKINS, with_faces
from tests.corpus.picture import photo

SEED = 20261127
GRAVITIES = (Gravity.FACES, Gravity.CENTRE, Gravity.ATTENTION)
#: Boxes, in pixels: 1 : 1, 16 : 9, 9 : 16.
BOXES = ((320, 320), (480, 270), (270, 480))
WIDTH, HEIGHT = 960, 640
#: Half the height of a face in pixels; larger drawings are not taken for faces.
HALVES = (22, 40)
#: Side of a patch that is found again, in pixels.
PATCH = 24


@dataclass(frozen=True)
class Drawn:
    """A picture, and a mask of its faces: 255 inside."""

    picture: pyvips.Image
    mask: pyvips.Image


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=40)
    asked = parser.parse_args()
    use(Path(os.environ.get("MODELS_DIR", ".models")))
    pictures = list(drawn(asked.pictures))
    seen = [View(each.picture).faces for each in pictures]
    print(f"faces found: {sum(map(len, seen))}")
    print("| box | " + " | ".join(GRAVITIES) + " |\n| --- |" + " --- |" * len(GRAVITIES))
    for box in BOXES:
        shares = [kept(pictures, seen, box, gravity) for gravity in GRAVITIES]
        print(f"| {box[0]} x {box[1]} | " + " | ".join(f"{share:.2f}" for share in shares) + " |")


def drawn(number: int) -> Iterator[Drawn]:
    """Pictures with one to three faces each, mostly near each other."""
    dice = random.Random(SEED)
    for seed in range(number):
        half = dice.randint(*HALVES)
        middle = dice.uniform(0.12, 0.88) * WIDTH, dice.uniform(0.2, 0.6) * HEIGHT
        places = [
            (
                round(min(WIDTH - 2 * half, max(2 * half, middle[0] + dice.uniform(-4, 4) * half))),
                round(min(HEIGHT - 2 * half, max(2 * half, middle[1] + dice.uniform(-1, 1) * half))),
            )
            for _ in range(dice.randint(1, 3))
        ]
        people = with_faces(WIDTH, HEIGHT, places, half, skin=dice.choice(SKINS))
        empty = with_faces(WIDTH, HEIGHT, [], half)
        nobody = ((people - empty).abs().bandmean() < 1).gaussblur(1) > 128  # noqa: PLR2004 - half
        faces = pyvips.Image.black(WIDTH, HEIGHT)
        for left, top in places:
            faces = faces.draw_rect(255, left - half, top - half, 2 * half, 2 * half, fill=True)
        scene = nobody.ifthenelse(photo(WIDTH, HEIGHT, seed=seed), people)
        yield Drawn(scene.copy(interpretation="srgb").copy_memory(), faces.copy(interpretation="b-w").copy_memory())


def kept(pictures: Sequence[Drawn], seen: Sequence[tuple[Face, ...]], box: tuple[int, int], gravity: Gravity) -> float:
    """The share of the area of faces that crops keep, as the mean of all pictures."""
    size = cover_size(WIDTH, HEIGHT, box)
    shares = []
    for each, faces in zip(pictures, seen, strict=True):
        marked = fit(each.picture.bandjoin(each.mask).copy(interpretation="multiband"), *size)
        colours = marked.extract_band(0, n=3).copy(interpretation="srgb").copy_memory()
        mask = marked[3].copy_memory()
        place = _place(colours, fit_into(colours, box, Cover(gravity=gravity), faces).copy_memory())
        shares.append(mask.crop(*place, *box).avg() * box[0] * box[1] / (mask.avg() * mask.width * mask.height))
    return float(sum(shares) / len(shares))


def _place(picture: pyvips.Image, part: pyvips.Image) -> tuple[int, int]:
    """Where a part begins in a picture: where a patch of it is found again."""
    patch = part.crop(0, 0, PATCH, PATCH).copy_memory()
    differences = {
        (left, top): (picture.crop(left, top, PATCH, PATCH) - patch).abs().max()
        for left in range(picture.width - part.width + 1)
        for top in range(picture.height - part.height + 1)
    }
    return min(differences, key=differences.__getitem__)


if __name__ == "__main__":
    main()
