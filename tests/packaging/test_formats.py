"""What the image has is enough to read and to write every format."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from docs.generate import ROOT
from processor.formats import DECODED, FORMATS
from tests import corpus

#: Taken by structlog where they are.
OPTIONAL = ("greenlet",)
#: Converts files to every format that is written, and tells what was imported on the way.
CONVERT = """
import sys

there = set(sys.modules)

import json
from pathlib import Path
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import FURTHER, STANDARD, Recipe

set_up_libvips()
recipes = [Recipe(name="one", version=1, specs=specs[:1]) for specs in (STANDARD.specs, *FURTHER.values())]
told = {}
for file in map(Path, sys.argv[1:]):
    data = file.read_bytes()
    info = inspect(data, FileLimits())
    made = [render(data, info, recipe, Deadline(60)).variants[0] for recipe in recipes]
    told[info.format] = [variant.spec.format for variant in made]
print(json.dumps({"told": told, "imported": sorted({name.partition(".")[0] for name in set(sys.modules) - there})}))
"""


@pytest.fixture(scope="module")
def locked() -> set[str]:
    """The distributions that the Dockerfile installs."""
    text = ROOT.joinpath("requirements", "runtime.txt").read_text()
    return {_normal(name) for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}


def _normal(name: str) -> str:
    """As the packaging specifications compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_format_is_read_and_written_by_what_is_locked_for_the_image(tmp_path: Path, locked: set[str]) -> None:
    files = []
    for each in DECODED:
        files.append(tmp_path / each.name)
        files[-1].write_bytes(corpus.SAMPLES[each.name].make())

    said = subprocess.run(
        [sys.executable, "-c", CONVERT, *map(str, files)], cwd=ROOT, capture_output=True, check=True, timeout=300
    )
    found = json.loads(said.stdout)

    written = [each.name for each in FORMATS if each.encoding]
    assert found["told"] == {each.name: written for each in DECODED}
    provided = packages_distributions()
    needed = {_normal(name) for module in found["imported"] for name in provided.get(module, ())}
    assert {"pyvips", "pi-heif"} <= needed
    assert needed - {"truss-image", *OPTIONAL} <= locked
