"""Measures what the models find, and what it costs: `python -m benchmarks.analysis`, with the models and the internet.

The pictures come out of wheels, by hash (`benchmarks/pictures.txt`): two portraits in the public domain, of NASA and of
the US Navy, whose faces were labelled by eye, and 28 without a face. A face counts as found if a box shares
half of its union with the label. Drawn faces have skins from light to dark.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import pyvips

from processor.faces import Face
from processor.looking.models import use
from processor.pipeline.analyses.content import embedding, nsfw, tags
from processor.pipeline.view import View
from tests import corpus
from tests.corpus.faces import SKINS, with_faces

ROOT = Path(__file__).resolve().parents[1]
Box = tuple[float, float, float, float]
#: Left, top, width and height of the face, in pixels of the picture: from the hair to the chin.
LABELS: dict[str, Box] = {"astronaut.png": (180, 68, 92, 122), "grace_hopper.jpg": (172, 128, 186, 208)}
HEIGHTS, TURNS = (12, 16, 23, 32, 48, 96, 200, 300), (0, 15, 30, 45, 60, 90, 180)
#: Drawings and test charts: nothing may be named in them.
DRAWN = {"logo.png", "horse.png", "phantom.png", "chessboard_GRAY.png", "chessboard_RGB.png", "color.png", "page.png"}
#: Where the wheels have photographs and charts.
_FOLDERS = ("skimage/data/", "sample_data/", "datasets/images/")
#: A man in profile, whose face is too turned to be labelled the same way.
_UNCLEAR = "camera.png"
_CANVAS, _GREY, _TURNED = (640, 480), [128, 128, 128], 100


def pictures() -> dict[str, pyvips.Image]:
    """All pictures by name, in sRGB on white."""
    with tempfile.TemporaryDirectory() as folder:
        platforms = [f"--platform=manylinux{each}_x86_64" for each in ("2014", "_2_24", "_2_27", "_2_28")]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--python-version=3.11", "--implementation=cp", "--abi=cp311", *platforms, "--require-hashes"]
        subprocess.run([*command, "--dest", folder, "-r", str(ROOT / "benchmarks/pictures.txt")], check=True)
        return dict(sorted(found for wheel in Path(folder).glob("*.whl") for found in _within(wheel)))


def _within(wheel: Path) -> Iterator[tuple[str, pyvips.Image]]:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith((".png", ".jpg")) and any(each in name for each in _FOLDERS):
                picture = pyvips.Image.new_from_buffer(archive.read(name), "").colourspace("srgb").cast("uchar")
                yield Path(name).name, picture.flatten(background=255) if picture.hasalpha() else picture


def boxes(picture: pyvips.Image) -> list[tuple[Box, Face]]:
    """The faces that are found, in pixels."""
    across, down = picture.width, picture.height
    return [
        ((face.left * across, face.top * down, face.width * across, face.height * down), face)
        for face in View(picture).faces
    ]


def shared(one: Box, other: Box) -> float:
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(0.0, across) * max(0.0, down)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def found(picture: pyvips.Image, label: Box) -> tuple[bool, int]:
    """Whether the face is found, and how many boxes are not of it."""
    hits = [shared(box, label) >= 0.5 for box, _ in boxes(picture)]  # noqa: PLR2004 - half
    return any(hits), len(hits) - any(hits)


def at_height(picture: pyvips.Image, label: Box, height: float) -> tuple[pyvips.Image, Box]:
    """On a grey canvas, with a face of this height."""
    scale = height / label[3]
    small = picture.resize(scale)
    left, top = (max(0, (room - size) // 2) for room, size in zip(_CANVAS, (small.width, small.height), strict=True))
    size = max(_CANVAS[0], small.width), max(_CANVAS[1], small.height)
    canvas = (pyvips.Image.black(*size, bands=3) + _GREY).cast("uchar").copy(interpretation="srgb")
    placed = label[0] * scale + left, label[1] * scale + top, label[2] * scale, label[3] * scale
    return canvas.insert(small, left, top), placed


def turned(picture: pyvips.Image, label: Box, degrees: float) -> tuple[pyvips.Image, Box]:
    """Turned about the middle of its face, which is in the middle of the canvas."""
    scale = _TURNED / label[3]
    small = picture.resize(scale)
    middle = round((label[0] + label[2] / 2) * scale), round((label[1] + label[3] / 2) * scale)
    side = 2 * max(small.width, small.height)
    whole = (pyvips.Image.black(side, side, bands=3) + _GREY).cast("uchar").copy(interpretation="srgb")
    whole = whole.insert(small, side // 2 - middle[0], side // 2 - middle[1]).rotate(degrees, background=_GREY)
    shown = whole.gravity("centre", *_CANVAS, extend="background", background=_GREY)
    length = (label[2] + label[3]) / 2 * scale
    return shown, ((_CANVAS[0] - length) / 2, (_CANVAS[1] - length) / 2, length, length)


def quality(all_pictures: dict[str, pyvips.Image]) -> None:
    labelled = {name: (all_pictures.pop(name), label) for name, label in LABELS.items()}
    print("face height in the view | found of 2 | other boxes\n--- | --- | ---")
    for height in HEIGHTS:
        told = [found(*at_height(*each, height)) for each in labelled.values()]
        print(f"{height} | {sum(hit for hit, _ in told)} | {sum(others for _, others in told)}")
    print("\nturned by | found of 2 | other boxes\n--- | --- | ---")
    for degrees in TURNS:
        told = [found(*turned(*each, degrees)) for each in labelled.values()]
        print(f"{degrees} | {sum(hit for hit, _ in told)} | {sum(others for _, others in told)}")
    print("\ndrawn skin | found of 2, half heights 14, 20, 30\n--- | ---")
    for skin in SKINS:
        counts = [len(boxes(with_faces(*_CANVAS, [(200, 200), (420, 260)], half, skin=skin))) for half in (14, 20, 30)]
        print(f"#{bytes(skin).hex()} | {', '.join(map(str, counts))}")
    false = {name: [face.score for _, face in boxes(each)] for name, each in all_pictures.items()}
    print(f"\n{_UNCLEAR}: {false.pop(_UNCLEAR)}")
    boxed = {name: scores for name, scores in false.items() if scores}
    print(f"{len(false)} pictures without a face; boxes in {boxed or 'none'}")
    print("\npicture | tags | nsfw\n--- | --- | ---")
    for name, each in all_pictures.items():
        view = View(each)
        named = ", ".join(f"{tag['name']} {tag['score']}" for tag in tags(view))
        print(f"{name}{' (drawn)' if name in DRAWN else ''} | {named} | {nsfw(view)}")
    _compare(all_pictures)


def _compare(all_pictures: dict[str, pyvips.Image]) -> None:
    bits = {name: _bits(each) for name, each in all_pictures.items()}
    pairs = [(one, other) for one in bits for other in bits if one < other and one[:5] != other[:5]]
    others = sorted(_alike(bits[one], bits[other]) for one, other in pairs)
    print(f"\nother pictures: median {median(others):.2f}, 99 of 100 below {others[len(others) * 99 // 100]:.2f}")
    changes: dict[str, Callable[[pyvips.Image], pyvips.Image]] = {
        "JPEG of quality 50": lambda each: pyvips.Image.new_from_buffer(corpus.jpeg(each, quality=50), ""),
        "half the size": lambda each: each.resize(0.5),
        "the middle four fifths": lambda each: _middle(each, 0.8),
        "the middle three fifths": lambda each: _middle(each, 0.6),
        "mirrored": lambda each: each.fliphor(),
    }
    for what, change in changes.items():
        alike = sorted(_alike(bits[name], _bits(change(each))) for name, each in all_pictures.items())
        print(f"{what}: least {alike[0]:.2f}, median {median(alike):.2f}")


def _middle(picture: pyvips.Image, part: float) -> pyvips.Image:
    width, height = max(1, int(picture.width * part)), max(1, int(picture.height * part))
    return picture.crop((picture.width - width) // 2, (picture.height - height) // 2, width, height)


def _bits(picture: pyvips.Image) -> int:
    return int.from_bytes(View(picture).content.embedding, "big")


def _alike(one: int, other: int) -> float:
    return float((one & other).bit_count() / max(1, one.bit_count() * other.bit_count()) ** 0.5)


def cost() -> None:
    """CPU of the thread for each look, beside the view, which is there already."""
    looks: Sequence[tuple[str, Callable[[View], object]]] = (
        ("faces", lambda view: view.faces),
        ("tags", tags),
        ("embedding, alone", embedding),
        ("nsfw", nsfw),
        ("faces and tags", lambda view: (view.faces, tags(view))),
    )
    print("\nlook | 4 : 3, ms | square, ms\n--- | --- | ---")
    for name, look in looks:
        spent = [median(_cpu_ms(look, corpus.photo(*size)) for _ in range(7)) for size in ((640, 480), (640, 640))]
        print(f"{name} | {spent[0]:.0f} | {spent[1]:.0f}")
    photo = corpus.photo(640, 480)
    _seconds(photo, threads=2)  # the allocator takes what both need
    alone, together = _seconds(photo, threads=1), _seconds(photo, threads=2)
    print(f"\ntwo threads look {2 * alone / together:.2f} times as fast as one")
    print(f"the event loop came late by at most {asyncio.run(_latest(photo)) * 1000:.1f} ms")
    print(f"resident memory {int(Path('/proc/self/statm').read_text().split()[1]) * 4096 / 2**20:.0f} MiB")


def _cpu_ms(look: Callable[[View], object], picture: pyvips.Image) -> float:
    view = View(picture)
    begun = time.thread_time()
    look(view)
    return (time.thread_time() - begun) * 1000


def _look_often(picture: pyvips.Image) -> None:
    for _ in range(15):
        view = View(picture)
        tags(view)
        _ = view.faces


def _seconds(picture: pyvips.Image, *, threads: int) -> float:
    """Until each of the threads has looked as often."""
    begun = time.perf_counter()
    running = [threading.Thread(target=_look_often, args=(picture,)) for _ in range(threads)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    return time.perf_counter() - begun


async def _latest(picture: pyvips.Image) -> float:
    """How late the loop comes while another thread looks."""
    looking = asyncio.get_running_loop().run_in_executor(None, _look_often, picture)
    late = 0.0
    while not looking.done():
        begun = time.perf_counter()
        await asyncio.sleep(0.002)
        late = max(late, time.perf_counter() - begun - 0.002)
    return late


def main() -> None:
    use(ROOT / ".models")
    pyvips.concurrency_set(1)
    pyvips.cache_set_max(0)
    quality(pictures())
    cost()


if __name__ == "__main__":
    main()
