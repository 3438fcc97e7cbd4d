"""Variants show what Chromium shows of the source: its decoders, colour management and composing are its own."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
import pyvips
from playwright.async_api import Browser, Page

from processor.formats import sniff
from tests import corpus
from tests.corpus import animations, containers
from tests.corpus.animations import OVER, Colour, Part, apng_of, gif_of
from tests.unit.processor.pipeline.compare import difference, variant
from tests.unit.processor.pipeline.test_colours import P3_CHRM, chrm, cicp, gama

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Mean absolute difference in steps of 255: what the encoder loses at quality 100.
CLOSE = 2.0
#: Chromium decodes pictures to frames only on a page that it trusts.
PAGE = "https://pictures.test/"
#: All frames of a file as `<img>` shows them, one above a page of white and one above a page of black: canvases mix
#: transparent pixels with rounding, and nobody sees them otherwise.
FRAMES = """
async ([type, text]) => {
  const data = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const decoder = new ImageDecoder({ data, type });
  await decoder.tracks.ready;
  await decoder.completed;
  const track = decoder.tracks.selectedTrack;
  const frames = [];
  for (let frameIndex = 0; frameIndex < track.frameCount; frameIndex++) {
    const { image } = await decoder.decode({ frameIndex });
    frames.push([image.duration, ...shown(image, image.displayWidth, image.displayHeight)]);
    image.close();
  }
  return { loops: track.repetitionCount, frames };
}
"""
#: The same of a still, through an `<img>`, which heeds what the file says of its orientation.
STILL = """
async ([type, text]) => {
  const image = new Image();
  image.src = `data:${type};base64,${text}`;
  await image.decode();
  return { loops: 0, frames: [[0, ...shown(image, image.naturalWidth, image.naturalHeight)]] };
}
"""
SHOWN = """
function shown(image, width, height) {
  const pixels = ["white", "black"].map((colour) => {
    const canvas = new OffscreenCanvas(width, height);
    const paint = canvas.getContext("2d");
    paint.fillStyle = colour;
    paint.fillRect(0, 0, width, height);
    paint.drawImage(image, 0, 0);
    let letters = "";
    for (const sample of paint.getImageData(0, 0, width, height).data) letters += String.fromCharCode(sample);
    return btoa(letters);
  });
  return [width, height, ...pixels];
}
"""
#: A screen so large that borders of colours, which WebP blurs, count little.
SIDE = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """How long it is shown in milliseconds, and how it looks on a white and on a black page."""

    milliseconds: float
    on_white: pyvips.Image
    on_black: pyvips.Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A file as Chromium shows it. An endless animation has `Infinity` loops, which JSON lacks."""

    loops: float | None
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Eye:
    """A page that shows files."""

    page: Page

    async def still(self, data: bytes) -> Frame:
        (frame,) = (await self._seen(STILL, data)).frames
        return frame

    async def animation(self, data: bytes) -> Seen:
        return await self._seen(FRAMES, data)

    async def _seen(self, script: str, data: bytes) -> Seen:
        found = await self.page.evaluate(script, [sniff(data).content_type, base64.b64encode(data).decode()])
        return Seen(loops=found["loops"], frames=tuple(_frame(*frame) for frame in found["frames"]))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def eye(browser: Browser) -> AsyncIterator[Eye]:
    """Shows a file and tells what is seen."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.route(PAGE, lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    await page.goto(PAGE)
    await page.add_script_tag(content=SHOWN)
    yield Eye(page=page)
    await context.close()


def _frame(microseconds: float | None, width: int, height: int, *pages: str) -> Frame:
    on_white, on_black = (
        pyvips.Image.new_from_memory(base64.b64decode(page), width, height, 4, "uchar").extract_band(0, n=3)
        for page in pages
    )
    return Frame(milliseconds=(microseconds or 0) / 1000, on_white=on_white, on_black=on_black)


def _assert_same(found: Frame, wanted: Frame) -> None:
    assert found.milliseconds == wanted.milliseconds
    assert difference(found.on_white, wanted.on_white) < CLOSE
    assert difference(found.on_black, wanted.on_black) < CLOSE


def _declaring(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG whose colours are those that the chunks declare."""
    head, *rest = containers.png_chunks(corpus.png(corpus.photo(160, 120), keep="none"))
    return animations.png_of_chunks([head, *chunks, *rest])


SAMPLES = [
    *("jpeg", "jpeg-progressive", "jpeg-grey", "jpeg-p3", "jpeg-srgb-profile", "jpeg-broken-profile"),
    *("png", "png-interlaced", "png-alpha", "png-grey", "png-grey-alpha", "png-palette", "png-one-bit"),
    *("png-sixteen-bit", "png-sixteen-bit-alpha", "png-sixteen-bit-grey"),
    *("webp", "webp-lossless", "webp-alpha", "gif", "gif-alpha"),
    *("avif", "avif-ten-bit", "avif-depth", "avif-gain-map", "avif-grid"),
    *(f"{kind}-orientation-{value}" for kind in ("jpeg", "png", "avif") for value in corpus.ORIENTATIONS),
]
DECLARED: Mapping[str, bytes] = {
    "p3": _declaring(cicp(12, 13)),
    "linear": _declaring(cicp(1, 8)),
    "gamma": _declaring(gama(55_556)),
    "gamma-p3": _declaring(gama(45_455), chrm(P3_CHRM)),
    "srgb-first": _declaring((b"sRGB", b"\x00"), gama(100_000)),
}


@pytest.mark.parametrize("name", SAMPLES)
async def test_a_still_looks_as_its_source(eye: Eye, name: str) -> None:
    data = corpus.SAMPLES[name].make()

    _assert_same(await eye.still(variant(data).data), await eye.still(data))


@pytest.mark.parametrize("name", DECLARED)
async def test_declared_colours_look_as_in_the_source(eye: Eye, name: str) -> None:
    data = DECLARED[name]

    _assert_same(await eye.still(variant(data).data), await eye.still(data))


def _parts(colours: Sequence[Colour | int], **more: Any) -> list[Part]:
    """A screen, a corner of each disposal, and a corner that shows what they left."""
    first, second, third = colours
    whole = {"width": SIDE, "height": SIDE}
    corner = {"width": SIDE // 2, "height": SIDE // 2}
    return [
        Part(colour=first, delay=7, **whole),
        *(
            Part(colour=second, left=dispose * 16, dispose=dispose, delay=10 + dispose, **corner)
            for dispose in (0, 1, 2)
        ),
        Part(colour=third, top=SIDE // 2, delay=30, **corner, **more),
    ]


ANIMATIONS: Mapping[str, bytes] = {
    "gif": gif_of(SIDE, SIDE, _parts((0, 1, 2))),
    "gif-endless": gif_of(SIDE, SIDE, _parts((0, 1, 2)), repeats=0),
    "gif-of-three-loops": gif_of(SIDE, SIDE, _parts((0, 1, 2), transparent=2), repeats=3),
    "gif-of-parts": gif_of(SIDE, SIDE, _parts((0, 1, 2))[1:], repeats=0),
    "apng": apng_of(SIDE, SIDE, _parts(((255, 0, 0, 255), (0, 255, 0, 128), (0, 0, 255, 200)), blend=OVER)),
    "webp": corpus.animation(".webp"),
}


@pytest.mark.parametrize("name", ANIMATIONS)
async def test_an_animation_has_the_frames_delays_and_loops_of_its_source(eye: Eye, name: str) -> None:
    source = ANIMATIONS[name]
    found, wanted = await eye.animation(variant(source).data), await eye.animation(source)

    assert (len(found.frames), found.loops) == (len(wanted.frames), wanted.loops)
    for have, want in zip(found.frames, wanted.frames, strict=True):
        _assert_same(have, want)
