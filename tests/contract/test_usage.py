"""What the limits expect of the store of usage."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from processor.stores.memory import MemoryUsageStore
from processor.stores.table import Table
from processor.stores.usage import DynamoUsageStore
from processor.usage import Overrides, TenantRecord, Usage, UsageStore
from tests.contract.conftest import Backend

pytestmark = pytest.mark.asyncio(loop_scope="session")

MONDAY, TUESDAY = "2026-05-04", "2026-05-05"


@pytest.fixture
def usage(backend: Backend) -> UsageStore:
    if backend.service and backend.made:
        return DynamoUsageStore(Table(backend.service, backend.made.names.table))
    return MemoryUsageStore()


@pytest.fixture
def tenant() -> str:
    return f"t{uuid.uuid4().hex[:8]}"


async def test_of_a_stranger_nothing_is_known(usage: UsageStore, tenant: str) -> None:
    assert await usage.get(tenant) == TenantRecord()


async def test_what_is_added_on_one_day_adds_up(usage: UsageStore, tenant: str) -> None:
    for _ in range(3):
        await usage.add(tenant, Usage(day=MONDAY, bytes=10, pixels=2**40, images=1))
    assert (await usage.get(tenant)).usage == Usage(day=MONDAY, bytes=30, pixels=3 * 2**40, images=3)


async def test_a_new_day_begins_its_counts_anew_and_keeps_the_images(usage: UsageStore, tenant: str) -> None:
    await usage.add(tenant, Usage(day=MONDAY, bytes=10, pixels=100, images=2))
    await usage.add(tenant, Usage(day=TUESDAY, bytes=1, pixels=2, images=-1))
    assert (await usage.get(tenant)).usage == Usage(day=TUESDAY, bytes=1, pixels=2, images=1)


async def test_nothing_is_lost_when_many_add_at_once_on_the_first_of_a_day(
    usage: UsageStore, tenant: str, backend: Backend
) -> None:
    backend.skip_on("moto", because="its threads race for one item")
    await usage.add(tenant, Usage(day=MONDAY, bytes=5, images=5))
    await asyncio.gather(*(usage.add(tenant, Usage(day=TUESDAY, bytes=1, images=1)) for _ in range(20)))
    assert (await usage.get(tenant)).usage == Usage(day=TUESDAY, bytes=20, images=25)


async def test_overrides_are_replaced_as_a_whole_and_leave_the_usage_alone(usage: UsageStore, tenant: str) -> None:
    await usage.set_overrides(tenant, Overrides(images=5, requests_per_second=0.5))
    assert (await usage.get(tenant)).overrides == Overrides(images=5, requests_per_second=0.5)
    await usage.add(tenant, Usage(day=MONDAY, bytes=1))
    await usage.set_overrides(tenant, Overrides(bytes_per_day=2**50))
    found = await usage.get(tenant)
    assert found == TenantRecord(usage=Usage(day=MONDAY, bytes=1), overrides=Overrides(bytes_per_day=2**50))


async def test_what_is_given_back_is_taken_off_once_and_never_below_nothing(usage: UsageStore, tenant: str) -> None:
    counted = Usage(day=MONDAY, bytes=10, pixels=100, open=1, images=1)
    assert await usage.give_back(tenant, counted) is None
    await usage.add(tenant, counted)
    given = await usage.give_back(tenant, Usage(day=MONDAY, bytes=10, open=1))
    assert given == await usage.get(tenant) == TenantRecord(usage=Usage(day=MONDAY, pixels=100, images=1))
    assert await usage.give_back(tenant, Usage(day=MONDAY, bytes=1, pixels=1)) is None
    assert (await usage.get(tenant)).usage == Usage(day=MONDAY, pixels=100, images=1)


async def test_of_a_day_that_is_over_images_alone_are_given_back(usage: UsageStore, tenant: str) -> None:
    await usage.add(tenant, Usage(day=MONDAY, bytes=10, open=1, images=1))
    await usage.add(tenant, Usage(day=TUESDAY, bytes=7))
    await usage.give_back(tenant, Usage(day=MONDAY, bytes=10, open=1, images=1))
    await usage.give_back(tenant, Usage(day=MONDAY, bytes=10))
    assert (await usage.get(tenant)).usage == Usage(day=TUESDAY, bytes=7)


async def test_whose_clock_is_behind_adds_to_today_and_wipes_nothing_out(usage: UsageStore, tenant: str) -> None:
    await usage.add(tenant, Usage(day=TUESDAY, bytes=10, images=1))
    await usage.add(tenant, Usage(day=MONDAY, bytes=1, pixels=5))
    assert (await usage.get(tenant)).usage == Usage(day=TUESDAY, bytes=11, pixels=5, images=1)


async def test_more_and_less_are_traded_in_one_write_or_not_at_all(usage: UsageStore, tenant: str) -> None:
    work, owed = Usage(day=MONDAY, bytes=5, pixels=100), Usage(day=MONDAY, bytes=2, open=1)
    assert await usage.trade(tenant, work, owed) is None
    await usage.add(tenant, Usage(day=MONDAY, bytes=3, open=1, images=1))
    traded = await usage.trade(tenant, work, owed)
    assert traded == await usage.get(tenant) == TenantRecord(usage=Usage(day=MONDAY, bytes=6, pixels=100, images=1))
    assert await usage.trade(tenant, work, owed) is None
    assert await usage.get(tenant) == traded


async def test_nothing_is_traded_on_another_day(usage: UsageStore, tenant: str) -> None:
    counted = await usage.add(tenant, Usage(day=TUESDAY, bytes=3, open=1))
    for day in (MONDAY, "2026-05-06"):
        assert await usage.trade(tenant, Usage(day=day, pixels=100), Usage(day=day, open=1)) is None
    assert await usage.get(tenant) == counted
