"""Pictures that are made with a preset, shown and stored nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from processor.catalog.images import check_visible, living
from processor.errors import (
    AssetMissing,
    ImageRejected,
    NeedsReview,
    NotUploaded,
    ObjectNotFound,
    PictureRefused,
    PresetUnusable,
    TrussError,
    Unavailable,
    UnknownAsset,
)
from processor.formats.info import ImageInfo
from processor.hiding import doubt_about, hidden_by
from processor.images import Variant
from processor.jobs import Image, Job, JobStatus
from processor.manifest import hiding_of
from processor.overlays import Overlays
from processor.ports.jobs import known_job
from processor.ports.renderer import Renderer, Ticket
from processor.ports.stores import Stores
from processor.recipes import Recipe, hiding_faces

#: Largest file that is fetched for a preview, in bytes.
MAX_BYTES = 32 * 1024 * 1024
#: The longest that a preview may take, waiting included, in seconds. Load balancers end a request after a minute.
LONGEST_SECONDS = 45.0
#: The same of several previews together, which belong to a longer answer.
SEVERAL_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What came out: the variants, and those in further formats."""

    source: ImageInfo
    variants: tuple[Variant, ...]
    further: tuple[Variant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Previews:
    """Renders for the API, in a child process that has limits of its own. Every call names the tenant."""

    stores: Stores
    renderer: Renderer

    async def of_picture(self, tenant: str, recipe: Recipe, data: bytes) -> Preview:
        """Raises `PictureRefused` if the picture is at fault, `UnknownAsset` for a recipe with one, `Unavailable` if it
        takes too long."""
        async with _until(_in(LONGEST_SECONDS)):
            return await self._of_file(tenant, recipe, data)

    async def of_image(self, tenant: str, recipe: Recipe, unique_id: str) -> Preview:
        """The same of an image. Raises also `ImageNotFound`, `NotUploaded`, `NeedsReview`, `ReviewRejected`, and
        `FileTooLarge` above `MAX_BYTES`."""
        return await self._of_image(tenant, recipe, unique_id, _in(LONGEST_SECONDS))

    async def of_images(self, tenant: str, recipe: Recipe, unique_ids: Iterable[str]) -> list[Preview | TrussError]:
        """The same of several, one after the other. In the place of one that cannot be made stands the reason."""
        end = _in(SEVERAL_SECONDS)
        return [await self._or_reason(tenant, recipe, unique_id, end) for unique_id in unique_ids]

    async def try_out(self, tenant: str, recipe: Recipe, picture: bytes) -> None:
        """Whether a picture that is sound can be made. Raises `PresetUnusable`, `UnknownAsset`, `Unavailable`."""
        try:
            await self.of_picture(tenant, recipe, picture)
        except PictureRefused as error:
            told = "" if error.why is None else f" ({error.why.code}): {error.why.message}"
            raise PresetUnusable(f"The test picture cannot be made with this preset{told}") from None

    async def _or_reason(self, tenant: str, recipe: Recipe, unique_id: str, end: float) -> Preview | TrussError:
        try:
            return await self._of_image(tenant, recipe, unique_id, end)
        except TrussError as error:
            return error

    async def _of_image(self, tenant: str, recipe: Recipe, unique_id: str, end: float) -> Preview:
        async with _until(end):
            image = await living(self.stores.jobs, tenant, unique_id)
            job = await known_job(self.stores.jobs, tenant, image.current_job)
            # Another preset is no way around what the image's own one hides.
            recipe = hiding_faces(recipe, await hiding_of(self.stores.processed, image, job))
            return await self._of_file(tenant, recipe, await self._file(image, job), is_image=True)

    async def _file(self, image: Image, job: Job | None) -> bytes:
        if job is not None and job.status is JobStatus.PENDING:
            raise NotUploaded
        if job is not None:
            check_visible(job)
        if job is not None and job.must_be_reviewed:
            raise NeedsReview("The image needs a review, and is not converted yet.")
        try:
            return await self.stores.source.fetch(image.key, max_bytes=MAX_BYTES)
        except ObjectNotFound:
            raise NotUploaded("The uploaded file is not there any more.") from None

    async def _of_file(self, tenant: str, recipe: Recipe, data: bytes, *, is_image: bool = False) -> Preview:
        try:
            return await self._rendered(tenant, recipe, data, is_image=is_image)
        except ImageRejected as error:
            raise PictureRefused(error) from None
        except AssetMissing:
            raise UnknownAsset from None

    async def _rendered(self, tenant: str, recipe: Recipe, data: bytes, *, is_image: bool) -> Preview:
        # What was kept may be gone by now.
        assets = await Overlays(source=self.stores.source).of(tenant, recipe.assets)
        ticket = Ticket(tenant=tenant, assets=assets)
        rendered = await self.renderer.render(data, replace(recipe, further=()), ticket)
        if is_image and doubt_about(recipe, rendered.facts) is not None:
            raise NeedsReview("This would be held for a review: it may show a face all the same.")
        ticket = replace(ticket, hidden=hidden_by(recipe, rendered.facts))
        further: list[Variant] = []
        for format_ in recipe.further_formats if rendered.source.frames == 1 else ():
            only = recipe.in_format(format_).within({variant.name: variant.pixels for variant in rendered.variants})
            if only.specs:
                further += (await self.renderer.render(data, only, ticket)).variants
        return Preview(source=rendered.source, variants=rendered.variants, further=tuple(further))


def _in(seconds: float) -> float:
    """A moment by the clock of the event loop."""
    return asyncio.get_running_loop().time() + seconds


@asynccontextmanager
async def _until(end: float) -> AsyncIterator[None]:
    """Raises `Unavailable` for what has not ended at that moment."""
    try:
        async with asyncio.timeout_at(end):
            yield
    except TimeoutError:
        raise Unavailable from None
