"""What a page is told to show is what there is: read by a parser of HTML, and held against the files themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from processor.facts import Facts
from processor.fits import read_fit
from processor.formats import AVIF
from processor.images import StoredVariant, Variant, variant_key
from processor.jobs import FormatSet, Shown
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import FURTHER, STANDARD, Recipe, fitted
from service.calls.images import ProcessedAnswer
from service.http.wire import as_plain
from tests import corpus

CDN = "https://cdn.example.com/a&b"
IMAGE, JOB = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e", "img_1767323045678_9f86d081884c7d65"


class Page(HTMLParser):
    """The tags of a snippet with their attributes; it must be closed as it was opened."""

    VOID = frozenset({"img", "source"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), "an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        raise AssertionError(data)


def candidates(srcset: str | None) -> dict[str, int]:
    """The URLs in a `srcset` with their widths, as the standard reads them (HTML, 4.8.4.2.1)."""
    found = {}
    for each in (srcset or "").split(", "):
        url, width = each.split(" ")
        assert width.endswith("w")
        found[url] = int(width[:-1])
    assert list(found.values()) == sorted(set(found.values())), "narrowest first, each width once"
    return found


def stored(variants: Sequence[Variant], files: dict[str, bytes]) -> tuple[StoredVariant, ...]:
    told = []
    for variant in variants:
        key = variant_key(IMAGE, JOB, variant.spec.file_name)
        files[f"{CDN}/{key}"] = variant.data
        told.append(
            StoredVariant(
                **variant.known(),
                name=variant.name,
                key=key,
                size=len(variant.data),
                content_type=variant.spec.content_type,
                quality=variant.spec.quality,
                sha256="0" * 64,
                stored_at=datetime(2026, 1, 2, tzinfo=UTC),
            )
        )
    return tuple(told)


def made(data: bytes, recipe: Recipe) -> tuple[Any, dict[str, bytes]]:
    """The answer about a rendered file, as a client gets it, and the files by URL."""
    set_up_libvips()
    limits, files = FileLimits(), dict[str, bytes]()

    def rendered(recipe: Recipe) -> Any:
        return render(data, inspect(data, limits), recipe, Deadline(limits.timeout_seconds))

    own = rendered(recipe)
    sets = [
        FormatSet(format=name, variants=stored(rendered(recipe.in_format(name)).variants, files))
        for name in recipe.further_formats
    ]
    shown = Shown(variants=stored(own.variants, files), further=tuple(sets), facts=own.facts, recipe=recipe)
    return as_plain(ProcessedAnswer.of(IMAGE, shown), CDN), files


def hold(said: Any, files: dict[str, bytes]) -> dict[str, int]:
    """Every width and type in the snippet is that of the file under its URL. Returns the candidates of the `img`."""
    tags = Page(said["picture"]).tags
    assert [name for name, _ in tags] == ["picture", *["source"] * (len(tags) - 2), "img"]
    for _, attributes in tags[1:]:
        for url, width in candidates(attributes["srcset"]).items():
            image = pyvips.Image.new_from_buffer(files[url], "")
            assert image.width == width
            kind = "image/avif" if image.get("vips-loader").startswith("heif") else "image/webp"
            assert kind == attributes.get("type", "image/webp")
        assert attributes["sizes"] == said["sizes"]
    image = tags[-1][1]
    shown = pyvips.Image.new_from_buffer(files[str(image["src"])], "")
    height = shown.get("page-height") if shown.get_typeof("page-height") else shown.height
    assert (image["width"], image["height"]) == (str(shown.width), str(height))
    assert image["src"] in candidates(image["srcset"])
    assert said["sizes"] == f"(max-width: {shown.width}px) 100vw, {shown.width}px"
    assert said["srcset"] == image["srcset"]
    assert image["alt"] == ""
    return candidates(image["srcset"])


@pytest.mark.parametrize("size", [(2400, 1800), (640, 480), (200, 150), (30, 400), (1, 1)])
def test_the_standard_variants_are_one_set_with_the_widths_of_their_files(size: tuple[int, int]) -> None:
    said, files = made(corpus.jpeg(corpus.photo(*size)), STANDARD)
    found = hold(said, files)
    assert set(found.values()) == {image["width"] for image in said["processedImages"]}
    assert "otherShapes" not in said


def test_a_further_format_stands_before_the_one_that_every_browser_gets() -> None:
    recipe = replace(STANDARD, further=FURTHER[AVIF.name])
    said, files = made(corpus.jpeg(corpus.photo(900, 600)), recipe)
    hold(said, files)
    sources = [attributes for name, attributes in Page(said["picture"]).tags if name == "source"]
    assert [source["type"] for source in sources] == ["image/avif"]
    assert list(candidates(sources[0]["srcset"]).values()) == [300, 800, 900]
    assert "avif" not in said["srcset"]


@pytest.mark.parametrize("square", ["cover", "cover:attention", "contain:#ffffff", "contain:transparent"])
def test_a_square_is_a_set_of_its_own_because_it_shows_another_cut(square: str) -> None:
    recipe = fitted(STANDARD, [read_fit(fit) for fit in (square, "inside", "inside", "inside")])
    said, files = made(corpus.jpeg(corpus.photo(1200, 700)), recipe)
    assert set(hold(said, files).values()) == {800, 1200}
    (other,) = said["otherShapes"]
    assert other["variants"] == ["thumbnail"]
    assert set(hold(other, files).values()) == {300}


def test_variants_with_three_boxes_of_three_shapes_are_three_sets() -> None:
    said, files = made(corpus.jpeg(corpus.photo(2400, 1500)), fitted(STANDARD, [read_fit("cover")]))
    hold(said, files)
    assert [other["variants"] for other in said["otherShapes"]] == [["large"], ["medium"], ["thumbnail"]]
    for other in said["otherShapes"]:
        hold(other, files)


def test_a_crop_and_a_frame_of_one_shape_are_not_mixed() -> None:
    specs = [replace(spec, box=(side, side)) for spec, side in zip(STANDARD.specs, (100, 200, 300, 400), strict=True)]
    recipe = fitted(replace(STANDARD, specs=tuple(specs)), [read_fit(f) for f in ("cover", "contain:#000000") * 2])
    said, files = made(corpus.jpeg(corpus.photo(600, 400)), recipe)
    assert set(hold(said, files).values()) == {200, 400}
    assert [other["variants"] for other in said["otherShapes"]] == [["thumbnail", "large"]]


def test_an_animation_is_a_set_like_any_other() -> None:
    said, files = made(corpus.animation(".gif", width=900, height=500), STANDARD)
    assert set(hold(said, files).values()) == {300, 800, 900}


def test_the_placeholder_is_seen_until_an_opaque_picture_is_there_and_never_through_one_with_alpha() -> None:
    opaque, _ = made(corpus.jpeg(), STANDARD)
    style = str(Page(opaque["picture"]).tags[-1][1]["style"])
    assert f"url({opaque['facts']['placeholder']})" in style
    assert opaque["facts"]["colour"] in style
    through, _ = made(corpus.png(corpus.with_alpha(corpus.photo(64, 48))), STANDARD)
    assert "background" not in through["picture"]


def test_without_variants_there_is_nothing_for_a_page() -> None:
    said = as_plain(ProcessedAnswer.of(IMAGE, Shown()), CDN)
    assert said.keys() == {"uniqueId", "processedImages", "count"}


@given(st.text(max_size=40), st.text(max_size=40))
def test_nothing_that_a_fact_or_an_address_says_becomes_markup(fact: str, base: str) -> None:
    variant = StoredVariant(
        name="webp",
        key=variant_key(IMAGE, JOB, "webp.webp"),
        width=30,
        height=20,
        size=4,
        content_type="image/webp",
        quality=80,
        sha256="0" * 64,
        stored_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    facts = Facts({"placeholder": fact, "colour": f'#ffffff"{fact}'})
    shown = Shown(variants=(variant,), facts=facts, recipe=STANDARD)
    tags = Page(as_plain(ProcessedAnswer.of(IMAGE, shown), base.replace("\0", ""))["picture"]).tags
    assert [name for name, _ in tags] == ["picture", "img"]
    assert tags[1][1].keys() == {*("src", "srcset", "sizes", "width", "height", "alt", "loading", "decoding", "style")}
    assert "background" not in str(tags[1][1]["style"])
