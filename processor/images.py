"""Images and variants: what is asked for, what came out, and under which keys both are stored."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from datetime import datetime

#: Prefix of every source key, as earlier clients know it.
SOURCE_PREFIX = "uploads/"
#: Prefix of every variant key.
VARIANT_PREFIX = "processed/"
#: Longest side that the WebP container can express (RFC 9649, 14 bits less one).
WEBP_MAX_SIDE = 16_383

_SOURCE_KEY = re.compile(r"uploads/(?P<id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.[a-z0-9]{1,8}")
_VARIANT_KEY = re.compile(r"processed/(?P<image>[^/]+)/(?P<job>[^/]+)/[^/]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSpec:
    """What is asked of a variant: a box to fit into (None: the original's own size) and a quality."""

    name: str
    quality: int
    box: tuple[int, int] | None = None


#: The standard set, smallest first. Boxes and qualities are those of the earlier service.
STANDARD_VARIANTS: tuple[VariantSpec, ...] = (
    VariantSpec(name="thumbnail", quality=80, box=(300, 300)),
    VariantSpec(name="medium", quality=85, box=(800, 600)),
    VariantSpec(name="large", quality=90, box=(1920, 1080)),
    VariantSpec(name="webp", quality=85),
)
#: The variant of the original's own size: what earlier clients know as *the* processed image.
FULL_SIZE = "webp"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """What the header of an uploaded file says. `width` x `height` is one frame, before orientation."""

    format: str
    width: int
    height: int
    frames: int = 1
    has_alpha: bool = False
    orientation: int = 1
    #: Samples of a pixel once it is decoded, alpha counted in.
    bands: int = 3
    #: How often the decoder goes over the whole picture.
    scans: int = 1
    #: What the decoder holds for itself while it works, as far as the header tells.
    decoder_bytes: int = 0

    @property
    def pixels(self) -> int:
        """Pixels in all frames together."""
        return self.width * self.height * self.frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """An encoded output, not stored yet. `width` x `height` is one frame."""

    name: str
    data: bytes = field(repr=False)
    width: int
    height: int
    content_type: str = "image/webp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Everything that came out of one source."""

    source: ImageInfo
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVariant:
    """A variant as it lies in the processed bucket; `size` in bytes, `sha256` in hex."""

    name: str
    key: str
    width: int
    height: int
    size: int
    content_type: str
    quality: int
    sha256: str
    stored_at: datetime


def new_unique_id() -> str:
    """A fresh image id: a random UUID."""
    return str(uuid.uuid4())


def source_key(unique_id: str, extension: str) -> str:
    """`uploads/{uniqueId}.{ext}`."""
    return f"{SOURCE_PREFIX}{unique_id}.{extension}"


def source_prefix(unique_id: str) -> str:
    """What the source key of an image begins with, whatever its extension."""
    return f"{SOURCE_PREFIX}{unique_id}."


def unique_id_of(key: str) -> str | None:
    """The image that a source key belongs to; None when this service never issued such a key."""
    match = _SOURCE_KEY.fullmatch(key)
    return match["id"] if match else None


def image_prefix(unique_id: str) -> str:
    """Where all variants of an image lie, whatever job made them."""
    return f"{VARIANT_PREFIX}{unique_id}/"


def job_prefix(unique_id: str, processing_id: str) -> str:
    """Where the variants of one job lie. A job never writes anywhere else."""
    return f"{image_prefix(unique_id)}{processing_id}/"


def job_of_variant(key: str) -> tuple[str, str] | None:
    """The image and the job that a variant key names; None when it is no such key."""
    match = _VARIANT_KEY.fullmatch(key)
    return (match["image"], match["job"]) if match else None


def variant_key(unique_id: str, processing_id: str, name: str) -> str:
    """`processed/{uniqueId}/{processingId}/{name}.webp`: known before the job has run."""
    return f"{job_prefix(unique_id, processing_id)}{name}.webp"
