"""The plan of a render: one source in, every variant out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import pyvips

from processor.errors import CorruptImage, NotConvertible, TrussError, Unavailable
from processor.formats.info import ImageInfo
from processor.images import Rendered, Variant
from processor.pipeline import decode, encode, geometry, streaming
from processor.pipeline.allocator import is_to_be_had
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.roll import page_height
from processor.pipeline.steps.fit import fit
from processor.pipeline.steps.frames import Step
from processor.pipeline.steps.hold import hold
from processor.pipeline.steps.opaque import drop_solid_alpha
from processor.pipeline.steps.orient import orient
from processor.pipeline.steps.srgb import to_srgb
from processor.pipeline.watch import watched
from processor.ports.renderer import nobody_waits
from processor.probe import NO_PROBES, Probes
from processor.recipes import Recipe, VariantSpec

#: Bytes of memory per pixel of a frame that is converted, about: see `estimate`.
_WORK_BYTES = 9

Size = tuple[int, int]
#: What tells one file from another: size, format, quality, effort.
_File = tuple[Size, str, int, int]


#: From file to upright sRGB in memory; beside each step, what its failure means. Colour comes before memory: the
#: decoder is read once either way, and 16 bits are 8 before they are held.
PREPARATION: tuple[tuple[Step, type[TrussError]], ...] = (
    (to_srgb, CorruptImage),
    (hold, CorruptImage),
    (drop_solid_alpha, NotConvertible),
    (orient, NotConvertible),
)


def inspect(data: bytes, limits: FileLimits) -> ImageInfo:
    """What the header says, once it is within the limits; no pixel is decoded. Raises an `ImageRejected`."""
    limits.check_size(len(data))
    info = decode.probe(data)
    limits.check_header(info)
    return info


def render(
    data: bytes,
    info: ImageInfo,
    recipe: Recipe,
    deadline: Deadline,
    ready: Callable[[Variant], None] = nobody_waits,
    *,
    probes: Probes = NO_PROBES,
) -> Rendered:
    """Every variant of an inspected file, in the order of the recipe; each is told to `ready` as soon as it is encoded.

    Raises an `ImageRejected` when the file is at fault or late, `Unavailable` when the machine is at fault or the
    work was called off. Holds its thread for as long as it takes; the deadline starts here.
    """
    deadline.start()
    first = streaming.first_size(info, recipe)
    with probes.span("decode", format=info.format):
        whole = watched(_prepare(data, info, deadline, first), deadline)
    sizes = [geometry.target_size(info, spec) for spec in recipe.specs]
    held = [size for size in sizes if first is None or size != (info.width, info.height)]
    with probes.span("resize"):
        images = _resize(whole, held, deadline)
    files: dict[_File, bytes] = {}
    variants = []
    for spec, size in zip(recipe.specs, sizes, strict=True):
        # Of an image that is smaller than a box, the same file would be made again; once is enough.
        file = (size, spec.format, spec.quality, spec.effort)
        if file not in files:
            with probes.span("encode", variant=spec.name), _stage(NotConvertible, deadline, size[0] * size[1]):
                files[file] = encode.write(images[size], spec) if size in images else _streamed(data, spec, deadline)
        variants.append(Variant(spec=spec, data=files[file], width=size[0], height=size[1]))
        ready(variants[-1])
    return Rendered(source=info, variants=tuple(variants))


def _streamed(data: bytes, spec: VariantSpec, deadline: Deadline) -> bytes:
    """The file of a picture that is decoded while it is encoded; see `streaming`."""
    source = decode.load_again(data, lambda image: watched(image, deadline))
    file = encode.write(to_srgb(source), spec)
    del source  # kept until here, for it carries the watch
    return file


def _prepare(data: bytes, info: ImageInfo, deadline: Deadline, shrunk: Size | None = None) -> pyvips.Image:
    """The upright picture, or one that was `shrunk` while it was read.

    Its decoder, which may have a whole picture of its own in memory, ends with this call.
    """
    if decode.forgives(info):
        with suppress(CorruptImage):
            return _picture(data, info, deadline, shrunk, strict=True)
    return _picture(data, info, deadline, shrunk, strict=False)


def _picture(data: bytes, info: ImageInfo, deadline: Deadline, shrunk: Size | None, *, strict: bool) -> pyvips.Image:
    frame = info.width * info.height
    with _stage(CorruptImage, deadline, frame):
        image = source = decode.load(data, info, lambda image: watched(image, deadline), deadline.check, strict=strict)
    for step, failure in PREPARATION:
        with _stage(failure, deadline, frame):
            if shrunk is not None and step is hold:
                image = fit(image, *shrunk)
            image = step(image)
    del source  # kept until here, for it carries the watch
    return image


def _resize(whole: pyvips.Image, sizes: Sequence[Size], deadline: Deadline) -> dict[Size, pyvips.Image]:
    """One image per size, the large ones first so that the small ones can be made from them."""
    full = (whole.width, page_height(whole))
    made = {full: whole}
    for size in sorted(set(sizes) - {full}, reverse=True, key=lambda size: size[0] * size[1]):
        with _stage(NotConvertible, deadline, full[0] * full[1]):
            made[size] = watched(hold(fit(made[_origin(size, made)], *size)), deadline)
    return made


def _origin(size: Size, made: dict[Size, pyvips.Image]) -> Size:
    """The smallest image that is large enough to be made into `size` without a visible loss."""
    enough = [have for have in made if min(have[0] / size[0], have[1] / size[1]) >= geometry.CASCADE_MIN_SHRINK]
    whole = next(iter(made))
    return min(enough, default=whole, key=lambda have: have[0] * have[1])


@contextmanager
def _stage(failure: type[TrussError], deadline: Deadline, frame: int) -> Iterator[None]:
    """What breaks in here breaks with `failure`, unless it was stopped for its time or the machine gave out.

    libvips' own words say nothing reliable, since all threads write them into one buffer, and they go nowhere. `frame`
    is the number of pixels in a frame.
    """
    deadline.check()
    try:
        yield
    except pyvips.Error:
        deadline.check()
        raise _not_convertible(frame) if failure is NotConvertible else failure from None
    except MemoryError:
        raise Unavailable from None


def _not_convertible(frame: int) -> TrussError:
    """The picture is at fault unless the system has no memory: it would be tried, and fail, again and again."""
    return NotConvertible(actual=frame) if is_to_be_had(frame * _WORK_BYTES) else Unavailable()
