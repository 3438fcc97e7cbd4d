"""The settings for files: their limits, the variants, and the life of their records."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints, ValidationInfo
from pydantic_core import PydanticCustomError

from processor.fits import Cover, Gravity, read_fit
from processor.formats import AVIF, WEBP
from processor.looking.models import check_models
from processor.pipeline.effects import check_effects
from processor.pipeline.effects.sharpen import LEAST_SIGMA, MOST_SIGMA
from processor.pipeline.limits import FileLimits
from processor.recipes import (
    FURTHER,
    KEEPABLE,
    STANDARD,
    Recipe,
    VariantSpec,
    adapted,
    encoded_with,
    fitted,
    keeping,
    sharpened,
)

Count = Annotated[int, Field(ge=1)]


def _by_commas(value: object) -> object:
    """`5, 2`, or a single value, as a list."""
    return str(value).split(",") if isinstance(value, str | int | float) else value


def _formats(names: tuple[str, ...]) -> tuple[str, ...]:
    """The formats without repetition. The first one is always among them."""
    known = (WEBP.name, *FURTHER)
    if WEBP.name not in names or len(set(names)) < len(names) or not set(names) <= set(known):
        others = " or ".join(f"{WEBP.name},{name}" for name in known[1:])
        raise PydanticCustomError("formats", f"must be {WEBP.name}, which is always made, or {others}")
    return tuple(name for name in known if name in names)


def _for_each_variant(values: tuple[object, ...]) -> tuple[object, ...]:
    names = [spec.name for spec in STANDARD.specs]
    if len(values) not in (1, len(names)):
        raise PydanticCustomError("per_variant", f"must be one for all, or one each for {', '.join(names)}")
    return values


def _fits(texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        fitted(STANDARD, [read_fit(text) for text in texts])
    except ValueError as error:
        raise PydanticCustomError("fit", "{why}", {"why": str(error)}) from None
    return texts


def _sharpens(sigmas: tuple[float, ...]) -> tuple[float, ...]:
    try:
        check_effects(sharpened(STANDARD, sigmas))
    except ValueError as error:
        raise PydanticCustomError("effect", "{why}", {"why": str(error)}) from None
    return sigmas


def _kept(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are kept, in the order of recipes."""
    wanted = {name for name in names if name}
    if not wanted <= set(KEEPABLE):
        raise PydanticCustomError("kept", f"must be empty, or of {', '.join(KEEPABLE)}")
    return tuple(name for name in KEEPABLE if name in wanted)


def _models(folder: Path | None, others: ValidationInfo) -> Path | None:
    if folder is None and str(Cover(gravity=Gravity.FACES)) in others.data.get("variant_fit", ()):
        raise PydanticCustomError("models", "must be set for a VARIANT_FIT of cover:faces")
    if folder is not None:
        try:
            check_models(folder)
        except ValueError as error:
            raise PydanticCustomError("models", "{why}", {"why": str(error)}) from None
    return folder


class FileSettings(BaseModel):
    """The settings of one component."""

    max_upload_bytes: Annotated[Count, Field(alias="MAX_UPLOAD_BYTES", description="Largest file.")] = 100 * 1024 * 1024
    max_pixels: Annotated[
        Count, Field(alias="MAX_PIXELS", description="Most pixels in an image, all frames together.")
    ] = 120_000_000
    max_side: Annotated[Count, Field(alias="MAX_SIDE", description="Longest side in pixels.")] = 32_767
    max_frames: Annotated[Count, Field(alias="MAX_FRAMES", description="Most frames in an animation.")] = 500
    process_timeout_seconds: Annotated[
        int,
        Field(
            alias="PROCESS_TIMEOUT_SECONDS", ge=1, le=3600, description="Longest that one image may take to convert."
        ),
    ] = 60
    webp_effort: Annotated[
        tuple[Annotated[int, Field(ge=0, le=6)], ...],
        BeforeValidator(_by_commas),
        AfterValidator(_for_each_variant),
        Field(
            alias="WEBP_EFFORT",
            description="CPU spent on compression, 0 least, 6 most: of thumbnail, medium, large and webp, by commas; "
            "or one for all.",
        ),
    ] = tuple(spec.effort for spec in STANDARD.specs)
    webp_quality: Annotated[
        tuple[Annotated[int, Field(ge=1, le=100)], ...],
        BeforeValidator(_by_commas),
        AfterValidator(_for_each_variant),
        Field(alias="WEBP_QUALITY", description="Quality, 1 to 100, likewise."),
    ] = tuple(spec.quality for spec in STANDARD.specs)
    variant_fit: Annotated[
        tuple[Annotated[str, StringConstraints(strip_whitespace=True)], ...],
        BeforeValidator(_by_commas),
        AfterValidator(_for_each_variant),
        AfterValidator(_fits),
        Field(
            alias="VARIANT_FIT",
            description="How pictures get into the boxes, likewise: `inside` keeps the shape; `cover` fills the box "
            "and crops, `cover:north` keeps the top, `cover:attention` what people look at, `cover:faces` faces, which "
            "needs `MODELS_DIR`; `contain:#ffffff` or "
            "`contain:transparent` fills the rest of the box. webp has no box: `inside`.",
        ),
    ] = ("inside",)
    sharpen_sigma: Annotated[
        tuple[Annotated[float, Field(ge=0, le=MOST_SIGMA)], ...],
        BeforeValidator(_by_commas),
        AfterValidator(_for_each_variant),
        AfterValidator(_sharpens),
        Field(
            alias="SHARPEN_SIGMA",
            description="How much variants are sharpened, likewise: "
            f"sigma in pixels, {LEAST_SIGMA:g} to {MOST_SIGMA:g}; 0 for not at all.",
        ),
    ] = (0,)
    metadata_keep: Annotated[
        tuple[Annotated[str, StringConstraints(strip_whitespace=True)], ...],
        BeforeValidator(_by_commas),
        AfterValidator(_kept),
        Field(
            alias="METADATA_KEEP",
            description="Metadata that variants keep, by commas: `copyright`, the notice; `profile`, the colour "
            "profile and with it the file's own colours. Empty: none. Everything else is removed in any case.",
        ),
    ] = ()
    output_formats: Annotated[
        tuple[Annotated[str, StringConstraints(strip_whitespace=True)], ...],
        BeforeValidator(_by_commas),
        AfterValidator(_formats),
        Field(
            alias="OUTPUT_FORMATS",
            description="Formats of the variants, by commas: webp, or webp,avif. AVIF is made after the WebP is there, "
            "with what the machine has left.",
        ),
    ] = (WEBP.name,)
    avif_effort: Annotated[
        tuple[Annotated[int, Field(ge=0, le=6)], ...],
        BeforeValidator(_by_commas),
        AfterValidator(_for_each_variant),
        Field(alias="AVIF_EFFORT", description="As `WEBP_EFFORT`, of AVIF."),
    ] = tuple(spec.effort for spec in FURTHER[AVIF.name])
    avif_quality: Annotated[
        tuple[Annotated[int, Field(ge=1, le=100)], ...],
        BeforeValidator(_by_commas),
        AfterValidator(_for_each_variant),
        Field(alias="AVIF_QUALITY", description="As `WEBP_QUALITY`, of AVIF; the numbers mean something else there."),
    ] = tuple(spec.quality for spec in FURTHER[AVIF.name])
    models_dir: Annotated[
        Path | None,
        AfterValidator(_models),
        Field(
            alias="MODELS_DIR",
            validate_default=True,
            description="Folder of the models that look into pictures, as `make models` makes it, for which the "
            "extra `ai` must be installed. Without it, looking is off: `GET /images/limits` says so.",
        ),
    ] = None
    retention_days: Annotated[
        int, Field(alias="RETENTION_DAYS", ge=1, le=3650, description="How long job records are kept.")
    ] = 30
    replaced_variants_days: Annotated[
        int,
        Field(
            alias="REPLACED_VARIANTS_DAYS",
            ge=0,
            le=3650,
            description="How long variants stay when newer ones of their image are there; then `truss-image reconcile` "
            "removes them. At least as long as `RETENTION_DAYS`. 0: until the image is deleted.",
        ),
    ] = 90

    @property
    def file_limits(self) -> FileLimits:
        return FileLimits(
            max_bytes=self.max_upload_bytes,
            max_pixels=self.max_pixels,
            max_side=self.max_side,
            max_frames=self.max_frames,
            timeout_seconds=self.process_timeout_seconds,
        )

    @property
    def recipe(self) -> Recipe:
        """The recipe of every job."""
        encoded = adapted(self.webp_effort, self.webp_quality, self._further)
        fitting = fitted(encoded, [read_fit(text) for text in self.variant_fit])
        return keeping(sharpened(fitting, self.sharpen_sigma), self.metadata_keep)

    @property
    def _further(self) -> tuple[VariantSpec, ...]:
        if AVIF.name not in self.output_formats:
            return ()
        return encoded_with(FURTHER[AVIF.name], self.avif_effort, self.avif_quality)

    @property
    def retention(self) -> timedelta:
        """The life of job records and tombstones."""
        return timedelta(days=self.retention_days)

    @property
    def keep_replaced(self) -> timedelta | None:
        """The life of variants that were replaced. Records have their URLs, so these work for as long."""
        days = self.replaced_variants_days
        return timedelta(days=max(days, self.retention_days)) if days else None
