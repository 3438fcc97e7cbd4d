"""Variants ready for pages: what `srcset`, `sizes` and a `<picture>` must say."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape, unescape
from typing import Annotated, Any, Self

from pydantic import Field, PlainSerializer, SerializationInfo

from processor.formats import AVIF, JPEG, PNG, WEBP
from processor.images import StoredVariant
from processor.jobs import Shown
from service.calls.names import links_of
from service.http.wire import Answer, is_empty, is_none

#: Around every key until the answer is written, and it becomes a URL. No key contains it.
_MARK = "\0"
_KEYS = re.compile(f"{_MARK}([^{_MARK}]*){_MARK}")
#: The widest file that a browser without `srcset` gets, and the width up to which a page shows the picture; in pixels.
USUAL_WIDTH = 1920
#: Types by how much smaller their files are: a browser takes the first that it knows.
_SMALLEST_FIRST = (AVIF.content_type, WEBP.content_type)
#: Types that every browser knows.
_KNOWN_TO_ALL = (JPEG.content_type, PNG.content_type)
_PLACEHOLDER = re.compile(r"data:image/webp;base64,([A-Za-z0-9+/]+={0,2})")
_COLOUR = re.compile(r"#[0-9a-f]{6}")
#: A WebP of this kind has no alpha: where its name stands, and what it is (RFC 9649, 2.5).
_KIND, _OPAQUE = slice(12, 16), b"VP8 "


def _in_srcset(url: str) -> str:
    """Commas and spaces separate what stands in a `srcset`."""
    return url.replace(",", "%2C").replace(" ", "%20")


def _as_text(text: str, info: SerializationInfo) -> str:
    links = links_of(info)
    return _KEYS.sub(lambda key: _in_srcset(links.url(key[1])), text)


def _as_html(text: str, info: SerializationInfo) -> str:
    links = links_of(info)
    return _KEYS.sub(lambda key: escape(_in_srcset(links.url(unescape(key[1])))), text)


#: Texts with public URLs in them, which begin as they should when the answer is written.
Srcset = Annotated[str, PlainSerializer(_as_text, return_type=str)]
Html = Annotated[str, PlainSerializer(_as_html, return_type=str)]


@dataclass(frozen=True, slots=True)
class Shape:
    """Variants of one shape and one kind of cut: a browser may show any of them in place of another."""

    names: tuple[str, ...]
    #: By content type: the narrowest first, and each width once.
    files: Mapping[str, Sequence[StoredVariant]]
    #: The type for browsers that know no other of these.
    type_for_all: str

    @property
    def usual(self) -> StoredVariant:
        """The file for browsers that cannot choose: the widest of a usual width."""
        files = self.files[self.type_for_all]
        return max((file for file in files if file.width <= USUAL_WIDTH), key=_width, default=files[0])


def shapes_of(shown: Shown) -> list[Shape]:
    """The variants by their shape; first that of the largest variant."""
    fits = {spec.name: spec.fit for spec in shown.recipe.specs} if shown.recipe else {}
    groups: list[list[StoredVariant]] = []
    for variant in sorted(shown.variants, key=lambda each: -each.width * each.height):
        like = [
            group
            for group in groups
            if fits.get(group[0].name) == fits.get(variant.name) and _same_shape(group[0], variant)
        ]
        if like:
            like[0].append(variant)
        else:
            groups.append([variant])
    return [_shape(group, shown) for group in groups]


def _shape(group: Sequence[StoredVariant], shown: Shown) -> Shape:
    names = {variant.name for variant in group}
    further = [file for made in shown.further for file in made.variants if file.name in names]
    types = {file.content_type: None for file in (*group, *further)}
    files = {kind: _by_width(file for file in (*group, *further) if file.content_type == kind) for kind in types}
    for_all = next((kind for kind in _KNOWN_TO_ALL if kind in types), group[0].content_type)
    ordered = tuple(variant.name for variant in shown.variants if variant.name in names)
    return Shape(names=ordered, files=files, type_for_all=for_all)


def _same_shape(large: StoredVariant, small: StoredVariant) -> bool:
    """Whether one is the other, shrunk to whole pixels."""
    across, down = large.width * small.height, large.height * small.width
    return abs(across - down) <= max(large.width, large.height)


def _by_width(files: Iterable[StoredVariant]) -> Sequence[StoredVariant]:
    found: dict[int, StoredVariant] = {}
    for file in files:
        found[file.width] = min(found.get(file.width, file), file, key=lambda each: each.size)
    return sorted(found.values(), key=_width)


def _width(file: StoredVariant) -> int:
    return file.width


def _srcset(files: Sequence[StoredVariant]) -> str:
    return ", ".join(f"{_MARK}{file.key}{_MARK} {file.width}w" for file in files)


def _sizes(usual: StoredVariant) -> str:
    return f"(max-width: {usual.width}px) 100vw, {usual.width}px"


def _picture(shape: Shape, facts: Mapping[str, Any]) -> str:
    usual, sizes = shape.usual, _sizes(shape.usual)
    others = sorted((kind for kind in shape.files if kind != shape.type_for_all), key=_by_weight)
    sources = [_tag("source", type=kind, srcset=_srcset(shape.files[kind]), sizes=sizes) for kind in others]
    image = _tag(
        "img",
        src=f"{_MARK}{usual.key}{_MARK}",
        srcset=_srcset(shape.files[shape.type_for_all]),
        sizes=sizes,
        width=usual.width,
        height=usual.height,
        alt="",
        loading="lazy",
        decoding="async",
        style=f"max-width:100%;height:auto{_background(facts)}",
    )
    return "".join(("<picture>", *sources, image, "</picture>"))


def _by_weight(kind: str) -> int:
    return _SMALLEST_FIRST.index(kind) if kind in _SMALLEST_FIRST else len(_SMALLEST_FIRST)


def _tag(name: str, **attributes: str | int) -> str:
    said = "".join(f' {attribute}="{escape(str(value))}"' for attribute, value in attributes.items())
    return f"<{name}{said}>"


def _background(facts: Mapping[str, Any]) -> str:
    """What is seen until the picture is there; nothing behind a picture that lets it through."""
    found = _PLACEHOLDER.fullmatch(str(facts.get("placeholder", "")))
    if found is None or not _is_opaque(found[1]):
        return ""
    colour = str(facts.get("colour", ""))
    before = f"{colour} " if _COLOUR.fullmatch(colour) else ""
    return f";background:{before}url({found[0]}) center/cover no-repeat"


def _is_opaque(encoded: str) -> bool:
    try:
        return base64.b64decode(encoded, validate=True)[_KIND] == _OPAQUE
    except binascii.Error:
        return False


_FOR_PAGES = "For {}. Of the variants with the shape of the largest one; not there when there are none."


class ShapeAnswer(Answer):
    """Variants of one shape for pages."""

    variants: list[str] = Field(description="Their names.", examples=[["medium", "large"]])
    srcset: Srcset = Field(description="For `srcset` of an `img`.")
    sizes: str = Field(description="For `sizes` beside it; say instead how wide your page shows the picture.")
    picture: Html = Field(description="A whole `<picture>`, with all formats. Write the `alt`.")

    @classmethod
    def of(cls, shape: Shape, facts: Mapping[str, Any]) -> Self:
        return cls(
            variants=list(shape.names),
            srcset=_srcset(shape.files[shape.type_for_all]),
            sizes=_sizes(shape.usual),
            picture=_picture(shape, facts),
        )


class PagesAnswer(Answer):
    """The variants for pages, of the shape that the largest one has, and of others."""

    srcset: Srcset | None = Field(default=None, exclude_if=is_none, description=_FOR_PAGES.format("`srcset` of `img`"))
    sizes: str | None = Field(default=None, exclude_if=is_none, description=_FOR_PAGES.format("`sizes` beside it"))
    picture: Html | None = Field(
        default=None, exclude_if=is_none, description=_FOR_PAGES.format("a page: a whole `<picture>`, with all formats")
    )
    other_shapes: list[ShapeAnswer] = Field(
        default=[],
        exclude_if=is_empty,
        description="The same of variants with another shape, such as a square; not there when there is none.",
    )

    @classmethod
    def told(cls, shown: Shown) -> dict[str, Any]:
        """Its fields, for an answer that has them among others."""
        shapes = [ShapeAnswer.of(shape, shown.facts.found) for shape in shapes_of(shown)]
        if not shapes:
            return {}
        main = shapes[0]
        return {"srcset": main.srcset, "sizes": main.sizes, "picture": main.picture, "other_shapes": shapes[1:]}
