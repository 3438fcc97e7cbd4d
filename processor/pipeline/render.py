"""The plan of a render: one source in, every variant out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

import pyvips

from processor.errors import CorruptImage, NotConvertible, TrussError, Unavailable
from processor.facts import Facts
from processor.formats.info import ImageInfo
from processor.images import Rendered, Variant
from processor.pipeline import coarse, decode, encode, geometry, passes
from processor.pipeline.allocator import is_to_be_had
from processor.pipeline.analyses import ANALYSES
from processor.pipeline.effects import change_of
from processor.pipeline.estimate import is_open, left_bytes
from processor.pipeline.geometry import Size
from processor.pipeline.guard import no_larger
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.roll import page_height
from processor.pipeline.steps.box import fit_into
from processor.pipeline.steps.fit import fit
from processor.pipeline.steps.frames import Step
from processor.pipeline.steps.hold import hold
from processor.pipeline.steps.opaque import drop_solid_alpha
from processor.pipeline.steps.orient import orient
from processor.pipeline.steps.srgb import to_srgb
from processor.pipeline.texture import texture_of
from processor.pipeline.watch import watched
from processor.ports.renderer import nobody_waits
from processor.probe import NO_PROBES, Probes
from processor.recipes import Recipe, VariantSpec

#: Bytes of memory per pixel of a frame that is converted, about: see `estimate`.
_WORK_BYTES = 9

#: A variant, and its size.
_Planned = tuple[VariantSpec, Size]

#: From file to upright sRGB in memory; beside each step, what its failure means. Colour comes before memory: the
#: decoder is read once either way, and 16 bits are 8 before they are held.
PREPARATION: tuple[tuple[Step, type[TrussError]], ...] = (
    (to_srgb, CorruptImage),
    (hold, CorruptImage),
    (drop_solid_alpha, NotConvertible),
    (orient, NotConvertible),
)


def _nobody_waits() -> None:
    """For one thread that does both."""


def nobody_counts(_: int) -> None:
    """For whoever shares its memory with nobody."""


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
    settled: Callable[[int], None] = nobody_counts,
    probes: Probes = NO_PROBES,
) -> Rendered:
    """Every variant of an inspected file, by one thread: see `Rendering`, which two can do."""
    rendering = Rendering(data, info, recipe, deadline, ready, settled=settled, probes=probes)
    rendering.first()
    rendering.rest()
    return rendering.rendered()


class Rendering:
    """The render of one image, in two phases: `first`, and after the decoding, `rest`. Each uses a thread.

    Both may run at once. Each variant goes to `ready` as soon as it is encoded, the smallest of a phase first. The
    files are the same, whichever thread makes them. After decoding, `settled` gets the bytes that the render needs,
    which may be fewer than the header promised. Both phases raise an `ImageRejected` when the file is at fault or late,
    `Unavailable` when the machine is at fault or the work was cancelled. The deadline starts with `first`.
    """

    def __init__(
        self,
        data: bytes,
        info: ImageInfo,
        recipe: Recipe,
        deadline: Deadline,
        ready: Callable[[Variant], None] = nobody_waits,
        *,
        settled: Callable[[int], None] = nobody_counts,
        probes: Probes = NO_PROBES,
    ) -> None:
        self._data, self._info, self._recipe = data, info, recipe
        self.deadline, self._ready, self._settled, self._probes = deadline, ready, settled, probes
        planned = geometry.smallest_first(info, recipe.specs)
        self._soon = [(spec, size) for spec, size in planned if not geometry.takes_long(info, size)]
        self._long = [(spec, size) for spec, size in planned if geometry.takes_long(info, size)]
        self._shrink = passes.shrink(info, recipe)
        self._streams = passes.is_streamed(info, recipe)
        self._images: dict[Size, pyvips.Image] = {}
        self._files: dict[tuple[Size, VariantSpec], Variant] = {}
        self._variants: dict[str, Variant] = {}
        self._facts = Facts()

    @property
    def has_rest(self) -> bool:
        """Whether there is a second phase."""
        return bool(self._long)

    def first(self, decoded: Callable[[], None] = _nobody_waits) -> None:
        """Decode the file, and make the variants that are soon made. `decoded` is told when the rest can begin."""
        self.deadline.start()
        early = self._decode_means()
        self._make_soon(early)
        later = [each for each in self._soon if each not in early]
        needs_facts = bool(later) and not early and any(spec.effects for spec, _ in self._long)
        soon_decoded = _nobody_waits if needs_facts else decoded
        if self._shrink == 1:
            self._decode_whole((*later, *self._long), soon_decoded)
        else:
            self._decode_shrunk(soon_decoded)
        self._make_soon(later, decoded if needs_facts else _nobody_waits)

    def rest(self) -> None:
        """Make the other variants."""
        if self._shrink > 1 and not self._streams:
            self._decode_whole(self._long)
        if not self._soon:
            self._facts = self._analysed(self._long[0][1])
        for spec, size in self._long:
            self._make(spec, size)

    def rendered(self) -> Rendered:
        """All variants in the order of the recipe, once both phases have ended."""
        variants = tuple(self._variants[spec.name] for spec in self._recipe.specs)
        return Rendered(source=self._info, variants=variants, facts=self._facts)

    def forget(self) -> None:
        """Let go of the pixels, whoever still holds this."""
        self._images.clear()

    def _decode_whole(self, planned: Sequence[_Planned], decoded: Callable[[], None] = _nobody_waits) -> None:
        """All planned variants come from one picture in memory."""
        with self._probes.span("decode", format=self._info.format):
            whole = _prepare(self._data, self._info, self.deadline)
        full = whole.width, page_height(whole)
        self._images[full] = whole
        self._settled(self._left_bytes(whole))
        needs_sizes = any(size != full for _, size in self._long)
        if not needs_sizes:
            decoded()
        with self._probes.span("resize"):
            self._images |= _resized(whole, [size for _, size in planned], self.deadline)
        if needs_sizes:
            decoded()

    def _decode_shrunk(self, decoded: Callable[[], None]) -> None:
        """The small variants come from a picture that its decoder has shrunk; nothing else does."""
        with self._probes.span("decode", format=self._info.format, shrink=self._shrink):
            small = _prepare(self._data, self._info, self.deadline, self._shrink)
        decoded()
        with self._probes.span("resize"):
            self._images |= _resized(small, [size for _, size in self._soon], self.deadline)

    def _decode_means(self) -> Sequence[_Planned]:
        """The smallest variants of a progressive picture, where the means of its blocks are there for them."""
        early = [(spec, size) for spec, size in self._soon if passes.is_from_means(self._info, size)]
        if not early:
            return ()
        watch = partial(watched, deadline=self.deadline)
        try:
            with self._probes.span("decode", format=self._info.format, shrink=coarse.SHRINK):
                means = _picture(partial(decode.load_coarse, self._data, watch), self._info, self.deadline)
        except CorruptImage:  # who reads all of it will tell
            return ()
        with self._probes.span("resize"):
            self._images |= _resized(means, [size for _, size in early], self.deadline)
        return early

    def _left_bytes(self, whole: pyvips.Image) -> int:
        """The memory that the render needs from now on, by its pixels where they decide."""
        info, recipe, size = self._info, self._recipe, len(self._data)
        texture = None
        if is_open(info, size, recipe):
            with _stage(NotConvertible, self.deadline, info.width * info.height):
                texture = texture_of(whole, recipe.full_size)
        return left_bytes(info, size, recipe, texture)

    def _analysed(self, size: Size) -> Facts:
        """Of the smallest picture, where it costs least. An analysis that only another release knows finds nothing."""
        found: dict[str, object] = {}
        for name in self._recipe.analyses:
            if name in ANALYSES:
                with self._step(size, "analyse", analysis=name):
                    found[name] = ANALYSES[name](watched(self._images[size], self.deadline))
        return Facts.of(found, self._recipe.analyses)

    def _make_soon(self, planned: Sequence[_Planned], analysed: Callable[[], None] = _nobody_waits) -> None:
        """A part of the small variants; with the first of all, the facts. `analysed` is told when they are there."""
        if planned and planned[0] == self._soon[0]:
            self._facts = self._analysed(planned[0][1])
        analysed()
        for spec, size in planned:
            self._make(spec, size)

    def _make(self, spec: VariantSpec, size: Size) -> None:
        # Of an image that is smaller than a box, the same file would be made again; once is enough.
        file = (size, spec.unnamed)
        if file not in self._files:
            picture = self._changed(spec, size)
            with self._step(size, "encode", variant=spec.name):
                self._files[file] = self._encoded(spec, size, picture)
        variant = replace(self._files[file], spec=spec)
        self._variants[spec.name] = variant
        self._ready(variant)

    def _changed(self, spec: VariantSpec, size: Size) -> pyvips.Image | None:
        """The picture with the effects that are asked for. None: it is not held."""
        picture = self._images.get(size)
        if spec.fit and spec.box:
            with self._step(size, "change", variant=spec.name, effect="fit"):
                picture = hold(fit_into(watched(picture, self.deadline), spec.box, spec.fit))
        for effect in spec.effects:
            with self._step(size, "change", variant=spec.name, effect=effect.name):
                before = watched(picture, self.deadline)  # kept until the pixels are there
                picture = hold(change_of(effect)(before, self._facts))
        return picture

    @contextmanager
    def _step(self, size: Size, name: str, **facts: str) -> Iterator[None]:
        with self._probes.span(name, **facts), _stage(NotConvertible, self.deadline, size[0] * size[1]):
            yield

    def _encoded(self, spec: VariantSpec, size: Size, picture: pyvips.Image | None) -> Variant:
        write = partial(self._write, picture)
        width, height = geometry.shown_size(self._info, spec)
        asked = Variant(spec=spec, data=write(spec), width=width, height=height)
        unchanged = size == geometry.upright(self._info) and not spec.fit
        return no_larger(asked, self._info, self._data, write) if unchanged else asked

    def _write(self, picture: pyvips.Image | None, spec: VariantSpec, *, lossless: bool = False) -> bytes:
        if picture is None:
            return self._streamed(spec)
        # Each thread has a watch of its own over pixels that both may read.
        image = watched(picture, self.deadline)
        return encode.write_lossless(image, spec) if lossless else encode.write(image, spec)

    def _streamed(self, spec: VariantSpec) -> bytes:
        """The file of a picture that is decoded while it is encoded; see `passes`."""

        def written(*, strict: bool) -> bytes:
            watch = partial(watched, deadline=self.deadline)
            lines = decode.load(self._data, self._info, watch, self.deadline.check, strict=strict)
            return encode.write(to_srgb(lines), spec)

        with suppress(pyvips.Error):
            return written(strict=True)
        self.deadline.check()
        return written(strict=False)


def _prepare(data: bytes, info: ImageInfo, deadline: Deadline, shrink: int = 1) -> pyvips.Image:
    """The upright picture, with its sides divided.

    Its decoder, which may have a whole picture of its own in memory, ends with this call.
    """

    watch = partial(watched, deadline=deadline)

    def load(*, strict: bool) -> pyvips.Image:
        if shrink > 1:
            return decode.load_shrunk(data, shrink, watch, strict=strict)
        return decode.load(data, info, watch, deadline.check, strict=strict)

    if decode.forgives(info):
        with suppress(CorruptImage):
            return _picture(partial(load, strict=True), info, deadline)
    return _picture(partial(load, strict=False), info, deadline)


def _picture(load: Callable[[], pyvips.Image], info: ImageInfo, deadline: Deadline) -> pyvips.Image:
    frame = info.width * info.height
    with _stage(CorruptImage, deadline, frame):
        image = source = load()
    for step, failure in PREPARATION:
        with _stage(failure, deadline, frame):
            image = step(image)
    del source  # kept until here, for it carries the watch
    return image


def _resized(whole: pyvips.Image, sizes: Sequence[Size], deadline: Deadline) -> dict[Size, pyvips.Image]:
    """One image per size, the large ones first so that the small ones can be made from them.

    None of them has a watch: of two, one inside the other, neither is heard.
    """
    full = whole.width, page_height(whole)
    made = {full: whole}
    for size in sorted(set(sizes) - {full}, reverse=True, key=lambda size: size[0] * size[1]):
        with _stage(NotConvertible, deadline, full[0] * full[1]):
            origin = watched(made[_origin(size, made)], deadline)
            made[size] = hold(fit(origin, *size))
    return {size: made[size] for size in sizes}


def _origin(size: Size, made: dict[Size, pyvips.Image]) -> Size:
    """The smallest image that is large enough to be made into `size` without a visible loss."""
    enough = [have for have in made if min(have[0] / size[0], have[1] / size[1]) >= geometry.CASCADE_MIN_SHRINK]
    whole = next(iter(made))
    return min(enough, default=whole, key=lambda have: have[0] * have[1])


@contextmanager
def _stage(failure: type[TrussError], deadline: Deadline, frame: int) -> Iterator[None]:
    """Turn every error inside into `failure`, unless the time was over or the machine failed.

    libvips' own texts are not reliable, since all threads write them into one buffer, so they are dropped. `frame` is
    the number of pixels in a frame.
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
    """An encoder failed. The picture is at fault, unless the system has no memory: it would fail again on every try."""
    return NotConvertible(actual=frame) if is_to_be_had(frame * _WORK_BYTES) else Unavailable()
