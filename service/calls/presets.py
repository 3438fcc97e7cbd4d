"""Calls for presets: list, show, write and delete them, choose the default, and try them out."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Self

import structlog
from aiohttp import ETag, web
from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from structlog.contextvars import bind_contextvars

from processor.aside import aside
from processor.bulk.backfill import Backfills
from processor.catalog.presets import Expected, Presets
from processor.catalog.previews import Preview, Previews
from processor.errors import (
    FileTooLarge,
    ImageNotFound,
    LookingNotInstalled,
    NeedsReview,
    NotUploaded,
    PictureRefused,
    PresetBuiltIn,
    PresetChanged,
    PresetInUse,
    PresetNotFound,
    PresetUnusable,
    PrivateNotInstalled,
    ReviewRejected,
    TooManyPresets,
    TrussError,
    UnknownAsset,
)
from processor.fits import Cover, Gravity
from processor.images import Variant
from processor.pipeline.cost import cpu_seconds
from processor.ports.presets import KEPT_VERSIONS, Preset
from processor.recipes import STANDARD, Recipe, VariantSpec, sharpening, style_of
from service.auth.middleware import subject_of, tenant_of
from service.calls import groups, samples
from service.calls.looking import check_looking
from service.calls.names import unique_id_of
from service.calls.pictures import MAX_PICTURE_BODY_BYTES, MAX_PICTURE_BYTES, Picture, decoded
from service.calls.preset_documents import PresetDocument, PresetVariant, variants_of
from service.calls.viewer import sample_picture
from service.http.body import json_body
from service.http.call import PathPart, call, reply, unchanged
from service.http.problems import FieldError, InvalidRequest, TooManyPreviews
from service.http.rendering import ALWAYS_ASIDE, LINKS, is_known, render, render_rows
from service.http.wire import Answer, Heard, Question, Time, WholeNumber, is_empty, is_false, is_none, read_query
from service.limits.long_bodies import asked_by
from service.limits.open_calls import PREVIEWS as PREVIEW_PLACES

PRESETS = web.AppKey("presets", Presets)
PREVIEWS = web.AppKey("previews", Previews)
BACKFILLS = web.AppKey("backfills", Backfills)

#: Bytes of files in the answer to a preview. Further files are described, and left out.
MAX_SHOWN_BYTES = 4 * 1024 * 1024
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
#: Characters of a name that a log line shows.
_LONGEST_NAME = 32
#: Names that are parts of other paths.
_RESERVED = frozenset({"preview"})
PRESET_NAME = PathPart("name", "Name of a preset: lower-case letters, digits and dashes.", r"^[a-z][a-z0-9-]{0,31}$")

log = structlog.get_logger(__name__)


class PresetContent(Answer):
    """What it makes. `PUT` takes it as it is."""

    variants: list[PresetVariant] = Field(description="Smallest first.")
    analyses: list[str] = Field(examples=[list(STANDARD.analyses)])
    keep: list[str] = Field(description="Metadata that variants keep.", examples=[["copyright"]])
    blur_faces: str | None = Field(
        default=None, exclude_if=is_none, description="How faces are hidden; not there if not.", examples=["pixels"]
    )
    private: bool | None = Field(
        default=None, exclude_if=is_none, description="Whether viewers need signed URLs; not there if it does not say."
    )
    review: bool = Field(
        default=False, exclude_if=is_false, description="Whether a reviewer must approve each image; not there if not."
    )

    moderation: dict[str, float] = Field(
        default={},
        exclude_if=is_empty,
        description="The scores from which on an image is held; not there if there are none.",
        examples=[{"nsfw": 0.8}],
    )

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        return cls(
            variants=variants_of(recipe),
            analyses=list(recipe.analyses),
            keep=list(recipe.keeps),
            blur_faces=style_of(recipe.hiding),
            review=recipe.review,
            private=recipe.private,
            moderation=dict(recipe.moderation),
        )


class PresetAnswer(Heard):
    """One version of a preset."""

    name: str = Field(examples=["avatar"])
    version: int = Field(description="A change makes a new one. A version never changes.", examples=[3])
    built_in: bool = Field(description="Whether it comes with the service, and cannot be changed.")
    created_at: Time | None = Field(description="Null: it is built in.")
    created_by: str | None = Field(description="The subject of whoever wrote it.", examples=["key:abcdefghijklmnop"])
    cpu_seconds: float = Field(
        description="An estimate of the CPU time for a photograph of 12 megapixels, in seconds.", examples=[0.31]
    )
    document: PresetContent

    @classmethod
    def of(cls, preset: Preset) -> Self:
        return cls(
            name=preset.name,
            version=preset.version,
            built_in=preset.created_at is None,
            created_at=preset.created_at,
            created_by=preset.created_by or None,
            cpu_seconds=cpu_seconds(preset.recipe),
            document=PresetContent.of(preset.recipe),
        )


class PresetList(Answer):
    """The newest version of each preset, by name; the built-in one first."""

    presets: list[PresetAnswer]
    count: int
    default: str = Field(description="The preset of uploads that name none.", examples=["standard"])
    private: bool = Field(description="Whether pictures are private if their preset does not say.", examples=[False])

    @classmethod
    def of(cls, presets: Sequence[Preset], default: str | None, *, private: bool = False) -> Self:
        shown = [PresetAnswer.of(each) for each in presets]
        return cls(presets=shown, count=len(shown), default=default or STANDARD.name, private=private)


class PresetHistory(Answer):
    """The versions of a preset, newest first."""

    versions: list[PresetAnswer]
    count: int

    @classmethod
    def of(cls, presets: Sequence[Preset]) -> Self:
        shown = [PresetAnswer.of(each) for each in presets]
        return cls(versions=shown, count=len(shown))


class DefaultRequest(Question):
    """What uploads get that do not say."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"default": "standard"}, {"private": True}]}
    )

    default: str | None = Field(
        default=None, description="Name of a preset; `standard` is the built-in one.", examples=["avatar"]
    )
    private: bool | None = Field(
        default=None, description="Whether pictures are private if their preset does not say.", examples=[False]
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.default is None and self.private is None:
            raise PydanticCustomError("nothing", "must have default or private")
        return self


class DefaultAnswer(Heard):
    """What uploads get that do not say."""

    default: str = Field(examples=["avatar"])
    private: bool = Field(examples=[False])


class VersionQuery(Question):
    """Which version to show."""

    version: WholeNumber | None = Field(
        default=None,
        ge=1,
        le=10**9 - 1,
        description=f"The newest by default. The newest {KEPT_VERSIONS} are kept.",
        examples=[3],
    )


class DeleteQuery(Question):
    """Whether to delete what is in use."""

    force: bool = Field(
        default=False, description="Delete it although images have it. They keep their variants and their recipe."
    )


class PreviewRequest(Question):
    """A picture, and what to make of it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"preset": "standard", "picture": "R0lGODlhAQABAAAAACwAAAAAAQABAAA="}]},
    )

    preset: str | None = Field(
        default=None, description="Name of a preset, in its newest version.", examples=["avatar"]
    )
    document: PresetDocument | None = Field(default=None, description="In its place: a preset that is not saved.")
    unique_id: str | None = Field(default=None, description="An image of the tenant's.", examples=[samples.UNIQUE_ID])
    picture: Picture | None = Field(
        default=None,
        description=f"In its place: a file of at most {MAX_PICTURE_BYTES // 2**20} MiB, in base64.",
    )

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.preset is None) == (self.document is None):
            raise PydanticCustomError("one_way", "must have a preset or a document")
        if (self.unique_id is None) == (self.picture is None):
            raise PydanticCustomError("one_way", "must have a uniqueId or a picture")
        return self

    def file(self) -> bytes:
        """The posted picture. Raises `InvalidRequest`."""
        return decoded(self.picture or "")


class PreviewFile(Answer):
    """A file of a preview."""

    name: str = Field(examples=["avatar"])
    format: str = Field(examples=["webp"])
    content_type: str = Field(examples=["image/webp"])
    width: int
    height: int
    size: int = Field(description="In bytes.", examples=[5120])
    data: str | None = Field(
        description=f"The file in base64. Null for those that would exceed {MAX_SHOWN_BYTES // 2**20} MiB in all."
    )


class PreviewAnswer(Heard):
    """The variants of a picture. They are stored nowhere."""

    cpu_seconds: float = Field(
        description="An estimate of the CPU time for a photograph of 12 megapixels, in seconds.", examples=[0.31]
    )
    variants: list[PreviewFile]
    count: int

    @classmethod
    def of(cls, recipe: Recipe, preview: Preview) -> Self:
        files = files_of(preview, MAX_SHOWN_BYTES)
        return cls(cpu_seconds=cpu_seconds(recipe), variants=files, count=len(files))


def files_of(preview: Preview, left: int) -> list[PreviewFile]:
    """The files of a preview, with the data of those that fit into so many bytes."""
    files = list[PreviewFile]()
    for variant in (*preview.variants, *preview.further):
        shown = len(variant.data) <= left
        left -= len(variant.data) if shown else 0
        files.append(_preview_file(variant, shown=shown))
    return files


def _preview_file(variant: Variant, *, shown: bool) -> PreviewFile:
    return PreviewFile(
        name=variant.name,
        format=variant.spec.format,
        content_type=variant.spec.content_type,
        width=variant.width,
        height=variant.height,
        size=len(variant.data),
        data=base64.b64encode(variant.data).decode() if shown else None,
    )


_RECIPE = Recipe(
    name="avatar",
    version=3,
    specs=(
        VariantSpec(
            name="avatar",
            format="webp",
            quality=85,
            box=(256, 256),
            fit=Cover(gravity=Gravity.ATTENTION),
            effects=(sharpening(0.8),),
        ),
        VariantSpec(name="full", format="webp", quality=85),
    ),
    analyses=STANDARD.analyses,
)
_PRESET = Preset(recipe=_RECIPE, created_at=samples.MADE_AT, created_by="key:abcdefghijklmnop")
PRESET = PresetAnswer.of(_PRESET)
BUILT_IN = Preset(recipe=STANDARD)
PREVIEW = PreviewAnswer(
    cpu_seconds=PRESET.cpu_seconds,
    variants=[
        PreviewFile(
            name="avatar", format="webp", content_type="image/webp", width=256, height=256, size=5120, data="UklGRg=="
        )
    ],
    count=1,
)


_PREVIEW_PROBLEMS: tuple[type[TrussError], ...] = (
    *(LookingNotInstalled, UnknownAsset, PictureRefused, FileTooLarge),
    *(PresetNotFound, ImageNotFound, NotUploaded, NeedsReview, ReviewRejected, TooManyPreviews),
)


@call("listPresets", groups.PRESETS, reply("The presets", PresetList.of([BUILT_IN, _PRESET], "avatar")))
async def list_presets(request: web.Request) -> web.Response:
    """List the tenant's presets, the built-in one first."""
    heads, presets = await request.app[PRESETS].list(tenant_of(request))
    return await render_rows(
        request,
        lambda: PresetList.of(presets, heads.default, private=heads.private),
        rows=len(presets),
        tenant=tenant_of(request),
    )


@call(
    "setDefaultPreset",
    groups.PRESETS,
    reply("What is chosen now", DefaultAnswer(default="avatar", private=False)),
    body=DefaultRequest,
    problems=(PresetNotFound, PrivateNotInstalled),
)
async def choose_default(request: web.Request) -> web.Response:
    """Choose the preset of uploads that name none, and whether pictures are private.

    Every process knows of it within five seconds. Images that exist keep their preset, and stay where they are.
    """
    asked = await asked_by(request, DefaultRequest, await json_body(request))
    _check_key(request, private=asked.private)
    chosen = await request.app[PRESETS].choose(tenant_of(request), default=asked.default, private=asked.private)
    default = chosen.default or STANDARD.name
    log.info("Default preset chosen", preset=default[:_LONGEST_NAME], private=chosen.private)
    return render(request, DefaultAnswer(default=default, private=chosen.private))


def _check_key(request: web.Request, *, private: bool | None) -> None:
    """Raises `PrivateNotInstalled` for pictures that nobody could see."""
    if private and request.app[LINKS].signer is None:
        raise PrivateNotInstalled


@call(
    "getPreset",
    groups.PRESETS,
    reply("The preset", {"own": PRESET, "built in": PresetAnswer.of(BUILT_IN)}),
    unchanged("It is as in the answer that `If-None-Match` names"),
    path=(PRESET_NAME,),
    query=VersionQuery,
    problems=(PresetNotFound,),
)
async def show(request: web.Request) -> web.Response:
    """Show a preset, the newest version by default.

    The `ETag` of the newest version goes into `If-Match` of `PUT`, so that nobody overwrites what he has not seen.
    """
    version = read_query(VersionQuery, request.query).version
    preset = await request.app[PRESETS].get(tenant_of(request), name_in(request), version)
    if is_known(request, _etag(preset)):
        return _tagged(web.Response(status=HTTPStatus.NOT_MODIFIED), preset)
    return _tagged(render(request, PresetAnswer.of(preset)), preset)


@call(
    "putPreset",
    groups.PRESETS,
    reply("The newest version; it had this content already", PRESET),
    reply("The new version", PRESET, status=HTTPStatus.CREATED),
    path=(PRESET_NAME,),
    body=PresetDocument,
    problems=(
        *(PresetBuiltIn, PresetChanged, TooManyPresets),
        *(LookingNotInstalled, PresetUnusable, UnknownAsset, TooManyPreviews),
    ),
)
async def put(request: web.Request) -> web.Response:
    """Write a preset: a new one, or a new version of it.

    The same content makes no new version. A test picture is made with it before it is saved. With `If-Match` it must
    have the version of this `ETag`, and with `If-None-Match: *` it must not exist; otherwise the answer is 412. Images
    that exist keep the version that they were made with.
    """
    document = await asked_by(request, PresetDocument, await json_body(request))
    _check_key(request, private=document.private)
    tenant, name, expected, presets = tenant_of(request), _new_name(request), _expected(request), request.app[PRESETS]
    recipe = check_looking(request, document.recipe(name))
    await presets.check(tenant, name, expected)
    with request.app[PREVIEW_PLACES].place(tenant):
        await request.app[PREVIEWS].try_out(tenant, recipe, sample_picture())
    preset, is_new = await presets.save(tenant, recipe, by=subject_of(request), expected=expected)
    if is_new:
        log.info("Preset written", preset=name, presetVersion=preset.version)
    return _tagged(render(request, PresetAnswer.of(preset), HTTPStatus.CREATED if is_new else HTTPStatus.OK), preset)


@call(
    "listPresetVersions",
    groups.PRESETS,
    reply("The versions", PresetHistory.of([_PRESET])),
    path=(PRESET_NAME,),
    problems=(PresetNotFound,),
)
async def history(request: web.Request) -> web.Response:
    """List the versions of a preset, newest first. The newest 50 are kept."""
    presets = await request.app[PRESETS].history(tenant_of(request), name_in(request))
    return await render_rows(request, lambda: PresetHistory.of(presets), rows=len(presets), tenant=tenant_of(request))


@call(
    "deletePreset",
    groups.PRESETS,
    reply("The preset that was", PRESET),
    path=(PRESET_NAME,),
    query=DeleteQuery,
    problems=(PresetNotFound, PresetBuiltIn, PresetInUse, PresetChanged),
)
async def delete(request: web.Request) -> web.Response:
    """Delete a preset with all its versions.

    It is refused (`preset_in_use`) while it is the tenant's default, while a backfill of it is in progress, or while
    one of the 5,000 newest images has it; and, without `force`, if there are more images than that. Images always keep
    their variants, and the recipe in their records: such an image can be processed again, as before.
    """
    force = read_query(DeleteQuery, request.query).force
    tenant, name, presets = tenant_of(request), name_in(request), request.app[PRESETS]
    if await request.app[BACKFILLS].is_under_way(tenant, name):
        raise PresetInUse("A backfill of the preset is in progress; cancel it first.")
    preset = await presets.remove(tenant, name, force=force, expected=_expected(request))
    log.info("Preset deleted", preset=name, presetVersion=preset.version)
    return render(request, PresetAnswer.of(preset))


@call(
    "previewPreset",
    groups.PRESETS,
    reply("The variants", PREVIEW),
    body=PreviewRequest,
    problems=_PREVIEW_PROBLEMS,
    largest_body=MAX_PICTURE_BODY_BYTES,
    anew=True,
)
async def preview(request: web.Request) -> web.Response:
    """Make the variants of a picture, and store nothing.

    The picture is posted, or is an image of the tenant's. A preset is named, or its document is in the request. The
    answer comes within 45 seconds. Each process makes a few previews at once, and two of a tenant.
    """
    tenant = tenant_of(request)
    with request.app[PREVIEW_PLACES].place(tenant):
        asked = await asked_by(request, PreviewRequest, await json_body(request))
        recipe = await _recipe(request, asked)
        if asked.unique_id is not None:
            made = await request.app[PREVIEWS].of_image(tenant, recipe, unique_id_of(asked.unique_id))
        else:
            made = await request.app[PREVIEWS].of_picture(tenant, recipe, await aside(asked.file, tenant))
        return await render_rows(request, lambda: PreviewAnswer.of(recipe, made), rows=ALWAYS_ASIDE, tenant=tenant)


async def _recipe(request: web.Request, asked: PreviewRequest) -> Recipe:
    if asked.document is not None:
        return check_looking(request, asked.document.recipe("preview"))
    return (await request.app[PRESETS].get(tenant_of(request), asked.preset or "")).recipe


def name_in(request: web.Request) -> str:
    """The name in the path. Raises `PresetNotFound` for one that no preset has."""
    name = request.match_info[PRESET_NAME.name]
    if _NAME.fullmatch(name) is None:
        raise PresetNotFound
    bind_contextvars(preset=name)
    return name


def _new_name(request: web.Request) -> str:
    """The name in the path. Raises `InvalidRequest` for one that no preset can have."""
    name = request.match_info[PRESET_NAME.name]
    if _NAME.fullmatch(name) is None or name in _RESERVED:
        told = "must begin with a letter and have at most 32 lower-case letters, digits and dashes"
        message = "is reserved" if name in _RESERVED else told
        raise InvalidRequest([FieldError(field=PRESET_NAME.name, message=message)])
    bind_contextvars(preset=name)
    return name


def _etag(preset: Preset) -> str:
    return f"{preset.version}-{preset.recipe.digest}"


def _tagged(response: web.Response, preset: Preset) -> web.Response:
    response.etag = ETag(value=_etag(preset))
    return response


def _expected(request: web.Request) -> Expected:
    """What `If-Match` and `If-None-Match` ask of the newest version."""
    matches, mismatches = request.if_match, request.if_none_match

    def expected(present: Preset | None) -> bool:
        tags = {"*", _etag(present)} if present else set[str]()
        is_match = matches is None or any(tag.value in tags for tag in matches)
        return is_match and not any(tag.value in tags for tag in mismatches or ())

    return expected
