"""What metadata and profiles take of memory is known beforehand, or they are not read."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest
import pyvips

from processor.errors import CorruptImage
from processor.formats.anatomy import MAX_PROFILE_BYTES
from processor.formats.items import Item, Items
from processor.pipeline import decode
from processor.pipeline.estimate import least_bytes
from processor.pipeline.steps.srgb import PROFILE_FIELD, has_usable_profile
from tests import corpus
from tests.corpus import containers, heif, hostile
from tests.corpus.metadata import avif
from tests.unit.processor.pipeline.compare import opened, rendered

PHOTO = corpus.photo(64, 48)
#: Steps of tables that give a profile of 2 MB, and one that is larger than any that is used.
USED, HUGE = 88, 150
NOTHING, MUCH = b"II*\0\x08\0\0\0\0\0", b"II*\0\x08\0\0\0\0\0" + bytes(3_000_000)


def _webp(exif: bytes) -> bytes:
    return containers.webp_with_metadata(corpus.webp(PHOTO), 64, 48, exif=exif)


def _jpeg(exif: bytes) -> bytes:
    pieces = [exif[at : at + 60_000] for at in range(0, len(exif), 60_000)]
    data = corpus.jpeg(PHOTO)
    for piece in pieces:
        data = containers.jpeg_with_segment(data, 0xE1, piece)
    return data


@pytest.mark.parametrize("write", [_webp, _jpeg, lambda exif: avif(PHOTO, exif=exif)], ids=["webp", "jpeg", "avif"])
def test_metadata_counts_besides_the_file(write: Callable[[bytes], bytes]) -> None:
    little, much = (decode.probe(write(exif)) for exif in (NOTHING, MUCH))

    assert much.metadata_bytes - little.metadata_bytes >= 3_000_000
    assert least_bytes(much, 0) - least_bytes(little, 0) >= 3_000_000


def _with_profile(suffix: str, profile: bytes) -> bytes:
    picture = PHOTO.copy()
    picture.set_type(pyvips.GValue.blob_type, PROFILE_FIELD, profile)
    return bytes(picture.write_to_buffer(suffix, keep="icc"))


def _avif(profile: bytes) -> bytes:
    return heif.file(heif.av1(PHOTO).saying(heif.profile(profile)))


PROFILED: dict[str, Callable[[bytes], bytes]] = {
    "jpeg": lambda profile: _with_profile(".jpg", profile),
    "png": lambda profile: _with_profile(".png", profile),
    "webp": lambda profile: _with_profile(".webp", profile),
    "tiff": lambda profile: _with_profile(".tif", profile),
    "avif": _avif,
    "heic": lambda profile: heif.file(heif.hevc1(PHOTO).saying(heif.profile(profile))),
}


@pytest.mark.parametrize("name", PROFILED)
def test_a_profile_counts_as_often_as_it_is_copied_while_it_is_used(name: str) -> None:
    profile = hostile.profile(USED)

    assert decode.probe(PROFILED[name](profile)).metadata_bytes >= 9 * len(profile)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff"])
def test_a_profile_that_is_larger_than_any_real_one_is_not_used(name: str) -> None:
    profile = hostile.profile(HUGE)
    assert len(profile) > MAX_PROFILE_BYTES

    with_it, without = (rendered(data) for data in (PROFILED[name](profile), PROFILED[name](b"")))

    shown, as_it_is = (opened(each.variants[0].data) for each in (with_it, without))
    assert not (shown != as_it_is).max()


@pytest.mark.parametrize("name", ["avif", "heic"])
def test_a_heif_file_with_such_a_profile_is_refused_before_libheif_copies_it(name: str) -> None:
    with pytest.raises(CorruptImage):
        decode.probe(PROFILED[name](hostile.profile(HUGE)))


def test_a_png_s_profile_counts_unpacked_and_is_not_unpacked_further_than_it_is_used() -> None:
    packed = b"x\0\0" + zlib.compress(hostile.profile(HUGE))
    png = containers.png_of_pixels([(0.5, 0.4, 0.3)] * 9, (b"iCCP", packed))

    info = decode.probe(png)

    assert len(png) < 50_000
    assert info.metadata_bytes == 0
    assert not has_usable_profile(decode.load(png, info, lambda image: image, lambda: None))


@pytest.mark.parametrize("code", [heif.av1, heif.hevc1], ids=["avif", "heic"])
@pytest.mark.parametrize("count", [2, 200])
def test_items_that_share_their_bytes_are_refused_before_libheif_copies_these_for_each(
    code: Callable[[pyvips.Image], heif.Item], count: int
) -> None:
    with pytest.raises(CorruptImage):
        decode.probe(hostile.heif_of_shared_metadata(code(PHOTO), count, 20_000))


def test_tiles_are_no_metadata_however_many_there_are() -> None:
    tiles = {number: Item(kind=b"av01", extents=[(0, 1000)]) for number in range(9)}

    assert Items(primary=0, by_id=tiles, named_at=slice(0), moves=False).metadata_bytes == 0


@pytest.mark.parametrize("name", ["jpeg", "png", "webp"])
def test_a_copy_of_the_file_without_its_damage_counts(name: str) -> None:
    whole = {"jpeg": corpus.jpeg, "png": corpus.png, "webp": corpus.webp}[name](PHOTO)
    cut = {
        "jpeg": whole[:-2],
        "png": whole[:-12],
        "webp": containers.webp_with_metadata(whole, 64, 48, exif=bytes(1000))[:-500],
    }[name]

    counted, before = decode.probe(cut).copied_bytes, decode.probe(whole).copied_bytes

    assert counted - before >= len(whole) - 12
