"""The size of a variant: fitted into its box, never enlarged, and rounded exactly as in the earlier service."""

from __future__ import annotations

from collections.abc import Sequence

from processor.fits import Contain, Cover
from processor.formats import decoding_of
from processor.formats.info import ImageInfo
from processor.recipes import VariantSpec

Size = tuple[int, int]
#: A size is made from the next larger one if that has at least so many times its sides, else from the whole image.
CASCADE_MIN_SHRINK = 1.5
#: A variant with more pixels in all frames together takes long: a tenth of a second with effort 2, a fifth with 4. A
#: picture that fits on a screen has fewer.
LONG_PIXELS = 3_000_000
#: The largest variant of a smaller picture is worth a second thread if it has more pixels than this.
HALF_PIXELS = 1_000_000
#: A variant and the size of one frame.
Planned = tuple[VariantSpec, Size]


def smallest_first(info: ImageInfo, specs: Sequence[VariantSpec]) -> list[Planned]:
    """Variants and their sizes, in the order in which they are made: the quick ones can be shown first."""
    sized = [(spec, target_size(info, spec)) for spec in specs]
    return sorted(sized, key=lambda each: each[1][0] * each[1][1])


def takes_long(info: ImageInfo, size: Size) -> bool:
    """Whether encoding a variant of this size takes long."""
    return size[0] * size[1] * info.frames > LONG_PIXELS


def in_two_parts(info: ImageInfo, specs: Sequence[VariantSpec]) -> tuple[list[Planned], list[Planned]]:
    """The variants for the first lane and for the long lane, each the smallest first. The second may be empty.

    What takes long is in the second. If nothing does, that is the largest variant of a still, unless it is small,
    alone, or the same as another.
    """
    planned = smallest_first(info, specs)
    soon = [each for each in planned if not takes_long(info, each[1])]
    long = planned[len(soon) :]
    if long or not soon or info.frames > 1:
        return soon, long
    *others, (spec, size) = soon
    same = any(size == its_size and spec.unnamed == its.unnamed for its, its_size in others)
    if not others or same or size[0] * size[1] <= HALF_PIXELS:
        return soon, []
    return others, [(spec, size)]


def target_size(info: ImageInfo, spec: VariantSpec) -> Size:
    """Width and height of one frame of the variant, upright.

    The rule is sharp's `fit: inside, withoutEnlargement`, as in the earlier service. Pages were laid out around its
    variants, and must not move by a pixel.
    """
    width, height = upright(info)
    longest = spec.encoding.longest_side
    box = spec.box or (longest, longest)
    if isinstance(spec.fit, Cover):
        return cover_size(width, height, box)
    if spec.box:
        width, height = _shrunk_on_load(info.format, width, height, box)
    return fit_size(width, height, box, animated=info.frames > 1)


def shown_size(info: ImageInfo, spec: VariantSpec) -> Size:
    """Width and height of one frame in the file: smaller than the picture if that is cropped, larger if it is set into
    a box."""
    width, height = target_size(info, spec)
    match spec.fit, spec.box:
        case Cover(), (across, down):
            return min(width, across), min(height, down)
        case Contain(), (across, down):
            return across, down
    return width, height


def cover_size(width: int, height: int, box: tuple[int, int]) -> Size:
    """The smallest size of the same shape that covers the box, but never larger than the picture."""
    shrink = max(1.0, min(width / box[0], height / box[1]))
    least = min(width, box[0]), min(height, box[1])
    return max(least[0], _divide(width, shrink)), max(least[1], _divide(height, shrink))


def upright(info: ImageInfo) -> tuple[int, int]:
    """Width and height of one frame after turning by its EXIF orientation; 5 to 8 swap the two."""
    lying = info.orientation in range(5, 9)
    return (info.height, info.width) if lying else (info.width, info.height)


def fit_size(width: int, height: int, box: tuple[int, int], *, animated: bool = False) -> tuple[int, int]:
    """The largest size of the same shape within the box, at least 1 x 1, but never larger than the picture."""
    shrink = _shrink(width, height, box)
    tall = min(shrink, height)
    # For animations, the height of a frame is rounded half to even, like C's rint.
    return _divide(width, min(shrink, width)), round(height / tall) if animated else _divide(height, tall)


def _shrink(width: int, height: int, box: tuple[int, int]) -> float:
    return max(width / box[0], height / box[1], 1.0)


def _divide(length: int, shrink: float) -> int:
    """Rounds half up, after two reciprocals: that is the arithmetic inside vips_resize."""
    scale = 1.0 / shrink
    return int(length / (1.0 / scale) + 0.5)


def _shrunk_on_load(format_: str, width: int, height: int, box: tuple[int, int]) -> tuple[int, int]:
    """The size that sharp gets from its decoder, because it lets libjpeg and libwebp shrink while they decode.

    This makes many variants one pixel wider or higher. Only the size follows sharp, not the pixels.
    """
    return decoding_of(format_).shrunk_on_load(width, height, min(_shrink(width, height, box), width, height))
