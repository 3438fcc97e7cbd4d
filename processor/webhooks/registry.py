"""The use cases of the owner of webhooks."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from processor import clock
from processor.errors import Busy, DeliveryNotFound, RecordChanged, TooManyWebhooks, WebhookNotFound, WebhookOff
from processor.jobs import epoch
from processor.moments import Kind
from processor.ports.queue import MessageQueue
from processor.ports.webhooks import (
    TEST,
    Delivery,
    DeliveryPage,
    DeliveryQuery,
    DeliveryStatus,
    Endpoint,
    Endpoints,
    OffReason,
    WebhookStore,
)
from processor.races import races
from processor.webhooks.directory import Directory
from processor.webhooks.listener import KEPT, due
from processor.webhooks.messages import ReplayDue
from processor.webhooks.signing import new_secret

#: The most endpoints of a tenant. Each event is sent to all of them.
MAX_ENDPOINTS = 10
#: Deliveries on one page of a replay.
REPLAYED_AT_ONCE = 25
#: The letters of an id, and its length.
_LETTERS, _LENGTH = "abcdefghijklmnopqrstuvwxyz234567", 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The changes that the owner wants. None means no change."""

    url: str | None = None
    description: str | None = None
    events: tuple[Kind, ...] | None = None
    on: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """The use cases. Every call raises `Unavailable`. Calls that change something raise `Busy`, too."""

    store: WebhookStore
    queue: MessageQueue
    directory: Directory

    async def list(self, tenant: str) -> Sequence[Endpoint]:
        return (await self.store.endpoints(tenant)).all

    async def get(self, tenant: str, webhook_id: str) -> Endpoint:
        """Raises `WebhookNotFound`."""
        return _known(await self.store.endpoints(tenant), webhook_id)

    async def create(self, tenant: str, url: str, events: tuple[Kind, ...], description: str) -> Endpoint:
        """Raises `TooManyWebhooks`."""
        now = clock.now()
        new = Endpoint(
            webhook_id="wh_" + "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)),
            url=url,
            description=description,
            events=events,
            secret=new_secret(),
            created_at=now,
            updated_at=now,
        )

        def added(there: Endpoints) -> Endpoints:
            if len(there.all) >= MAX_ENDPOINTS:
                raise TooManyWebhooks(limit=MAX_ENDPOINTS)
            return replace(there, all=(*there.all, new))

        await self._changed(tenant, added)
        return new

    async def change(self, tenant: str, webhook_id: str, wish: Wish) -> Endpoint:
        """Raises `WebhookNotFound`."""
        return await self._one(tenant, webhook_id, lambda there: _as_wished(there, wish))

    async def rotate(self, tenant: str, webhook_id: str, grace: timedelta) -> Endpoint:
        """Make a new secret. The previous one also signs until `grace` is over. Raises `WebhookNotFound`."""
        fresh = new_secret()  # once, so that a repeated try changes nothing more

        def rotated(there: Endpoint) -> Endpoint:
            now = clock.now()
            return replace(there, secret=fresh, old_secret=there.secret, old_secret_until=now + grace, updated_at=now)

        return await self._one(tenant, webhook_id, rotated)

    async def delete(self, tenant: str, webhook_id: str) -> None:
        """Delete an endpoint. It gets no further events. Raises `WebhookNotFound`."""

        def without(there: Endpoints) -> Endpoints:
            _known(there, webhook_id)
            return replace(there, all=tuple(each for each in there.all if each.webhook_id != webhook_id))

        await self._changed(tenant, without)

    async def test(self, tenant: str, webhook_id: str) -> Delivery:
        """Send a test event. Raises `WebhookNotFound`, `WebhookOff`."""
        await self._on(tenant, webhook_id)
        now = clock.now()
        new = Delivery(
            webhook_id=webhook_id,
            event_id=f"{round(now.timestamp() * 1000):013}-test_{secrets.token_hex(8)}-0000",
            tenant=tenant,
            type=TEST,
            event_at=now,
            expires_at=epoch(now + KEPT),
        )
        await self.store.add(new)
        await self.queue.send(due(new).to_message())
        return new

    async def deliveries(self, query: DeliveryQuery) -> DeliveryPage:
        """Raises `WebhookNotFound`."""
        await self.get(query.tenant, query.webhook_id)
        return await self.store.deliveries(query)

    async def replay(self, tenant: str, webhook_id: str, event_id: str) -> Delivery:
        """Send one event again, as if it had never been tried. Raises `WebhookNotFound`, `WebhookOff`,
        `DeliveryNotFound`."""
        await self._on(tenant, webhook_id)
        async for _ in races():
            there = await self.store.delivery(webhook_id, event_id)
            if there.tenant != tenant:
                raise DeliveryNotFound
            try:
                return await self._again(there)
            except RecordChanged:
                continue
        raise Busy

    async def replay_many(self, wanted: ReplayDue) -> None:
        """Let a worker send many events again, page by page. Raises `WebhookNotFound`, `WebhookOff`."""
        await self._on(wanted.tenant, wanted.webhook_id)
        await self.queue.send(wanted.to_message())

    async def replay_page(self, wanted: ReplayDue) -> None:
        """Send one page again, and queue the next page. Does nothing if the webhook is off or deleted.

        The next page is queued last. If the process dies before that, this page comes again.
        """
        try:
            await self._on(wanted.tenant, wanted.webhook_id)
        except (WebhookNotFound, WebhookOff):
            return
        since, until = wanted.times()
        page = await self.store.deliveries(
            DeliveryQuery(
                tenant=wanted.tenant,
                webhook_id=wanted.webhook_id,
                failed=bool(wanted.failed),
                since=since,
                until=until,
                after=wanted.after,
                limit=REPLAYED_AT_ONCE,
            )
        )
        for each in page.deliveries:
            with contextlib.suppress(RecordChanged):  # somebody tries it just now
                await self._again(each)
        if page.next_after is not None:
            await self.queue.send(replace(wanted, after=page.next_after).to_message(), delay_seconds=1)

    async def _again(self, there: Delivery) -> Delivery:
        """Write the record, then send the message. In the other order, the message could meet the old record.

        Until its first try, the delivery counts as failed. So an interrupted replay can be repeated.
        Raises `RecordChanged`.
        """
        now = clock.now()
        again = replace(
            there, status=DeliveryStatus.PENDING, tries=0, next_at=now, code="", expires_at=epoch(now + KEPT)
        )
        await self.store.update(again, tries=there.tries)
        await self.queue.send(due(again).to_message())
        return again

    async def _on(self, tenant: str, webhook_id: str) -> Endpoint:
        endpoint = await self.get(tenant, webhook_id)
        if endpoint.off is not None:
            raise WebhookOff
        return endpoint

    async def _one(self, tenant: str, webhook_id: str, change: Callable[[Endpoint], Endpoint]) -> Endpoint:
        def changed(there: Endpoints) -> Endpoints:
            return there.with_one(change(_known(there, webhook_id)))

        return _known(await self._changed(tenant, changed), webhook_id)

    async def _changed(self, tenant: str, change: Callable[[Endpoints], Endpoints]) -> Endpoints:
        try:
            return await changed(self.store, tenant, change)
        finally:
            self.directory.forget(tenant)


async def changed(store: WebhookStore, tenant: str, change: Callable[[Endpoints], Endpoints]) -> Endpoints:
    """Change a tenant's endpoints. Repeats if somebody else was faster. Raises what `change` raises, and `Busy`."""
    async for _ in races():
        new = change(await store.endpoints(tenant))
        try:
            await store.write(tenant, new)
        except RecordChanged:
            continue
        return new
    raise Busy


def _known(endpoints: Endpoints, webhook_id: str) -> Endpoint:
    found = endpoints.get(webhook_id)
    if found is None:
        raise WebhookNotFound
    return found


def _as_wished(there: Endpoint, wish: Wish) -> Endpoint:
    changed = replace(
        there,
        url=there.url if wish.url is None else wish.url,
        description=there.description if wish.description is None else wish.description,
        events=there.events if wish.events is None else wish.events,
        updated_at=clock.now(),
    )
    if wish.on is None or wish.on == (there.off is None):
        return changed
    if wish.on:  # with a clean sheet, or the first failure would switch it off again
        return replace(changed, off=None, off_since=None, failing_since=None)
    return replace(changed, off=OffReason.ASKED, off_since=changed.updated_at)
