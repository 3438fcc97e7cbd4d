"""What memory an image will take, by its header.

`benchmarks/memory_peak.py` measures the figures, as resident memory. They hold for jemalloc as the image sets it up,
and for glibc's malloc as the service and its children tune it. By default that keeps what is free and below 32 MiB.

Of what the header does not tell, the estimate takes what pictures take: it is within a tenth of the peak for flat ones,
photographs and noise. Where they lie further apart there is a range, from `least_bytes` to `working_bytes`:

- alpha: nothing more where it is solid, 9 bytes a pixel for a mask, 15 for soft edges, 32 for noise;
- effort 3 and more: libwebp then keeps a list of what it will write, nothing of one colour, 3 bytes a pixel of a
  photograph, 12 of noise;
- what may be written without loss, when that is smaller than its source: nothing more, or 22 bytes a pixel;
- a JPEG that is read twice (`passes`): of noise also the picture that its decoder shrunk;
- animations: what is written is there up to four times, and noise, above all in the alpha, makes much of it.

Once the picture is decoded, its pixels tell: `left_bytes` is what it takes from then on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from processor.errors import TooLargeForMemory
from processor.fits import Contain
from processor.formats import decoding_of
from processor.formats.info import ImageInfo
from processor.pipeline import geometry, passes
from processor.pipeline.guard import may_be_lossless
from processor.pipeline.texture import Texture
from processor.recipes import STANDARD, Recipe, VariantSpec

#: Bytes that every image takes, however small: tables of the codecs, buffers of lines, what the allocator keeps.
BASE_BYTES = 2 * 1024 * 1024
#: From this effort on libwebp keeps what it will write as a list before it writes it.
LISTING_EFFORT = 3
#: Bytes per pixel of a still while it is encoded: libvips' copy, libwebp's planes, what is written; and of a grey one.
STILL_BYTES, GREY_BYTES = 6.3, 5.4
#: What alpha takes on top, which libwebp compresses without loss, by how many degrees there are at most: at least, and
#: for the part of its pixels that are unlike their neighbours. It packs few degrees into a bit, two or four. Of two or
#: four degrees no more than a part is so.
ALPHA_BYTES = {4: (8.6, 22.0), 16: (13.0, 11.0), 256: (15.4, 16.5)}
FEW_DEGREES, MOST_CHANGE_OF_FEW = 4, 0.28
#: What is listed of noise, for each pixel of a frame; of a photograph; of one colour next to nothing.
LISTED_BYTES, LISTED_OF_PHOTO = 12.0, 3.0
#: What a picture that is written without loss takes on top, where it compresses worst.
LOSSLESS_BYTES = 22.0
#: Bytes per pixel of a frame of an animation: three canvases, the frame in two colour spaces, libvips' copy.
#: By what the frames show; photographs take a little less than noise.
FRAME_BYTES, FRAME_LEAST_BYTES = 26.0, 22.0
#: Bytes per pixel of all frames for what is written, which is copied some times: of whole blocks, and of the frames.
#: And for each further file of the same size.
WRITTEN_BYTES, COPIED_BYTES, KEPT_BYTES = 0.75, 0.6, 0.4
#: The same of noise, on top; and of an alpha of noise, which is written without loss: for each byte of it that is
#: written; and for each byte of either that is kept in a further file.
NOISE_WRITTEN_BYTES, ALPHA_WRITTEN_BYTES, NOISE_KEPT_BYTES, ALPHA_KEPT_BYTES = 0.9, 3.7, 0.2, 1.0
#: Of a small variant that is encoded beside a large one: what its alpha takes at least, which is soft once it is
#: resized, whatever it was; and bytes per pixel of a frame without it.
BESIDE_ALPHA_BYTES, BESIDE_FRAME_BYTES = 10.7, 11.0
#: Bytes for each pixel that libwebp makes of a photograph, and of noise; and of an alpha of noise.
PHOTO_WRITTEN, NOISE_WRITTEN, ALPHA_WRITTEN = 0.14, 0.91, 0.97
#: Of a picture in memory, with alpha.
_MOST_BANDS = 4
#: What is not worth looking at the pixels for.
WORTH_BYTES = 4 * 1024 * 1024
#: libwebp writes whole blocks of so many pixels.
BLOCK_SIDE = 16
#: Bytes of a frame, however small it is, for the operations that it goes through.
EACH_FRAME_BYTES = 10 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decided:
    """What the pixels decide: of each pixel of an animation's frame; of alpha, for each pixel of a frame on top of that
    or of a still's; and of what is written, in all."""

    frame_bytes: float
    alpha_bytes: float
    written_bytes: int


def working_bytes(info: ImageInfo, file_bytes: int, recipe: Recipe = STANDARD) -> int:
    """What rendering takes, the file itself counted in; where that depends on the pixels, the most."""
    told = _told_by_formats(info, recipe)
    if told is not None:
        return _rendering_as_told(info, file_bytes, recipe, told[1], _decoding(info, recipe))
    decided = _most(info, recipe)
    return _rendering(info, file_bytes, recipe, decided, _decoding(info, recipe))


def least_bytes(info: ImageInfo, file_bytes: int, recipe: Recipe = STANDARD) -> int:
    """The least that it can take: with an alpha that turns out to be solid, and little to list."""
    told = _told_by_formats(info, recipe)
    if told is not None:
        return _rendering_as_told(info, file_bytes, recipe, told[0], _decoding(info, recipe))
    if decoding_of(info.format).is_composed(info):
        info = replace(info, has_alpha=False)
    decided = _Decided(frame_bytes=FRAME_LEAST_BYTES, alpha_bytes=0.0, written_bytes=0)
    return _rendering(info, file_bytes, recipe, decided, _decoding(info, recipe))


def is_open(info: ImageInfo, file_bytes: int, recipe: Recipe) -> bool:
    """Whether the pixels decide over so much that it is worth looking at them, and how is known."""
    if _told_by_formats(info, recipe) is not None:
        return False
    return working_bytes(info, file_bytes, recipe) > least_bytes(info, file_bytes, recipe) + WORTH_BYTES


def left_bytes(info: ImageInfo, file_bytes: int, recipe: Recipe, texture: Texture | None) -> int:
    """What rendering takes from now on: the picture is decoded and held, and its decoder is gone.

    Without a `texture`, whatever its pixels are.
    """
    told = _told_by_formats(info, recipe)
    if told is not None:
        return _rendering_as_told(info, file_bytes, recipe, told[1])
    if texture is None:
        return _rendering(info, file_bytes, recipe, _most(info, recipe))
    if not texture.levels and decoding_of(info.format).is_composed(info):
        info = replace(info, has_alpha=False)
    return _rendering(info, file_bytes, recipe, _told(info, recipe, texture))


def share(info: ImageInfo, file_bytes: int, budget_bytes: int, recipe: Recipe = STANDARD) -> int:
    """What to admit an image with. Raises `TooLargeForMemory` when it cannot fit, however alone it is."""
    least = least_bytes(info, file_bytes, recipe)
    if least > budget_bytes:
        raise TooLargeForMemory(limit=budget_bytes, actual=least)
    return min(working_bytes(info, file_bytes, recipe), budget_bytes)


def _most(info: ImageInfo, recipe: Recipe) -> _Decided:
    """All of it noise."""
    alpha = _alpha_bytes(info.alpha_levels, 1.0) if info.has_alpha else 0.0
    noise_of_alpha = math.log2(info.alpha_levels) / 8 if info.has_alpha else 0.0
    written = max(_listed(info, recipe, LISTED_BYTES), _lossless(info, recipe, alpha))
    written += _noise_written(info, recipe, 1.0, noise_of_alpha) + _shrunk(info, recipe)
    return _Decided(frame_bytes=FRAME_BYTES, alpha_bytes=alpha, written_bytes=written)


def _told(info: ImageInfo, recipe: Recipe, texture: Texture) -> _Decided:
    """As the pixels are: somewhere between one colour, a photograph and noise."""
    alpha = _alpha_bytes(texture.levels, texture.change) if texture.levels else 0.0
    noise = min(1.0, max(0.0, (texture.colour_bytes - PHOTO_WRITTEN) / (NOISE_WRITTEN - PHOTO_WRITTEN)))
    listed = LISTED_OF_PHOTO * min(1.0, texture.colour_bytes / PHOTO_WRITTEN)
    listed += (LISTED_BYTES - LISTED_OF_PHOTO) * noise
    written = max(_listed(info, recipe, listed), _lossless(info, recipe, alpha))
    written += _noise_written(info, recipe, noise, min(1.0, texture.alpha_bytes / ALPHA_WRITTEN))
    written += _shrunk(info, recipe)
    frame = FRAME_LEAST_BYTES + (FRAME_BYTES - FRAME_LEAST_BYTES) * noise
    return _Decided(frame_bytes=frame, alpha_bytes=alpha, written_bytes=written)


def _alpha_bytes(levels: int, change: float) -> float:
    most, (least, more) = next((most, taken) for most, taken in ALPHA_BYTES.items() if levels <= most)
    return least + more * (min(change, MOST_CHANGE_OF_FEW) if most == FEW_DEGREES else change)


def _rendering(info: ImageInfo, file_bytes: int, recipe: Recipe, decided: _Decided, decoding: int = 0) -> int:
    held = _held_while_encoding(info, recipe)
    reduced = _reduced(info, recipe.specs)
    # The smaller sizes of an animation are made frame by frame, and then joined.
    resizing = held + reduced * (2 if info.frames > 1 else 1)
    encoding = held + reduced + _encoding(info, decided) + _kept(info, recipe.specs) + decided.written_bytes
    changed = _changed(info, recipe.specs)
    encoding += _beside(info, recipe, decided.alpha_bytes) + changed + _surrounded(info, recipe.specs)
    # Like sizes, effects are made of an animation frame by frame; and each is made of the one before.
    changing = held + reduced + 2 * changed
    return BASE_BYTES + file_bytes + max(decoding, resizing, changing, encoding)


def _decoding(info: ImageInfo, recipe: Recipe) -> int:
    return decoding_of(info.format).working_bytes(info, _held_while_encoding(info, recipe))


def _held_while_encoding(info: ImageInfo, recipe: Recipe) -> int:
    return 0 if passes.is_streamed(info, recipe) else _held(info)


def _told_by_formats(info: ImageInfo, recipe: Recipe) -> tuple[int, int] | None:
    """What it takes to write the largest of the variants, least and most, where the records of their formats tell it.

    Such formats are written one variant after the other.
    """
    told = []
    for spec in recipe.specs:
        width, height = geometry.target_size(info, spec)
        if spec.encoding.still_bytes is not None:
            told.append(spec.encoding.still_bytes(width * height, info, spec.quality, spec.effort))
    return (max(least for least, _ in told), max(most for _, most in told)) if told else None


def _rendering_as_told(info: ImageInfo, file_bytes: int, recipe: Recipe, writing_bytes: int, decoding: int = 0) -> int:
    pictures, changed = _held_while_encoding(info, recipe) + _reduced(info, recipe.specs), _changed(info, recipe.specs)
    made = pictures + max(changed + writing_bytes, 2 * changed)
    return BASE_BYTES + file_bytes + max(decoding, made)


def _listed(info: ImageInfo, recipe: Recipe, pixel_bytes: float) -> int:
    """Of the largest variant that is written with so much effort that libwebp lists what it writes."""
    sizes = [geometry.target_size(info, spec) for spec in recipe.specs if spec.effort >= LISTING_EFFORT]
    return round(max((width * height for width, height in sizes), default=0) * pixel_bytes)


def _lossless(info: ImageInfo, recipe: Recipe, alpha_bytes: float) -> int:
    """Of a variant that may be written without loss, beyond what its alpha takes otherwise."""
    whole = (spec for spec in recipe.specs if geometry.target_size(info, spec) == geometry.upright(info))
    taken = max(0.0, LOSSLESS_BYTES - alpha_bytes) if any(may_be_lossless(info, spec) for spec in whole) else 0.0
    return round(info.pixels * taken)


def _shrunk(info: ImageInfo, recipe: Recipe) -> int:
    """Of what is read twice, a picture of half the sides; and when that is gone, as much for noise."""
    return info.pixels * info.bands // 4 if passes.shrink(info, recipe) == 2 else 0  # noqa: PLR2004 - half


def _held(info: ImageInfo) -> int:
    """The decoded picture, which lives until the last variant is encoded; an animation is turned frame by frame."""
    turned = 2 if info.frames > 1 and info.orientation > 1 else 1
    return info.pixels * _bands(info) * turned


def _encoding(info: ImageInfo, decided: _Decided) -> int:
    frame = info.width * info.height
    if info.frames == 1:
        colours = info.bands - info.has_alpha
        return round(frame * ((STILL_BYTES if colours > 1 else GREY_BYTES) + decided.alpha_bytes))
    across, down = -(-info.width // BLOCK_SIDE), -(-info.height // BLOCK_SIDE)
    written = across * down * BLOCK_SIDE**2 * info.frames * WRITTEN_BYTES + info.pixels * COPIED_BYTES
    return round(frame * (decided.frame_bytes + decided.alpha_bytes) + written) + info.frames * EACH_FRAME_BYTES


def _changed(info: ImageInfo, specs: Sequence[VariantSpec]) -> int:
    """What effects make of a picture, until its file is written; of a large and a small one at once."""
    large, small = 0, 0
    for spec in specs:
        if not spec.is_changed:
            continue
        size = geometry.shown_size(info, spec)
        taken = size[0] * size[1] * (_MOST_BANDS if isinstance(spec.fit, Contain) else _bands(info))
        if geometry.takes_long(info, size):
            large = max(large, taken)
        else:
            small = max(small, taken)
    return (large + small) * info.frames


def _surrounded(info: ImageInfo, specs: Sequence[VariantSpec]) -> int:
    """What the largest box takes, beyond the picture in it, when it is encoded: one colour, perhaps with alpha."""
    taken = [_area(geometry.shown_size(info, spec)) - _area(geometry.target_size(info, spec)) for spec in specs]
    return round(max(0, *taken) * info.frames * (STILL_BYTES + ALPHA_BYTES[FEW_DEGREES][0]))


def _area(size: geometry.Size) -> int:
    return size[0] * size[1]


def _beside(info: ImageInfo, recipe: Recipe, alpha_bytes: float) -> int:
    """What the largest of the small variants takes, which is encoded at the same time as a large one."""
    sizes = [geometry.target_size(info, spec) for spec in recipe.specs]
    if not any(geometry.takes_long(info, size) for size in sizes):
        return 0
    soon = max((across * down for across, down in sizes if not geometry.takes_long(info, (across, down))), default=0)
    alpha = max(BESIDE_ALPHA_BYTES, alpha_bytes) if alpha_bytes else 0.0
    return round(soon * ((BESIDE_FRAME_BYTES if info.frames > 1 else STILL_BYTES) + alpha))


def _kept(info: ImageInfo, specs: Sequence[VariantSpec]) -> int:
    """The files of a small animation, all of which have its size."""
    return round(_further_files(info, specs) * info.pixels * KEPT_BYTES) if info.frames > 1 else 0


def _further_files(info: ImageInfo, specs: Sequence[VariantSpec]) -> int:
    """How many more there are of the size of the picture."""
    whole = {spec.unnamed for spec in specs if geometry.target_size(info, spec) == geometry.upright(info)}
    return max(0, len(whole) - 1)


def _noise_written(info: ImageInfo, recipe: Recipe, noise: float, noise_of_alpha: float) -> int:
    """What the files of an animation take on top, by how much of it is noise. Those of a still are in what it takes."""
    if info.frames == 1:
        return 0
    written = noise * NOISE_WRITTEN_BYTES + noise_of_alpha * ALPHA_WRITTEN_BYTES
    kept = (noise * NOISE_KEPT_BYTES + noise_of_alpha * ALPHA_KEPT_BYTES) * _further_files(info, recipe.specs)
    return round(info.pixels * (written + kept))


def _reduced(info: ImageInfo, specs: Sequence[VariantSpec]) -> int:
    """The smaller sizes, all of which are held."""
    sizes = {geometry.target_size(info, spec) for spec in specs} - {geometry.upright(info)}
    return sum(width * height for width, height in sizes) * info.frames * _bands(info)


def _bands(info: ImageInfo) -> int:
    """Once colours are sRGB; an alpha that hides nothing is in memory all the same."""
    return min(info.bands, 4 if info.has_alpha else 3)
