"""Images and variants: what is asked for, what came out, and under which keys both are stored."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from processor.facts import Facts
from processor.formats.info import ImageInfo
from processor.recipes import Recipe, VariantSpec

#: Prefix of every source key, as earlier clients know it.
SOURCE_PREFIX = "uploads/"
#: Prefix of the keys of variants that everybody may read, of those that are read with signed URLs alone, and of those
#: that wait for a review. Nothing serves the last.
VARIANT_PREFIX, PRIVATE_PREFIX, HELD_PREFIX = "processed/", "private/", "held/"
#: Where variants may lie.
PREFIXES = (VARIANT_PREFIX, PRIVATE_PREFIX, HELD_PREFIX)

#: What `Output.instead` says.
INSTEAD = re.compile(r"source|lossless|quality [1-9][0-9]?")
_SOURCE_KEY = re.compile(r"uploads/(?P<id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.[a-z0-9]{1,8}")
_VARIANT_KEY = re.compile(r"(?:processed|private|held)/(?P<image>[^/]+)/(?P<job>[^/]+)/[^/]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What is known of a variant after encoding, as plain values. `width` x `height` is one frame.

    A field that is added here travels by itself: from a child process to the record and the manifest.
    """

    width: int
    height: int
    #: What was made in place of what was asked for, which would have been larger than its source of the same size:
    #: `source`, its very bytes; `lossless`; or `quality N`. None: what was asked for.
    instead: str | None = None

    @property
    def pixels(self) -> int:
        """Pixels of one frame."""
        return self.width * self.height

    def known(self) -> dict[str, Any]:
        """All fields by name, to build another value from this one."""
        return {each.name: getattr(self, each.name) for each in fields(Output)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant(Output):
    """An encoded output, not stored yet."""

    spec: VariantSpec
    data: bytes = field(repr=False)

    @property
    def name(self) -> str:
        return self.spec.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Everything that came out of one source."""

    source: ImageInfo
    variants: tuple[Variant, ...]
    facts: Facts = field(default_factory=Facts)
    #: CPU of the conversion, in milliseconds.
    cpu_ms: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVariant(Output):
    """A variant as it lies in the processed bucket; `size` in bytes, `sha256` in hex."""

    name: str
    key: str
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


def prefix_of(recipe: Recipe | None) -> str:
    """Where viewers read what is made by a recipe."""
    return PRIVATE_PREFIX if recipe is not None and recipe.private else VARIANT_PREFIX


def is_private(key: str) -> bool:
    """Whether a URL of this key must be signed."""
    return key.startswith(PRIVATE_PREFIX)


def image_prefix(unique_id: str, under: str = VARIANT_PREFIX) -> str:
    """Where all variants of an image lie, whatever job made them."""
    return f"{under}{unique_id}/"


def job_prefix(unique_id: str, processing_id: str, under: str = VARIANT_PREFIX) -> str:
    """Where the variants of one job lie. A job never writes anywhere else."""
    return f"{image_prefix(unique_id, under)}{processing_id}/"


def job_of_variant(key: str) -> tuple[str, str] | None:
    """The image and the job that a variant key names; None when it is no such key."""
    match = _VARIANT_KEY.fullmatch(key)
    return (match["image"], match["job"]) if match else None


def variant_key(unique_id: str, processing_id: str, file_name: str, under: str = VARIANT_PREFIX) -> str:
    """`processed/{uniqueId}/{processingId}/{name}.{ext}`: known before the job has run."""
    return f"{job_prefix(unique_id, processing_id, under)}{file_name}"
