"""Recipes: what a job makes. The recipe is stored with its job, so that a worker which takes over makes the same."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

from processor.fits import Fit, read_fit
from processor.formats import AVIF, encoding_of, format_of
from processor.formats.format import Encoding
from processor.formats.webp import WEBP

#: CPU spent on compression where nothing else is asked for: 0 least, 6 most.
DEFAULT_EFFORT = 2
#: Hexadecimal digits of a digest: enough to tell every recipe that anybody writes from every other.
_DIGEST_LENGTH = 16
#: Recipes that are not read again: every record of a job has one, and nearly all the same.
KNOWN_TEXTS = 64
#: What stands before a further format in a recipe's text.
_FURTHER = "+"
_TEXT = re.compile(r"(?P<name>[a-z][a-z0-9-]{0,31})@(?P<version>[1-9][0-9]{0,8})#[0-9a-f]{16}:(?P<content>.+)")

Each = TypeVar("Each")
#: What a parameter of an effect may be.
Value = str | int | float


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect on the picture of a variant: its name, and its parameters in alphabetical order.

    The renderer knows which effects exist and what they mean.
    """

    name: str
    parameters: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, name: str, parameters: Mapping[str, Value] | None = None) -> Effect:
        """With parameters by their names. Raises `ValueError` for what is neither text nor a finite number."""
        found = sorted((parameters or {}).items())
        return cls(name, tuple((parameter, _plain(value)) for parameter, value in found))


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSpec:
    """The description of a variant: a box (None: the original's own size), how the picture gets into it (None: it keeps
    its shape), effects in order, format, quality, effort."""

    name: str
    format: str
    quality: int
    effort: int = DEFAULT_EFFORT
    box: tuple[int, int] | None = None
    fit: Fit | None = None
    effects: tuple[Effect, ...] = ()

    def __post_init__(self) -> None:
        """Raises `ValueError` for a fit without a box."""
        if self.fit and not self.box:
            raise ValueError("there is no box to fit into")

    @property
    def unnamed(self) -> VariantSpec:
        """What tells its file from others of its size."""
        return replace(self, name="", box=self.box if self.fit else None)

    @property
    def is_changed(self) -> bool:
        """Whether more than the size of the picture changes."""
        return bool(self.fit or self.effects)

    @property
    def encoding(self) -> Encoding:
        return encoding_of(self.format)

    @property
    def content_type(self) -> str:
        return format_of(self.format).content_type

    @property
    def file_name(self) -> str:
        """The end of its key."""
        return f"{self.name}.{format_of(self.format).extension}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The variants of an image, smallest first, and the names of the analyses.

    If the meaning of a recipe's name changes, it gets a new version.
    """

    name: str
    version: int
    specs: tuple[VariantSpec, ...]
    analyses: tuple[str, ...] = ()
    #: The same variants, by name, in further formats, which are made once those of `specs` are there.
    further: tuple[VariantSpec, ...] = ()

    @property
    def digest(self) -> str:
        """Tells it from every other recipe, whatever they are called."""
        return hashlib.sha256(self._content().encode()).hexdigest()[:_DIGEST_LENGTH]

    @property
    def full_size(self) -> VariantSpec:
        """What clients who ask for one picture get: the variant of the original's own size, or else the largest."""
        return next((spec for spec in self.specs if spec.box is None), self.specs[-1])

    @property
    def further_formats(self) -> tuple[str, ...]:
        """Their names, in the order in which they are made."""
        return tuple(dict.fromkeys(spec.format for spec in self.further))

    def in_format(self, format_: str) -> Recipe:
        """What is made in one of the further formats, and no more: effects alone ask for what analyses found."""
        specs = tuple(spec for spec in self.further if spec.format == format_)
        analyses = self.analyses if any(spec.effects for spec in specs) else ()
        return replace(self, specs=specs, analyses=analyses, further=())

    @property
    def reference(self) -> str:
        """What people need to tell it from others: `{name}@{version}#{digest}`."""
        return f"{self.name}@{self.version}#{self.digest}"

    def to_text(self) -> str:
        """All of it in a line, as records keep it: the reference, and behind a colon the variants and the analyses."""
        return f"{self.reference}:{self._content()}"

    @classmethod
    def from_text(cls, text: str) -> Recipe:
        """The inverse of `to_text`. Raises `ValueError` for anything else."""
        return _read(text)

    def _content(self) -> str:
        """Short, since every record of a job has it: in the order of the fields, and a box of nothing is left out.

        A fit is a text in a row, an effect a pair at its end, an analysis a name among the rows, and a further format
        has a sign before it: so a recipe without any reads as it always did.
        """
        rows = [*map(_row, self.specs), *(_row(spec, _FURTHER) for spec in self.further), *self.analyses]
        return json.dumps(rows, separators=(",", ":"), allow_nan=False)


@lru_cache(maxsize=KNOWN_TEXTS)
def _read(text: str) -> Recipe:
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError("no recipe")
    rows = json.loads(found["content"])
    specs = [row for row in rows if not isinstance(row, str)]
    return Recipe(
        name=found["name"],
        version=int(found["version"]),
        specs=tuple(_spec(*row) for row in specs if not row[1].startswith(_FURTHER)),
        analyses=tuple(row for row in rows if isinstance(row, str)),
        further=tuple(_spec(*row) for row in specs if row[1].startswith(_FURTHER)),
    )


def _row(spec: VariantSpec, sign: str = "") -> list[object]:
    effects = [[effect.name, dict(effect.parameters)] for effect in spec.effects]
    fit = [str(spec.fit)] if spec.fit else []
    return [spec.name, sign + spec.format, spec.quality, spec.effort, *(spec.box or ()), *fit, *effects]


def _spec(name: str, format_: str, quality: int, effort: int, *rest: int | str | list[Any]) -> VariantSpec:
    sides = [each for each in rest if isinstance(each, int)]
    return VariantSpec(
        name=name,
        format=format_.removeprefix(_FURTHER),
        quality=quality,
        effort=effort,
        box=(sides[0], sides[1]) if sides else None,
        fit=next((read_fit(each) for each in rest if isinstance(each, str)), None),
        effects=tuple(Effect.of(*each) for each in rest if isinstance(each, list)),
    )


def _plain(value: Value) -> Value:
    """A number is written in one way alone, so that what is equal has one digest."""
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        raise ValueError("a parameter must be finite")
    return int(value) if value == int(value) else value


#: What everybody gets. Boxes are those of the earlier service, and so is the name of the variant of the original's own
#: size, whatever its format. Efforts and qualities were measured: `docs/performance.md`.
STANDARD = Recipe(
    name="standard",
    version=5,
    specs=(
        VariantSpec(name="thumbnail", format=WEBP.name, quality=80, effort=4, box=(300, 300)),
        VariantSpec(name="medium", format=WEBP.name, quality=85, effort=2, box=(800, 600)),
        VariantSpec(name="large", format=WEBP.name, quality=90, effort=1, box=(1920, 1080)),
        VariantSpec(name="webp", format=WEBP.name, quality=84, effort=2),
    ),
    analyses=("colour",),
)
STANDARD_VARIANTS = STANDARD.specs
FULL_SIZE = STANDARD.full_size


#: Its variants in the formats that may be made beside it, likewise measured.
FURTHER: Mapping[str, tuple[VariantSpec, ...]] = {
    AVIF.name: tuple(
        replace(spec, format=AVIF.name, quality=quality, effort=effort)
        for spec, (quality, effort) in zip(STANDARD.specs, ((60, 3), (65, 2), (75, 1), (60, 1)), strict=True)
    ),
}


def standard(effort: int) -> Recipe:
    """The standard recipe, with so much effort for every variant."""
    return adapted(efforts=[effort], qualities=[spec.quality for spec in STANDARD.specs])


def adapted(efforts: Sequence[int], qualities: Sequence[int], further: Sequence[VariantSpec] = ()) -> Recipe:
    """The standard recipe with other efforts and qualities, one for each variant or one for all, and with `further`."""
    return replace(STANDARD, specs=encoded_with(STANDARD.specs, efforts, qualities), further=tuple(further))


def encoded_with(
    specs: Sequence[VariantSpec], efforts: Sequence[int], qualities: Sequence[int]
) -> tuple[VariantSpec, ...]:
    """The same variants with these efforts and qualities: one for each, or one for all."""
    each = zip(specs, _for_all(efforts, len(specs)), _for_all(qualities, len(specs)), strict=True)
    return tuple(replace(spec, effort=effort, quality=quality) for spec, effort, quality in each)


def sharpened(recipe: Recipe, sigmas: Sequence[float]) -> Recipe:
    """The recipe with variants sharpened, in all formats: one sigma for each, or one for all; 0 leaves one as it is."""
    each = zip(recipe.specs, _for_all(sigmas, len(recipe.specs)), strict=True)
    effects = {spec.name: (Effect.of("sharpen", {"sigma": sigma}),) if sigma else () for spec, sigma in each}
    specs, further = (
        tuple(replace(spec, effects=effects[spec.name]) for spec in some) for some in (recipe.specs, recipe.further)
    )
    return replace(recipe, specs=specs, further=further)


def fitted(recipe: Recipe, fits: Sequence[Fit | None]) -> Recipe:
    """The recipe with these fits, in all formats: one for each variant, or one for all that have a box."""
    each = dict(zip((spec.name for spec in recipe.specs), _for_all(fits, len(recipe.specs)), strict=True))
    one = len(fits) == 1
    specs, further = (
        tuple(replace(spec, fit=None if one and not spec.box else each[spec.name]) for spec in some)
        for some in (recipe.specs, recipe.further)
    )
    return replace(recipe, specs=specs, further=further)


def _for_all(values: Sequence[Each], count: int) -> Sequence[Each]:
    return list(values) * count if len(values) == 1 else values
