"""What webhooks expect of the store of endpoints and deliveries."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta

import pytest

from processor import clock
from processor.errors import DeliveryNotFound, RecordChanged
from processor.moments import Kind
from processor.ports.webhooks import (
    Attempt,
    Delivery,
    DeliveryQuery,
    DeliveryStatus,
    Endpoint,
    Endpoints,
    OffReason,
    WebhookStore,
)
from processor.stores.memory import MemoryWebhookStore
from processor.stores.table import Table
from processor.stores.webhooks import DynamoWebhookStore
from tests.contract.conftest import Backend, Clock
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOW = clock.from_iso("2026-05-04T03:02:01.234Z")
ATTEMPT = Attempt(at=NOW, milliseconds=12, status=503, code="receiver_failed")


@pytest.fixture
def time() -> Clock:
    return Clock()


@pytest.fixture
def webhooks(backend: Backend, time: Clock) -> WebhookStore:
    if backend.service and backend.made:
        return DynamoWebhookStore(Table(backend.service, backend.made.names.table, now=time))
    return MemoryWebhookStore(now=time)


@pytest.fixture
def tenant() -> str:
    return f"tenant-{secrets.token_hex(4)}"


def endpoint(**given: object) -> Endpoint:
    made = Endpoint(
        webhook_id=f"wh_{secrets.token_hex(8)}",
        url="https://hooks.example.com/",
        events=(Kind.COMPLETED, Kind.FAILED),
        secret="whsec_aaaa",
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(made, **given)  # type: ignore[arg-type]


def delivery(tenant: str, minute: int = 0, webhook_id: str = "wh_one", **given: object) -> Delivery:
    at = NOW + timedelta(minutes=minute)
    made = Delivery(
        webhook_id=webhook_id,
        event_id=f"{round(at.timestamp() * 1000)}-img_1_{tenant}-0002.thumbnail",
        tenant=tenant,
        type=Kind.VARIANT,
        unique_id="u",
        processing_id="p",
        event_at=at,
        expires_at=int(clock.now().timestamp()) + 3600,
    )
    return replace(made, **given)  # type: ignore[arg-type]


async def test_endpoints_are_found_as_they_were_written(webhooks: WebhookStore, tenant: str) -> None:
    assert await webhooks.endpoints(tenant) == Endpoints()
    full = endpoint(
        description="d",
        old_secret="whsec_bbbb",
        old_secret_until=NOW,
        off=OffReason.FAILING,
        off_since=NOW,
        failing_since=NOW,
        last_failure=ATTEMPT,
    )
    plain = endpoint()
    await webhooks.write(tenant, Endpoints(all=(plain, full)))
    assert await webhooks.endpoints(tenant) == Endpoints(all=(plain, full), version=1)
    await webhooks.write(tenant, Endpoints(version=1))
    assert await webhooks.endpoints(tenant) == Endpoints(version=2)


async def test_of_two_who_change_endpoints_at_once_one_is_told(webhooks: WebhookStore, tenant: str) -> None:
    await webhooks.write(tenant, Endpoints(all=(endpoint(),)))
    with pytest.raises(RecordChanged):
        await webhooks.write(tenant, Endpoints())
    seen = await webhooks.endpoints(tenant)
    await webhooks.write(tenant, seen)
    with pytest.raises(RecordChanged):
        await webhooks.write(tenant, seen)
    with pytest.raises(RecordChanged):
        await webhooks.write("another-" + tenant, Endpoints(version=7))


async def test_a_delivery_is_added_once_and_found_as_it_is(webhooks: WebhookStore, tenant: str) -> None:
    new = delivery(tenant)
    assert await webhooks.add(new) is None
    assert await webhooks.add(replace(new, status=DeliveryStatus.FAILED)) == new
    assert await webhooks.delivery(new.webhook_id, new.event_id) == new
    with pytest.raises(DeliveryNotFound):
        await webhooks.delivery("wh_two", new.event_id)


async def test_a_delivery_is_changed_by_whoever_knows_how_often_it_was_tried(
    webhooks: WebhookStore, tenant: str
) -> None:
    new = delivery(tenant)
    await webhooks.add(new)
    tried = replace(new, tries=1, attempts=(ATTEMPT,), next_at=NOW, code="x", status=DeliveryStatus.FAILED)
    await webhooks.update(tried, tries=0)
    assert await webhooks.delivery(new.webhook_id, new.event_id) == tried
    with pytest.raises(RecordChanged):
        await webhooks.update(new, tries=0)
    done = replace(tried, tries=2, next_at=None, code="", status=DeliveryStatus.DELIVERED)
    await webhooks.update(done, tries=1)
    assert await webhooks.delivery(new.webhook_id, new.event_id) == done
    with pytest.raises(RecordChanged):
        await webhooks.update(replace(new, event_id="1-none-0000"), tries=0)


async def listed(webhooks: WebhookStore, query: DeliveryQuery) -> list[str]:
    """All pages."""
    found: list[str] = []
    while True:
        page = await webhooks.deliveries(query)
        assert len(page.deliveries) <= query.limit
        found += [each.event_id for each in page.deliveries]
        if page.next_after is None:
            return found
        query = replace(query, after=page.next_after)


async def test_deliveries_are_listed_by_webhook_newest_first_and_those_that_failed_by_themselves(
    webhooks: WebhookStore, tenant: str
) -> None:
    made = [delivery(tenant, minute) for minute in range(7)]
    for number, each in enumerate(made):
        await webhooks.add(each)
        if number % 3 == 0:
            await webhooks.update(replace(each, status=DeliveryStatus.FAILED, tries=1), tries=0)
    await webhooks.add(delivery(tenant, 3, webhook_id="wh_two"))
    await webhooks.add(delivery("another", 3))
    everything = DeliveryQuery(tenant=tenant, webhook_id="wh_one", limit=2)
    failed = replace(everything, failed=True)
    newest = [each.event_id for each in reversed(made)]

    async def caught_up() -> bool:
        return len(await listed(webhooks, everything)) == 7 and len(await listed(webhooks, failed)) == 3

    await eventually(caught_up, what="the index")
    assert await listed(webhooks, everything) == newest
    assert await listed(webhooks, failed) == newest[0::3]
    within = replace(everything, since=NOW + timedelta(minutes=2), until=NOW + timedelta(minutes=4, seconds=1))
    assert await listed(webhooks, within) == newest[2:5]
    again = replace(made[0], status=DeliveryStatus.PENDING, attempts=(ATTEMPT,))
    await webhooks.update(again, tries=1)
    await webhooks.update(replace(made[3], status=DeliveryStatus.DELIVERED, tries=2), tries=1)

    async def less() -> bool:
        return await listed(webhooks, failed) == [newest[0], newest[6]]

    await eventually(less, what="the index of what failed")


async def test_a_delivery_is_gone_after_its_time(webhooks: WebhookStore, tenant: str, time: Clock) -> None:
    new = delivery(tenant)
    await webhooks.add(new)
    time.passed = 3601
    with pytest.raises(DeliveryNotFound):
        await webhooks.delivery(new.webhook_id, new.event_id)
    assert await listed(webhooks, DeliveryQuery(tenant=tenant, webhook_id="wh_one")) == []
