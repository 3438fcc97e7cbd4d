"""The content of a preset on the wire, and how it becomes a recipe and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from processor.fits import LOOKING, Contain, Cover, Fit, Gravity
from processor.formats import AVIF, WEBP
from processor.pipeline.analyses import NAMES, SCORES
from processor.pipeline.cost import cpu_seconds
from processor.pipeline.effects import EFFECTS, change_of
from processor.pipeline.effects.sharpen import LEAST_SIGMA, MOST_SIGMA
from processor.recipes import (
    BLUR_FACES,
    DEFAULT_EFFORT,
    KEEPABLE,
    STANDARD,
    Effect,
    Recipe,
    VariantSpec,
    blurring,
    hiding_faces,
    sharpening,
)
from service.http.wire import Answer, Question, is_none

#: Most variants of a preset, and most effects of a variant. Every job's record has the whole recipe.
MAX_VARIANTS, MAX_EFFECTS = 12, 4
#: Longest side of a box in pixels: what WebP can hold.
LONGEST_SIDE = WEBP.encoding.longest_side if WEBP.encoding else 0
#: The same where the file is as large as its box, however small the picture is.
LONGEST_CONTAIN_SIDE = 4096
#: Most CPU seconds for a photograph of 12 megapixels. A conversion has a minute by default.
MAX_CPU_SECONDS = 20.0
#: What a variant gets if its document does not say: quality and effort of each format.
_DEFAULT_QUALITY = {WEBP.name: 85, AVIF.name: 65}
_DEFAULT_EFFORT = {WEBP.name: DEFAULT_EFFORT, AVIF.name: 2}
_DEFAULT_COLOUR = "#ffffff"
#: Effects of a single variant.
_EFFECTS = sorted(EFFECTS.keys() - {BLUR_FACES})
#: The manifest lies beside the variants, under this name.
_RESERVED = frozenset({"manifest"})

Format = Literal["webp", "avif"]
_FORMATS: tuple[Format, ...] = ("webp", "avif")


def _by_format(value: object) -> object:
    """A number as the value of WebP."""
    return {WEBP.name: value} if isinstance(value, int) else value


def _for_formats(least: int, most: int) -> WithJsonSchema:
    number = {"type": "integer", "minimum": least, "maximum": most}
    by_format = {"type": "object", "properties": dict.fromkeys(_FORMATS, number), "additionalProperties": False}
    return WithJsonSchema({"anyOf": [number, by_format]})


_Qualities = Annotated[
    dict[Format, Annotated[int, Field(ge=1, le=100)]], BeforeValidator(_by_format), _for_formats(1, 100)
]
_Efforts = Annotated[dict[Format, Annotated[int, Field(ge=0, le=6)]], BeforeValidator(_by_format), _for_formats(0, 6)]
_Side = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]
_VariantName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


def _formats(names: list[Format]) -> list[Format]:
    if WEBP.name not in names:
        raise PydanticCustomError("formats", "must have {first}, which is always made", {"first": WEBP.name})
    return [name for name in _FORMATS if name in names]


def _analyses(names: list[str]) -> list[str]:
    unknown = sorted(set(names) - NAMES)
    if unknown:
        told = {"known": ", ".join(sorted(NAMES))}
        raise PydanticCustomError("analyses", "must be among {known}", told)
    # In one order, so that the same choice is the same content.
    first = [name for name in STANDARD.analyses if name in names]
    return [*first, *sorted(set(names) - set(first))]


_Score = Annotated[float, Field(ge=0, le=1)]


def _for_scores() -> WithJsonSchema:
    score = {"type": "number", "minimum": 0, "maximum": 1}
    properties = dict.fromkeys(sorted(SCORES), score)
    return WithJsonSchema({"type": "object", "properties": properties, "additionalProperties": False})


def _moderation(scores: dict[str, float]) -> dict[str, float]:
    if not scores.keys() <= SCORES.keys():
        raise PydanticCustomError("moderation", "must name no scores but {known}", {"known": ", ".join(sorted(SCORES))})
    return scores


def _kept(names: list[str]) -> list[str]:
    return [name for name in KEEPABLE if name in names]


def _variant_name(name: str) -> str:
    if name in _RESERVED:
        raise PydanticCustomError("reserved", "must not be {name}, which is a file beside the variants", {"name": name})
    return name


class EffectRequest(BaseModel):
    """An effect with its parameters."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description=f"One of {', '.join(_EFFECTS)}.", examples=_EFFECTS[:1])

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.name == BLUR_FACES:
            raise PydanticCustomError("effect", "is for all variants: set blurFaces beside them")
        try:
            change_of(self.effect)
        except (TypeError, ValueError) as error:
            raise PydanticCustomError("effect", "{why}", {"why": str(error)}) from None
        return self

    @property
    def effect(self) -> Effect:
        """Raises `ValueError`, `TypeError` for parameters that are neither text nor numbers."""
        given = self.model_extra or {}
        for value in given.values():
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise TypeError("a parameter must be text or a number")
        return Effect.of(self.name, given)


class VariantRequest(Question):
    """One variant."""

    # Unknown fields are refused: the variant would be another than the one that was meant.
    model_config = ConfigDict(extra="forbid")

    name: Annotated[_VariantName, AfterValidator(_variant_name)] = Field(
        description="Name of the variant, and of its file.", examples=["avatar"]
    )
    width: _Side | None = Field(
        default=None, description="Width of the box in pixels. Without it and `height`, the original's own size."
    )
    height: _Side | None = Field(
        default=None, description="Height of the box. `inside` may leave out one side, which is then free."
    )
    fit: Literal["inside", "cover", "contain"] = Field(
        default="inside",
        description="`inside` keeps the shape. `cover` fills the box and crops. `contain` keeps the shape, and the "
        "rest of the box has a colour. No picture is enlarged.",
    )
    gravity: Literal["centre", "north", "east", "south", "west", "attention", "faces"] = Field(
        default="centre",
        description="What stays when `cover` crops: `attention` is what people look at, and `faces` needs the models "
        "that look into pictures (`looking_not_installed`). With `contain`, where the picture is.",
    )
    colour: Annotated[str, StringConstraints(pattern=r"^(#[0-9a-f]{6}|transparent)$")] | None = Field(
        default=None,
        description=f"Of `contain`: `#rrggbb` or `transparent`; {_DEFAULT_COLOUR} by default.",
        examples=["#ffffff"],
    )
    formats: Annotated[list[Format], Field(min_length=1, max_length=len(_FORMATS)), AfterValidator(_formats)] = Field(
        default=["webp"],
        description="WebP is always made. AVIF follows when the job has completed, with what the machine has left.",
    )
    quality: _Qualities | None = Field(
        default=None,
        description=f"Of WebP, 1 to 100; or by format. {WEBP.name} {_DEFAULT_QUALITY[WEBP.name]} and {AVIF.name} "
        f"{_DEFAULT_QUALITY[AVIF.name]} by default.",
        examples=[80],
    )
    effort: _Efforts | None = Field(
        default=None,
        description="CPU time spent on compression, 0 to 6, of WebP; or by format. 2 by default.",
        examples=[4],
    )
    sharpen: Annotated[float, Field(ge=LEAST_SIGMA, le=MOST_SIGMA)] | None = Field(
        default=None, description="Short for the effect `sharpen` with this `sigma`, after the other effects."
    )
    effects: list[EffectRequest] = Field(
        default=[], max_length=MAX_EFFECTS, description="Changes to the picture before it is encoded, in order."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        boxes = sum(side is not None for side in (self.width, self.height))
        if self.fit != "inside" and boxes < 2:  # noqa: PLR2004 - both sides
            raise PydanticCustomError("box", "{fit} must have a width and a height", {"fit": self.fit})
        if self.fit == "inside" and self.gravity != "centre":
            raise PydanticCustomError("gravity", "is for cover and contain")
        if self.fit != "contain" and self.colour is not None:
            raise PydanticCustomError("no_colour", "is for contain")
        if self.fit == "contain" and self.gravity in LOOKING:
            raise PydanticCustomError("gravity", "must not be {name} with contain", {"name": self.gravity})
        longest = max(self.width or 0, self.height or 0)
        if self.fit == "contain" and longest > LONGEST_CONTAIN_SIDE:
            told = {"limit": LONGEST_CONTAIN_SIDE, "actual": longest}
            raise PydanticCustomError(
                "side", "contain must have sides of at most {limit} pixels; it has {actual}", told
            )
        for given in (self.quality, self.effort):
            if not set(given or ()) <= set(self.formats):
                raise PydanticCustomError("format", "quality and effort must be of a format that is made")
        return self

    def specs(self) -> tuple[VariantSpec, ...]:
        """The spec of each format, WebP first."""
        effects = tuple(each.effect for each in self.effects)
        if self.sharpen is not None:
            effects += (sharpening(self.sharpen),)
        return tuple(
            VariantSpec(
                name=self.name,
                format=name,
                quality=(self.quality or {}).get(name, _DEFAULT_QUALITY[name]),
                effort=(self.effort or {}).get(name, _DEFAULT_EFFORT[name]),
                box=self._box(),
                fit=self._fit(),
                effects=effects,
            )
            for name in self.formats
        )

    def _box(self) -> tuple[int, int] | None:
        if self.width is None and self.height is None:
            return None
        return self.width or LONGEST_SIDE, self.height or LONGEST_SIDE

    def _fit(self) -> Fit | None:
        gravity = Gravity(self.gravity)
        match self.fit:
            case "cover":
                return Cover(gravity=gravity)
            case "contain":
                return Contain(colour=self.colour or _DEFAULT_COLOUR, gravity=gravity)
        return None


class PresetDocument(Question):
    """What a preset makes of each picture."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "variants": [
                        {"name": "avatar", "width": 256, "height": 256, "fit": "cover", "gravity": "attention"},
                        {"name": "full"},
                    ]
                }
            ]
        },
    )

    variants: list[VariantRequest] = Field(
        min_length=1, max_length=MAX_VARIANTS, description=f"1 to {MAX_VARIANTS} variants with different names."
    )
    analyses: Annotated[list[str], Field(max_length=32), AfterValidator(_analyses)] = Field(
        default=list(STANDARD.analyses),
        description=f"Facts to find: {', '.join(sorted(NAMES))}. By default those of `standard`.",
    )
    keep: Annotated[list[Literal["copyright", "profile"]], Field(max_length=len(KEEPABLE)), AfterValidator(_kept)] = (
        Field(default=[], description="Metadata that variants keep: the notice of copyright, the colour profile.")
    )

    blur_faces: Literal["pixels", "soft"] | None = Field(
        default=None,
        description="Hides faces in all variants, facts and formats: `pixels` are large ones, `soft` is an oval. Where "
        "that is not sure, the image is held for a review. It needs the models that look into pictures "
        "(`looking_not_installed`).",
    )
    review: bool = Field(
        default=False,
        description="Whether a reviewer must approve each image before anybody else can see what was made of it.",
    )

    moderation: Annotated[dict[str, _Score], AfterValidator(_moderation), _for_scores()] = Field(
        default={},
        description=f"Holds an image for a review from a score on: {', '.join(sorted(SCORES))}, from 0 to 1. Without a "
        "score it is held, too. It needs the models that look into pictures (`looking_not_installed`).",
        examples=[{"nsfw": 0.8}],
    )

    private: bool | None = Field(
        default=None,
        description="Whether viewers need signed URLs, which expire. Without it, pictures are as the tenant's others.",
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise PydanticCustomError("names", "must be variants with different names")
        return self

    @model_validator(mode="after")
    def _affordable(self) -> Self:
        seconds = cpu_seconds(self.recipe("cost"))
        if seconds > MAX_CPU_SECONDS:
            told = {"limit": MAX_CPU_SECONDS, "actual": seconds}
            message = (
                "must take at most {limit} CPU seconds for a photograph of 12 megapixels; about {actual} are needed"
            )
            raise PydanticCustomError("cost", message, told)
        return self

    def recipe(self, name: str) -> Recipe:
        """The recipe, with the variants in order of size. Its version is not decided yet."""
        specs = [variant.specs() for variant in sorted(self.variants, key=_by_size)]
        recipe = Recipe(
            name=name,
            version=1,
            specs=tuple(each[0] for each in specs),
            further=tuple(spec for each in specs for spec in each[1:]),
            analyses=tuple(self.analyses),
            keeps=tuple(self.keep),
            review=self.review,
            private=self.private,
            moderation=tuple(sorted(self.moderation.items())),
        )
        return hiding_faces(recipe, blurring(self.blur_faces) if self.blur_faces else None)


def _by_size(variant: VariantRequest) -> tuple[float, str]:
    """A free side counts like the other one."""
    sides = [side for side in (variant.width, variant.height) if side is not None]
    return (sides[0] * sides[-1] if sides else math.inf), variant.name


class EffectAnswer(BaseModel):
    """An effect with its parameters."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(examples=_EFFECTS[:1])


class PresetVariant(Answer):
    """A variant, with everything that decides over its file."""

    name: str = Field(examples=["avatar"])
    width: int | None = Field(description="Of the box; null: free.", examples=[256])
    height: int | None = Field(description="Likewise.", examples=[256])
    fit: Literal["inside", "cover", "contain"]
    gravity: Gravity | None = Field(default=None, exclude_if=is_none, description="Of `cover` and `contain`.")
    colour: str | None = Field(default=None, exclude_if=is_none, description="Of `contain`.", examples=["#ffffff"])
    formats: list[str] = Field(examples=[["webp"]])
    quality: dict[str, int] = Field(description="By format.", examples=[{"webp": 85}])
    effort: dict[str, int] = Field(description="By format.", examples=[{"webp": 2}])
    effects: list[EffectAnswer]

    @classmethod
    def of(cls, specs: Sequence[VariantSpec]) -> Self:
        """The specs of a variant in each of its formats."""
        spec = specs[0]
        width, height = spec.box or (None, None)
        fit = spec.fit
        return cls(
            name=spec.name,
            width=None if width == LONGEST_SIDE and fit is None else width,
            height=None if height == LONGEST_SIDE and fit is None else height,
            fit="inside" if fit is None else "cover" if isinstance(fit, Cover) else "contain",
            gravity=None if fit is None else fit.gravity,
            colour=fit.colour if isinstance(fit, Contain) else None,
            formats=[each.format for each in specs],
            quality={each.format: each.quality for each in specs},
            effort={each.format: each.effort for each in specs},
            effects=[_effect_answer(effect) for effect in spec.effects if effect != spec.hiding],
        )


def _effect_answer(effect: Effect) -> EffectAnswer:
    parameters: dict[str, Any] = dict(effect.parameters)
    return EffectAnswer(name=effect.name, **parameters)


def variants_of(recipe: Recipe) -> list[PresetVariant]:
    """The variants of a recipe, each with all its formats."""
    return [
        PresetVariant.of([spec, *(other for other in recipe.further if other.name == spec.name)])
        for spec in recipe.specs
    ]
