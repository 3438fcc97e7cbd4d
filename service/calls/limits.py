"""Limits and usage of a tenant: their form on the wire, and the calls that show and set them."""

from __future__ import annotations

from typing import Annotated, Self

import structlog
from aiohttp import web
from pydantic import ConfigDict, Field

from processor import clock
from processor.catalog.assets import MAX_ASSETS
from processor.catalog.presets import MAX_PRESETS
from processor.formats import DECODED, in_words
from processor.formats.anatomy import MAX_PIECES
from processor.pipeline.analyses import LOOKS
from processor.pipeline.lettering import MOST_CHARACTERS, MOST_LINES
from processor.pipeline.limits import FileLimits
from processor.ports.presets import KEPT_VERSIONS
from processor.usage import MEGAPIXEL, Limits, Overrides, Usage, today, tomorrow
from processor.webhooks.registry import MAX_ENDPOINTS
from service.auth.middleware import scopes_of, tenant_of
from service.auth.principal import DEFAULT_TENANT, Scope
from service.calls import groups
from service.calls.pictures import MAX_PICTURE_BYTES
from service.calls.preset_documents import (
    LONGEST_CONTAIN_SIDE,
    LONGEST_SIDE,
    MAX_CPU_SECONDS,
    MAX_EFFECTS,
    MAX_VARIANTS,
)
from service.config import SETTINGS
from service.formats import CONTENT_TYPES
from service.http.body import json_body
from service.http.call import call, reply
from service.http.rendering import render
from service.http.wire import Answer, Heard, Question, Time
from service.limits.long_bodies import asked_by
from service.limits.middleware import QUOTA

log = structlog.get_logger(__name__)

#: Higher than any sensible number, and within the range that DynamoDB and JSON store exactly.
_MOST = 2**53
#: Formats in which long files may have more pieces.
_IN_SMALL_PIECES = [each for each in DECODED if each.decoding and each.decoding.bytes_a_piece]

Many = Annotated[int | None, Field(ge=1, le=_MOST)]
Rate = Annotated[float | None, Field(ge=0.001, le=1_000_000)]


class OverridesRequest(Question):
    """The limits of one tenant. A missing limit is the general one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"bytesPerDay": 5497558138880, "images": 50000000}]})

    requests_per_second: Rate = Field(default=None, description="Of one key or user, counted by each process.")
    request_burst: Many = Field(default=None, description="So many of them at once.")
    tenant_requests_per_second: Rate = Field(default=None, description="Of the tenant, counted by each process.")
    tenant_request_burst: Many = Field(default=None, description="So many of them at once.")
    bytes_per_day: Many = Field(default=None, description="Uploaded in a day (UTC).")
    megapixels_per_day: Many = Field(default=None, description="Converted in a day (UTC).")
    images: Many = Field(default=None, description="Stored at a time.")

    def to_overrides(self) -> Overrides:
        return Overrides(**self.model_dump())


class RequestRate(Answer):
    """A bucket that holds `burst` requests and regains `perSecond`."""

    per_second: float = Field(examples=[50])
    burst: int = Field(examples=[200])


class Counted(Answer):
    """A limit and how much of it is used."""

    limit: int
    used: int
    remaining: int

    @classmethod
    def of(cls, limit: int, used: int) -> Self:
        """Counts are stored apart from results, so they may be wrong by the work that was lost when a process died."""
        used = max(0, used)
        return cls(limit=limit, used=used, remaining=max(0, limit - used))


class AcceptedFormat(Answer):
    """A kind of file that is converted."""

    extension: str = Field(examples=["jpg"])
    content_type: str = Field(examples=["image/jpeg"])


class PresetBounds(Answer):
    """What presets are held to."""

    count: int = Field(description="Most presets of the tenant.", examples=[MAX_PRESETS])
    versions: int = Field(description="Versions that are kept of each.", examples=[KEPT_VERSIONS])
    variants: int = Field(description="Most variants of a preset.", examples=[MAX_VARIANTS])
    effects: int = Field(description="Most effects of a variant.", examples=[MAX_EFFECTS])
    side: int = Field(description="Longest side of a box, in pixels.", examples=[LONGEST_SIDE])
    contain_side: int = Field(description="The same of `contain`.", examples=[LONGEST_CONTAIN_SIDE])
    cpu_seconds: float = Field(
        description="Most CPU seconds that a photograph of 12 megapixels may take, by estimate.",
        examples=[MAX_CPU_SECONDS],
    )


class AssetBounds(Answer):
    """What assets are held to."""

    count: int = Field(description="Most assets of the tenant.", examples=[MAX_ASSETS])
    bytes: int = Field(description="Largest picture.", examples=[MAX_PICTURE_BYTES])
    characters: int = Field(description="Longest text.", examples=[MOST_CHARACTERS])
    lines: int = Field(description="Most lines of a text.", examples=[MOST_LINES])


class LimitsAnswer(Heard):
    """Who calls, the file limits, and the limits and usage of the tenant, as of a few seconds ago."""

    tenant: str = Field(description="The tenant that the call is for.", examples=[DEFAULT_TENANT])
    scopes: list[Scope] = Field(description="What the caller may do.")
    requests: RequestRate = Field(description="Of this key or user, counted by each process of the service.")
    tenant_requests: RequestRate = Field(description="Of all callers of the tenant.")
    bytes_per_day: Counted
    megapixels_per_day: Counted
    resets_at: Time = Field(description="When the counts of the day begin anew.")
    images: Counted = Field(description="Stored, and waited for under URLs that were issued today.")
    max_bytes: int = Field(description="Largest file.", examples=[104857600])
    max_pixels: int = Field(description="Most pixels of an image, over all its frames.", examples=[120000000])
    max_side: int = Field(description="Longest side of an image in pixels.", examples=[32767])
    max_frames: int = Field(description="Most frames of an animation.", examples=[500])
    max_scans: int = Field(description="Most scans of a JPEG.", examples=[100])
    max_pieces: int = Field(
        description="Most segments, chunks, blocks, boxes or tags of a file; "
        f"a {in_words('or', _IN_SMALL_PIECES)} may have one more for every 64 bytes.",
        examples=[10000],
    )
    max_seconds: int = Field(description="Longest conversion.", examples=[60])
    max_memory: int | None = Field(
        description="Most memory that a conversion may take, in bytes; null where this process does not know.",
        examples=[1006632960],
    )
    max_webhooks: int = Field(description="Most webhooks of the tenant.", examples=[MAX_ENDPOINTS])
    presets: PresetBounds
    assets: AssetBounds
    formats: list[AcceptedFormat] = Field(description="What is converted, by extension. The content decides.")
    looking: dict[str, bool] = Field(
        description="Analyses that need the models that look into pictures, and whether those are installed. A preset "
        "with one that is not is refused (`looking_not_installed`). `blurFaces` and the gravity `faces` need `faces`; "
        "a `moderation` needs its score.",
        examples=[dict.fromkeys(LOOKS, True)],
    )

    @classmethod
    def of(cls, request: web.Request, usage: Usage, limits: Limits) -> Self:
        settings, used = request.app[SETTINGS], usage.on(today())
        return cls(
            tenant=tenant_of(request),
            scopes=scopes_of(request),
            requests=RequestRate(per_second=limits.requests_per_second, burst=limits.request_burst),
            tenant_requests=RequestRate(
                per_second=limits.tenant_requests_per_second, burst=limits.tenant_request_burst
            ),
            bytes_per_day=Counted.of(limits.bytes_per_day, used.bytes),
            megapixels_per_day=Counted.of(limits.megapixels_per_day, round(used.pixels / MEGAPIXEL)),
            resets_at=tomorrow(),
            images=Counted.of(limits.images, used.images + max(0, used.open)),
            max_bytes=settings.max_upload_bytes,
            max_pixels=settings.max_pixels,
            max_side=settings.max_side,
            max_frames=settings.max_frames,
            max_scans=FileLimits().max_scans,
            max_pieces=MAX_PIECES,
            max_seconds=settings.process_timeout_seconds,
            max_memory=settings.told_conversion_budget_bytes,
            max_webhooks=MAX_ENDPOINTS,
            presets=_PRESETS,
            assets=_ASSETS,
            formats=_FORMATS,
            looking=dict.fromkeys(LOOKS, settings.models_dir is not None),
        )


_PRESETS = PresetBounds(
    count=MAX_PRESETS,
    versions=KEPT_VERSIONS,
    variants=MAX_VARIANTS,
    effects=MAX_EFFECTS,
    side=LONGEST_SIDE,
    contain_side=LONGEST_CONTAIN_SIDE,
    cpu_seconds=MAX_CPU_SECONDS,
)
_ASSETS = AssetBounds(count=MAX_ASSETS, bytes=MAX_PICTURE_BYTES, characters=MOST_CHARACTERS, lines=MOST_LINES)
_FORMATS = [AcceptedFormat(extension=name, content_type=kind) for name, kind in CONTENT_TYPES.items()]

LIMITS = LimitsAnswer(
    tenant=DEFAULT_TENANT,
    scopes=[Scope.READ, Scope.WRITE],
    requests=RequestRate(per_second=50, burst=200),
    tenant_requests=RequestRate(per_second=500, burst=2000),
    bytes_per_day=Counted.of(2**40, 52_428_800),
    megapixels_per_day=Counted.of(10_000_000, 1234),
    resets_at=clock.from_iso("2026-01-03T00:00:00.000Z"),
    images=Counted.of(10_000_000, 4321),
    max_bytes=100 * 1024 * 1024,
    max_pixels=120_000_000,
    max_side=32_767,
    max_frames=500,
    max_scans=100,
    max_pieces=10_000,
    max_seconds=60,
    max_memory=960 * 1024 * 1024,
    max_webhooks=MAX_ENDPOINTS,
    presets=_PRESETS,
    assets=_ASSETS,
    formats=_FORMATS,
    looking=dict.fromkeys(LOOKS, True),
)


@call("getLimits", groups.ACCESS, reply("The limits", LIMITS))
async def show(request: web.Request) -> web.Response:
    """See what the tenant may use and has used."""
    usage, limits = await request.app[QUOTA].state(tenant_of(request))
    return render(request, LimitsAnswer.of(request, usage, limits))


@call("overrideLimits", groups.ACCESS, reply("The limits", LIMITS), body=OverridesRequest)
async def override(request: web.Request) -> web.Response:
    """Give the tenant limits of its own.

    A limit that is left out goes back to the default. The limits take effect within seconds.
    """
    asked = await asked_by(request, OverridesRequest, await json_body(request))
    quota = request.app[QUOTA]
    overrides = asked.to_overrides()
    await quota.store.set_overrides(tenant_of(request), overrides)
    log.info("Limits overridden")
    usage = (await quota.store.get(tenant_of(request))).usage
    answer = LimitsAnswer.of(request, usage, overrides.over(quota.defaults))
    return render(request, answer.ignoring(asked.ignored))
