"""What is made of an image."""

from __future__ import annotations

from dataclasses import dataclass

from processor.formats import encoding_of, format_of
from processor.formats.format import Encoding
from processor.formats.webp import WEBP


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSpec:
    """What is asked of a variant: a box to fit into (None: the original's own size), a format and a quality."""

    name: str
    format: str
    quality: int
    box: tuple[int, int] | None = None

    @property
    def encoding(self) -> Encoding:
        """How it is written."""
        return encoding_of(self.format)

    @property
    def content_type(self) -> str:
        """As what it is served."""
        return format_of(self.format).content_type

    @property
    def file_name(self) -> str:
        """The end of its key."""
        return f"{self.name}.{format_of(self.format).extension}"


#: The variant of the original's own size: what earlier clients know as *the* processed image.
FULL_SIZE = VariantSpec(name="webp", format=WEBP.name, quality=85)
#: The standard set, smallest first. Boxes and qualities are those of the earlier service.
STANDARD_VARIANTS: tuple[VariantSpec, ...] = (
    VariantSpec(name="thumbnail", format=WEBP.name, quality=80, box=(300, 300)),
    VariantSpec(name="medium", format=WEBP.name, quality=85, box=(800, 600)),
    VariantSpec(name="large", format=WEBP.name, quality=90, box=(1920, 1080)),
    FULL_SIZE,
)
