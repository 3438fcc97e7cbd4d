"""Every sample of the corpus ends as the corpus says."""

from __future__ import annotations

import contextlib

import pytest

from processor.errors import ImageRejected, LimitExceeded
from processor.pipeline.decode import probe
from processor.recipes import STANDARD_VARIANTS
from tests.corpus import SAMPLES, damage, jpeg
from tests.unit.processor.pipeline.compare import opened, rendered

GOOD = [name for name, sample in SAMPLES.items() if sample.code is None]
BAD = [name for name, sample in SAMPLES.items() if sample.code is not None]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_image_becomes_every_variant_in_the_order_of_the_specs(name: str) -> None:
    result = rendered(SAMPLES[name].make())

    assert [variant.name for variant in result.variants] == [spec.name for spec in STANDARD_VARIANTS]
    for variant in result.variants:
        image = opened(variant)
        assert (image.width, image.height) == (variant.width, variant.height * result.source.frames)


@pytest.mark.parametrize("name", GOOD)
def test_no_output_carries_anything_about_the_camera_or_its_colours(name: str) -> None:
    for variant in rendered(SAMPLES[name].make()).variants:
        fields = set(opened(variant).get_fields())
        assert not {"exif-data", "icc-profile-data", "xmp-data", "iptc-data", "orientation"} & fields


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_refused_with_its_code(name: str) -> None:
    with pytest.raises(ImageRejected) as refusal:
        rendered(SAMPLES[name].make())

    assert refusal.value.code == SAMPLES[name].code


@pytest.mark.parametrize("name", BAD)
def test_a_refusal_says_nothing_in_the_words_of_libvips(name: str) -> None:
    with pytest.raises(ImageRejected) as refusal:
        rendered(SAMPLES[name].make())

    error = refusal.value
    assert error.message == _own(error).message
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize("part", [0.3, 0.5, 0.8, 0.99])
@pytest.mark.parametrize("name", damage.CUTTABLE)
def test_a_cut_file_is_corrupt_wherever_it_was_cut(name: str, part: float) -> None:
    with pytest.raises(ImageRejected) as refusal:
        rendered(damage.cut(SAMPLES[name].make(), part))

    assert refusal.value.code == "corrupt_image"


@pytest.mark.parametrize("name", [name for name in damage.CUTTABLE if name.startswith("webp")])
def test_a_webp_without_its_last_byte_is_corrupt(name: str) -> None:
    """It lies in the pixels; the other formats have an end marker there, which nobody needs: see `test_endings`."""
    with pytest.raises(ImageRejected) as refusal:
        rendered(damage.cut(SAMPLES[name].make(), 1.0))

    assert refusal.value.code == "corrupt_image"


def test_the_header_is_read_without_the_pixels() -> None:
    whole = jpeg()

    info = probe(whole[: len(whole) // 2])

    assert (info.format, info.width, info.height, info.frames, info.has_alpha) == ("jpeg", 160, 120, 1, False)


def test_the_header_tells_frames_and_alpha() -> None:
    info = probe(SAMPLES["webp-animated"].make())

    assert (info.format, info.width, info.height, info.frames) == ("webp", 64, 48, 4)
    assert probe(SAMPLES["png-alpha"].make()).has_alpha


def test_any_flipped_bits_end_in_an_image_or_in_a_refusal() -> None:
    """Whatever the decoder makes of it: never another error, and never a crash."""
    for name in ("jpeg", "png", "webp", "webp-animated", "gif", "gif-animated"):
        whole = SAMPLES[name].make()
        for seed in range(25):
            with contextlib.suppress(ImageRejected):
                rendered(damage.flip_bits(whole, 5, seed=seed, spare=12))


def _own(error: ImageRejected) -> ImageRejected:
    """The same error, in the words of this service."""
    if isinstance(error, LimitExceeded):
        return type(error)(limit=error.limit, actual=error.actual)
    return type(error)()
