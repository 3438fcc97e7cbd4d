"""A variant of its source's own size is no larger than its source, and says what was done for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from processor.formats import encoding_of
from processor.images import INSTEAD, Rendered, Variant
from processor.pipeline import encode
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import STANDARD, Recipe, VariantSpec
from tests import corpus
from tests.corpus import containers
from tests.searching import searching
from tests.unit.processor.pipeline.compare import difference, opened

WEBP = encoding_of("webp")
#: The one that has its source's own size whatever that is.
FULL = STANDARD.full_size
LEAST = replace(FULL, quality=WEBP.least_quality)
#: Kinds of files, each by the quality with which it was compressed.
KINDS: dict[str, Callable[[pyvips.Image, int], bytes]] = {
    "jpeg": lambda picture, quality: corpus.jpeg(picture, quality=quality),
    "jpeg-turned": lambda picture, quality: corpus.jpeg(picture, quality=quality, orientation=6),
    "webp": lambda picture, quality: corpus.webp(picture, quality=quality),
    "webp-bare": lambda picture, quality: bare(picture, quality=quality),
    "webp-turned": lambda picture, quality: corpus.webp(picture, quality=quality, orientation=3),
    "png": lambda picture, quality: corpus.png(picture, palette=True, Q=quality),
    "gif": lambda picture, quality: corpus.gif(picture, interframe_maxerror=100 - quality),
}


def bare(picture: pyvips.Image, *, quality: int = 90, **options: Any) -> bytes:
    return corpus.webp(picture, quality=quality, keep="none", **options)


def made(data: bytes, *specs: VariantSpec) -> Rendered:
    recipe = Recipe(name="sizes", version=1, specs=specs or STANDARD.specs)
    return render(data, inspect(data, FileLimits()), recipe, Deadline(60))


def full(data: bytes) -> Variant:
    return made(data, FULL).variants[0]


def chart(width: int, height: int) -> pyvips.Image:
    """Lines one pixel thin, in few colours: a saver for photographs makes much of it."""
    picture = corpus.flat(width, height, (250, 250, 250)).copy_memory()
    for number in range(0, min(width, height), 7):
        picture = picture.draw_line([30, 90, 160], number, 0, width - number, height - 1)
    return corpus.as_srgb(picture)


def animated(suffix: str, count: int = 6, **options: object) -> bytes:
    frames = [corpus.flat(120, 90, (40 + 10 * number,) * 3) for number in range(count)]
    return corpus.animated(frames, suffix, delays=(100,) * count, **options)


@given(
    kind=st.sampled_from(sorted(KINDS)),
    quality=st.integers(min_value=1, max_value=100),
    width=st.integers(min_value=1, max_value=350),
    height=st.integers(min_value=1, max_value=350),
    busy=st.booleans(),
)
@searching(60)
def test_it_is_never_larger_than_a_source_that_can_be_kept_or_matched(
    kind: str, quality: int, width: int, height: int, busy: bool
) -> None:
    source = KINDS[kind](corpus.photo(width, height) if busy else chart(width, height), quality)

    for variant in made(source).variants:
        if (variant.width, variant.height) != (width, height):
            assert variant.instead is None
        elif len(variant.data) > len(source):
            least = made(source, replace(variant.spec, quality=WEBP.least_quality)).variants[0]
            assert kind != "webp-bare"
            assert len(least.data) > len(source)
            assert len(variant.data) <= len(least.data)
        assert variant.instead is None or INSTEAD.fullmatch(variant.instead)


@pytest.mark.parametrize(
    "source",
    [
        bare(corpus.photo(200, 150), quality=40),
        bare(corpus.with_alpha(corpus.photo(200, 150)), quality=40),
        bare(chart(200, 150), lossless=True),
        bare(corpus.with_alpha(chart(200, 150)), lossless=True),
        animated(".webp", keep="none"),
        animated(".webp", keep="none", lossless=True),
    ],
    ids=["lossy", "alpha", "lossless", "lossless-alpha", "animated", "animated-lossless"],
)
def test_a_webp_with_nothing_to_strip_or_turn_is_kept_byte_for_byte(source: bytes) -> None:
    variant = full(source)

    assert variant.data == source
    assert variant.instead == "source"


def test_a_webp_is_kept_only_where_what_was_asked_for_would_be_larger() -> None:
    variant = full(bare(corpus.photo(200, 150), quality=100))

    assert variant.instead is None
    assert variant.data == encode.write(opened(bare(corpus.photo(200, 150), quality=100)), FULL)


def _inserted(source: bytes, kind: bytes, body: bytes, flag: int = 0) -> bytes:
    """A chunk behind the picture of an extended file."""
    parts = source[12:20] + bytes([source[20] | flag]) + source[21:]
    return containers.riff(parts + kind + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2))


ALPHA = bare(corpus.with_alpha(corpus.photo(200, 150)), quality=30)


@pytest.mark.parametrize(
    "source",
    [
        corpus.webp(corpus.photo(200, 150), quality=30, orientation=6),
        corpus.webp(corpus.photo(200, 150), quality=30, orientation=2),
        corpus.webp(corpus.photo(200, 150).copy(), quality=30, profile="p3"),
        _inserted(ALPHA, b"EXIF", containers.exif(1), 0x08),
        _inserted(ALPHA, b"EXIF", containers.exif(1)),
        _inserted(ALPHA, b"XMP ", b"<x:xmpmeta/>", 0x04),
        _inserted(ALPHA, b"note", b"where I live"),
        ALPHA[:20] + bytes([ALPHA[20] | 0x04]) + ALPHA[21:],
        ALPHA + b"where I live",
        animated(".webp"),
    ],
    ids=["turned", "mirrored", "p3", "exif", "unflagged", "xmp", "unknown", "flag", "behind", "animated"],
)
def test_what_has_something_to_strip_or_turn_is_written_anew(source: bytes) -> None:
    variant = full(source)

    assert variant.instead != "source"
    image = opened(variant)
    assert not any(image.get_typeof(name) for name in ("exif-data", "xmp-data", "icc-profile-data", "orientation"))
    assert b"where I live" not in variant.data


@pytest.mark.parametrize("quality", [35, 45, 55])
def test_a_jpeg_that_was_compressed_hard_gets_a_lower_quality(quality: int) -> None:
    source = corpus.jpeg(corpus.photo(640, 480), quality=quality)
    variant = full(source)

    assert len(variant.data) <= len(source)
    assert variant.instead
    said, _, lowered = variant.instead.partition(" ")
    assert said == "quality"
    assert WEBP.least_quality <= int(lowered) < FULL.quality
    asked = replace(FULL, quality=int(lowered))
    assert difference(opened(variant), opened(made(source, asked).variants[0])) == 0


@pytest.mark.parametrize("make", [corpus.png, corpus.gif])
def test_a_graphic_that_has_lost_nothing_loses_nothing(make: Callable[..., bytes]) -> None:
    source = make(chart(400, 300))
    variant = full(source)

    assert variant.instead == "lossless"
    assert len(variant.data) <= len(source)
    assert difference(opened(variant), chart(400, 300)) == (0 if make is corpus.png else pytest.approx(0, abs=1))


def test_an_animation_keeps_all_its_frames_rather_than_be_small() -> None:
    source = animated(".webp", lossless=True)  # whose metadata must go
    assert opened(encode.write(opened(source), LEAST)).get("n-pages") < 6

    assert opened(full(source)).get("n-pages") == 6


def test_a_variant_of_another_size_is_as_it_was_asked_for() -> None:
    source = corpus.jpeg(corpus.photo(640, 480), quality=1)
    small = replace(FULL, box=(639, 480))

    variant = made(source, small).variants[0]

    assert len(variant.data) > len(source)
    assert variant.instead is None


@pytest.mark.parametrize(
    ("source", "most"),
    [
        (corpus.jpeg(corpus.photo(640, 480), quality=95), 1),
        (bare(corpus.photo(640, 480), quality=30), 1),
        (corpus.jpeg(corpus.photo(640, 480), quality=50), 2),
        (corpus.jpeg(corpus.photo(640, 480), quality=5), 3),
        (corpus.png(chart(400, 300)), 2),
    ],
    ids=["large", "kept", "lowered", "misjudged", "lossless"],
)
def test_a_picture_is_written_once_more_where_it_must_and_twice_when_that_was_misjudged(
    source: bytes, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[VariantSpec] = []
    write = encode._called

    def noting(image: pyvips.Image, spec: VariantSpec, options: dict[str, object], keep: int) -> bytes:
        written.append(spec)
        return write(image, spec, options, keep)

    monkeypatch.setattr(encode, "_called", noting)
    full(source)

    assert len(written) == most


def test_whoever_renders_again_makes_the_same_bytes() -> None:
    source = corpus.jpeg(corpus.photo(640, 480), quality=50)

    assert made(source) == made(source)


def test_a_recipe_of_little_quality_is_not_lowered() -> None:
    source = corpus.jpeg(corpus.photo(640, 480), quality=5)

    assert made(source, LEAST).variants[0].instead is None


def test_files_are_reckoned_larger_the_higher_their_quality() -> None:
    sizes = [WEBP.size_at(quality) for quality in range(101)]

    assert sizes == sorted(set(sizes))
    assert sizes[0] > 0
