"""Renders all variants of one source, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

import pyvips

from processor.errors import CorruptImage, LookingFailed, LookingOff, NotConvertible, TrussError, Unavailable
from processor.faces import Face
from processor.facts import Facts
from processor.formats.info import ImageInfo
from processor.hiding import Hiding
from processor.images import Rendered, Variant
from processor.looking.models import SIDE
from processor.pipeline import coarse, decode, encode, geometry, passes
from processor.pipeline.allocator import give_back, is_to_be_had
from processor.pipeline.analyses import ANALYSES, LOOKS, NAMES, READINGS
from processor.pipeline.effects import change_of
from processor.pipeline.effects.given import Given
from processor.pipeline.estimate import is_open, left_bytes
from processor.pipeline.geometry import Size
from processor.pipeline.guard import no_larger
from processor.pipeline.hiding import Looker, told
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.meter import ALONE, Meter, Spent
from processor.pipeline.moderating import Scored, scored, veil
from processor.pipeline.needs import crops_to_faces, looks
from processor.pipeline.origin import Origin
from processor.pipeline.roll import page_height
from processor.pipeline.steps.box import fit_into
from processor.pipeline.steps.fit import fit
from processor.pipeline.steps.frames import Step
from processor.pipeline.steps.glance import Glance, glance
from processor.pipeline.steps.hold import hold
from processor.pipeline.steps.opaque import drop_solid_alpha
from processor.pipeline.steps.orient import orient
from processor.pipeline.steps.srgb import to_srgb
from processor.pipeline.texture import texture_of
from processor.pipeline.view import View
from processor.pipeline.watch import watched
from processor.ports.renderer import nobody_waits
from processor.probe import NO_PROBES, Probes
from processor.recipes import BLUR_FACES, VEIL, Effect, Recipe, VariantSpec

#: About the bytes per pixel of a frame while it is converted: see `estimate`.
_WORK_BYTES = 9

#: For recipes that name no asset.
NO_ASSETS: Mapping[str, bytes] = {}

#: Steps from a file to upright sRGB in memory, each with the meaning of its failure. Colours are converted before the
#: pixels are held, so that 16 bits become 8 first; the decoder is read once either way.
PREPARATION: tuple[tuple[Step, type[TrussError]], ...] = (
    (to_srgb, CorruptImage),
    (hold, CorruptImage),
    (drop_solid_alpha, NotConvertible),
    (orient, NotConvertible),
)


def _nobody_waits() -> None:
    """The default for a single thread that does both phases."""


def nobody_counts(_: int) -> None:
    """The default for a caller that shares its memory with nobody."""


def inspect(data: bytes, limits: FileLimits) -> ImageInfo:
    """Reads the header and checks the limits; no pixel is decoded. Raises an `ImageRejected`."""
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
    assets: Mapping[str, bytes] = NO_ASSETS,
    hidden: tuple[Face, ...] | None = None,
    probes: Probes = NO_PROBES,
) -> Rendered:
    """All variants of an inspected file, made by one thread. `Rendering` can use two."""
    rendering = Rendering(
        data, info, recipe, deadline, ready, settled=settled, assets=assets, hidden=hidden, probes=probes
    )
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
        assets: Mapping[str, bytes] = NO_ASSETS,
        hidden: tuple[Face, ...] | None = None,
        probes: Probes = NO_PROBES,
        meter: Meter = ALONE,
    ) -> None:
        self._data, self._info, self._recipe = data, info, recipe
        self._origin = Origin(data, info.format, recipe)
        self.deadline, self._ready, self._settled, self._probes = deadline, ready, settled, probes
        self._soon, self._long = geometry.in_two_parts(info, recipe.specs)
        self._shrink, self._twice = passes.shrink(info, recipe), passes.is_read_twice(info, recipe)
        self._streams = passes.is_streamed(info, recipe)
        self._images: dict[Size, pyvips.Image] = {}
        self._files: dict[tuple[Size, VariantSpec], Variant] = {}
        self._variants: dict[str, Variant] = {}
        self._looks = looks(recipe)
        self._facts = Facts()
        self._view: View | None = None
        self._scored: Scored | None = None
        self._meter, self._spent = meter, Spent()
        self._assets = assets
        self._hidden = hidden
        self._hiding: Hiding | None = None

    @property
    def has_rest(self) -> bool:
        """Whether there is a second phase."""
        return bool(self._long)

    def first(self, decoded: Callable[[], None] = _nobody_waits) -> None:
        """Decode the file, and make the small variants. `decoded` is called when `rest` can begin."""
        with self._meter.running(self._spent):
            self._first(decoded)

    def _first(self, decoded: Callable[[], None]) -> None:
        self.deadline.start()
        early = self._decode_means()
        self._make_soon(early)
        later = [each for each in self._soon if each not in early]
        needs_facts = bool(later) and not early and any(spec.effects for spec, _ in self._long)
        soon_decoded = _nobody_waits if needs_facts else decoded
        if self._twice:
            self._decode_shrunk(soon_decoded)
        else:
            self._decode_held((*later, *self._long), soon_decoded)
        self._make_soon(later, decoded if needs_facts else _nobody_waits)

    def rest(self) -> None:
        """Make the large variants."""
        with self._meter.running(self._spent):
            self._rest()

    def _rest(self) -> None:
        if self._twice and not self._streams:
            self._decode_held(self._long)
        if not self._soon:
            self._facts = self._analysed(self._long[0][1])
        for spec, size in self._long:
            self._make(spec, size)

    def rendered(self) -> Rendered:
        """All variants in the order of the recipe, once both phases have ended."""
        variants = tuple(self._variants[spec.name] for spec in self._recipe.specs)
        cpu_ms = round(self._spent.seconds * 1000)
        return Rendered(source=self._info, variants=variants, facts=self._facts, cpu_ms=cpu_ms)

    def forget(self) -> None:
        """Release the pixels, even if somebody still holds this object."""
        self._images.clear()

    def _decode_held(self, planned: Sequence[geometry.Planned], decoded: Callable[[], None] = _nobody_waits) -> None:
        """All planned variants come from one picture in memory."""
        shrink = 1 if self._twice else self._shrink
        with self._probes.span("decode", format=self._info.format, **_told_if_shrunk(shrink)):
            whole = _prepare(self._data, self._info, self._origin, self.deadline, shrink, alone=shrink > 1)
        full = whole.width, page_height(whole)
        self._settled(self._left_bytes(whole))
        if self._recipe.hiding:
            self._hide(whole, self._recipe.hiding, [size for _, size in planned])
            decoded()
            return
        self._images[full] = whole
        waits = self._looks or any(size != full for _, size in self._long)
        if not waits:
            decoded()
        with self._probes.span("resize"):
            self._images |= _resized(whole, [size for _, size in planned], self.deadline)
        self._show(whole)
        if waits:
            decoded()

    def _decode_shrunk(self, decoded: Callable[[], None]) -> None:
        """Only the small variants come from a picture that the decoder has shrunk."""
        with self._probes.span("decode", format=self._info.format, shrink=self._shrink):
            small = _prepare(self._data, self._info, self._origin, self.deadline, self._shrink)
        if not self._looks:
            decoded()
        with self._probes.span("resize"):
            self._images |= _resized(small, [size for _, size in self._soon], self.deadline)
        self._show(small)
        if self._looks:
            decoded()

    def _hide(self, whole: pyvips.Image, effect: Effect, sizes: Sequence[Size]) -> None:
        """Make all sizes, without faces. Everything else is made of these: files, facts and views.

        What is not hidden yet stays within this method.
        """
        with self._probes.span("resize"):
            shown = _resized(whole, sizes, self.deadline)
        largest = max(shown, key=lambda size: size[0] * size[1])
        looker = Looker(self.deadline)
        with self._step(largest, "hide"):
            known = self._hidden
            hiding = looker.find(watched(whole, self.deadline)) if known is None else Hiding(faces=known)
            change, given = change_of(effect), Given(hidden=hiding.faces)
            while shown:
                size, picture = shown.popitem()
                self._images[size] = hold(change(watched(picture, self.deadline), given))
            result = self._images[largest]
            if known is None:
                hiding = looker.look_again(watched(result, self.deadline), hiding)
            self._hiding = hiding
            self._see(result, None if hiding.is_blind else hiding.faces)

    def _show(self, decoded: pyvips.Image) -> None:
        """Make the view for the models, from the smallest picture that is large enough."""
        if not self._looks or self._view is not None:
            return
        size = decoded.width, page_height(decoded)
        pictures = {size: decoded, **self._images}
        enough = [have for have in pictures if max(have) >= SIDE]
        origin = min(enough, default=size, key=lambda have: have[0] * have[1])
        with self._step(size, "view"):
            self._see(pictures[origin])

    def _see(self, picture: pyvips.Image, faces: tuple[Face, ...] | None = None) -> None:
        """What the models see. A score is that of all frames, which are there only now."""
        self._view = View(watched(picture, self.deadline), faces)
        if self._recipe.moderation:
            self._scored = scored(self._recipe, watched(picture, self.deadline), self._view, self.deadline)

    def _decode_means(self) -> Sequence[geometry.Planned]:
        """Decode a progressive picture to the means of its blocks. Returns the variants that are made from them."""
        early = [(spec, size) for spec, size in self._soon if passes.is_from_means(self._info, size, self._recipe)]
        if not early:
            return ()
        watch = partial(watched, deadline=self.deadline)
        try:
            with self._probes.span("decode", format=self._info.format, shrink=coarse.SHRINK):
                means = _picture(
                    partial(decode.load_coarse, self._data, watch), self._info, self._origin, self.deadline
                )
        except CorruptImage:  # decoding the whole file will show whether it is damaged
            return ()
        with self._probes.span("resize"):
            self._images |= _resized(means, [size for _, size in early], self.deadline)
        return early

    def _left_bytes(self, whole: pyvips.Image) -> int:
        """Bytes that the render needs from now on. The pixels are sampled only if they decide over much memory."""
        info, recipe, size = self._info, self._recipe, len(self._data)
        texture = None
        if is_open(info, size, recipe):
            with _stage(NotConvertible, self.deadline, info.width * info.height):
                texture = texture_of(whole, recipe.full_size)
        return left_bytes(info, size, recipe, texture)

    def _analysed(self, size: Size) -> Facts:
        """Facts from a glance at the smallest picture, which costs least, from the view, and from the file.

        Analyses that this release does not know are skipped. So are those whose model is absent or fails: a picture is
        converted all the same.
        """
        found: dict[str, object] = {}
        seen: Glance | None = None
        for name in self._recipe.analyses:
            if name not in NAMES:
                continue
            with suppress(LookingOff, LookingFailed), self._step(size, "analyse", analysis=name):
                if name in READINGS:
                    found[name] = READINGS[name](self._origin)
                elif name in LOOKS:
                    found[name] = LOOKS[name](self._seen)
                else:
                    # Without a watch: its pixels are in memory, and are read once.
                    seen = seen or glance(self._images[size])
                    found[name] = ANALYSES[name](seen)
        if self._hiding is not None and self._recipe.hiding is not None:
            found[BLUR_FACES] = told(self._hiding, self._recipe.hiding)
        if self._recipe.moderation:
            seen = seen or glance(self._images[size])
            found |= {} if self._scored is None else self._scored.facts
            found[VEIL] = veil(seen)
        return Facts.of(found, self._recipe.fact_names)

    def _faces(self) -> Sequence[Face] | None:
        """None: nobody can look for them."""
        if self._hiding is not None and self._hiding.is_blind:
            return None
        try:
            return self._seen.faces
        except (LookingOff, LookingFailed):
            return None

    @property
    def _seen(self) -> View:
        if self._view is None:
            raise LookingFailed("Nothing was shown")
        return self._view

    def _make_soon(self, planned: Sequence[geometry.Planned], analysed: Callable[[], None] = _nobody_waits) -> None:
        """Make some of the small variants. The facts are found before the first; then `analysed` is called."""
        if planned and planned[0] == self._soon[0]:
            self._facts = self._analysed(planned[0][1])
        analysed()
        for spec, size in planned:
            self._make(spec, size)

    def _make(self, spec: VariantSpec, size: Size) -> None:
        # If the image is smaller than several boxes, their files are the same, and are made once.
        file = (size, spec.unnamed)
        if file not in self._files:
            picture = self._changed(spec, size)
            with self._step(size, "encode", variant=spec.name):
                self._files[file] = self._encoded(spec, size, picture)
        variant = replace(self._files[file], spec=spec)
        self._variants[spec.name] = variant
        self._ready(variant)

    def _changed(self, spec: VariantSpec, size: Size) -> pyvips.Image | None:
        """The picture with its fit and effects. None: it is streamed and not in memory."""
        picture = self._images.get(size)
        given = Given(facts=self._facts, assets=self._assets)
        if spec.fit and spec.box:
            with self._step(size, "change", variant=spec.name, effect="fit"):
                faces = self._faces() if crops_to_faces(spec) else None
                picture = hold(fit_into(watched(picture, self.deadline), spec.box, spec.fit, faces))
        for effect in spec.effects:
            if effect == spec.hiding:  # `_hide` has done it
                continue
            with self._step(size, "change", variant=spec.name, effect=effect.name):
                before = watched(picture, self.deadline)  # must live until the pixels are computed
                picture = hold(change_of(effect)(before, given))
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
        labelled, keep = self._origin.labelled(picture)
        # Both threads may read these pixels, so each has its own watch.
        image = watched(labelled, self.deadline)
        return encode.write_lossless(image, spec, keep) if lossless else encode.write(image, spec, keep)

    def _streamed(self, spec: VariantSpec) -> bytes:
        """Encodes a picture while it is decoded; see `passes`."""

        def written(*, strict: bool) -> bytes:
            watch = partial(watched, deadline=self.deadline)
            lines = decode.load(self._data, self._info, watch, self.deadline.check, strict=strict)
            labelled, keep = self._origin.labelled(to_srgb(self._origin.loaded(lines)))
            return encode.write(labelled, spec, keep)

        with suppress(pyvips.Error):
            return written(strict=True)
        self.deadline.check()
        give_back()
        return written(strict=False)


def _told_if_shrunk(shrink: int) -> Mapping[str, int]:
    return {"shrink": shrink} if shrink > 1 else {}


def _prepare(
    data: bytes, info: ImageInfo, origin: Origin, deadline: Deadline, shrink: int = 1, *, alone: bool = False
) -> pyvips.Image:
    """The upright picture in memory, with its sides divided by `shrink`. `alone`: nothing else is read of the file.

    The decoder may hold a whole picture of its own. It is gone when this returns.
    """

    watch = partial(watched, deadline=deadline)

    def load(*, strict: bool) -> pyvips.Image:
        if shrink > 1:
            return decode.load_shrunk(data, shrink, watch, strict=strict, alone=alone)
        return decode.load(data, info, watch, deadline.check, strict=strict)

    if decode.forgives(info):
        with suppress(CorruptImage):
            return _picture(partial(load, strict=True), info, origin, deadline)
        give_back()
    return _picture(partial(load, strict=False), info, origin, deadline)


def _picture(load: Callable[[], pyvips.Image], info: ImageInfo, origin: Origin, deadline: Deadline) -> pyvips.Image:
    frame = info.width * info.height
    with _stage(CorruptImage, deadline, frame):
        source = load()
        image = origin.loaded(source)
    for step, failure in PREPARATION:
        with _stage(failure, deadline, frame):
            image = step(image)
    del source  # kept until here, because it carries the watch
    return image


def _resized(whole: pyvips.Image, sizes: Sequence[Size], deadline: Deadline) -> dict[Size, pyvips.Image]:
    """One image per size. The large ones are made first, so that small ones can be made from them.

    The results have no watch: if a watched image is inside another, neither can be stopped.
    """
    full = whole.width, page_height(whole)
    made = {full: whole}
    for size in sorted(set(sizes) - {full}, reverse=True, key=lambda size: size[0] * size[1]):
        with _stage(NotConvertible, deadline, full[0] * full[1]):
            origin = watched(made[_origin(size, made)], deadline)
            made[size] = hold(fit(origin, *size))
    return {size: made[size] for size in sizes}


def _origin(size: Size, made: dict[Size, pyvips.Image]) -> Size:
    """The smallest image from which `size` can be made without visible loss."""
    enough = [have for have in made if min(have[0] / size[0], have[1] / size[1]) >= geometry.CASCADE_MIN_SHRINK]
    whole = next(iter(made))
    return min(enough, default=whole, key=lambda have: have[0] * have[1])


@contextmanager
def _stage(failure: type[TrussError], deadline: Deadline, frame: int) -> Iterator[None]:
    """Turns every error inside into `failure`, unless the time is over or the machine failed.

    libvips' own texts are dropped: all threads write them into one buffer, so they may belong to another image. `frame`
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
    """The error after an encoder failed. If there is memory, the picture is at fault: every try would fail."""
    return NotConvertible(actual=frame) if is_to_be_had(frame * _WORK_BYTES) else Unavailable()
