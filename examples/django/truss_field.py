"""A field of a Django model that holds a picture of the Truss image service."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.core.files.base import File
from django.db import models

from truss_image_client import Client, Upload


@dataclass(frozen=True)
class TrussImage:
    """A picture. `urls`: where each variant is, or will be in a moment, by its name."""

    unique_id: str
    processing_id: str
    urls: dict[str, str]


class TrussImageField(models.JSONField):
    """Uploads what is assigned to it when the model is saved: an uploaded file, a path, or bytes.

    The service's address and key are `TRUSS_IMAGE_URL` and `TRUSS_IMAGE_API_KEY` in the environment.
    """

    def __init__(self, *args: Any, preset: str | None = None, **options: Any) -> None:
        self.preset = preset
        super().__init__(*args, **options)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, options = super().deconstruct()
        return name, path, list(args), options | ({"preset": self.preset} if self.preset else {})

    def pre_save(self, model_instance: models.Model, add: bool) -> TrussImage | None:
        picture = getattr(model_instance, self.attname)
        if picture is not None and not isinstance(picture, TrussImage):
            picture = self._uploaded(picture)
            setattr(model_instance, self.attname, picture)
        return picture

    def get_prep_value(self, value: Any) -> Any:
        return super().get_prep_value(asdict(value) if isinstance(value, TrussImage) else value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        plain = asdict(value) if isinstance(value, TrussImage) else value
        return super().get_db_prep_value(plain, connection, prepared)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> TrussImage | None:
        found = super().from_db_value(value, expression, connection)
        return None if found is None else TrussImage(**found)

    def _uploaded(self, picture: Any) -> TrussImage:
        with Client() as images:
            if isinstance(picture, File):
                picture.open("rb")
                done: Upload = images.upload(picture.file, filename=picture.name, preset=self.preset)
            else:
                done = images.upload(picture, preset=self.preset)
        return TrussImage(unique_id=done.unique_id, processing_id=done.processing_id, urls=dict(done.urls))
