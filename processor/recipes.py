"""Recipes: what a job makes. The recipe is stored with its job, so that a worker that takes over makes the same."""

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

#: Default effort: CPU time spent on compression, from 0 (least) to 6 (most).
DEFAULT_EFFORT = 2
#: Hexadecimal digits of a digest: enough to tell all recipes apart.
_DIGEST_LENGTH = 16
#: Parsed recipes that are cached. Every record of a job has a recipe, and nearly all have the same.
KNOWN_TEXTS = 64
#: The sign in front of a further format in a recipe's text; that in front of metadata that variants keep.
_FURTHER, _KEPT = "+", "="
#: The mark of a recipe whose variants nobody sees before a reviewer has. Releases that do not know it refuse the job.
_REVIEW = "!review"
#: Those of a recipe that says who may see the variants: whoever has a signed URL, or everybody.
_PRIVATE, _PUBLIC = "!private", "!public"
#: That of a recipe whose variants are held from a score on. It stands beside the mark of a review, so that a release
#: which knows only that one holds everything; `_EVERY` says that the review is of everything anyway.
_MODERATED = re.compile(r"!(?P<score>[a-zA-Z]+)>=(?P<least>.+)")
_EVERY = "!every"
_MARKS = frozenset({_REVIEW, _PRIVATE, _PUBLIC, _EVERY})
#: Metadata that variants may keep, in the order in which a recipe names it: the notice of copyright, the colour
#: profile. The rest is removed, always.
COPYRIGHT, PROFILE = "copyright", "profile"
KEEPABLE = (COPYRIGHT, PROFILE)
_TEXT = re.compile(r"(?P<name>[a-z][a-z0-9-]{0,31})@(?P<version>[1-9][0-9]{0,8})#[0-9a-f]{16}:(?P<content>.+)")

Each = TypeVar("Each")
#: The value of an effect's parameter.
Value = str | int | float
#: The parameter whose value is the digest of an asset.
ASSET = "asset"
#: The effect that hides faces, and the name of the fact that tells of it. All variants of a recipe have it, or none.
BLUR_FACES = "blurFaces"
#: The names of the facts about a moderated picture: what came of it, and a blurred rendition for the reviewer.
MODERATION, VEIL = "moderation", "veil"


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect on the picture of a variant: its name, and its parameters in alphabetical order.

    The renderer knows which effects exist and what they mean.
    """

    name: str
    parameters: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, name: str, parameters: Mapping[str, Value] | None = None) -> Effect:
        """An effect from parameters by name. Raises `ValueError` unless each is text or a finite number."""
        found = sorted((parameters or {}).items())
        return cls(name, tuple((parameter, _plain(value)) for parameter, value in found))


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSpec:
    """The description of a variant.

    Without a `box`, it has the size of the original. Without a `fit`, it keeps its shape. `effects` are applied in
    order.
    """

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
        """The spec without its name and a box without a fit. With the same size, equal ones give the same file."""
        return replace(self, name="", box=self.box if self.fit else None)

    @property
    def assets(self) -> frozenset[str]:
        """Digests of the assets that its effects use."""
        return frozenset(str(value) for effect in self.effects for name, value in effect.parameters if name == ASSET)

    @property
    def hiding(self) -> Effect | None:
        """The effect that hides faces, if it has that."""
        return next((effect for effect in self.effects if effect.name == BLUR_FACES), None)

    @property
    def is_changed(self) -> bool:
        """Whether anything but the size of the picture changes."""
        return bool(self.fit or self.effects)

    @property
    def encoding(self) -> Encoding:
        return encoding_of(self.format)

    @property
    def content_type(self) -> str:
        return format_of(self.format).content_type

    @property
    def file_name(self) -> str:
        """The last part of its key."""
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
    #: The same variants, by name, in further formats. They are made after those of `specs`.
    further: tuple[VariantSpec, ...] = ()
    #: Metadata that all variants keep, of `KEEPABLE`.
    keeps: tuple[str, ...] = ()
    #: Nobody sees the variants before a reviewer has approved them.
    review: bool = False
    #: Viewers need signed URLs, which expire. None: that is as the tenant's other pictures are.
    private: bool | None = None
    #: Scores, and from which value on a reviewer must look at the picture: in the order of their names.
    moderation: tuple[tuple[str, float], ...] = ()

    @property
    def digest(self) -> str:
        """A digest of its content, without its name and version."""
        return hashlib.sha256(self._content().encode()).hexdigest()[:_DIGEST_LENGTH]

    @property
    def full_size(self) -> VariantSpec:
        """The variant for clients that want a single picture: the one of the original's size, or else the largest."""
        return next((spec for spec in self.specs if spec.box is None), self.specs[-1])

    @property
    def assets(self) -> frozenset[str]:
        """Digests of the assets that its variants need, in all formats."""
        return frozenset().union(*(spec.assets for spec in (*self.specs, *self.further)))

    @property
    def hiding(self) -> Effect | None:
        """The effect that hides faces in all variants, if they have that."""
        return next((spec.hiding for spec in (*self.specs, *self.further) if spec.hiding), None)

    @property
    def fact_names(self) -> tuple[str, ...]:
        """The names of all facts that its render may find."""
        scores = [name for name, _ in self.moderation if name not in self.analyses]
        more = [BLUR_FACES] if self.hiding else []
        more += [*scores, MODERATION, VEIL] if self.moderation else []
        return (*self.analyses, *more)

    @property
    def may_be_held(self) -> bool:
        """Whether it asks for a review of all pictures, or of some."""
        return self.review or bool(self.moderation)

    @property
    def further_formats(self) -> tuple[str, ...]:
        """Names of the further formats, in the order in which they are made."""
        return tuple(dict.fromkeys(spec.format for spec in self.further))

    def in_format(self, format_: str) -> Recipe:
        """A recipe of only one further format. It keeps the analyses only for effects, which may use the facts."""
        specs = tuple(spec for spec in self.further if spec.format == format_)
        analyses = self.analyses if any(spec.effects for spec in specs) else ()
        return replace(self, specs=specs, analyses=analyses, further=(), review=False, moderation=())

    def within(self, pixels: Mapping[str, int]) -> Recipe:
        """The same without the variants that their format cannot hold. `pixels` has the size of each, by name."""

        def fits(spec: VariantSpec) -> bool:
            most = spec.encoding.most_pixels
            return most is None or pixels.get(spec.name, 0) <= most

        return replace(self, specs=tuple(filter(fits, self.specs)))

    @property
    def reference(self) -> str:
        """`{name}@{version}#{digest}`, to tell it from others."""
        return f"{self.name}@{self.version}#{self.digest}"

    def to_text(self) -> str:
        """The whole recipe in one line, as records have it: the reference, a colon, the variants and the analyses."""
        return f"{self.reference}:{self._content()}"

    @classmethod
    def from_text(cls, text: str) -> Recipe:
        """The inverse of `to_text`. Raises `ValueError` for anything else."""
        return _read(text)

    def _content(self) -> str:
        """A short JSON text, because every record of a job has it. A row has the fields of a spec in order.

        A missing box is left out. A fit is a text in the row, and an effect is a pair at its end. An analysis is a name
        among the rows, and so is metadata that is kept, with a sign in front. A further format has a sign in front, and
        a review has a mark, as have privacy and moderation. So a recipe without these reads as in older releases.
        """
        kept = (_KEPT + each for each in self.keeps)
        marks = [_REVIEW] if self.may_be_held else []
        marks += [_EVERY] if self.moderation and self.review else []
        marks += [f"!{score}>={least}" for score, least in self.moderation]
        if self.private is not None:
            marks.append(_PRIVATE if self.private else _PUBLIC)
        further = (_row(spec, _FURTHER) for spec in self.further)
        rows = [*map(_row, self.specs), *further, *self.analyses, *kept, *marks]
        return json.dumps(rows, separators=(",", ":"), allow_nan=False)


@lru_cache(maxsize=KNOWN_TEXTS)
def _read(text: str) -> Recipe:
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError("no recipe")
    rows = json.loads(found["content"])
    specs = [row for row in rows if not isinstance(row, str)]
    names = [row for row in rows if isinstance(row, str)]
    moderated = [found for found in map(_MODERATED.fullmatch, names) if found]
    return Recipe(
        name=found["name"],
        version=int(found["version"]),
        specs=tuple(_spec(*row) for row in specs if not row[1].startswith(_FURTHER)),
        analyses=tuple(name for name in names if _is_analysis(name)),
        further=tuple(_spec(*row) for row in specs if row[1].startswith(_FURTHER)),
        keeps=tuple(name.removeprefix(_KEPT) for name in names if name.startswith(_KEPT)),
        review=_EVERY in names or (_REVIEW in names and not moderated),
        private=True if _PRIVATE in names else False if _PUBLIC in names else None,
        moderation=tuple((found["score"], float(found["least"])) for found in moderated),
    )


def _is_analysis(name: str) -> bool:
    return name not in _MARKS and not name.startswith(_KEPT) and _MODERATED.fullmatch(name) is None


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
    """The value in its only spelling, so that equal recipes have one digest. Raises `ValueError`."""
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        raise ValueError("a parameter must be finite")
    return int(value) if value == int(value) else value


#: The default recipe. The boxes are those of the earlier service. So is the name `webp` of the variant with the
#: original's size, in any format. Efforts and qualities were measured: `docs/performance.md`.
STANDARD = Recipe(
    name="standard",
    version=8,
    specs=(
        VariantSpec(name="thumbnail", format=WEBP.name, quality=81, effort=2, box=(300, 300)),
        VariantSpec(name="medium", format=WEBP.name, quality=85, effort=2, box=(800, 600)),
        VariantSpec(name="large", format=WEBP.name, quality=90, effort=1, box=(1920, 1080)),
        VariantSpec(name="webp", format=WEBP.name, quality=84, effort=2),
    ),
    analyses=("colour", "colours", "placeholder", "blurhash", "likeness", "metadata", "position"),
)
STANDARD_VARIANTS = STANDARD.specs
FULL_SIZE = STANDARD.full_size


def recipe_after(made: Recipe | None, standard: Recipe) -> Recipe:
    """The recipe for another file of an image that was made with `made`: the same, unless that was the standard one.

    Who may see it stays as it was.
    """
    if made is None:
        return standard
    if made.name != standard.name:
        return made
    recipe = hiding_faces(standard, made.hiding)
    return replace(recipe, review=made.review, private=made.private, moderation=made.moderation)


#: Its variants in further formats. Their efforts and qualities were measured too.
FURTHER: Mapping[str, tuple[VariantSpec, ...]] = {
    AVIF.name: tuple(
        replace(spec, format=AVIF.name, quality=quality, effort=effort)
        for spec, (quality, effort) in zip(STANDARD.specs, ((60, 3), (65, 2), (75, 1), (60, 1)), strict=True)
    ),
}


def standard(effort: int) -> Recipe:
    """The standard recipe, with this effort for every variant."""
    return adapted(efforts=[effort], qualities=[spec.quality for spec in STANDARD.specs])


def adapted(efforts: Sequence[int], qualities: Sequence[int], further: Sequence[VariantSpec] = ()) -> Recipe:
    """The standard recipe with these efforts and qualities, one for each variant or one for all, and with `further`."""
    return replace(STANDARD, specs=encoded_with(STANDARD.specs, efforts, qualities), further=tuple(further))


def encoded_with(
    specs: Sequence[VariantSpec], efforts: Sequence[int], qualities: Sequence[int]
) -> tuple[VariantSpec, ...]:
    """The same variants with these efforts and qualities, one for each variant or one for all."""
    each = zip(specs, _for_all(efforts, len(specs)), _for_all(qualities, len(specs)), strict=True)
    return tuple(replace(spec, effort=effort, quality=quality) for spec, effort, quality in each)


def blurring(style: str) -> Effect:
    """The effect that hides faces."""
    return Effect.of(BLUR_FACES, {"style": style})


def style_of(hiding: Effect | None) -> str | None:
    """How an effect hides faces; None: it does not."""
    return None if hiding is None else str(dict(hiding.parameters)["style"])


def hiding_faces(recipe: Recipe, effect: Effect | None) -> Recipe:
    """The recipe with this effect before all others of all its variants, unless it hides faces already."""
    if effect is None or recipe.hiding:
        return recipe
    specs, further = (
        tuple(replace(spec, effects=(effect, *spec.effects)) for spec in some)
        for some in (recipe.specs, recipe.further)
    )
    return replace(recipe, specs=specs, further=further)


def sharpening(sigma: float) -> Effect:
    """The effect that sharpens edges; sigma in pixels."""
    return Effect.of("sharpen", {"sigma": sigma})


def sharpened(recipe: Recipe, sigmas: Sequence[float]) -> Recipe:
    """The recipe with sharpened variants, in all formats. One sigma for each variant, or one for all; 0: unchanged."""
    each = zip(recipe.specs, _for_all(sigmas, len(recipe.specs)), strict=True)
    effects = {spec.name: (sharpening(sigma),) if sigma else () for spec, sigma in each}
    specs, further = (
        tuple(replace(spec, effects=effects[spec.name]) for spec in some) for some in (recipe.specs, recipe.further)
    )
    return replace(recipe, specs=specs, further=further)


def fitted(recipe: Recipe, fits: Sequence[Fit | None]) -> Recipe:
    """The recipe with these fits, in all formats. One for each variant, or one for all that have a box."""
    each = dict(zip((spec.name for spec in recipe.specs), _for_all(fits, len(recipe.specs)), strict=True))
    one = len(fits) == 1
    specs, further = (
        tuple(replace(spec, fit=None if one and not spec.box else each[spec.name]) for spec in some)
        for some in (recipe.specs, recipe.further)
    )
    return replace(recipe, specs=specs, further=further)


def keeping(recipe: Recipe, kept: Sequence[str]) -> Recipe:
    """The recipe with variants that keep this metadata, of `KEEPABLE`."""
    return replace(recipe, keeps=tuple(kept))


def _for_all(values: Sequence[Each], count: int) -> Sequence[Each]:
    return list(values) * count if len(values) == 1 else values
