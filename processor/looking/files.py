"""The files of the models, as `python -m models` makes them: their names and their digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Model(StrEnum):
    """A file, by what is looked for with it."""

    FACES = "faces"
    CONTENT = "content"
    #: The names of what `CONTENT` tells apart, as a JSON list in the order of its scores.
    NAMES = "names"
    NSFW = "nsfw"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A file in the folder of the models."""

    name: str
    sha256: str

    def read(self, folder: Path) -> bytes:
        """Its content. Raises `ValueError` that names a file that is missing, or is not the one that is known."""
        path = folder / self.name
        shown = str(path).encode(errors="backslashreplace").decode()  # a path may have bytes that are no text
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{shown} cannot be read ({error.strerror}); `make models` makes it") from None
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ValueError(f"{shown} is not the file that this release was made for; `make models` makes it")
        return content


FILES = {
    Model.FACES: ModelFile(
        name="faces.onnx", sha256="8078b96c8b46800f46793f3643f4b4100bbab71fc9279fe87da191a8bf89632b"
    ),
    Model.CONTENT: ModelFile(
        name="content.onnx", sha256="0496aeb0992a80435ad843e1b3f85d5a3eb3b4d22818b0f2c16e1bb98cf69f93"
    ),
    Model.NAMES: ModelFile(
        name="names.json", sha256="22b88486fc6dfc7e4859406bb41f1781a4bc9f13dc935741244440a95cffa336"
    ),
    Model.NSFW: ModelFile(name="nsfw.onnx", sha256="bed5ea2d9b0b02834cbd01e07b0f045ef35ed6ff0e1772a90fb3790bc9d7cbf1"),
}
