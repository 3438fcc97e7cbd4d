"""Makes an ended job again from its source, and compares the files byte for byte."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from processor import assets
from processor.errors import AssetMissing, ImageRejected, JobNotFound, NotReplayable, ObjectChanged, ObjectNotFound
from processor.formats import sniff
from processor.hiding import hidden_by
from processor.jobs import NOT_THE_FILES_FAULT, Job, JobStatus, Maker
from processor.manifest import hiding_of
from processor.metadata.stripping import strip
from processor.overlays import Overlays
from processor.ports.renderer import Renderer, Ticket
from processor.ports.stores import AllStores
from processor.recipes import Recipe

#: The names in a bundle; assets are under the last, by digest.
CASE, SOURCE, ASSETS = "case.json", "source", "assets/"
#: The most bytes of the case, and of all in a bundle but the source.
MAX_CASE_BYTES, MAX_OTHER_BYTES = 1024 * 1024, 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a job made, as far as it can be compared: SHA-256 and size of each file, or the code of a failure."""

    files: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    error: str | None = None
    maker: str = ""

    def to_json(self) -> dict[str, Any]:
        files = {name: {"sha256": sha256, "size": size} for name, (sha256, size) in self.files.items()}
        return {"files": files, "error": self.error, "maker": self.maker}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Result:
        """Raises `LookupError`, `TypeError`, `ValueError`."""
        files = {str(name): (str(each["sha256"]), int(each["size"])) for name, each in told["files"].items()}
        error = told["error"]
        return cls(files=files, error=None if error is None else str(error), maker=str(told["maker"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A job to be made again: what it made, of which file, by which recipe."""

    processing_id: str
    recipe: Recipe
    source: bytes = field(repr=False)
    stored: Result
    #: Files of the assets that the recipe names, by digest.
    assets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    #: What the stripped source made where the bundle was written; None: the source is the original.
    made: Result | None = None
    is_stripped: bool = False
    #: Whether the image's current job hides faces, or has not been approved, whatever this one did.
    hides_faces: bool = False
    waits: bool = False

    @property
    def expected(self) -> Result:
        """What must come out."""
        return self.made or self.stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A file, or the end of the job, that is not as it was."""

    name: str
    before: str
    now: str


async def case_of(stores: AllStores, processing_id: str, known: Sequence[Recipe], *, max_bytes: int) -> Case:
    """An ended job with its source. `known` are recipes of which a record may have only the name.

    Raises `JobNotFound`, `NotReplayable`, `Unavailable`.
    """
    job = await stores.jobs.job_of_any_tenant(processing_id)
    if not job.is_at_rest or job.source is None:
        raise NotReplayable("The job has not ended, or has no source.")
    if job.status is JobStatus.REJECTED:
        raise NotReplayable("A reviewer rejected what the job made, and nothing of it is left to compare with.")
    if job.error is not None and job.error.code in NOT_THE_FILES_FAULT:
        raise NotReplayable(f"The job failed as {job.error.code}, which is no matter of its file.")
    recipe = job.recipe or next(iter(known), None)
    if recipe is None:
        raise NotReplayable("Nothing tells any more what the job was to make.")
    try:
        etag = job.source.etag or None
        source = await stores.source.fetch(job.original_key, max_bytes=max_bytes, etag=etag)
    except (ObjectNotFound, ObjectChanged):
        raise NotReplayable("The source is gone, or another file was uploaded in its place.") from None
    if job.manifest is not None and hashlib.sha256(source).hexdigest() != job.manifest.sha256:
        raise NotReplayable("The source is not the file that the job worked on.")
    try:
        laid_over = await Overlays(source=stores.source).of(job.tenant, recipe.assets)
    except AssetMissing:
        raise NotReplayable("An asset that the job's preset names is gone.") from None
    # What an older job showed, the image may hide by now.
    image = await stores.jobs.image_of_any_tenant(job.unique_id)
    current = None
    with suppress(JobNotFound):
        current = await stores.jobs.job_of_any_tenant(image.current_job)
    return Case(
        processing_id=processing_id,
        recipe=recipe,
        source=source,
        stored=_stored(job),
        assets=laid_over,
        hides_faces=await hiding_of(stores.processed, image, current) is not None,
        waits=job.must_be_reviewed or (current is not None and current.must_be_reviewed),
    )


def _stored(job: Job) -> Result:
    made = job.variants or (job.review.variants if job.review else ())
    own = [(variant.key, variant) for variant in made]
    further = [(variant.key, variant) for each in job.further for variant in each.variants]
    return Result(
        files={key.rpartition("/")[2]: (variant.sha256, variant.size) for key, variant in (*own, *further)},
        error=job.error.code if job.error else None,
        maker=job.maker or "",
    )


async def replayed(case: Case, renderer: Renderer, maker: Maker) -> Result:
    """Make the files of a case again. Raises `Unavailable`."""
    formats = {name.rpartition(".")[2] for name in case.stored.files}
    ticket = Ticket(assets=case.assets)
    try:
        first = await renderer.render(case.source, replace(case.recipe, further=()), ticket)
        made = list(first.variants)
        ticket = replace(ticket, hidden=hidden_by(case.recipe, first.facts))
        pixels = {variant.name: variant.pixels for variant in made}
        for name in filter(formats.__contains__, case.recipe.further_formats):
            only = case.recipe.in_format(name).within(pixels)
            made += (await renderer.render(case.source, only, ticket)).variants
    except ImageRejected as error:
        return Result(error=error.code, maker=str(maker))
    files = {each.spec.file_name: (hashlib.sha256(each.data).hexdigest(), len(each.data)) for each in made}
    left_out = files.keys() - case.stored.files.keys() if case.stored.files else set()
    return Result(files={name: found for name, found in files.items() if name not in left_out}, maker=str(maker))


def differences(before: Result, now: Result) -> list[Difference]:
    """In the order of names; empty: byte for byte the same."""
    if before.error != now.error:
        ends = (each.error or "completed" for each in (before, now))
        return [Difference(name="the job", before=next(ends), now=next(ends))]
    return [
        Difference(name=name, before=_file(before.files.get(name)), now=_file(now.files.get(name)))
        for name in sorted(before.files.keys() | now.files.keys())
        if before.files.get(name) != now.files.get(name)
    ]


def _file(found: tuple[str, int] | None) -> str:
    return "no file" if found is None else f"{found[1]} bytes, SHA-256 {found[0][:16]}..."


async def stripped(case: Case, renderer: Renderer, maker: Maker) -> Case:
    """The case over its source without metadata, with what that makes here. Raises `NotReplayable`, `Unavailable`."""
    bare = None
    with suppress(ImageRejected):
        bare = strip(case.source, sniff(case.source).name)
    if bare is None:
        raise NotReplayable("The metadata of this kind of file cannot be removed.")
    case = replace(case, source=bare, is_stripped=True)
    return replace(case, made=await replayed(case, renderer, maker))


def packed(case: Case) -> bytes:
    """A bundle: a zip with the case, the source and the assets. It names no tenant, no image and no file.

    Raises `NotReplayable` for a source that nobody may see, or whose faces nobody may see.
    """
    if case.waits:
        raise NotReplayable("A reviewer has not approved the image, and a bundle would show it.")
    if case.hides_faces or case.recipe.hiding:
        raise NotReplayable("The image hides faces, and a bundle would show them.")
    told = {
        "processingId": case.processing_id,
        "recipe": case.recipe.to_text(),
        "metadata": "removed" if case.is_stripped else "kept",
        "sourceSha256": hashlib.sha256(case.source).hexdigest(),
        "stored": case.stored.to_json(),
        "made": case.made.to_json() if case.made else None,
    }
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as file:
        laid_over = ((f"{ASSETS}{digest}", data) for digest, data in case.assets.items())
        for name, content in ((CASE, json.dumps(told, indent=2).encode()), (SOURCE, case.source), *laid_over):
            file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return bundle.getvalue()


def unpacked(bundle: bytes, *, max_bytes: int) -> Case:
    """The inverse of `packed`. Raises `NotReplayable` for anything else, or for a source that is too large."""
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as file:
            told = json.loads(_read(file, CASE, MAX_CASE_BYTES))
            source = _read(file, SOURCE, max_bytes)
            _check(source, told["sourceSha256"])
            recipe = Recipe.from_text(told["recipe"])
            laid_over = {digest: _asset(file, digest) for digest in sorted(recipe.assets)}
        made = told["made"]
        return Case(
            processing_id=str(told["processingId"])[:100],
            recipe=recipe,
            source=source,
            assets=laid_over,
            stored=Result.from_json(told["stored"]),
            made=None if made is None else Result.from_json(made),
            is_stripped=told["metadata"] == "removed",
        )
    except (LookupError, TypeError, ValueError, AttributeError, OSError, RuntimeError, zipfile.BadZipFile):
        raise NotReplayable("This is no bundle, or it is damaged.") from None


def _asset(file: zipfile.ZipFile, digest: str) -> bytes:
    data = _read(file, f"{ASSETS}{digest}", assets.MAX_BYTES)
    _check(data, digest)
    return data


def _check(data: bytes, sha256: object) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError("another file")


def _read(file: zipfile.ZipFile, name: str, most: int) -> bytes:
    """At most so many bytes, whatever the bundle promises."""
    with file.open(name) as content:
        found = content.read(most + 1)
    if len(found) > most:
        raise ValueError("too large")
    return found
