"""The walls between the rooms close by themselves: what is new is behind them without being named anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: What somebody might add, by its path, and the contract that it breaks.
PLANTED = {
    "processor/catalog_of_pixels.py": ("import pyvips", "only the pipeline imports libvips"),
    "processor/stores/pixels.py": ("from pyvips import Image", "only the pipeline imports libvips"),
    "processor/stores/memory/deep/pixels.py": ("import pyvips.enums", "only the pipeline imports libvips"),
    "processor/sandbox/pixels.py": ("import pyvips", "only the pipeline imports libvips"),
    "service/calls/pixels.py": ("import pyvips", "only the pipeline imports libvips"),
    "processor/pipeline/analyses/arrays.py": ("import numpy as np", "only looking imports the models' libraries"),
    "service/arrays.py": ("from onnxruntime import InferenceSession", "only looking imports the models' libraries"),
    "processor/catalog/look.py": (
        "from processor.looking.faces import find_faces",
        "looking is behind the renderers",
    ),
    "processor/looking/upward.py": ("import processor.pipeline.view", "the processor is layered"),
    "processor/buckets.py": ("import aioboto3", "only the stores import the AWS SDK"),
    "processor/pipeline/buckets.py": ("from botocore.config import Config", "only the stores import the AWS SDK"),
    "processor/pipeline/analyses/buckets.py": ("import aioboto3", "only the stores import the AWS SDK"),
    "processor/pipeline/effects/buckets.py": ("import botocore.session", "only the stores import the AWS SDK"),
    "processor/sandbox/buckets.py": ("import aiobotocore.client", "only the stores import the AWS SDK"),
    "service/auth/buckets.py": ("import boto3.session", "only the stores import the AWS SDK"),
    "processor/pipeline/deep/page.py": ("from aiohttp import web", "only the service speaks HTTP"),
    "processor/pipeline/upward.py": ("from processor.work.worker import Worker", "the processor is layered"),
    "processor/pipeline/steps/upward.py": ("from processor.catalog.images import Catalog", "the processor is layered"),
    "processor/pipeline/analyses/upward.py": ("import processor.sandbox.renderer", "the processor is layered"),
    "processor/pipeline/effects/upward.py": ("import processor.work.outcomes", "the processor is layered"),
    "processor/sandbox/upward.py": ("from processor.work.leases import Leases", "the processor is layered"),
    "processor/stores/memory/upward.py": ("import processor.catalog.images", "the processor is layered"),
    "processor/unplaced.py": ("", "the processor is layered"),
    "processor/unplaced_room/thing.py": ("", "the processor is layered"),
    "processor/pipeline/outward.py": ("import service.calls.jobs", "the service is above the processor"),
    "processor/catalog/use_case.py": (
        "from processor.stores.s3 import S3ObjectStore",
        "the adapters are behind ports",
    ),
    "processor/work/render.py": ("import processor.pipeline.render", "the renderers are behind ports"),
    "service/unplaced.py": ("", "the service is layered"),
    "service/auth/upward.py": ("from service.calls import uploads", "the service is layered"),
    "service/limits/upward.py": ("def late():\n    from service.app import create_app", "the service is layered"),
    "service/client/core.py": ("from processor import clock", "the client knows the API alone"),
    "service/webhooks/sent.py": ("import truss_image_client", "only the commands are made of the client"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in ("processor", "service"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold_and_each_planted_module_breaks_its_own(copy: Path) -> None:
    assert _broken(copy) == {}
    for path, (content, _) in PLANTED.items():
        _plant(copy / path, content)
    broken = _broken(copy)
    for path, (_, contract) in PLANTED.items():
        (told,) = (why for name, why in broken.items() if name.startswith(contract))
        assert _found(path, told), f"{contract}: {path}\n{told}"


@pytest.mark.parametrize("room", ["steps", "effects", "analyses"])
def test_what_a_render_is_made_of_knows_no_render(copy: Path, room: str) -> None:
    _plant(copy / f"processor/pipeline/{room}/upward.py", "import processor.pipeline.render")
    assert set(_broken(copy)) == {"no circles"}


def test_a_circle_of_folders_is_broken(copy: Path) -> None:
    _plant(copy / "processor/stores/memory/upward.py", "from processor.stores.dynamodb import DynamoJobStore")
    _plant(copy / "processor/stores/outward.py", "from processor.stores.memory.jobs import MemoryJobStore")
    _plant(copy / "processor/stores/dynamodb.py", "from processor.stores.outward import MemoryJobStore")
    assert set(_broken(copy)) == {"no circles"}


def _plant(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.with_name("__init__.py").exists():
        file.with_name("__init__.py").touch()
    file.write_text(f"{content}\n")


def _found(path: str, told: str) -> bool:
    """Whether the module is named; or its room, when that has no place among the layers."""
    module = path.removesuffix(".py").replace("/", ".")
    room = ".".join(module.split(".")[:2])
    return f" {module} ->" in told or f"- {room}\n" in told


def _broken(folder: Path) -> dict[str, str]:
    """What is said of each broken contract, by its name."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "300"}
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert "Contracts: " in run.stdout, run.stdout + run.stderr
    names = [line.removesuffix(" BROKEN") for line in run.stdout.splitlines() if line.endswith(" BROKEN")]
    _, _, told = run.stdout.partition("Broken contracts")
    return {name: _section(told, name, names) for name in names}


def _section(told: str, name: str, names: list[str]) -> str:
    _, _, rest = told.partition(f"\n{name}\n---")
    ends = [rest.find(f"\n{other}\n---") for other in names if f"\n{other}\n---" in rest]
    return rest[: min(ends)] if ends else rest
