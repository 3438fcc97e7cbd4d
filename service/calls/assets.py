"""Calls for assets: the pictures and texts that the effect `watermark` lays over images."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Self

import structlog
from aiohttp import web
from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from processor.aside import aside
from processor.assets import LONGEST_SIDE, Asset
from processor.catalog.assets import MAX_ASSETS, Assets, Colour
from processor.errors import AssetInUse, AssetNotFound, PictureRefused, TooManyAssets
from processor.pipeline.lettering import MOST_CHARACTERS, MOST_LINES
from service.auth.middleware import tenant_of
from service.calls import groups, samples
from service.calls.pictures import MAX_PICTURE_BODY_BYTES, MAX_PICTURE_BYTES, Picture, decoded
from service.http.body import json_body
from service.http.call import PathPart, call, reply
from service.http.problems import FieldError, InvalidRequest, TooManyPreviews
from service.http.rendering import ALWAYS_ASIDE, render, render_rows
from service.http.wire import Answer, Heard, Question, Time
from service.limits.long_bodies import asked_by
from service.limits.open_calls import PREVIEWS as PREVIEW_PLACES

ASSETS = web.AppKey("assets", Assets)

_DIGEST = re.compile(r"[0-9a-f]{64}")
ASSET_ID = PathPart("assetId", "Id of an asset.", r"^[0-9a-f]{64}$")
_EXAMPLE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

log = structlog.get_logger(__name__)


class AssetRequest(Question):
    """A picture or a text."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "© Ada"}]})

    picture: Picture | None = Field(
        default=None,
        description=f"A file of at most {MAX_PICTURE_BYTES // 2**20} MiB, in base64. It may have alpha. A picture with "
        f"a side above {LONGEST_SIDE:,} pixels is shrunk. Of an animation, the first frame is used.",
    )
    text: str | None = Field(
        default=None,
        max_length=MOST_CHARACTERS,
        description=f"In its place: at most {MOST_CHARACTERS} characters in {MOST_LINES} lines, in DejaVu Sans Bold. "
        "Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew and Arabic are known, also mixed.",
        examples=["© Ada"],
    )
    colour: Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$")] | None = Field(
        default=None,
        description="Of the text: `#rrggbb`, white by default. Its rim is dark if the text is light, and light if it "
        "is dark, so that it shows on every picture.",
        examples=["#ffffff"],
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.picture is None) == (self.text is None):
            raise PydanticCustomError("one_way", "must have a picture or a text")
        if self.picture is not None and self.colour is not None:
            raise PydanticCustomError("one_way", "must have a colour only with a text")
        return self

    @property
    def rgb(self) -> Colour:
        red, green, blue = bytes.fromhex((self.colour or "#ffffff")[1:])
        return red, green, blue


class AssetAnswer(Answer):
    """An asset."""

    asset_id: str = Field(
        description="For the parameter `asset` of the effect `watermark`. Equal files have one id.", examples=[_EXAMPLE]
    )
    size: int = Field(description="Of the stored file, in bytes.", examples=[5120])
    added_at: Time

    @classmethod
    def of(cls, asset: Asset) -> Self:
        return cls(asset_id=asset.digest, size=asset.size, added_at=asset.added_at)


class AssetStored(AssetAnswer, Heard):
    """An asset that is stored."""


class AssetList(Answer):
    """The tenant's assets, newest first."""

    assets: list[AssetAnswer]
    count: int
    limit: int = Field(description="Most assets of a tenant.", examples=[MAX_ASSETS])

    @classmethod
    def of(cls, assets: Sequence[Asset]) -> Self:
        return cls(assets=[AssetAnswer.of(each) for each in assets], count=len(assets), limit=MAX_ASSETS)


class AssetFile(Answer):
    """The file of an asset."""

    asset_id: str = Field(examples=[_EXAMPLE])
    content_type: str = Field(examples=["image/webp"])
    data: str = Field(description="The file in base64.")


class AssetDeleted(Heard):
    """The asset that was."""

    asset_id: str = Field(examples=[_EXAMPLE])


_ASSET = Asset(digest=_EXAMPLE, size=5120, added_at=samples.MADE_AT)


@call(
    "createAsset",
    groups.PRESETS,
    reply("It is stored already", AssetStored.of(_ASSET)),
    reply("It is stored", AssetStored.of(_ASSET), status=HTTPStatus.CREATED),
    body=AssetRequest,
    problems=(PictureRefused, TooManyAssets, TooManyPreviews),
    largest_body=MAX_PICTURE_BODY_BYTES,
)
async def create(request: web.Request) -> web.Response:
    """Store a picture or a text for the effect `watermark`.

    Nobody but the tenant can read it. The same picture or text again is the same asset.
    """
    tenant = tenant_of(request)
    with request.app[PREVIEW_PLACES].place(tenant):
        asked = await asked_by(request, AssetRequest, await json_body(request))
        asset, is_new = await _stored(request.app[ASSETS], tenant, asked)
    if is_new:
        log.info("Asset stored", bytes=asset.size)
    return render(request, AssetStored.of(asset), HTTPStatus.CREATED if is_new else HTTPStatus.OK)


@call("listAssets", groups.PRESETS, reply("The assets", AssetList.of([_ASSET])))
async def list_assets(request: web.Request) -> web.Response:
    """List the tenant's assets, newest first."""
    return render(request, AssetList.of(await request.app[ASSETS].all(tenant_of(request))))


@call(
    "getAsset",
    groups.PRESETS,
    reply("The asset", AssetFile(asset_id=_EXAMPLE, content_type="image/webp", data="UklGRg==")),
    path=(ASSET_ID,),
    problems=(AssetNotFound,),
)
async def show(request: web.Request) -> web.Response:
    """Show an asset."""
    tenant, digest = tenant_of(request), _digest(request)
    file = await request.app[ASSETS].file(tenant, digest)
    data = (await aside(lambda: base64.b64encode(file), tenant)).decode()
    answer = AssetFile(asset_id=digest, content_type="image/webp", data=data)
    return await render_rows(request, lambda: answer, rows=ALWAYS_ASIDE, tenant=tenant)


@call(
    "deleteAsset",
    groups.PRESETS,
    reply("It is gone", AssetDeleted(asset_id=_EXAMPLE)),
    path=(ASSET_ID,),
    problems=(AssetNotFound, AssetInUse),
)
async def delete(request: web.Request) -> web.Response:
    """Delete an asset that no preset names.

    Versions of presets count. A job that still needs the asset fails with `asset_missing`; it can be processed again
    when the same picture or text is an asset again.
    """
    digest = _digest(request)
    await request.app[ASSETS].remove(tenant_of(request), digest)
    log.info("Asset deleted")
    return render(request, AssetDeleted(asset_id=digest))


async def _stored(assets: Assets, tenant: str, asked: AssetRequest) -> tuple[Asset, bool]:
    if asked.picture is not None:
        picture = asked.picture
        return await assets.add_picture(tenant, await aside(lambda: decoded(picture), tenant))
    try:
        return await assets.add_text(tenant, asked.text or "", asked.rgb)
    except ValueError as error:
        raise InvalidRequest([FieldError(field="text", message=str(error))]) from None


def _digest(request: web.Request) -> str:
    digest = request.match_info[ASSET_ID.name]
    if _DIGEST.fullmatch(digest) is None:
        raise AssetNotFound
    return digest
