"""Variants in answers: their keys and URLs. An answer can have them before the files exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field

from processor.images import StoredVariant
from processor.jobs import FormatSet, Job
from processor.recipes import STANDARD
from service.calls.names import PublicUrl, UrlExpiry, is_public
from service.http.wire import Answer, is_empty

PresetVersionNumber = Annotated[int, Field(description="The version of the preset.", examples=[STANDARD.version])]
VARIANT_NAMES = tuple(spec.name for spec in STANDARD.specs)


def named(schema: dict[str, Any]) -> None:
    """A function for `json_schema_extra` of a map by variant: it names those of `standard`, and allows others."""
    schema["properties"] = dict.fromkeys(VARIANT_NAMES, schema["additionalProperties"])


def locations(job: Job) -> dict[str, Any]:
    """The ids, the key and the variants' keys of a job, before and after they exist."""
    recipe = job.recipe or STANDARD
    variants = {spec.name: job.prefix + spec.file_name for spec in recipe.specs}
    return {
        "key": job.original_key,
        "unique_id": job.unique_id,
        "processing_id": job.processing_id,
        "processed_image_url": variants[recipe.full_size.name],
        "processed_image_urls": variants,
        "urls_expire_at": variants[recipe.full_size.name],
        "preset": recipe.name,
        "preset_version": recipe.version,
    }


class FileAnswer(Answer):
    """A stored file; `size` in bytes, `width` and `height` in pixels."""

    key: str
    url: PublicUrl
    expires_at: UrlExpiry = Field(
        exclude_if=is_public, description="Of a private variant: when its URL ends; ask again for another one."
    )
    width: int
    height: int
    size: int
    content_type: str = Field(examples=["image/webp"])
    sha256: str = Field(description="SHA-256 of the variant, in hex.")

    @classmethod
    def of(cls, variant: StoredVariant, **more: Any) -> Self:
        """A stored variant, with further fields of a subclass."""
        return cls(
            key=variant.key,
            url=variant.key,
            expires_at=variant.key,
            width=variant.width,
            height=variant.height,
            size=variant.size,
            content_type=variant.content_type,
            sha256=variant.sha256,
            **more,
        )


class VariantAnswer(FileAnswer):
    """A stored variant, and the same in further formats."""

    formats: dict[str, FileAnswer] = Field(
        default={},
        exclude_if=is_empty,
        description="The same variant in further formats, by name, once they are stored: `avif`. Not there while there "
        "is none.",
    )

    @classmethod
    def with_formats(cls, variant: StoredVariant, further: Sequence[FormatSet], **more: Any) -> Self:
        """Like `of`, with the variant's files in further formats."""
        formats = {
            made.format: FileAnswer.of(other)
            for made in further
            for other in made.variants
            if other.name == variant.name
        }
        return cls.of(variant, formats=formats, **more)
