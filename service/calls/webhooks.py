"""Calls for webhooks: make, list, change and delete them, list their deliveries, and send deliveries again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, ClassVar, Self

import structlog
from aiohttp import web
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from processor import clock
from processor.errors import DeliveryNotFound, TooManyWebhooks, WebhookNotFound, WebhookOff
from processor.jobs import JobStatus
from processor.moments import Kind
from processor.ports.jobs import JobQuery
from processor.ports.webhooks import Attempt, Delivery, DeliveryQuery, DeliveryStatus, Endpoint, OffReason
from processor.webhooks.messages import ReplayDue
from processor.webhooks.registry import Webhooks, Wish
from service.auth.middleware import tenant_of
from service.calls import groups
from service.calls.listing import CURSOR_WORDS, FirstMoment, LastMoment
from service.calls.names import ProcessingId, UniqueId
from service.config import SETTINGS
from service.http.body import json_body, optional_json_body
from service.http.call import PathPart, call, reply
from service.http.cursor import CURSORS
from service.http.problems import FieldError, InvalidCursor, InvalidRequest
from service.http.rendering import render, render_rows
from service.http.wire import Answer, Heard, Question, Time, WholeNumber, is_none, printable, read_query
from service.idempotency import keep_no_answer
from service.limits.long_bodies import asked_by
from service.limits.long_pages import page_turn
from service.webhooks.addresses import LONGEST_URL, complaint

WEBHOOKS = web.AppKey("webhooks", Webhooks)

#: Time for which the previous secret also signs, in seconds: the default, a day; and the longest.
DEFAULT_GRACE_SECONDS, MAX_GRACE_SECONDS = 24 * 3600, 7 * 24 * 3600
#: The default events of an endpoint: the ends of jobs, and that one waits for a reviewer.
ENDS = (Kind.NEEDS_REVIEW, Kind.COMPLETED, Kind.REJECTED, Kind.FAILED, Kind.SUPERSEDED, Kind.DELETED)

WEBHOOK_ID = PathPart("webhookId", "As answered when the webhook was made.", r"^wh_[a-z2-7]{16}$")

log = structlog.get_logger(__name__)


def _kind(value: object) -> object:
    """Converts text to the enumeration: JSON has none, so a strict model would refuse every value."""
    return Kind(value) if isinstance(value, str) and value in list(Kind) else value


def _distinct(kinds: list[Kind]) -> list[Kind]:
    return list(dict.fromkeys(kinds))


WebhookId = Annotated[str, Field(examples=["wh_k3v7q2mzt5x6wabn"])]
EventId = Annotated[str, Field(examples=["1767323055090-img_1767323045678_9f86d081884c7d65-0002"])]
_Kinds = Annotated[
    list[Annotated[Kind, BeforeValidator(_kind)]],
    Field(min_length=1, max_length=len(Kind)),
    AfterValidator(_distinct),
]
_Description = Annotated[str, Field(max_length=200), AfterValidator(printable)]
_Url = Annotated[str, Field(max_length=LONGEST_URL, examples=["https://hooks.example.com/images"])]

_URL_TOLD = "Where events are sent: `https`, port 443 or one from 1024 on, a public address, no user in it."


class NewWebhookRequest(Question):
    """The URL of a new webhook, and its events."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"url": "https://hooks.example.com/images"}]})

    url: _Url = Field(description=_URL_TOLD)
    events: _Kinds = Field(default=list(ENDS), description="What it wants to hear; without it, how each job ended.")
    description: _Description = Field(default="", description="What it is for, for people.", examples=["shop"])


class ChangeWebhookRequest(Question):
    """The fields to change. A missing field stays unchanged."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"on": False}]})

    url: _Url | None = Field(default=None, description=_URL_TOLD)
    events: _Kinds | None = Field(default=None, description="What it wants to hear.")
    description: _Description | None = Field(default=None, description="What it is for, for people.")
    on: bool | None = Field(default=None, description="Whether events are sent. What happens while it is off is not.")


class RotateSecretRequest(Question):
    """The time for which the old secret still signs."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"grace": DEFAULT_GRACE_SECONDS}]})

    grace: int = Field(
        default=DEFAULT_GRACE_SECONDS,
        ge=0,
        le=MAX_GRACE_SECONDS,
        description="Seconds for which the old secret signs, too.",
    )


class ReplayRequest(Question):
    """Which deliveries to send again: one event, or those that failed, or those of a time."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"failed": True}]})
    other_words: ClassVar[Mapping[str, str]] = {"since": "from", "until": "to", "id": "eventId"}

    event_id: Annotated[str, Field(max_length=200)] | None = Field(default=None, description="This one event.")
    failed: bool = Field(default=False, description="Only what failed.")
    happened_from: FirstMoment | None = Field(
        default=None, alias="from", description="Only events from this time on: as in a listing."
    )
    happened_to: LastMoment | None = Field(default=None, alias="to", description="Only events until then.")

    @property
    def names_many(self) -> bool:
        return self.failed or self.happened_from is not None or self.happened_to is not None


class AttemptsQuery(Question):
    """Which deliveries to list."""

    other_words: ClassVar[Mapping[str, str]] = CURSOR_WORDS

    limit: WholeNumber = Field(default=50, ge=1, le=100, description="Most deliveries on a page.")
    last_key: str | None = Field(default=None, description="`lastEvaluatedKey` of the page before.")
    failed: bool = Field(default=False, description="Only what failed.")
    happened_from: FirstMoment | None = Field(
        default=None, alias="from", description="Only events from this time on: as in a listing."
    )
    happened_to: LastMoment | None = Field(default=None, alias="to", description="Only events until then.")


class AttemptAnswer(Answer):
    """One try."""

    at: Time
    milliseconds: int = Field(description="How long it took.", examples=[87])
    status: int | None = Field(description="What the receiver answered; null if it did not.", examples=[503])
    code: str | None = Field(
        description="Why it failed: `refused` (4xx), `receiver_failed` (5xx), `redirected`, `timed_out`, "
        "`name_not_found`, `address_not_allowed`, `no_connection`, `no_trust` (TLS), `no_answer`; null if it did not.",
        examples=["receiver_failed"],
    )

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        return cls(at=attempt.at, milliseconds=attempt.milliseconds, status=attempt.status, code=attempt.code or None)


class DeliveryAnswer(Answer):
    """One event for this webhook, and its delivery."""

    event_id: EventId
    type: str = Field(examples=[Kind.COMPLETED])
    unique_id: UniqueId | None = Field(description="Null for a test.")
    processing_id: ProcessingId | None = Field(description="Null for a test.")
    event_at: Time = Field(description="When the event happened.")
    status: DeliveryStatus
    code: str | None = Field(
        description="Why it is not tried any more: that of the last attempt, `webhook_off`, `webhook_deleted`, or "
        "`image_deleted`; `variant_gone`: its run was cut short, has failed or was overtaken.",
        examples=[None],
    )
    next_at: Time | None = Field(description="When it is tried again.")
    attempts: list[AttemptAnswer] = Field(description="The latest last; the last 18 of them.")

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        return cls(
            event_id=delivery.event_id,
            type=delivery.type,
            unique_id=delivery.unique_id or None,
            processing_id=delivery.processing_id or None,
            event_at=delivery.event_at,
            status=delivery.status,
            code=delivery.code or None,
            next_at=delivery.next_at,
            attempts=[AttemptAnswer.of(each) for each in delivery.attempts],
        )


class DeliveryList(Heard):
    """A page of deliveries, newest events first; of the last seven days."""

    deliveries: list[DeliveryAnswer]
    count: int = Field(description="How many there are on this page.")
    last_evaluated_key: str | None = Field(description="`lastKey` of the next page; null at the end.")

    @classmethod
    def of_page(cls, deliveries: Sequence[Delivery], last_key: str | None) -> Self:
        shown = [DeliveryAnswer.of(each) for each in deliveries]
        return cls(deliveries=shown, count=len(shown), last_evaluated_key=last_key)


class ReplayAnswer(Heard):
    """The deliveries that are sent again."""

    message: str
    delivery: DeliveryAnswer | None = Field(default=None, exclude_if=is_none, description="Of one event.")


class WebhookAnswer(Heard):
    """A webhook, without its secret."""

    webhook_id: WebhookId
    url: str = Field(examples=["https://hooks.example.com/images"])
    description: str = Field(examples=["shop"])
    events: list[Kind]
    on: bool
    off_reason: OffReason | None = Field(
        description="`asked`; `failing`: no delivery has succeeded for days; `gone`: the receiver answered 410.",
    )
    off_since: Time | None
    failing_since: Time | None = Field(description="The first failure since a success.")
    last_failure: AttemptAnswer | None = Field(description="The attempt that began or ended it.")
    old_secret_until: Time | None = Field(description="Until then the secret before the last rotation signs, too.")
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        return cls(**cls._told(endpoint))

    @staticmethod
    def _told(endpoint: Endpoint) -> dict[str, object]:
        last = endpoint.last_failure
        return {
            "webhook_id": endpoint.webhook_id,
            "url": endpoint.url,
            "description": endpoint.description,
            "events": list(endpoint.events),
            "on": endpoint.off is None,
            "off_reason": endpoint.off,
            "off_since": endpoint.off_since,
            "failing_since": endpoint.failing_since,
            "last_failure": None if last is None else AttemptAnswer.of(last),
            "old_secret_until": endpoint.old_secret_until,
            "created_at": endpoint.created_at,
            "updated_at": endpoint.updated_at,
        }


class NewSecretAnswer(WebhookAnswer):
    """A webhook, with a new secret."""

    secret: str = Field(
        description="Verifies what is sent. It is shown this once.",
        examples=["whsec_RVhBTVBMRS1FWEFNUExFLUVYQU1QTEUtRVhBTVBMRSE="],
    )

    @classmethod
    def with_secret(cls, endpoint: Endpoint) -> Self:
        """The answer with the secret. No other answer has it."""
        return cls(**cls._told(endpoint), secret=endpoint.secret)


class WebhookList(Answer):
    """The webhooks of a tenant, oldest first."""

    webhooks: list[WebhookAnswer]
    count: int

    @classmethod
    def of(cls, endpoints: Sequence[Endpoint]) -> Self:
        return cls(webhooks=[WebhookAnswer.of(each) for each in endpoints], count=len(endpoints))


_AT = clock.from_iso("2026-01-02T03:04:05.678Z")
_ENDPOINT = Endpoint(
    webhook_id="wh_k3v7q2mzt5x6wabn",
    url="https://hooks.example.com/images",
    description="shop",
    events=ENDS,
    secret="whsec_RVhBTVBMRS1FWEFNUExFLUVYQU1QTEUtRVhBTVBMRSE=",  # noqa: S106 - signs nothing
    created_at=_AT,
    updated_at=_AT,
)
_OFF = replace(_ENDPOINT, off=OffReason.ASKED, off_since=_AT)
_TRIED_AT = clock.from_iso("2026-01-02T03:04:15.213Z")
_DELIVERY = Delivery(
    webhook_id=_ENDPOINT.webhook_id,
    event_id="1767323055090-img_1767323045678_9f86d081884c7d65-0002",
    tenant="acme",
    type=Kind.COMPLETED,
    unique_id="6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e",
    processing_id="img_1767323045678_9f86d081884c7d65",
    event_at=clock.from_iso("2026-01-02T03:04:15.090Z"),
    status=DeliveryStatus.DELIVERED,
    tries=1,
    attempts=(Attempt(at=_TRIED_AT, milliseconds=87, status=204),),
    expires_at=0,
)
_AGAIN = replace(_DELIVERY, status=DeliveryStatus.PENDING, next_at=_TRIED_AT)
WEBHOOK = WebhookAnswer.of(_ENDPOINT)
CHANGED = WebhookAnswer.of(_OFF)
NEW_SECRET = NewSecretAnswer.with_secret(_ENDPOINT)
DELIVERIES = DeliveryList.of_page([_DELIVERY], None)
REPLAYED = ReplayAnswer(message="Sent again", delivery=DeliveryAnswer.of(_AGAIN))
REPLAYING = ReplayAnswer(message="They are sent again, one after the other")
_TEST = replace(_AGAIN, type="webhook.test", unique_id="", processing_id="", attempts=())


@call("listWebhooks", groups.WEBHOOKS, reply("The webhooks", WebhookList.of([_ENDPOINT])))
async def list_webhooks(request: web.Request) -> web.Response:
    """List the tenant's webhooks, oldest first."""
    return render(request, WebhookList.of(await request.app[WEBHOOKS].list(tenant_of(request))))


@call(
    "createWebhook",
    groups.WEBHOOKS,
    reply("The webhook", NEW_SECRET, status=HTTPStatus.CREATED),
    body=NewWebhookRequest,
    problems=(TooManyWebhooks,),
)
async def create(request: web.Request) -> web.Response:
    """Make a webhook: what happens to the tenant's images is sent there from now on.

    Its secret is in this answer alone. Every process knows of it within five seconds.
    """
    asked = await asked_by(request, NewWebhookRequest, await json_body(request))
    _check_url(request, asked.url)
    endpoint = await request.app[WEBHOOKS].create(tenant_of(request), asked.url, tuple(asked.events), asked.description)
    log.info("Webhook created", webhookId=endpoint.webhook_id)
    keep_no_answer(request)
    return render(request, NewSecretAnswer.with_secret(endpoint).ignoring(asked.ignored), HTTPStatus.CREATED)


@call("showWebhook", groups.WEBHOOKS, reply("The webhook", WEBHOOK), path=(WEBHOOK_ID,), problems=(WebhookNotFound,))
async def show(request: web.Request) -> web.Response:
    """Show a webhook, and why it is off if it is."""
    return render(request, WebhookAnswer.of(await request.app[WEBHOOKS].get(tenant_of(request), _id(request))))


@call(
    "changeWebhook",
    groups.WEBHOOKS,
    reply("The changed webhook", CHANGED),
    path=(WEBHOOK_ID,),
    body=ChangeWebhookRequest,
    problems=(WebhookNotFound,),
)
async def change(request: web.Request) -> web.Response:
    """Change a webhook, or switch it on or off.

    Every process knows of it within five seconds.
    """
    asked = await asked_by(request, ChangeWebhookRequest, await json_body(request))
    if asked.url is not None:
        _check_url(request, asked.url)
    wish = Wish(
        url=asked.url,
        description=asked.description,
        events=None if asked.events is None else tuple(asked.events),
        on=asked.on,
    )
    endpoint = await request.app[WEBHOOKS].change(tenant_of(request), _id(request), wish)
    log.info("Webhook changed", webhookId=endpoint.webhook_id)
    return render(request, WebhookAnswer.of(endpoint).ignoring(asked.ignored))


@call(
    "deleteWebhook",
    groups.WEBHOOKS,
    reply("The webhook that was", WEBHOOK),
    path=(WEBHOOK_ID,),
    problems=(WebhookNotFound,),
)
async def delete(request: web.Request) -> web.Response:
    """Delete a webhook. Events that still wait are not sent."""
    webhooks, tenant = request.app[WEBHOOKS], tenant_of(request)
    endpoint = await webhooks.get(tenant, _id(request))
    await webhooks.delete(tenant, endpoint.webhook_id)
    log.info("Webhook deleted", webhookId=endpoint.webhook_id)
    return render(request, WebhookAnswer.of(endpoint))


@call(
    "rotateWebhookSecret",
    groups.WEBHOOKS,
    reply("The webhook, with its new secret", NEW_SECRET, status=HTTPStatus.CREATED),
    path=(WEBHOOK_ID,),
    body=RotateSecretRequest,
    body_required=False,
    problems=(WebhookNotFound,),
)
async def rotate(request: web.Request) -> web.Response:
    """Give a webhook a new secret.

    For `grace` seconds, each request has two signatures, one by each secret. Only this answer has the new secret.
    """
    asked = await asked_by(request, RotateSecretRequest, await optional_json_body(request))
    grace = timedelta(seconds=asked.grace)
    endpoint = await request.app[WEBHOOKS].rotate(tenant_of(request), _id(request), grace)
    log.info("Webhook secret rotated", webhookId=endpoint.webhook_id)
    keep_no_answer(request)
    return render(request, NewSecretAnswer.with_secret(endpoint).ignoring(asked.ignored), HTTPStatus.CREATED)


@call(
    "testWebhook",
    groups.WEBHOOKS,
    reply("The delivery", DeliveryAnswer.of(_TEST), status=HTTPStatus.ACCEPTED),
    path=(WEBHOOK_ID,),
    problems=(WebhookNotFound, WebhookOff),
)
async def test(request: web.Request) -> web.Response:
    """Send an event `webhook.test`, which is about no image.

    It is sent like all others, and its attempts are listed with theirs.
    """
    delivery = await request.app[WEBHOOKS].test(tenant_of(request), _id(request))
    return render(request, DeliveryAnswer.of(delivery), HTTPStatus.ACCEPTED)


@call(
    "listWebhookAttempts",
    groups.WEBHOOKS,
    reply("A page", DELIVERIES),
    path=(WEBHOOK_ID,),
    query=AttemptsQuery,
    problems=(WebhookNotFound, InvalidCursor),
)
async def attempts(request: web.Request) -> web.Response:
    """List the deliveries of the last seven days with their attempts, newest events first."""
    asked = read_query(AttemptsQuery, request.query)
    _check_span(asked.happened_from, asked.happened_to)
    query = DeliveryQuery(
        tenant=tenant_of(request),
        webhook_id=_id(request),
        failed=asked.failed,
        since=asked.happened_from,
        until=asked.happened_to,
        limit=asked.limit,
    )
    cursors, question = request.app[CURSORS], _question(query)
    if asked.last_key is not None:
        query = replace(query, after=await cursors.open(asked.last_key, question))
    async with page_turn(request, query.limit):
        page = await request.app[WEBHOOKS].deliveries(query)
        last_key = None if page.next_after is None else await cursors.seal(question, page.next_after)
        return await render_rows(
            request,
            lambda: DeliveryList.of_page(page.deliveries, last_key).ignoring(asked.ignored),
            rows=len(page.deliveries),
            tenant=query.tenant,
        )


@call(
    "replayWebhook",
    groups.WEBHOOKS,
    reply("It is sent again", {"one event": REPLAYED, "many": REPLAYING}, status=HTTPStatus.ACCEPTED),
    path=(WEBHOOK_ID,),
    body=ReplayRequest,
    problems=(WebhookNotFound, DeliveryNotFound, WebhookOff),
)
async def replay(request: web.Request) -> web.Response:
    """Send deliveries of the last seven days again: one event by its id, all that failed, or those of a time.

    Each keeps its `webhook-id`, and is tried for a day, like a new one.
    """
    asked = await asked_by(request, ReplayRequest, await json_body(request))
    webhooks, tenant, webhook_id = request.app[WEBHOOKS], tenant_of(request), _id(request)
    if (asked.event_id is None) != asked.names_many:
        raise InvalidRequest([FieldError(field="eventId", message="either this, or failed, from or to")])
    if asked.event_id is not None:
        delivery = DeliveryAnswer.of(await webhooks.replay(tenant, webhook_id, asked.event_id))
        answer = ReplayAnswer(message=REPLAYED.message, delivery=delivery)
        return render(request, answer.ignoring(asked.ignored), HTTPStatus.ACCEPTED)
    _check_span(asked.happened_from, asked.happened_to)
    await webhooks.replay_many(
        ReplayDue.of(tenant, webhook_id, failed=asked.failed, since=asked.happened_from, until=asked.happened_to)
    )
    log.info("Webhook replayed", webhookId=webhook_id)
    return render(request, REPLAYING.ignoring(asked.ignored), HTTPStatus.ACCEPTED)


def _id(request: web.Request) -> str:
    return request.match_info[WEBHOOK_ID.name]


def _check_url(request: web.Request, url: str) -> None:
    """Raises `InvalidRequest`."""
    wrong = complaint(url, loopback=request.app[SETTINGS].on_this_machine)
    if wrong:
        raise InvalidRequest([FieldError(field="url", message=wrong)])


def _check_span(since: datetime | None, until: datetime | None) -> None:
    if since and until and since > until:
        raise InvalidRequest([FieldError(field="from", message="must not be later than to")])


def _question(query: DeliveryQuery) -> JobQuery:
    """The name that a cursor is signed for. No tenant has such a name, so the cursor opens no list of images."""
    return JobQuery(
        tenant=f"{query.tenant}#{query.webhook_id}",
        limit=query.limit,
        status=JobStatus.FAILED if query.failed else None,
        created_from=query.since,
        created_to=query.until,
    )
