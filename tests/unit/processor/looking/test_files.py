"""A file of a model is the one that this release was made for, or it is refused by its name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from processor.looking import models
from processor.looking.files import FILES, Model, ModelFile
from processor.looking.models import Models, check_models

CONTENT = b"weights"
FILE = ModelFile(name="faces.onnx", sha256=hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models, "FILES", {Model.FACES: FILE})
    (tmp_path / FILE.name).write_bytes(CONTENT)
    return tmp_path


def test_a_file_with_its_digest_is_read(folder: Path) -> None:
    check_models(folder)
    assert FILE.read(folder) == CONTENT


@pytest.mark.parametrize("content", [b"", b"weightz", CONTENT + b"\0"])
def test_a_file_that_was_changed_is_refused_by_name(content: bytes, folder: Path) -> None:
    (folder / FILE.name).write_bytes(content)
    with pytest.raises(ValueError, match=r"faces\.onnx is not the file that this release was made for; `make models`"):
        check_models(folder)


def test_a_file_that_is_missing_is_refused_by_name(folder: Path) -> None:
    (folder / FILE.name).unlink()
    with pytest.raises(ValueError, match=r"faces\.onnx cannot be read \(No such file or directory\); `make models`"):
        check_models(folder)


def test_a_folder_that_is_a_file_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"faces\.onnx cannot be read"):
        check_models(folder / FILE.name)


def test_without_the_extra_its_packages_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_EXTRA", ("numpy", "no_such_package"))
    with pytest.raises(ValueError, match="no_such_package must be installed: the extra `ai` brings them"):
        check_models(folder)


def test_all_models_are_known_and_have_files_of_their_own() -> None:
    assert set(FILES) == set(Model)
    assert len({file.name for file in FILES.values()}) == len({file.sha256 for file in FILES.values()}) == len(Model)


def test_a_process_that_uses_the_same_folder_again_keeps_its_sessions(tmp_path: Path) -> None:
    before = models.models()
    try:
        models.use(tmp_path)
        there = models.models()
        models.use(tmp_path)
        assert models.models() is there is not before
    finally:
        models._MODELS = before
    assert isinstance(before, Models)
