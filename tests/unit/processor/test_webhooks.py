"""Whoever wants to be told is told at least once, with a signature, and nobody waits for anybody else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
import standardwebhooks

from processor import clock
from processor.endings import Endings
from processor.errors import (
    CorruptImage,
    DeliveryNotFound,
    RecordChanged,
    TooManyWebhooks,
    Unavailable,
    WebhookNotFound,
    WebhookOff,
)
from processor.events import JobRequested
from processor.images import Rendered, Variant
from processor.jobs import End, Job
from processor.moments import Kind
from processor.notices import Notice, notices_of
from processor.ports.renderer import NO_TICKET, Ticket
from processor.ports.webhooks import Answered, Delivery, DeliveryQuery, DeliveryStatus, Endpoint, Endpoints, OffReason
from processor.probe import Probes
from processor.recipes import FURTHER, STANDARD, Recipe
from processor.stores.memory import MemoryWebhookStore
from processor.webhooks import delivering
from processor.webhooks.delivering import PAUSES, Deliverer
from processor.webhooks.directory import Directory
from processor.webhooks.listener import WebhookTeller
from processor.webhooks.messages import DeliveryDue, ReplayDue
from processor.webhooks.registry import MAX_ENDPOINTS, REPLAYED_AT_ONCE, Webhooks, Wish
from processor.webhooks.signing import message_id
from processor.webhooks.told import Told
from processor.work.outcomes import Outcome
from tests.unit.world import TENANT, Noted, RecordingQueue, ScriptedRenderer, World
from tests.waiting import eventually

URL = "https://hooks.example.com/"
ENDS = (Kind.COMPLETED, Kind.FAILED, Kind.SUPERSEDED, Kind.DELETED)


@dataclass
class Receiver:
    """Answers what it is told to, and remembers what came; `during` runs in the middle of a request."""

    answers: list[Answered] = field(default_factory=list)
    came: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    open: int = 0
    most: int = 0

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        self.came.append((url, headers, body))
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            if url in self.held:
                await self.held[url].wait()
        finally:
            self.open -= 1
        return self.answers.pop(0) if self.answers else Answered(status=204)

    @property
    def events(self) -> list[str]:
        return [json.loads(body)["id"] for _, _, body in self.came]


def told(delivery: Delivery, notice: Notice | None) -> bytes:
    return json.dumps({"id": delivery.event_id, "kind": None if notice is None else notice.kind}).encode()


@dataclass
class Scene:
    """A service whose tenant has webhooks. Time passes when a test says so."""

    receiver: Receiver = field(default_factory=Receiver)
    noted: Noted = field(default_factory=Noted)
    queue: RecordingQueue = field(default_factory=RecordingQueue)

    recipe: Recipe = STANDARD

    def __post_init__(self) -> None:
        self.store = MemoryWebhookStore()
        directory = Directory(store=self.store, monotonic=iter(range(0, 10**9, 1000)).__next__)
        self.webhooks = Webhooks(store=self.store, queue=self.queue, directory=directory)
        self.teller = WebhookTeller(store=self.store, queue=self.queue, directory=directory)
        self.world = World(queue=self.queue, listeners=(self.teller,), recipe=self.recipe)
        self.deliverer = self.another_deliverer()

    def another_deliverer(self) -> Deliverer:
        return Deliverer(
            webhooks=self.webhooks,
            jobs=self.world.jobs,
            sender=self.receiver,
            render=told,
            failing_limit=timedelta(days=3),
            probes=Probes((self.noted,)),
        )

    async def endpoint(self, url: str = URL, events: tuple[Kind, ...] = ENDS, tenant: str = TENANT) -> Endpoint:
        return await self.webhooks.create(tenant, url, events, "")

    async def ended(self, body: bytes = b"photo") -> Job:
        """A job that was converted."""
        submission, event = await self.world.uploaded(body)
        await self.world.converter.convert(event)
        return await self.world.jobs.job_of_any_tenant(submission.job.processing_id)

    def due(self) -> list[str]:
        """The messages that wait, which are taken off the queue."""
        bodies = [body for body in self.queue.bodies if body.startswith('{"webhook')]
        self.queue._letters.clear()
        return bodies

    async def delivered(self) -> None:
        """Handle what waits, whenever it is due, until nothing is left."""
        while bodies := self.due():
            for body in bodies:
                message = DeliveryDue.read(body)
                assert await self.deliverer.handle(replace(message, due=0).to_message() if message else body) is None

    async def delivery(self, endpoint: Endpoint, event_id: str) -> Delivery:
        return await self.store.delivery(endpoint.webhook_id, event_id)

    async def log(self, endpoint: Endpoint, *, failed: bool = False) -> list[Delivery]:
        query = DeliveryQuery(tenant=TENANT, webhook_id=endpoint.webhook_id, failed=failed)
        return list((await self.store.deliveries(query)).deliveries)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def failing(status: int = 503) -> Answered:
    return Answered(status=status, code="receiver_failed")


async def test_the_end_of_a_job_is_told_to_whoever_wants_it_signed_as_the_library_of_receivers_verifies(
    scene: Scene,
) -> None:
    endpoint = await scene.endpoint()
    await scene.endpoint(url="https://other.example.com/", events=(Kind.FAILED,))
    await scene.endpoint(tenant="stranger")
    job = await scene.ended()
    await scene.delivered()
    ((url, headers, body),) = scene.receiver.came
    assert url == URL
    assert json.loads(body) == {"id": notices_of(job)[-1].id, "kind": Kind.COMPLETED}
    assert standardwebhooks.Webhook(endpoint.secret).verify(body, dict(headers)) == json.loads(body)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(endpoint.secret).verify(body + b" ", dict(headers))


async def test_all_that_happened_to_a_job_is_told_to_whoever_wants_all_of_it(scene: Scene) -> None:
    await scene.endpoint(events=tuple(Kind))
    job = await scene.ended()
    await scene.delivered()
    assert sorted(scene.receiver.events) == [notice.id for notice in notices_of(job)]
    ids = [headers["webhook-id"] for _, headers, _ in scene.receiver.came]
    assert sorted(ids) == [message_id(notice.id) for notice in notices_of(job)]
    assert not any("." in each for each in ids)
    assert len(set(ids)) == len(ids)


async def test_a_superseded_a_failed_and_a_deleted_image_are_told(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    submission, event = await scene.world.uploaded(b"first")
    scene.world.renderer.during = lambda: _overwrite(scene, submission.job.original_key)
    await scene.world.converter.convert(event)
    await scene.delivered()
    await scene.world.catalog.delete(TENANT, submission.job.unique_id)
    await scene.delivered()
    kinds = [each.type for each in await scene.log(endpoint)]
    assert Kind.DELETED in kinds
    assert [json.loads(body)["kind"] for _, _, body in scene.receiver.came][-1] == Kind.DELETED


async def _overwrite(scene: Scene, key: str) -> None:
    scene.world.renderer.during = None
    event = await scene.world.source.put(key, b"second")
    await scene.world.another_converter().convert(event)


async def test_whoever_dies_between_the_record_and_the_message_has_not_told_and_the_next_one_does(
    scene: Scene,
) -> None:
    await scene.endpoint()
    _, event = await scene.world.uploaded()
    scene.queue.failing = True
    outcome = await scene.world.converter.convert(event)
    assert not outcome.told  # so the message is not settled
    scene.queue.failing = False
    assert (await scene.world.converter.convert(event)).told
    await scene.delivered()
    assert len(scene.receiver.came) == 1


async def test_an_end_that_is_told_again_is_delivered_once(scene: Scene) -> None:
    await scene.endpoint()
    job = await scene.ended()
    await scene.delivered()
    await Endings(jobs=scene.world.jobs, listeners=(scene.teller,)).tell(job)
    await scene.delivered()
    assert len(scene.receiver.came) == 1


async def test_what_happened_before_there_was_a_webhook_or_long_ago_is_not_told(scene: Scene) -> None:
    job = await scene.ended()
    await scene.endpoint()
    endpoints = await scene.store.endpoints(TENANT)
    later = replace(endpoints.all[0], created_at=job.updated_at + timedelta(seconds=1))
    await scene.store.write(TENANT, endpoints.with_one(later))
    await scene.teller.ended(job, End.COMPLETED)
    assert scene.due() == []
    old = replace(job, moments=tuple(replace(each, at=each.at - timedelta(days=6)) for each in job.moments))
    old = replace(old, variants=(), created_at=job.created_at - timedelta(days=6))
    endpoints = await scene.store.endpoints(TENANT)
    since = replace(endpoints.all[0], created_at=job.created_at - timedelta(days=30))
    await scene.store.write(TENANT, endpoints.with_one(since))
    await scene.teller.ended(old, End.COMPLETED)
    assert scene.due() == []


async def test_a_delivery_is_tried_for_a_day_with_growing_pauses_and_then_given_up(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    scene.receiver.answers = [failing() for _ in range(20)]
    job = await scene.ended()
    await scene.delivered()
    delivery = await scene.delivery(endpoint, notices_of(job)[-1].id)
    assert (delivery.status, delivery.code, delivery.next_at) == (DeliveryStatus.FAILED, "receiver_failed", None)
    assert [each.status for each in delivery.attempts] == [503] * (len(PAUSES) + 1)
    assert len({headers["webhook-id"] for _, headers, _ in scene.receiver.came}) == 1
    assert len({body for _, _, body in scene.receiver.came}) == 1
    assert 20 * 3600 < sum(PAUSES) < 25 * 3600
    assert list(PAUSES) == sorted(PAUSES)
    assert [each.event_id for each in await scene.log(endpoint, failed=True)] == [delivery.event_id]


async def test_what_is_due_later_is_sent_on_until_then_without_a_look_at_the_records(scene: Scene) -> None:
    soon = round(clock.now().timestamp())
    for seconds, hop in ((5000, 900), (60, 60)):
        message = DeliveryDue(tenant=TENANT, webhook_id="wh", event_id="e", due=soon + seconds)
        assert await scene.deliverer.handle(message.to_message()) in (hop, hop - 1, hop - 2)


async def test_a_try_after_which_the_process_died_is_made_again_and_only_one_of_the_two_goes_on(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    scene.receiver.answers = [failing(), failing()]
    job = await scene.ended()
    (first,) = scene.due()
    update, scene.store.update = scene.store.update, _died  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await scene.deliverer.handle(first)
    scene.store.update = update  # type: ignore[method-assign]
    (lost,) = scene.due()
    await scene.deliverer.handle(first)
    (second,) = scene.due()
    for body in (lost, second):
        message = DeliveryDue.read(body)
        assert message is not None
        await scene.deliverer.handle(replace(message, due=0).to_message())
    assert len(scene.receiver.came) == 3
    delivery = await scene.delivery(endpoint, notices_of(job)[-1].id)
    assert (delivery.status, delivery.tries) == (DeliveryStatus.DELIVERED, 2)


async def _died(*_: object, **__: object) -> None:
    raise Unavailable


async def test_a_message_that_comes_twice_delivers_once(scene: Scene) -> None:
    await scene.endpoint()
    await scene.ended()
    (body,) = scene.due()
    await scene.deliverer.handle(body)
    await scene.deliverer.handle(body)
    assert len(scene.receiver.came) == 1


async def test_nothing_is_told_of_an_image_that_is_deleted_but_its_end(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    job = await scene.ended()
    (completed,) = scene.due()
    await scene.world.catalog.delete(TENANT, job.unique_id)
    await scene.deliverer.handle(completed)
    assert scene.receiver.came == []
    delivery = await scene.delivery(endpoint, notices_of(job)[-1].id)
    assert (delivery.status, delivery.code) == (DeliveryStatus.FAILED, "image_deleted")
    await scene.delivered()
    assert [json.loads(body)["kind"] for _, _, body in scene.receiver.came] == [Kind.DELETED]


async def test_a_webhook_that_fails_for_days_is_switched_off_and_its_owner_sees_why(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    scene.receiver.answers = [failing(), failing(500), failing(502)]
    await scene.ended()
    (body,) = scene.due()
    await scene.deliverer.handle(body)
    found = await scene.webhooks.get(TENANT, endpoint.webhook_id)
    assert found.failing_since is not None
    assert found.off is None
    endpoints = await scene.store.endpoints(TENANT)
    await scene.store.write(
        TENANT, endpoints.with_one(replace(found, failing_since=found.failing_since - timedelta(days=3)))
    )
    (body,) = scene.due()
    message = DeliveryDue.read(body)
    assert message is not None
    await scene.deliverer.handle(replace(message, due=0).to_message())
    found = await scene.webhooks.get(TENANT, endpoint.webhook_id)
    assert found.off is OffReason.FAILING
    assert found.off_since is not None
    assert found.last_failure is not None
    assert found.last_failure.status == 500
    await scene.delivered()
    (delivery,) = await scene.log(endpoint)
    assert (delivery.status, delivery.code) == (DeliveryStatus.FAILED, "webhook_off")
    await scene.ended(b"another")
    assert scene.due() == []
    await scene.webhooks.change(TENANT, endpoint.webhook_id, Wish(on=True))
    found = await scene.webhooks.get(TENANT, endpoint.webhook_id)
    assert (found.off, found.failing_since) == (None, None)


async def test_a_success_ends_the_count_of_days(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    scene.receiver.answers = [failing()]
    await scene.ended()
    (body,) = scene.due()
    await scene.deliverer.handle(body)
    endpoints = await scene.store.endpoints(TENANT)
    found = endpoints.all[0]
    assert found.failing_since is not None
    earlier = replace(found, failing_since=found.failing_since - timedelta(days=2))
    await scene.store.write(TENANT, endpoints.with_one(earlier))
    await scene.ended(b"another")
    await scene.delivered()
    assert (await scene.webhooks.get(TENANT, endpoint.webhook_id)).failing_since is None


async def test_a_success_a_moment_after_a_failure_ends_the_count_of_days(scene: Scene) -> None:
    """So a second failure after days without events does not switch the webhook off."""
    endpoint = await scene.endpoint()
    scene.receiver.answers = [failing()]
    await scene.ended()
    (body,) = scene.due()
    await scene.deliverer.handle(body)
    assert (await scene.webhooks.get(TENANT, endpoint.webhook_id)).failing_since is not None
    (body,) = scene.due()
    message = DeliveryDue.read(body)
    assert message is not None
    await scene.deliverer.handle(replace(message, due=0).to_message())
    assert (await scene.webhooks.get(TENANT, endpoint.webhook_id)).failing_since is None


async def test_a_receiver_that_says_gone_hears_nothing_more(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    scene.receiver.answers = [Answered(status=410, code="refused")]
    await scene.ended()
    await scene.delivered()
    assert len(scene.receiver.came) == 1
    assert (await scene.webhooks.get(TENANT, endpoint.webhook_id)).off is OffReason.GONE


async def test_both_secrets_sign_until_the_old_one_ends(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    rotated = await scene.webhooks.rotate(TENANT, endpoint.webhook_id, timedelta(hours=1))
    assert rotated.secret != endpoint.secret
    await scene.ended()
    await scene.delivered()
    ((_, headers, body),) = scene.receiver.came
    for secret in (endpoint.secret, rotated.secret):
        standardwebhooks.Webhook(secret).verify(body, dict(headers))
    assert rotated.secrets(clock.now() + timedelta(hours=2)) == (rotated.secret,)
    at_once = await scene.webhooks.rotate(TENANT, endpoint.webhook_id, timedelta(0))
    assert at_once.secrets(clock.now()) == (at_once.secret,)


async def test_a_test_goes_the_way_of_all_events(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    sent = await scene.webhooks.test(TENANT, endpoint.webhook_id)
    await scene.delivered()
    assert scene.receiver.events == [sent.event_id]
    assert (await scene.delivery(endpoint, sent.event_id)).status is DeliveryStatus.DELIVERED
    await scene.webhooks.change(TENANT, endpoint.webhook_id, Wish(on=False))
    with pytest.raises(WebhookOff):
        await scene.webhooks.test(TENANT, endpoint.webhook_id)


async def test_one_event_is_replayed_under_its_id_also_when_it_was_delivered(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    job = await scene.ended()
    await scene.delivered()
    event_id = notices_of(job)[-1].id
    await scene.webhooks.replay(TENANT, endpoint.webhook_id, event_id)
    await scene.delivered()
    assert scene.receiver.events == [event_id, event_id]
    delivery = await scene.delivery(endpoint, event_id)
    assert (delivery.status, len(delivery.attempts)) == (DeliveryStatus.DELIVERED, 2)
    with pytest.raises(DeliveryNotFound):
        await scene.webhooks.replay(TENANT, endpoint.webhook_id, "another")


async def test_all_that_failed_or_that_happened_in_a_time_is_replayed_page_by_page(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    now = clock.now()
    for number in range(2 * REPLAYED_AT_ONCE + 3):
        at = now - timedelta(minutes=number)
        failed = number % 2 == 0
        await scene.store.add(
            Delivery(
                webhook_id=endpoint.webhook_id,
                event_id=f"{round(at.timestamp() * 1000)}-test_{number}-0000",
                tenant=TENANT,
                type="webhook.test",
                event_at=at,
                status=DeliveryStatus.FAILED if failed else DeliveryStatus.DELIVERED,
                tries=1,
                expires_at=2**40,
            )
        )
    many = ReplayDue.of(TENANT, endpoint.webhook_id, failed=True, since=None, until=None)
    await scene.webhooks.replay_many(many)
    await scene.delivered()
    assert len(scene.receiver.came) == len(set(scene.receiver.events)) == REPLAYED_AT_ONCE + 2
    scene.receiver.came.clear()
    since, until = now - timedelta(minutes=4, seconds=30), now - timedelta(minutes=1, seconds=30)
    await scene.webhooks.replay_many(ReplayDue.of(TENANT, endpoint.webhook_id, failed=False, since=since, until=until))
    await scene.delivered()
    assert sorted(each.split("_")[1] for each in scene.receiver.events) == ["2-0000", "3-0000", "4-0000"]


async def test_a_replay_that_was_cut_short_can_be_repeated(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    scene.receiver.answers = [failing() for _ in range(len(PAUSES) + 1)]
    await scene.ended()
    await scene.delivered()
    (failed,) = await scene.log(endpoint, failed=True)
    scene.queue.failing = True
    with pytest.raises(Unavailable):
        await scene.webhooks.replay(TENANT, endpoint.webhook_id, failed.event_id)
    scene.queue.failing = False
    await scene.webhooks.replay_many(ReplayDue.of(TENANT, endpoint.webhook_id, failed=True, since=None, until=None))
    await scene.delivered()
    assert (await scene.delivery(endpoint, failed.event_id)).status is DeliveryStatus.DELIVERED
    assert await scene.log(endpoint, failed=True) == []


async def test_a_slow_receiver_has_its_own_places_and_delays_nobody_else(scene: Scene) -> None:
    slow, quick = await scene.endpoint(url="https://slow.example.com/"), await scene.endpoint()
    scene.receiver.held[slow.url] = asyncio.Event()
    now = clock.now()
    messages: dict[str, list[str]] = {}
    for endpoint in (slow, quick):
        for _ in range(delivering.WAITING + 4):
            await scene.webhooks.test(TENANT, endpoint.webhook_id)
        messages[endpoint.webhook_id] = scene.due()
    waiting = [asyncio.create_task(scene.deliverer.handle(body)) for body in messages[slow.webhook_id]]
    await asyncio.sleep(0)
    for body in messages[quick.webhook_id]:
        assert await scene.deliverer.handle(body) is None
    assert [url for url, _, _ in scene.receiver.came].count(slow.url) == delivering.AT_ONCE
    crowded = [task.result() for task in waiting if task.done()]
    assert crowded == [delivering.CROWDED_SECONDS] * 4
    scene.receiver.held[slow.url].set()
    assert (await asyncio.gather(*waiting)).count(None) == delivering.WAITING
    assert scene.receiver.most <= delivering.AT_ONCE + 1
    assert now <= clock.now()


async def test_whoever_stops_begins_nothing_that_waits(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    scene.receiver.held[endpoint.url] = asyncio.Event()
    for _ in range(delivering.AT_ONCE + 2):
        await scene.webhooks.test(TENANT, endpoint.webhook_id)
    tasks = [asyncio.create_task(scene.deliverer.handle(body)) for body in scene.due()]
    await asyncio.sleep(0)
    scene.deliverer.stop()
    scene.receiver.held[endpoint.url].set()
    assert sorted(await asyncio.gather(*tasks), key=str) == [0, 0, *[None] * delivering.AT_ONCE]


async def test_a_tenant_has_so_many_webhooks_and_no_more(scene: Scene) -> None:
    await asyncio.gather(*(scene.endpoint() for _ in range(MAX_ENDPOINTS)))
    with pytest.raises(TooManyWebhooks):
        await scene.endpoint()
    await scene.endpoint(tenant="another")


async def test_another_tenant_can_neither_see_nor_change_nor_replay(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    job = await scene.ended()
    calls: list[Callable[[], object]] = [
        lambda: scene.webhooks.get("stranger", endpoint.webhook_id),
        lambda: scene.webhooks.change("stranger", endpoint.webhook_id, Wish(on=False)),
        lambda: scene.webhooks.rotate("stranger", endpoint.webhook_id, timedelta(0)),
        lambda: scene.webhooks.delete("stranger", endpoint.webhook_id),
        lambda: scene.webhooks.test("stranger", endpoint.webhook_id),
        lambda: scene.webhooks.replay("stranger", endpoint.webhook_id, notices_of(job)[-1].id),
        lambda: scene.webhooks.deliveries(DeliveryQuery(tenant="stranger", webhook_id=endpoint.webhook_id)),
    ]
    for each in calls:
        with pytest.raises(WebhookNotFound):
            await each()  # type: ignore[misc]


async def test_a_deleted_webhook_is_sent_nothing_that_waits(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    await scene.ended()
    await scene.webhooks.delete(TENANT, endpoint.webhook_id)
    await scene.delivered()
    assert scene.receiver.came == []
    with pytest.raises(WebhookNotFound):
        await scene.webhooks.get(TENANT, endpoint.webhook_id)


async def test_a_process_asks_for_a_tenants_webhooks_once_in_a_few_seconds() -> None:
    store, now = MemoryWebhookStore(), [0.0]
    directory = Directory(store=store, monotonic=lambda: now[0])
    webhooks = Webhooks(store=store, queue=RecordingQueue(), directory=Directory(store=store))
    assert (await directory.of(TENANT)).all == ()
    await webhooks.create(TENANT, URL, ENDS, "")
    assert (await directory.of(TENANT)).all == ()
    now[0] = 5.0
    assert len((await directory.of(TENANT)).all) == 1


async def test_two_who_change_at_once_both_change(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    seen = await scene.store.endpoints(TENANT)
    await scene.webhooks.change(TENANT, endpoint.webhook_id, Wish(description="a"))
    with pytest.raises(RecordChanged):
        await scene.store.write(TENANT, seen)


@pytest.mark.parametrize(
    "body",
    [
        JobRequested(unique_id="u", processing_id="p").to_message(),
        '{"webhookDelivery":',
        '{"webhookDelivery": 1}',
        '{"webhookDelivery": {"tenant": "a"}}',
        '{"webhookDelivery": {"tenant": "a", "webhook_id": "b", "event_id": 1}}',
        '{"webhookDelivery": {"tenant": "a", "webhook_id": "b", "event_id": "c", "due": true}}',
        '{"webhookDelivery": {"tenant": "a", "webhook_id": "b", "event_id": "c", "more": 1}}',
    ],
)
async def test_a_message_of_another_kind_or_a_damaged_one_is_not_taken(scene: Scene, body: str) -> None:
    assert not scene.deliverer.takes(body)


async def test_messages_are_read_as_they_were_written() -> None:
    due = DeliveryDue(tenant="t", webhook_id="w", event_id="e", number=3, due=5)
    assert DeliveryDue.read(due.to_message()) == due
    now = clock.now()
    replay = ReplayDue.of("t", "w", failed=True, since=now, until=None)
    assert ReplayDue.read(replay.to_message()) == replay
    assert replay.times() == (now, None)


def test_no_secret_is_shown_where_values_are() -> None:
    endpoint = Endpoint(
        webhook_id="wh", url=URL, events=ENDS, secret="whsec_x", created_at=clock.now(), updated_at=clock.now()
    )
    assert "whsec" not in repr(replace(endpoint, old_secret="whsec_y"))


async def test_the_trace_of_a_job_goes_on_to_its_receivers(scene: Scene) -> None:
    await scene.endpoint()
    job = await scene.ended()
    traced = replace(job, trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    scene.world.jobs._jobs[job.processing_id] = traced
    await scene.delivered()
    assert [headers.get("traceparent") for _, headers, _ in scene.receiver.came] == [traced.trace]


async def test_variants_in_further_formats_are_told_when_they_are_there() -> None:
    scene = Scene(recipe=replace(STANDARD, further=FURTHER["avif"]))
    await scene.endpoint(events=(Kind.VARIANT, Kind.COMPLETED))
    job = await scene.ended()
    await scene.delivered()
    first = list(scene.receiver.events)
    assert sorted(first) == [each.id for each in notices_of(job) if each.kind in (Kind.VARIANT, Kind.COMPLETED)]
    await scene.world.converter.make_further(JobRequested(unique_id=job.unique_id, processing_id=job.processing_id))
    await scene.delivered()
    made = await scene.world.jobs.job_of_any_tenant(job.processing_id)
    assert sorted(scene.receiver.events) == sorted(
        each.id for each in notices_of(made) if each.kind in (Kind.VARIANT, Kind.COMPLETED)
    )
    assert len(scene.receiver.events) == len(first) + 4


# -- as it happens


@dataclass
class SlowRenderer(ScriptedRenderer):
    """Gives its first variant away, and waits before it makes the others."""

    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    fails: Exception | None = None

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        await ticket.begin(self.picture)
        variants = [Variant(spec=spec, data=data, width=4, height=3) for spec in recipe.specs]
        ticket.ready(variants[0])
        await self.go_on.wait()
        if self.fails is not None:
            raise self.fails
        for variant in variants[1:]:
            ticket.ready(variant)
        return Rendered(source=self.picture, variants=tuple(variants), facts=self.facts)


@dataclass
class Running:
    """A job in the middle of its work."""

    scene: Scene
    renderer: SlowRenderer = field(default_factory=SlowRenderer)
    job_id: str = ""
    converting: asyncio.Task[Outcome] | None = None

    async def begin(self) -> None:
        submission, event = await self.scene.world.uploaded()
        self.scene.world.renderer = self.renderer
        self.job_id = submission.job.processing_id
        self.converting = asyncio.create_task(self.scene.world.another_converter().convert(event))

    async def heard(self, *kinds: Kind) -> None:
        """Deliver until the receiver has heard of these."""

        async def all_of_them() -> bool:
            await self.scene.delivered()
            return set(kinds) <= {json.loads(body)["kind"] for _, _, body in self.scene.receiver.came}

        await eventually(all_of_them, what="what is told")

    async def end(self) -> Job:
        self.renderer.go_on.set()
        assert self.converting is not None
        assert (await self.converting).told
        await self.scene.delivered()
        return await self.scene.world.jobs.job_of_any_tenant(self.job_id)


@pytest.fixture
def running(scene: Scene) -> Running:
    return Running(scene)


async def test_what_happens_to_a_job_is_told_before_its_end_and_no_more_than_once(running: Running) -> None:
    await running.scene.endpoint(events=tuple(Kind))
    await running.begin()
    await running.heard(Kind.UPLOADED, Kind.PROCESSING, Kind.VARIANT)
    assert len(running.scene.receiver.came) == 3
    job = await running.end()
    assert sorted(running.scene.receiver.events) == [notice.id for notice in notices_of(job)]


async def test_where_nobody_wants_to_hear_of_it_nothing_is_written_before_the_end(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await running.scene.endpoint()
    written: list[str] = []
    reads = counted(running.scene.store, "endpoints", monkeypatch)
    monkeypatch.setattr(running.scene.world.jobs, "note", lambda *_: written.append("note"))
    monkeypatch.setattr(running.scene.store, "add", lambda *_: written.append("delivery"))
    await running.begin()

    async def asked_twice() -> bool:
        return len(reads) >= 2  # for the beginning, and for the first variant

    await eventually(asked_twice, what="a look at the webhooks")
    assert written == []
    assert running.converting is not None
    running.converting.cancel()
    await asyncio.gather(running.converting, return_exceptions=True)


def counted(owner: object, name: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The calls of a method from now on."""
    calls: list[tuple[object, ...]] = []
    method = getattr(owner, name)

    def call(*given: object, **named: object) -> object:
        calls.append(given)
        return method(*given, **named)

    monkeypatch.setattr(owner, name, call)
    return calls


async def test_what_could_not_be_told_as_it_happened_is_told_at_the_end(running: Running) -> None:
    await running.scene.endpoint(events=tuple(Kind))
    running.scene.queue.failing = True
    await running.begin()

    async def tried() -> bool:
        return bool(await running.scene.log((await running.scene.webhooks.list(TENANT))[0]))

    await eventually(tried, what="a delivery that was not sent")
    running.scene.queue.failing = False
    job = await running.end()
    assert sorted(running.scene.receiver.events) == [notice.id for notice in notices_of(job)]


async def test_a_process_that_died_after_telling_is_followed_by_one_that_tells_all_of_its_own_run(
    running: Running,
) -> None:
    scene = running.scene
    endpoint = await scene.endpoint(events=tuple(Kind))
    await running.begin()
    await running.heard(Kind.PROCESSING, Kind.VARIANT)
    assert running.converting is not None
    running.converting.cancel()
    await asyncio.gather(running.converting, return_exceptions=True)
    scene.world.renderer = ScriptedRenderer()
    another = replace(scene.teller, told=Told())
    world = scene.world
    world.listeners = (another,)
    event = JobRequested(unique_id=(await world.jobs.job_of_any_tenant(running.job_id)).unique_id, processing_id="")
    await world.another_converter().convert(replace(event, processing_id=running.job_id))
    await scene.delivered()
    job = await world.jobs.job_of_any_tenant(running.job_id)
    assert {notice.id for notice in notices_of(job)} <= set(scene.receiver.events)
    assert len(scene.receiver.events) == len(set(scene.receiver.events))
    assert {each.status for each in await scene.log(endpoint)} == {DeliveryStatus.DELIVERED}


async def test_a_variant_of_a_run_that_failed_is_not_told_any_more(running: Running) -> None:
    scene = running.scene
    endpoint = await scene.endpoint(events=(Kind.VARIANT, Kind.FAILED))
    running.renderer.fails = CorruptImage()
    await running.begin()

    async def queued() -> bool:
        return bool(scene.queue.bodies)

    await eventually(queued, what="a delivery")
    await running.end()
    assert [json.loads(body)["kind"] for _, _, body in scene.receiver.came] == [Kind.FAILED]
    gone = {each.type: (each.status, each.code) for each in await scene.log(endpoint)}
    assert gone[Kind.VARIANT] == (DeliveryStatus.FAILED, "variant_gone")


async def test_who_asks_to_process_an_image_again_has_it_told_before_a_worker_comes(scene: Scene) -> None:
    job = await scene.ended()
    await scene.endpoint(events=(Kind.UPLOADED,))
    again = await scene.world.catalog.reprocess(TENANT, job.unique_id)
    await scene.delivered()
    assert scene.receiver.events == [notices_of(again)[0].id]


async def test_formats_that_nobody_was_told_of_keep_their_message(scene: Scene) -> None:
    scene = Scene(recipe=replace(STANDARD, further=FURTHER["avif"]))
    await scene.endpoint(events=(Kind.VARIANT,))
    job = await scene.ended()
    await scene.delivered()
    scene.queue.failing = True
    asked = JobRequested(unique_id=job.unique_id, processing_id=job.processing_id)
    assert not (await scene.world.converter.make_further(asked)).told
    scene.queue.failing = False
    assert (await scene.world.converter.convert(asked)).told
    await scene.delivered()
    made = await scene.world.jobs.job_of_any_tenant(job.processing_id)
    assert sorted(scene.receiver.events) == sorted(each.id for each in notices_of(made) if each.kind is Kind.VARIANT)


async def test_what_is_forgotten_is_told_once_more_and_what_is_known_is_not() -> None:
    told = Told(remembered=2)
    for event in ("a", "b", "c"):
        told.add(event)
    assert [event in told for event in ("a", "b", "c")] == [False, True, True]


async def test_many_who_ask_for_a_tenants_webhooks_at_once_cost_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryWebhookStore()
    reads = counted(store, "endpoints", monkeypatch)
    directory = Directory(store=store)
    await asyncio.gather(*(directory.of(TENANT) for _ in range(20)))
    assert len(reads) == 1


async def test_what_was_changed_here_while_it_was_read_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    store, go_on, begun = MemoryWebhookStore(), asyncio.Event(), asyncio.Event()
    directory, read = Directory(store=store), store.endpoints

    async def slow(tenant: str) -> Endpoints:
        found = await read(tenant)
        begun.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(store, "endpoints", slow)
    early = asyncio.create_task(directory.of(TENANT))
    await begun.wait()
    monkeypatch.setattr(store, "endpoints", read)
    await Webhooks(store=store, queue=RecordingQueue(), directory=directory).create(TENANT, URL, ENDS, "")
    go_on.set()
    assert (await early).all == ()
    assert len((await directory.of(TENANT)).all) == 1


# -- receivers that want to be left alone


def busy(seconds: int, status: int = 503) -> Answered:
    return Answered(status=status, code="receiver_failed", retry_after=seconds)


@pytest.mark.parametrize(("asked", "least", "most"), [(120, 120, 150), (1, 3, 5), (10**9, 3600, 4500)])
async def test_a_receiver_is_left_alone_for_as_long_as_it_asks_within_bounds(
    scene: Scene, asked: int, least: int, most: int
) -> None:
    endpoint = await scene.endpoint()
    scene.receiver.answers = [busy(asked)]
    job = await scene.ended()
    (body,) = scene.due()
    before = clock.now()
    await scene.deliverer.handle(body)
    delivery = await scene.delivery(endpoint, notices_of(job)[-1].id)
    assert delivery.next_at is not None
    waits = (delivery.next_at - before).total_seconds()
    assert least <= waits <= most + (clock.now() - before).total_seconds()


async def test_a_pause_that_a_receiver_asks_for_holds_for_all_of_its_events_and_for_nobody_elses(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.time()]
    monkeypatch.setattr("processor.webhooks.delivering.time.time", lambda: now[0])
    busy_one, other = await scene.endpoint(), await scene.endpoint(url="https://other.example.com/")
    scene.receiver.answers = [busy(60, 429)]
    await scene.webhooks.test(TENANT, busy_one.webhook_id)
    (first,) = scene.due()
    assert await scene.deliverer.handle(first) is None
    await scene.webhooks.test(TENANT, busy_one.webhook_id)
    (_, second) = scene.due()
    wait = await scene.deliverer.handle(second)
    assert wait is not None
    assert 59 <= wait <= 75
    await scene.webhooks.test(TENANT, other.webhook_id)
    (third,) = scene.due()
    assert await scene.deliverer.handle(third) is None
    now[0] += 61
    assert await scene.deliverer.handle(second) is None
    assert [url for url, _, _ in scene.receiver.came] == [URL, other.url, URL]


async def test_what_waits_for_its_turn_when_a_receiver_asks_for_a_pause_waits_on(scene: Scene) -> None:
    endpoint = await scene.endpoint()
    scene.receiver.held[endpoint.url] = asyncio.Event()
    scene.receiver.answers = [busy(60, 429) for _ in range(delivering.AT_ONCE)]
    for _ in range(delivering.AT_ONCE + 3):
        await scene.webhooks.test(TENANT, endpoint.webhook_id)
    tasks = [asyncio.create_task(scene.deliverer.handle(body)) for body in scene.due()]
    await asyncio.sleep(0)
    scene.receiver.held[endpoint.url].set()
    waits = await asyncio.gather(*tasks)
    assert len(scene.receiver.came) == delivering.AT_ONCE
    assert sum(wait is not None and wait >= 59 for wait in waits) == 3
