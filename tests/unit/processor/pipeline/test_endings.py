"""What lost pixels is refused, and what lost nothing but its end is not."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import pyvips

from processor.errors import CorruptImage, ImageRejected
from processor.pipeline import decode, jpeg
from tests import corpus
from tests.corpus import containers, damage
from tests.corpus.animations import Part, apng_of, gif_of, png_of_chunks
from tests.unit.processor.pipeline.compare import difference, opened, rendered, variant

EOI = b"\xff\xd9"
#: How cameras end their files behind the picture.
TRAILER = b"\x00\x00\x21\x0a\x0e\x00\x00\x00Image_UTC_Data1700000000000SEFH\x6a\x00\x00\x00\x01\x00\x00\x00SEFT"
#: Kinds of JPEG: how its samples are coded together, in how many scans, with restarts and without.
JPEGS: dict[str, Callable[[], bytes]] = {
    "even": lambda: corpus.jpeg(quality=95),
    "subsampled": lambda: corpus.jpeg(quality=75),
    "grey": lambda: corpus.jpeg(corpus.photo(160, 120).colourspace("b-w"), quality=90),
    "odd": lambda: corpus.jpeg(corpus.photo(161, 121), quality=75),
    "one-strip": lambda: corpus.jpeg(corpus.photo(96, 8), quality=75),
    "restarts": lambda: corpus.jpeg(quality=75, restart_interval=5),
    "progressive": lambda: corpus.jpeg(interlace=True),
    "inks": lambda: corpus.cmyk_jpeg(corpus.photo(160, 120), profile=False),
}


def body_end(data: bytes) -> int:
    """Where the compressed data of a JPEG ends."""
    return data.rindex(EOI)


def seen(data: bytes) -> pyvips.Image:
    return opened(variant(data))


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("part", [0.6, 0.9, 0.99])
def test_a_cut_jpeg_is_refused_whatever_end_was_put_to_it(name: str, part: float) -> None:
    whole = JPEGS[name]()
    cut = whole[: int(body_end(whole) * part)]

    for end in (b"", EOI, EOI + TRAILER):
        with pytest.raises(CorruptImage):
            rendered(cut + end)


@pytest.mark.parametrize(
    "name",
    [
        *("subsampled", "restarts", "progressive"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("even", "grey", "one-strip", "inks")),
    ],
)
def test_a_jpeg_that_lost_its_last_bytes_is_refused(name: str) -> None:
    whole = JPEGS[name]()

    for lost in range(1, 25):
        with pytest.raises(CorruptImage):
            rendered(whole[: body_end(whole) - lost] + EOI)


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("end", [b"", b"\xff", TRAILER, EOI + TRAILER, EOI + EOI], ids=range(5))
def test_a_jpeg_without_an_end_or_with_more_behind_it_is_whole(name: str, end: bytes) -> None:
    whole = JPEGS[name]()

    assert difference(seen(whole[: body_end(whole)] + end), seen(whole)) == 0


@pytest.mark.parametrize("name", [*JPEGS, "jpeg-p3"])
def test_a_jpeg_that_is_whole_is_decoded_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[bool] = []
    look = decode.load

    def noting(*args: Any, strict: bool) -> pyvips.Image:
        looks.append(strict)
        return look(*args, strict=strict)

    monkeypatch.setattr(decode, "load", noting)

    rendered((JPEGS.get(name) or corpus.SAMPLES[name].make)())

    assert looks == [True]


def test_a_jpeg_that_lost_an_interval_is_refused() -> None:
    whole = corpus.jpeg(quality=75, restart_interval=5)
    marks = [match.start() for match in re.finditer(rb"\xff[\xd0-\xd7]", whole)]

    for start, end in ((marks[-1], body_end(whole)), (marks[3], marks[4]), (marks[3] + 12, marks[4])):
        with pytest.raises(CorruptImage):
            rendered(whole[:start] + whole[end:])


@pytest.mark.parametrize("interval", [1, 5])
def test_bytes_in_front_of_restarts_are_stray_and_lose_nothing(interval: int) -> None:
    """More of them than the warnings after which libvips gives up."""
    whole = corpus.jpeg(corpus.photo(480, 320), quality=75, restart_interval=interval)
    stray = re.sub(rb"\xff[\xd0-\xd7]", b"\x00\x13\x37" + rb"\g<0>", whole)

    assert stray.count(b"\x00\x13\x37") > 100
    assert difference(seen(stray), seen(whole)) == 0


def test_a_progressive_jpeg_that_lost_its_last_scans_is_refused() -> None:
    """Whole scans: libjpeg shows what there is without a warning."""
    whole = corpus.jpeg(interlace=True)
    scans = jpeg.read(whole).scans

    assert len(scans) > 5
    for scan in scans[:-1]:
        with pytest.raises(CorruptImage):
            rendered(whole[: scan.end] + EOI)


WEBPS: dict[str, Callable[[], bytes]] = {
    "webp": lambda: corpus.webp(keep="none"),
    "webp-lossless": lambda: corpus.webp(lossless=True, keep="none"),
    "webp-transparent": lambda: corpus.webp(corpus.with_alpha(corpus.photo(160, 120)), keep="none"),
}
PNGS: dict[str, Callable[[], bytes]] = {
    "plain": corpus.png,
    "interlaced": lambda: corpus.png(interlace=True),
    "palette": lambda: corpus.png(palette=True),
    "wide": corpus.SAMPLES["png-sixteen-bit"].make,
}


@pytest.mark.parametrize("name", PNGS)
@pytest.mark.parametrize("lost", [1, 4, 8, 11, 12, 14, 16])
def test_a_png_whose_pixels_are_all_there_needs_no_end(name: str, lost: int) -> None:
    """12 bytes are the end marker; the 4 in front of them are the checksum of the last pixels."""
    whole = PNGS[name]()

    assert difference(seen(whole[:-lost]), seen(whole)) == 0


@pytest.mark.parametrize("name", PNGS)
def test_a_png_that_lost_pixels_is_refused_whatever_end_was_put_to_it(name: str) -> None:
    whole = PNGS[name]()
    for part in (0.3, 0.6, 0.9, 0.99):
        cut = whole[: int(len(whole) * part)]
        for end in (b"", containers.chunk(b"IEND", b"")):
            with pytest.raises(CorruptImage):
                rendered(cut + end)


@pytest.mark.parametrize("part", [0.5, 0.9, 0.99])
def test_a_png_with_whole_chunks_and_too_few_pixels_is_refused(part: float) -> None:
    chunks = containers.png_chunks(corpus.png(keep="none"))
    pixels = b"".join(body for kind, body in chunks if kind == b"IDAT")
    kept = pixels[: int(len(pixels) * part)]
    head = [entry for entry in chunks if entry[0] not in (b"IDAT", b"IEND")]

    with pytest.raises(CorruptImage):
        rendered(png_of_chunks([*head, (b"IDAT", kept), (b"IEND", b"")]))


def test_a_png_cut_in_a_comment_behind_its_pixels_is_whole() -> None:
    chunks = containers.png_chunks(corpus.png(keep="none"))
    data = png_of_chunks([*chunks[:-1], (b"tEXt", b"Comment\x00" + b"words " * 40), chunks[-1]])

    assert difference(seen(data[:-100]), seen(data)) == 0


def test_a_wrong_checksum_on_pixels_is_damage_and_on_the_end_is_not() -> None:
    whole = corpus.png(keep="none")
    at = whole.index(b"IDAT")
    checksum = at + 4 + int.from_bytes(whole[at - 4 : at], "big")

    with pytest.raises(CorruptImage):
        rendered(whole[:checksum] + bytes([whole[checksum] ^ 1]) + whole[checksum + 1 :])
    assert difference(seen(whole[:-1] + bytes([whole[-1] ^ 1])), seen(whole)) == 0


def zlib_of(png: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The chunks in front of the pixels, and the compressed pixels."""
    chunks = containers.png_chunks(png)
    return [entry for entry in chunks if entry[0] not in (b"IDAT", b"IEND")], pixels_of(chunks)


def pixels_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(body for kind, body in chunks if kind == b"IDAT")


@pytest.mark.parametrize("name", PNGS)
@pytest.mark.parametrize("lost", [1, 3, 4, 5])
@pytest.mark.parametrize("ended", [True, False])
def test_a_png_cut_behind_its_last_pixel_is_whole(name: str, lost: int, *, ended: bool) -> None:
    """4 bytes are the checksum of what was compressed; the one before them holds the end of the compressed data."""
    head, pixels = zlib_of(PNGS[name]())
    data = png_of_chunks([*head, (b"IDAT", pixels[:-lost]), *([(b"IEND", b"")] if ended else [])])

    whole = seen(PNGS[name]())
    assert difference(seen(data), whole) == 0
    assert difference(seen(data if ended else data[:-4]), whole) == 0


def test_pixels_that_were_never_said_to_end_are_whole() -> None:
    head, pixels = zlib_of(corpus.png(keep="none"))
    packing = zlib.compressobj()
    endless = packing.compress(zlib.decompress(pixels)) + packing.flush(zlib.Z_SYNC_FLUSH)

    assert difference(seen(png_of_chunks([*head, (b"IDAT", endless), (b"IEND", b"")])), seen(corpus.png())) == 0


def test_pixels_with_another_checksum_than_they_have_are_damaged() -> None:
    head, pixels = zlib_of(corpus.png(keep="none"))

    for end in (b"\x00\x01\x02\x03", b"\x00\x01"):
        with pytest.raises(CorruptImage):
            rendered(png_of_chunks([*head, (b"IDAT", pixels[:-4] + end), (b"IEND", b"")]))


def test_far_more_pixels_than_were_told_do_not_hide_a_cut() -> None:
    head, pixels = zlib_of(corpus.png(keep="none"))
    more = zlib.compress(zlib.decompress(pixels) + bytes(4 << 20))

    with pytest.raises(CorruptImage):
        rendered(png_of_chunks([*head, (b"IDAT", more[:-1]), (b"IEND", b"")]))


@pytest.mark.parametrize("parts", [[900], [1], [0, 1, 2]], ids=["one cut", "in the head", "empty and tiny"])
@pytest.mark.parametrize("cut", [0, 14])
def test_a_window_that_is_declared_too_small_is_mended(parts: list[int], cut: int) -> None:
    """What `pngfix` does: encoders are known that declare 256 bytes and look back further."""
    head, pixels = zlib_of(corpus.png(keep="none"))
    pixels = zlib.compress(zlib.decompress(pixels), 9)
    assert pixels[0] == 0x78
    small = bytes([0x08, -(0x08 * 256) % 31]) + pixels[2:]
    pieces = [small[start:end] for start, end in zip([0, *parts], [*parts, None], strict=True)]
    data = png_of_chunks([*head, *((b"IDAT", piece) for piece in pieces), (b"IEND", b"")])

    assert difference(seen(data[: len(data) - cut]), seen(corpus.png())) == 0


@pytest.mark.parametrize(
    "behind", [b"", b"abcd", b"EXIF", b"EXIF\x40\x00\x00\x00", b"EXIF\x40\x00\x00\x00" + b"II*\x00"]
)
@pytest.mark.parametrize("name", ["webp", "webp-lossless", "webp-transparent"])
def test_a_webp_that_was_cut_behind_its_picture_is_whole(name: str, behind: bytes) -> None:
    whole = WEBPS[name]()
    promised = len(whole) - 8 + 72
    data = whole[:4] + promised.to_bytes(4, "little") + whole[8:] + behind

    assert difference(seen(data), seen(whole)) == 0


@pytest.mark.parametrize("name", ["webp", "webp-lossless", "webp-transparent"])
def test_a_webp_that_lost_pixels_is_refused_whatever_it_says_of_its_length(name: str) -> None:
    whole = WEBPS[name]()
    for lost in (3, 10, len(whole) // 3):
        cut = whole[:-lost]
        for data in (cut, cut[:4] + (len(cut) - 8).to_bytes(4, "little") + cut[8:]):
            with pytest.raises(CorruptImage):
                rendered(data)


def test_an_animated_webp_is_whole_only_when_something_else_was_begun_behind_its_frames() -> None:
    whole = corpus.animation(".webp")
    longer = whole[:4] + (len(whole) + 64).to_bytes(4, "little") + whole[8:]

    assert difference(seen(longer + b"EXIF\x40\x00\x00\x00"), seen(whole)) == 0
    for cut in (longer, longer + b"ANMF\x40\x00\x00\x00"):
        with pytest.raises(CorruptImage):
            rendered(cut)


@pytest.mark.parametrize("make", [corpus.gif, lambda: corpus.animation(".gif")], ids=["still", "animated"])
def test_a_gif_without_its_last_byte_is_whole(make: Callable[[], bytes]) -> None:
    whole = make()

    assert whole.endswith(b"\x3b")
    for end in (b"", b"\x3b" + TRAILER, b"\x00\x00"):
        assert difference(seen(whole[:-1] + end), seen(whole)) == 0


def test_a_gif_cut_in_a_comment_behind_its_pixels_is_whole() -> None:
    still = gif_of(32, 32, [Part(width=32, height=32, colour=1)], trailer=b"\x21\xfe\x20half a comm")

    assert rendered(still).source.frames == 1


@pytest.mark.parametrize("lost", [12, 30])
@pytest.mark.parametrize("end", [b"", b"\x00\x3b", b"\x3b"])
def test_an_animation_whose_last_frame_was_cut_is_refused(lost: int, end: bytes) -> None:
    parts = [Part(width=32, height=32, colour=number) for number in (1, 2)]
    gif = gif_of(32, 32, parts, trailer=b"")
    apng = apng_of(32, 32, [Part(width=32, height=32, colour=(9, 9, 9, 255))] * 2)[:-12]

    for data in (gif[:-1], apng[:-4]):
        with pytest.raises(ImageRejected) as refusal:
            rendered(data[:-lost] + end)
        assert refusal.value.code == "corrupt_image"


@pytest.mark.parametrize("lost", [1, 2])
def test_a_gif_cut_behind_its_last_pixel_is_whole(lost: int) -> None:
    """The trailer is gone, then the terminator of the blocks."""
    for count in (1, 3):
        whole = gif_of(32, 32, [Part(width=32, height=32, colour=number) for number in range(count)])

        assert difference(seen(whole[:-lost]), seen(whole)) == 0


@pytest.mark.parametrize("lost", range(1, 8))
def test_an_animation_cut_behind_its_last_pixel_is_whole(lost: int) -> None:
    """Its last chunk's checksum is gone, then that of the compressed pixels."""
    whole = apng_of(32, 32, [Part(width=32, height=32, colour=(9, number, 9, 255)) for number in (1, 200)])

    assert difference(seen(whole[: -12 - lost]), seen(whole)) == 0


def test_a_gif_cut_between_a_frame_and_what_announced_it_is_refused() -> None:
    data = gif_of(32, 32, [Part(width=32, height=32, colour=1)], trailer=b"\x21\xf9\x04\x00\x00\x00\x00\x00")

    with pytest.raises(CorruptImage):
        rendered(data)


@pytest.mark.parametrize("name", ["webp", "webp-lossless", "webp-animated", "webp-alpha"])
def test_bytes_behind_a_webp_lose_nothing(name: str) -> None:
    whole = corpus.SAMPLES[name].make()

    assert difference(seen(whole + b"Adobe " * 9), seen(whole)) == 0


@pytest.mark.parametrize("name", damage.CUTTABLE)
def test_a_file_of_the_first_bytes_alone_is_refused(name: str) -> None:
    whole = corpus.SAMPLES[name].make()

    for size in range(3, 60):
        with pytest.raises(ImageRejected):
            rendered(whole[:size])
