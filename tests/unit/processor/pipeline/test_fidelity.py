"""What comes out is what others see in the same file: Pillow, whose libraries are its own, and formulas."""

from __future__ import annotations

import io

import pytest
import pyvips
from PIL import Image, ImageCms, ImageOps

from processor.pipeline.steps.fit import fit
from tests import corpus
from tests.corpus import heif, hevc
from tests.unit.processor.pipeline.compare import colour_at, difference
from tests.unit.processor.pipeline.test_colours import decoded

#: Mean absolute difference in steps of 255: of roundings; of another way to interpolate coarse colours.
ROUNDED, INTERPOLATED = 0.6, 1.5


def as_vips(picture: Image.Image) -> pyvips.Image:
    samples = picture.tobytes()
    image = pyvips.Image.new_from_memory(samples, *picture.size, len(picture.getbands()), "uchar")
    return image.copy(interpretation="srgb").copy_memory()


def seen_by_pillow(data: bytes) -> pyvips.Image:
    """In sRGB, through the embedded profile."""
    with Image.open(io.BytesIO(data)) as picture:
        profile = picture.info.get("icc_profile")
        if profile:
            srgb = ImageCms.createProfile("sRGB")
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            turned = ImageCms.profileToProfile(
                picture,
                source,
                srgb,
                ImageCms.Intent.PERCEPTUAL,
                outputMode="RGBA" if picture.mode == "RGBA" else "RGB",
            )
            assert turned is not None
            return as_vips(turned)
        return as_vips(picture.convert("RGBA" if picture.mode == "RGBA" else "RGB"))


def seen_here(data: bytes) -> pyvips.Image:
    image = decoded(data)
    return image if image.bands >= 3 else image.colourspace("srgb").copy_memory()


@pytest.mark.parametrize(
    "name",
    [
        "tiff", "tiff-lzw", "tiff-deflate", "tiff-packbits", "tiff-tiled", "tiff-big", "tiff-big-endian", "tiff-alpha",
        "tiff-grey", "tiff-white-is-zero", "tiff-one-bit", "tiff-fax", "tiff-p3", "tiff-cmyk-profile",
    ],
)  # fmt: skip
def test_a_tiff_is_what_pillow_sees(name: str) -> None:
    data = corpus.SAMPLES[name].make()

    assert difference(seen_here(data), seen_by_pillow(data)) < ROUNDED


@pytest.mark.parametrize("name", ["avif", "avif-alpha", "avif-depth", "avif-gain-map", "tiff-jpeg"])
def test_a_lossy_file_is_what_pillow_sees(name: str) -> None:
    data = corpus.SAMPLES[name].make()

    assert difference(seen_here(data), seen_by_pillow(data)) < INTERPOLATED


def test_ten_bits_are_what_pillow_makes_of_them() -> None:
    data = corpus.SAMPLES["avif-ten-bit"].make()

    assert difference(seen_here(data), seen_by_pillow(data)) < INTERPOLATED


@pytest.mark.parametrize("orientation", corpus.ORIENTATIONS)
def test_an_avif_is_turned_as_pillow_turns_it(orientation: int) -> None:
    """Pillow hands out the picture as it lies and tells in EXIF how to turn it; its own function then does."""
    data = heif.file(
        heif.av1(corpus.as_orientation(corpus.quarters(), orientation)).saying(*heif.TURNS[orientation], heif.nclx())
    )
    with Image.open(io.BytesIO(data)) as picture:
        upright = ImageOps.exif_transpose(picture)

    assert difference(seen_here(data), as_vips(upright.convert("RGB"))) < INTERPOLATED


@pytest.mark.parametrize("bits", [8, 10])
def test_a_heic_is_what_its_samples_say(bits: int) -> None:
    """Of BT.601 with the full range, without any decoder: the samples lie in the file as they are."""
    picture = corpus.photo(160, 120)
    light, blue, red = hevc.planes(picture, bits=bits)
    top = (1 << bits) - 1
    blue, red = (plane.resize(2, kernel="linear") - (1 << bits - 1) for plane in (blue, red))
    green = light - 0.344136 * blue - 0.714136 * red
    wanted = (light + 1.402 * red).bandjoin([green, light + 1.772 * blue]) * (255 / top)
    wanted = (wanted > 255).ifthenelse(255, (wanted < 0).ifthenelse(0, wanted))

    found = seen_here(heif.file(heif.hevc1(picture, bits=bits).saying(heif.nclx())))

    assert difference(found, wanted) < INTERPOLATED


@pytest.mark.parametrize("level", [0, 16, 60, 128, 200, 255])
def test_one_colour_of_a_heic_is_kept_to_the_step(level: int) -> None:
    found = seen_here(heif.file(heif.hevc1(corpus.flat(32, 32, (level,) * 3)).saying(heif.nclx())))

    assert colour_at(found, 5, 5) == pytest.approx([level] * 3, abs=1)


@pytest.mark.parametrize("name", ["avif-alpha", "heic-alpha", "tiff-alpha", "tiff-premultiplied"])
def test_an_edge_of_alpha_has_no_halo_in_any_size(name: str) -> None:
    """Red that is seen beside green that is not: whatever the format, no green comes through."""
    seen, hidden = corpus.flat(96, 192, (200, 30, 30)), corpus.flat(96, 192, (0, 255, 0))
    colours = corpus.as_srgb(seen.join(hidden, "horizontal"))
    shade = corpus.flat(96, 192, (255,)).join(corpus.flat(96, 192, (0,)), "horizontal").extract_band(0).copy_memory()
    image = decoded(_with_alpha(name, colours, shade))

    for side in (61, 33, 17):
        shrunk = fit(image, side, side).copy_memory()
        edge = [colour_at(shrunk, x, side // 2) for x in range(side)]
        assert all(green < 60 for _, green, _, alpha in edge if alpha > 32)
        assert edge[0][3] > 250
        assert edge[-1][3] < 5


def _with_alpha(name: str, colours: pyvips.Image, shade: pyvips.Image) -> bytes:
    if name.startswith("tiff"):
        return corpus.tiff(corpus.as_srgb(colours.bandjoin(shade)), premultiply=name.endswith("premultiplied"))
    code = heif.av1 if name.startswith("avif") else heif.hevc1
    alpha = heif.alpha_of(code(corpus.as_srgb(shade.bandjoin([shade, shade]))))
    return heif.file(code(colours).saying(heif.nclx()), alpha, references=[(b"auxl", 2, (1,))])
