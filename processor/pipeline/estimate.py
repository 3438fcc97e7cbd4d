"""Estimates from the header how much memory an image needs.

`benchmarks/memory.py` measures the constants, as resident memory. They hold for jemalloc with the settings of the
container image, and for glibc's malloc as `allocator` tunes it. An untuned glibc keeps freed blocks of up to 32 MiB.

The estimate is within a tenth of the peak for flat pictures, photographs and noise. Where the need depends on the
pixels, it is a range from `least_bytes` to `working_bytes`. These depend on the pixels:

- Alpha: solid alpha needs nothing more, a mask 9 bytes per pixel, soft edges 15, noise 32.
- Effort 3 and more: libwebp keeps a list of the symbols that it will write. It needs nothing for a single colour,
  3 bytes per pixel for a photograph, and 12 for noise.
- A variant that may be written without loss, if that is smaller than its source: nothing more, or 22 bytes per pixel.
- A JPEG that is read twice (`passes`): for noise, the picture that its decoder shrunk counts again.
- Animations: up to four copies of the output exist. Noise makes the output large, above all in the alpha.
- Files that are made before the last one of a picture: they are kept until all are stored.

After decoding, the pixels are known. `left_bytes` is the need from then on.
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
from processor.pipeline.effects import change_of
from processor.pipeline.guard import may_be_lossless
from processor.pipeline.texture import Texture
from processor.recipes import STANDARD, Recipe, VariantSpec

#: Bytes that every image needs, even the smallest: tables of the codecs, line buffers, what the allocator keeps.
BASE_BYTES = 2 * 1024 * 1024
#: From this effort on, libwebp keeps a list of the symbols that it will write.
LISTING_EFFORT = 3
#: Bytes per pixel of a still while it is encoded: libvips' copy, libwebp's planes, the output. Then the same for grey.
STILL_BYTES, GREY_BYTES = 6.3, 5.4
#: Bytes per pixel for alpha, which libwebp compresses without loss. The key is the largest number of alpha levels. The
#: first value is the least; the second is multiplied with the fraction of pixels that differ from their neighbours.
#: libwebp packs few levels into one, two or four bits.
ALPHA_BYTES = {4: (8.6, 22.0), 16: (13.0, 11.0), 256: (15.4, 16.5)}
#: With so few alpha levels, at most this fraction of the pixels differs from their neighbours.
FEW_DEGREES, MOST_CHANGE_OF_FEW = 4, 0.28
#: Alpha that is resized or has a border has as many levels.
_SOFT_DEGREES = 256
#: Bytes per pixel of a frame for libwebp's list: for noise, for a photograph. A single colour needs almost nothing.
LISTED_BYTES, LISTED_OF_PHOTO = 12.0, 3.0
#: Further bytes per pixel of a picture that is written without loss, if it compresses badly.
LOSSLESS_BYTES = 22.0
#: Bytes per pixel of one frame of an animation: three canvases, the frame in two colour spaces, libvips' copy.
#: They depend on what the frames show; photographs need a little less than noise.
FRAME_BYTES, FRAME_LEAST_BYTES = 26.0, 22.0
#: Bytes per pixel of all frames for the output and its copies: of whole blocks; of the frames; and for each further
#: file of the same size.
WRITTEN_BYTES, COPIED_BYTES, KEPT_BYTES = 0.75, 0.6, 0.4
#: What noise adds to these: for noise in the colours, and for noise in the alpha, which is written without loss. Then
#: the same two for each further file.
NOISE_WRITTEN_BYTES, ALPHA_WRITTEN_BYTES, NOISE_KEPT_BYTES, ALPHA_KEPT_BYTES = 0.9, 4.3, 0.2, 1.0
#: Bytes per pixel of a small variant that is encoded beside a large one: the least for its alpha, and for a frame
#: without alpha. Resizing softens every alpha.
BESIDE_ALPHA_BYTES, BESIDE_FRAME_BYTES = 10.7, 11.0
#: Bytes per pixel of libwebp's output: for a photograph, for noise, for noise in the alpha.
PHOTO_WRITTEN, NOISE_WRITTEN, ALPHA_WRITTEN = 0.14, 0.91, 0.97
#: Bands of a picture in sRGB, without alpha.
_COLOURS = 3
#: For a smaller range than this many bytes, looking at the pixels costs more than it saves.
WORTH_BYTES = 4 * 1024 * 1024
#: libwebp writes whole blocks with sides of so many pixels.
BLOCK_SIDE = 16
#: About so many rows of a picture are in buffers while it is resized.
RESIZED_ROWS = 1000
#: Bytes of every frame, even the smallest, for its libvips operations.
EACH_FRAME_BYTES = 10 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decided:
    """The part of the need that depends on the pixels.

    `frame_bytes` is per pixel of one frame of an animation. `alpha_bytes` is per pixel of a frame or still, in addition
    to its colours, and `kept_bytes` per pixel of a still's file. `written_bytes` is the total for the output.
    """

    frame_bytes: float
    alpha_bytes: float
    written_bytes: int
    kept_bytes: float


def working_bytes(info: ImageInfo, file_bytes: int, recipe: Recipe = STANDARD) -> int:
    """The most bytes that a render can need, including the file."""
    told = _told_by_formats(info, recipe)
    if told is not None:
        return _rendering_as_told(info, file_bytes, recipe, told[1], _decoding(info, recipe))
    decided = _most(info, recipe)
    return _rendering(info, file_bytes, recipe, decided, _decoding(info, recipe))


def least_bytes(info: ImageInfo, file_bytes: int, recipe: Recipe = STANDARD) -> int:
    """The fewest bytes that a render can need: the alpha is solid, and libwebp's list is short."""
    told = _told_by_formats(info, recipe)
    if told is not None:
        return _rendering_as_told(info, file_bytes, recipe, told[0], _decoding(info, recipe))
    if decoding_of(info.format).is_composed(info):
        info = replace(info, has_alpha=False)
    decided = _Decided(frame_bytes=FRAME_LEAST_BYTES, alpha_bytes=0.0, written_bytes=0, kept_bytes=0.0)
    return _rendering(info, file_bytes, recipe, decided, _decoding(info, recipe))


def is_open(info: ImageInfo, file_bytes: int, recipe: Recipe) -> bool:
    """Whether the pixels decide over so many bytes that it is worth looking at them."""
    if _told_by_formats(info, recipe) is not None:
        return False
    return working_bytes(info, file_bytes, recipe) > least_bytes(info, file_bytes, recipe) + WORTH_BYTES


def left_bytes(info: ImageInfo, file_bytes: int, recipe: Recipe, texture: Texture | None) -> int:
    """The bytes that a render needs after decoding: the picture is in memory, and its decoder is gone.

    Without a `texture`, it is the most for any pixels.
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
    """The bytes to reserve for an image. Raises `TooLargeForMemory` if it cannot fit even when it is alone."""
    least = least_bytes(info, file_bytes, recipe)
    if least > budget_bytes:
        raise TooLargeForMemory(limit=budget_bytes, actual=least)
    return min(working_bytes(info, file_bytes, recipe), budget_bytes)


def _most(info: ImageInfo, recipe: Recipe) -> _Decided:
    """For a picture that is all noise."""
    alpha = _alpha_bytes(info.alpha_levels, 1.0) if info.has_alpha else 0.0
    noise_of_alpha = math.log2(info.alpha_levels) / 8 if info.has_alpha else 0.0
    written = max(_listed(info, recipe, LISTED_BYTES), _lossless(info, recipe, alpha))
    written += _noise_written(info, recipe, 1.0, noise_of_alpha) + _shrunk(info, recipe)
    kept = _kept_bytes(1.0, noise_of_alpha)
    return _Decided(frame_bytes=FRAME_BYTES, alpha_bytes=alpha, written_bytes=written, kept_bytes=kept)


def _told(info: ImageInfo, recipe: Recipe, texture: Texture) -> _Decided:
    """For the pixels that were sampled: interpolates between a single colour, a photograph and noise."""
    alpha = _alpha_bytes(texture.levels, texture.change) if texture.levels else 0.0
    noise = min(1.0, max(0.0, (texture.colour_bytes - PHOTO_WRITTEN) / (NOISE_WRITTEN - PHOTO_WRITTEN)))
    listed = LISTED_OF_PHOTO * min(1.0, texture.colour_bytes / PHOTO_WRITTEN)
    listed += (LISTED_BYTES - LISTED_OF_PHOTO) * noise
    written = max(_listed(info, recipe, listed), _lossless(info, recipe, alpha))
    noise_of_alpha = min(1.0, texture.alpha_bytes / ALPHA_WRITTEN)
    written += _noise_written(info, recipe, noise, noise_of_alpha) + _shrunk(info, recipe)
    frame = FRAME_LEAST_BYTES + (FRAME_BYTES - FRAME_LEAST_BYTES) * noise
    kept = _kept_bytes(noise, noise_of_alpha)
    return _Decided(frame_bytes=frame, alpha_bytes=alpha, written_bytes=written, kept_bytes=kept)


def _kept_bytes(noise: float, noise_of_alpha: float) -> float:
    """Bytes per pixel of a file: between a photograph and noise."""
    return PHOTO_WRITTEN + (NOISE_WRITTEN - PHOTO_WRITTEN) * noise + ALPHA_WRITTEN * noise_of_alpha


def _alpha_bytes(levels: int, change: float) -> float:
    most, (least, more) = next((most, taken) for most, taken in ALPHA_BYTES.items() if levels <= most)
    return least + more * (min(change, MOST_CHANGE_OF_FEW) if most == FEW_DEGREES else change)


def _rendering(info: ImageInfo, file_bytes: int, recipe: Recipe, decided: _Decided, decoding: int = 0) -> int:
    held = _held_while_encoding(info, recipe)
    reduced = _reduced(info, recipe.specs)
    # The smaller sizes of an animation are made frame by frame, then joined.
    buffered = _buffered(passes.as_held(info, recipe)) if reduced else 0
    resizing = held + reduced * (2 if info.frames > 1 else 1) + buffered
    changed = _changed(info, recipe.specs)
    encoding = held + reduced + changed + decided.written_bytes
    encoding += _encoding(info, recipe.specs, decided) + _kept(info, recipe.specs, decided)
    # Effects are also applied frame by frame, and each needs the result of the one before.
    changing = held + reduced + 2 * changed
    return BASE_BYTES + file_bytes + info.metadata_bytes + max(decoding, resizing, changing, encoding)


def _decoding(info: ImageInfo, recipe: Recipe) -> int:
    return decoding_of(info.format).working_bytes(info, _held_while_encoding(info, recipe)) + info.copied_bytes


def _held_while_encoding(info: ImageInfo, recipe: Recipe) -> int:
    return 0 if passes.is_streamed(info, recipe) else _held(passes.as_held(info, recipe))


def _told_by_formats(info: ImageInfo, recipe: Recipe) -> tuple[int, int] | None:
    """Least and most bytes to encode the largest variant, from the records of the formats; None: no record has them.

    Variants in such formats are encoded one after the other.
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
    return BASE_BYTES + file_bytes + info.metadata_bytes + max(decoding, made)


def _listed(info: ImageInfo, recipe: Recipe, pixel_bytes: float) -> int:
    """libwebp's list for the largest variant whose effort makes libwebp keep one."""
    sizes = [geometry.target_size(info, spec) for spec in recipe.specs if spec.effort >= LISTING_EFFORT]
    return round(max((width * height for width, height in sizes), default=0) * pixel_bytes)


def _lossless(info: ImageInfo, recipe: Recipe, alpha_bytes: float) -> int:
    """For a variant that may be written without loss, in addition to what its alpha needs anyway."""
    whole = (spec for spec in recipe.specs if geometry.target_size(info, spec) == geometry.upright(info))
    taken = max(0.0, LOSSLESS_BYTES - alpha_bytes) if any(may_be_lossless(info, spec) for spec in whole) else 0.0
    return round(info.pixels * taken)


def _shrunk(info: ImageInfo, recipe: Recipe) -> int:
    """If a JPEG is read twice, a picture with half its sides. Noise needs as much again after that is gone."""
    has_half = passes.is_read_twice(info, recipe) and passes.shrink(info, recipe) == 2  # noqa: PLR2004 - half
    return info.pixels * info.bands // 4 if has_half else 0


def _held(info: ImageInfo) -> int:
    """The decoded picture, until the last variant is encoded. Turning an animation frame by frame needs a copy."""
    turned = 2 if info.frames > 1 and info.orientation > 1 else 1
    return info.pixels * _bands(info) * turned


def _encoding(info: ImageInfo, specs: Sequence[VariantSpec], decided: _Decided) -> int:
    """The largest variant of each part: two variants may be encoded at once."""
    parts = geometry.in_two_parts(info, specs)
    if info.frames == 1:
        return sum(max((_still(info, each, decided) for each in part), default=0) for part in parts)
    return _animation(info, specs, decided) + _frame_beside(parts, decided)


def _animation(info: ImageInfo, specs: Sequence[VariantSpec], decided: _Decided) -> int:
    """All frames of a variant of the size of the source, with the widest border around each."""
    surrounded = max((_border(info, spec) for spec in specs), default=0)
    frame = info.width * info.height + surrounded
    across, down = -(-info.width // BLOCK_SIDE), -(-info.height // BLOCK_SIDE)
    pixels = (across * down * BLOCK_SIDE**2 + surrounded) * info.frames
    written = pixels * WRITTEN_BYTES + frame * info.frames * COPIED_BYTES
    alpha = max(decided.alpha_bytes, ALPHA_BYTES[FEW_DEGREES][0]) if surrounded else decided.alpha_bytes
    return round(frame * (decided.frame_bytes + alpha) + written) + info.frames * EACH_FRAME_BYTES


def _still(info: ImageInfo, planned: geometry.Planned, decided: _Decided) -> int:
    """One variant of a still, while it is encoded, with the border around it."""
    spec, size = planned
    colours = STILL_BYTES if info.bands - info.has_alpha > 1 or size != geometry.upright(info) else GREY_BYTES
    border = _border(info, spec)
    if decided.alpha_bytes:
        alpha = decided.alpha_bytes if size == geometry.upright(info) else max(BESIDE_ALPHA_BYTES, decided.alpha_bytes)
        return round(_area(size) * (colours + alpha) + border * (STILL_BYTES + ALPHA_BYTES[_SOFT_DEGREES][0]))
    taken = _area(size) * colours + border * STILL_BYTES
    if isinstance(spec.fit, Contain) and spec.fit.is_transparent:
        taken += (_area(size) + border) * ALPHA_BYTES[FEW_DEGREES][0]
    return round(taken)


def _border(info: ImageInfo, spec: VariantSpec) -> int:
    """Pixels around the picture in a frame of the variant."""
    return max(0, _area(geometry.shown_size(info, spec)) - _area(geometry.target_size(info, spec)))


def _changed(info: ImageInfo, specs: Sequence[VariantSpec]) -> int:
    """The pictures that effects make, until their files are written. One of each part exists at once."""
    made = (
        max((_changed_bytes(info, spec) for spec, _ in part), default=0) for part in geometry.in_two_parts(info, specs)
    )
    return sum(made) * info.frames + _beside_effects(info, specs)


def _changed_bytes(info: ImageInfo, spec: VariantSpec) -> int:
    if not spec.is_changed:
        return 0
    return _area(geometry.shown_size(info, spec)) * _changed_bands(info, spec)


def _changed_bands(info: ImageInfo, spec: VariantSpec) -> int:
    """A colour around a grey picture, or a mark on it, makes it sRGB."""
    is_clear = isinstance(spec.fit, Contain) and spec.fit.is_transparent
    colours = _COLOURS if isinstance(spec.fit, Contain) or spec.assets else min(info.bands - info.has_alpha, _COLOURS)
    return colours + (info.has_alpha or is_clear)


def _beside_effects(info: ImageInfo, specs: Sequence[VariantSpec]) -> int:
    """What effects hold besides pictures. Two variants may be made at once."""
    held = [change_of(each).held_bytes(geometry.shown_size(info, spec)) for spec in specs for each in spec.effects]
    return 2 * max(held, default=0)


def _area(size: geometry.Size) -> int:
    return size[0] * size[1]


def _frame_beside(parts: tuple[list[geometry.Planned], ...], decided: _Decided) -> int:
    """A frame of the largest variant of the first part, which is encoded at the same time as one of the second."""
    soon, long = parts
    if not long:
        return 0
    alpha = max(BESIDE_ALPHA_BYTES, decided.alpha_bytes) if decided.alpha_bytes else 0.0
    return round(max((_area(size) for _, size in soon), default=0) * (BESIDE_FRAME_BYTES + alpha))


def _kept(info: ImageInfo, specs: Sequence[VariantSpec], decided: _Decided) -> int:
    """The files that exist beside the one in work; of a small animation, those that have the size of the source."""
    if info.frames > 1:
        return round(_further_files(info, specs) * info.pixels * KEPT_BYTES)
    files = {(geometry.target_size(info, spec), spec.unnamed) for spec in specs}
    areas = sorted(_area(size) for size, _ in files)
    return round(sum(areas[:-1]) * decided.kept_bytes)


def _further_files(info: ImageInfo, specs: Sequence[VariantSpec]) -> int:
    """How many files have the size of the picture, beyond the first."""
    whole = {spec.unnamed for spec in specs if geometry.target_size(info, spec) == geometry.upright(info)}
    return max(0, len(whole) - 1)


def _noise_written(info: ImageInfo, recipe: Recipe, noise: float, noise_of_alpha: float) -> int:
    """What noise adds to the files of an animation. For stills, the other figures include it."""
    if info.frames == 1:
        return 0
    written = noise * NOISE_WRITTEN_BYTES + noise_of_alpha * ALPHA_WRITTEN_BYTES
    kept = (noise * NOISE_KEPT_BYTES + noise_of_alpha * ALPHA_KEPT_BYTES) * _further_files(info, recipe.specs)
    return round(info.pixels * (written + kept))


def _reduced(info: ImageInfo, specs: Sequence[VariantSpec]) -> int:
    """All smaller sizes: they are held at the same time."""
    sizes = {geometry.target_size(info, spec) for spec in specs} - {geometry.upright(info)}
    return sum(width * height for width, height in sizes) * info.frames * _bands(info)


def _buffered(info: ImageInfo) -> int:
    """The rows of one frame that are read for the rows of a smaller one."""
    return info.width * min(info.height, RESIZED_ROWS) * _bands(info)


def _bands(info: ImageInfo) -> int:
    """Bands after the conversion to sRGB. A solid alpha counts too: it is in memory."""
    return min(info.bands, _COLOURS + info.has_alpha)
