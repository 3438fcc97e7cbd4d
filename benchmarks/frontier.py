"""Measures settings of the encoder for each variant: CPU, bytes and SSIMULACRA2 on real pictures.

    python -m benchmarks.frontier [--photos 26] [--settings effort quality preset chroma filter alpha] [--json FILE]
        [--plot FILE]

Each variant of each picture is resized once, and encoded with every setting in turn, so that a disturbance affects all.
The result is compared with the encoder's input by SSIMULACRA2, in the middle of the picture. 100 is no difference, 90
none that people see side by side, 70 high quality. The table has ratios to the earlier service's setting: effort 4 at
the same quality. The pictures come from Debian (`benchmarks/photos.py`). The score comes from `ssimulacra2_rs`, which
is built with cargo unless it is on the PATH.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean

import pyvips

from benchmarks.cpu_per_megapixel import machine
from benchmarks.photos import files
from processor.pipeline import geometry
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.origin import Origin
from processor.pipeline.render import _prepare as prepare
from processor.pipeline.render import _resized as resized
from processor.pipeline.render import inspect
from processor.recipes import STANDARD, VariantSpec

#: Side of a panel of the plot, in units of the SVG.
PANEL = 220
#: The ranges of a panel: bytes relative to the earlier service, and points of the score.
SIZES, APART = (0.9, 1.3), (-2.0, 1.5)
#: Side in pixels of the scored square in the middle of a picture. To score 12 megapixels takes ten seconds.
SCORED_SIDE = 768
#: Background of transparent pixels for the score.
BACKGROUND = (128, 128, 128)
#: Time limit for one picture, in seconds. It is so long that none is interrupted.
PATIENCE = 600
#: The earlier service's setting of the encoder.
BASE_EFFORT = 4
BASE_QUALITY: Mapping[str, int] = {"thumbnail": 80, "medium": 85, "large": 90, "webp": 85}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting of the encoder. `quality` is added to that of the earlier service."""

    effort: int = BASE_EFFORT
    quality: int = 0
    options: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        quality = [f"Q{self.quality:+d}"] if self.quality else []
        return " ".join([f"effort {self.effort}", *quality, *(f"{key}={value}" for key, value in self.options.items())])


BASE = Setting()
#: The settings to try for every variant, by the parameter that varies.
SETTINGS: Mapping[str, Sequence[Setting]] = {
    "effort": [Setting(effort=effort) for effort in range(7)],
    "quality": [Setting(effort=effort, quality=quality) for effort in (2, 5) for quality in (1, -1)],
    "preset": [Setting(effort=2, options={"preset": name}) for name in ("picture", "photo", "drawing", "icon", "text")],
    "chroma": [Setting(effort=effort, options={"smart_subsample": True}) for effort in (2, 4)],
    "filter": [Setting(effort=2, options={"smart_deblock": True})],
    "passes": [Setting(effort=2, options={"passes": passes}) for passes in (2, 3)],
    "alpha": [Setting(effort=2, options={"alpha_q": 90}), Setting(effort=2, options={"exact": True})],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The results for one file."""

    picture: str
    variant: str
    setting: str
    cpu_seconds: float
    bytes: int
    score: float


def measure(pictures: Sequence[Path], settings: Sequence[Setting], scorer: Path) -> Iterator[Written]:
    """Measure every variant of every picture with every setting."""
    for picture in pictures:
        with tempfile.TemporaryDirectory() as folder:
            for spec, image in variants_of(picture):
                score = Score(scorer, Path(folder), image)
                for setting in settings:
                    before = time.process_time()
                    data = _write(image, spec, setting)
                    yield Written(
                        picture=str(picture),
                        variant=spec.name,
                        setting=str(setting),
                        cpu_seconds=time.process_time() - before,
                        bytes=len(data),
                        score=score(data),
                    )


def variants_of(picture: Path) -> Iterator[tuple[VariantSpec, pyvips.Image]]:
    """The pixels of each variant, before they are encoded."""
    data = picture.read_bytes()
    info, deadline = inspect(data, FileLimits()), Deadline(PATIENCE)
    deadline.start()
    whole = prepare(data, info, Origin(data, info.format, STANDARD), deadline)
    sizes = [geometry.target_size(info, spec) for spec in STANDARD.specs]
    images = resized(whole, sizes, deadline)
    for spec, size in zip(STANDARD.specs, sizes, strict=True):
        yield spec, images[size]


class Score:
    """SSIMULACRA2 of files, compared with the pixels that they were made of."""

    def __init__(self, scorer: Path, folder: Path, image: pyvips.Image) -> None:
        self._scorer = scorer
        self._original, self._written = folder / "original.png", folder / "written.png"
        _middle(image).pngsave(str(self._original), compression=1)

    def __call__(self, data: bytes) -> float:
        """The score of an encoded file."""
        _middle(pyvips.Image.new_from_buffer(data, "")).pngsave(str(self._written), compression=1)
        command = [str(self._scorer), "image", str(self._original), str(self._written)]
        one = {**os.environ, "RAYON_NUM_THREADS": "1"}
        said = subprocess.run(command, check=True, capture_output=True, text=True, env=one).stdout
        return float(said.rpartition(":")[2])


def table(written: Sequence[Written]) -> str:
    """Ratios of sums to the earlier service's setting, and differences of scores: the mean and the worst."""
    lines = [f"{'variant':10} {'setting':34} {'CPU':>6} {'bytes':>6} {'score':>6} {'worst':>6}"]
    for variant, rows in _grouped(written, "variant").items():
        lines += [
            f"{variant:10} {setting:34} {cpu:6.2f} {size:6.3f} {apart:+6.2f} {worst:+6.2f}"
            for setting, cpu, size, apart, worst in _summed(rows)
        ]
    return "\n".join(lines)


def plot(written: Sequence[Written]) -> str:
    """An SVG with a panel for each variant. x: bytes; y: score; area of a dot: CPU."""
    panels = _grouped(written, "variant")
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {PANEL * len(panels)} {PANEL}" font-size="9">']
    for number, (variant, rows) in enumerate(panels.items()):
        parts.append(f'<text x="{PANEL * number + 8}" y="14" font-weight="bold">{variant}</text>')
        for setting, cpu, size, apart, _ in _summed(rows):
            x = PANEL * number + 20 + (size - SIZES[0]) / (SIZES[1] - SIZES[0]) * (PANEL - 40)
            y = PANEL - 30 - (apart - APART[0]) / (APART[1] - APART[0]) * (PANEL - 50)
            if SIZES[0] <= size <= SIZES[1] and apart >= APART[0]:
                parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{5 * min(cpu, 4) ** 0.5:.1f}" fill="#48c6"/>')
                parts.append(f'<text x="{x + 6:.0f}" y="{y:.0f}">{setting.removeprefix("effort ")}</text>')
        parts.append(f'<text x="{PANEL * number + 8}" y="{PANEL - 8}">bytes {SIZES}, score {APART}</text>')
    return "\n".join([*parts, "</svg>", ""])


def scorer() -> Path:
    """The path of `ssimulacra2_rs`; builds it if it is missing."""
    found = shutil.which("ssimulacra2_rs")
    if found:
        return Path(found)
    root = Path(".local/cargo")
    program = root / "bin" / "ssimulacra2_rs"
    if not program.exists():
        # Without the default features it needs no video libraries.
        command = ["cargo", "install", "ssimulacra2_rs@0.5.2", "--locked", "--no-default-features", "--root", str(root)]
        subprocess.run(command, check=True)
    return program


def _write(image: pyvips.Image, spec: VariantSpec, setting: Setting) -> bytes:
    quality = BASE_QUALITY[spec.name] + setting.quality
    return bytes(image.webpsave_buffer(Q=quality, effort=setting.effort, keep="none", **setting.options))


def _middle(image: pyvips.Image) -> pyvips.Image:
    width, height = min(image.width, SCORED_SIDE), min(image.height, SCORED_SIDE)
    part = image.crop((image.width - width) // 2, (image.height - height) // 2, width, height)
    part = part.flatten(background=BACKGROUND) if part.hasalpha() else part
    return part.colourspace("srgb")


def _summed(rows: Sequence[Written]) -> Iterator[tuple[str, float, float, float, float]]:
    """The results of one variant, by setting: CPU, bytes, and the score's difference, mean and worst."""
    settings = _grouped(rows, "setting")
    base = {row.picture: row for row in settings[str(BASE)]}
    for setting, own in settings.items():
        apart = [row.score - base[row.picture].score for row in own]
        cpu = sum(row.cpu_seconds for row in own) / sum(row.cpu_seconds for row in base.values())
        size = sum(row.bytes for row in own) / sum(row.bytes for row in base.values())
        yield setting, cpu, size, mean(apart), min(apart)


def _grouped(rows: Sequence[Written], key: str) -> dict[str, list[Written]]:
    groups: dict[str, list[Written]] = {}
    for row in rows:
        groups.setdefault(getattr(row, key), []).append(row)
    return groups


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    set_up_libvips()
    settings = list({str(each): each for name in options.settings for each in SETTINGS[name]}.values())
    written = []
    for row in measure(files(options.photos), settings, scorer()):
        written.append(row)
        if options.json:
            options.json.write_text(json.dumps([asdict(each) for each in written]))
    print(machine())
    print(table(written))
    if options.plot:
        options.plot.write_text(plot(written))


if __name__ == "__main__":
    main()
