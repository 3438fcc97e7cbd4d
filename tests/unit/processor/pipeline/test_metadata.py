"""What variants keep of the metadata of their source: nothing, or exactly what the recipe names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import pyvips

from processor.facts import Facts
from processor.formats import AVIF, decoding_of
from processor.formats.blocks import Kind
from processor.metadata import xmp
from processor.metadata.reading import read_metadata
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import COPYRIGHT, FURTHER, KEEPABLE, PROFILE, STANDARD, Recipe, VariantSpec, keeping
from tests import corpus
from tests.corpus import metadata as said
from tests.unit.processor.metadata.test_reading import camera

RIGHTS = "© Ateliér Říp <2026> & friends"
#: What must be in no variant, whatever it keeps.
SECRETS = (b"SERIAL-A123456", b"MAKER-NOTE", b"Owner", b"secret caption", b"KEYWORD", b"48,51.5", b"CanonX", b"Exif\0")
SIZED = (
    VariantSpec(name="thumbnail", format="webp", quality=80, box=(60, 60)),
    VariantSpec(name="webp", format="webp", quality=80),
)
BOTH = (*SIZED, *(replace(spec, name=f"{spec.name}-avif", format=AVIF.name, effort=0) for spec in SIZED))
PICTURE = corpus.photo(160, 120)
EXIF = camera(
    picture=[said.text(0x010F, "CanonX"), said.text(0x0132, "2026:01:01 00:00:00")],
    own=[said.text(0xA431, "SERIAL-A123456"), said.text(0xA430, "Owner")],
    thumbnail=corpus.jpeg(corpus.photo(16, 12)),
)
XMP = said.xmp(
    {
        "dc:description": "secret caption",
        "dc:rights": RIGHTS,
        "dc:subject": ["KEYWORD"],
        "exif:GPSLatitude": "48,51.5N",
        "exif:GPSLongitude": "2,17.6E",
    }
)
IPTC = said.iptc((1, 90, b"\x1b%G"), (2, 116, RIGHTS.encode()), (2, 25, b"KEYWORD"), (2, 80, b"Owner"))
P3 = corpus.p3_jpeg(PICTURE)


def profile_of(data: bytes) -> bytes | None:
    image = pyvips.Image.new_from_buffer(data, "")
    return bytes(image.get("icc-profile-data")) if image.get_typeof("icc-profile-data") else None


def made(data: bytes, recipe: Recipe) -> tuple[dict[str, bytes], Facts]:
    limits = FileLimits()
    rendered = render(data, inspect(data, limits), recipe, Deadline(limits.timeout_seconds))
    return {variant.name: variant.data for variant in rendered.variants}, rendered.facts


def recipe_keeping(*kept: str, specs: tuple[VariantSpec, ...] = BOTH) -> Recipe:
    return keeping(replace(STANDARD, specs=specs, analyses=("metadata", "position")), kept)


def fields_of(data: bytes) -> set[str]:
    """The metadata that libvips finds in a file."""
    image = pyvips.Image.new_from_buffer(data, "")
    return {name for name in image.get_fields() if name.startswith(("exif", "xmp", "iptc", "icc", "photoshop", "png-"))}


def sources() -> Mapping[str, bytes]:
    tagged = PICTURE.copy()
    tagged.set_type(pyvips.GValue.blob_type, "xmp-data", XMP)
    tagged.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile_of(P3))
    return {
        "JPEG": said.jpeg(P3, exif=EXIF, iptc=IPTC, xmp=XMP, comment=b"Owner"),
        "PNG": said.png(corpus.png(PICTURE), exif=EXIF, xmp=XMP, texts={b"Author": b"Owner"}),
        "WebP": said.webp(bytes(PICTURE.webpsave_buffer(keep="none")), 160, 120, exif=EXIF, xmp=XMP),
        "AVIF": said.avif(PICTURE, exif=EXIF, xmp=XMP),
        "TIFF": corpus.tiff(tagged),
        "GIF": said.gif(corpus.gif(PICTURE), xmp=XMP, comment=b"Owner"),
    }


SOURCES = sources()


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_remains_in_any_variant_of_any_format(name: str) -> None:
    files, facts = made(SOURCES[name], recipe_keeping())
    for file in files.values():
        assert fields_of(file) == set()
        assert not any(secret in file for secret in (*SECRETS, RIGHTS.encode(), b"xmpmeta"))
    assert facts.own["metadata"]["privacy"]["kept"] == []
    assert facts.own["metadata"]["privacy"]["removed"] == facts.own["metadata"]["privacy"]["found"]


@pytest.mark.parametrize("name", SOURCES)
def test_the_notice_of_copyright_is_kept_alone_where_it_is_asked_for(name: str) -> None:
    files, facts = made(SOURCES[name], recipe_keeping(COPYRIGHT))
    for variant, file in files.items():
        assert fields_of(file) == {"xmp-data"}
        assert not any(secret in file for secret in SECRETS)
        packet = bytes(pyvips.Image.new_from_buffer(file, "").get("xmp-data"))
        assert {key: found for key, found in xmp.read(packet).values.items() if found} == {"dc:rights": [RIGHTS]}
        read = read_metadata(file, "avif" if variant.endswith("avif") else "webp")
        assert dict(read.told) == {"copyright": RIGHTS}
    assert facts.own["metadata"]["privacy"]["kept"] == ["copyright"]
    assert "copyright" not in facts.own["metadata"]["privacy"]["removed"]


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_the_profile_is_kept_alone_with_the_colours_that_it_means(name: str) -> None:
    files, facts = made(SOURCES[name], recipe_keeping(PROFILE))
    stripped, _ = made(SOURCES[name], recipe_keeping())
    for variant, file in files.items():
        assert fields_of(file) == {"icc-profile-data"}
        assert profile_of(file) == profile_of(P3)
        assert not any(secret in file for secret in SECRETS)
        shown = pyvips.Image.new_from_buffer(file, "").icc_transform("srgb", embedded=True)
        plain = pyvips.Image.new_from_buffer(stripped[variant], "")
        assert (shown.extract_band(0, n=3) - plain.extract_band(0, n=3)).abs().avg() < 4
        raw = pyvips.Image.new_from_buffer(file, "")
        assert (raw.extract_band(0, n=3) - plain.extract_band(0, n=3)).abs().avg() > 1  # these are other samples
    assert facts.own["metadata"]["privacy"]["kept"] == ["profile"]


@pytest.mark.parametrize("make", ["cmyk", "large"])
def test_a_profile_that_variants_cannot_have_is_converted_and_told_to_be_gone(make: str) -> None:
    file = corpus.cmyk_jpeg(PICTURE, profile=True) if make == "cmyk" else _large_profile()
    files, facts = made(file, recipe_keeping(PROFILE, specs=SIZED))
    assert all(fields_of(file) == set() for file in files.values())
    assert facts.own["metadata"]["privacy"]["kept"] == []
    assert "profile" in facts.own["metadata"]["privacy"]["removed"]


def test_both_may_be_kept_and_nothing_else() -> None:
    files, _ = made(SOURCES["JPEG"], recipe_keeping(*KEEPABLE))
    for file in files.values():
        assert fields_of(file) == {"icc-profile-data", "xmp-data"}
        assert not any(secret in file for secret in SECRETS)


def test_a_picture_without_a_notice_gets_none() -> None:
    files, _ = made(corpus.png(PICTURE), recipe_keeping(COPYRIGHT))
    assert all(fields_of(file) == set() for file in files.values())


def test_an_animation_and_a_large_picture_that_is_streamed_keep_it_too() -> None:
    large = said.jpeg(corpus.jpeg(corpus.large(3200, 2400)), xmp=XMP)
    files, _ = made(large, keeping(replace(STANDARD, analyses=()), [COPYRIGHT]))
    moving = said.gif(corpus.animation(".gif"), xmp=XMP)
    for file in (*files.values(), *made(moving, recipe_keeping(COPYRIGHT, specs=SIZED))[0].values()):
        kinds = [block.kind for block in decoding_of("webp").blocks(file)]
        assert kinds == [Kind.XMP]
        assert not any(secret in file for secret in SECRETS)


def test_the_policy_is_part_of_the_recipe_and_of_no_recipe_before() -> None:
    kept = recipe_keeping(COPYRIGHT)
    assert Recipe.from_text(kept.to_text()) == kept
    assert kept.digest != recipe_keeping().digest
    assert kept.in_format("avif").keeps == (COPYRIGHT,)
    old = 'standard@6#0000000000000000:[["webp","webp",84,2],"colour"]'
    assert Recipe.from_text(old).keeps == ()
    assert keeping(Recipe.from_text(old), ()).to_text().endswith('[["webp","webp",84,2],"colour"]')


def test_the_further_formats_of_the_standard_recipe_keep_what_the_others_keep() -> None:
    recipe = keeping(replace(STANDARD, further=FURTHER[AVIF.name]), [COPYRIGHT]).in_format(AVIF.name)
    files, _ = made(SOURCES["JPEG"], recipe)
    assert len(files) == 4
    assert all(fields_of(file) == {"xmp-data"} for file in files.values())


def _large_profile() -> bytes:
    """A profile that decoders accept, with a tag of a hundred thousand bytes that nobody reads."""
    profile = bytearray(profile_of(P3) or b"")
    profile += bytes(100_000)
    profile[0:4] = len(profile).to_bytes(4, "big")
    picture = PICTURE.copy()
    picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", bytes(profile))
    return bytes(picture.pngsave_buffer())
