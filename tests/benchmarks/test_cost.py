"""Costs are added up right, from calls that are counted."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import cost
from benchmarks.scaling import storage
from benchmarks.scaling.calls import (
    CALLS,
    MAKER,
    SQS_IN_FLIGHT,
    image_read_units,
    image_write_units,
    item_bytes,
    life,
    limits,
    read_units,
    write_units,
)
from benchmarks.scaling.costs import Design, Month, Workload, break_even, default_prices, month, pod_hours
from benchmarks.scaling.measured import LINE, MACHINE
from benchmarks.scaling.nodes import ARM, still_cheaper
from benchmarks.scaling.plan import SIZES, plan
from benchmarks.scaling.pods import (
    HEADROOM,
    SERVICE_SECONDS,
    PodSize,
    image_cpu_seconds,
    images_per_second,
)
from benchmarks.scaling.prices import PRICES
from benchmarks.scaling.scenarios import mean_megapixels, mean_source_bytes, mean_variant_bytes
from processor.catalog.images import Catalog
from processor.catalog.uploads import UploadRequest, Uploads
from processor.erasure import Eraser
from processor.jobs import Terms
from processor.ports.stores import AllStores
from processor.probe import Probes
from processor.stores.clients import AwsClients
from processor.stores.config import AwsConfig
from processor.stores.dynamodb import DynamoJobStore
from processor.stores.s3 import S3ObjectStore
from processor.stores.sqs import SqsMessageQueue
from processor.stores.table import Table
from processor.stores.usage import DynamoUsageStore
from processor.usage import Limits, Quota
from processor.work.conversion import Converter
from processor.work.worker import Worker, WorkerConfig
from tests.unit.world import Noted, ScriptedRenderer
from tests.waiting import eventually

PRICE = default_prices()
DESIGNS: tuple[Design, ...] = ("kubernetes", "lambda")
LIMITS = Limits(
    requests_per_second=1,
    request_burst=1,
    tenant_requests_per_second=1,
    tenant_request_burst=1,
    bytes_per_day=10**9,
    megapixels_per_day=10**6,
    images=100,
)


# -- the calls of one image -------------------------------------------------------------------------------------------


class Body(io.BytesIO):
    """As the SDK hands out what it downloads."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
        return super().read(size)


class Aws:
    """Every client in one: answers as AWS would, and counts what it was asked."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.records: dict[str, dict[str, Any]] = {}
        self.messages: list[str] = []

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        async def call(**asked: Any) -> dict[str, Any]:
            name = "".join(part.capitalize() for part in operation.split("_"))
            self.counted[f"{name} ({asked['Bucket']})" if name == "PutObject" else name] += 1
            answer = getattr(self, f"on_{operation}", None)
            return (await answer(**asked) if answer else None) or {}

        if operation.startswith("on_"):
            raise AttributeError(operation)
        return call

    async def generate_presigned_url(self, *_: object, **__: object) -> str:
        """Signing asks nobody."""
        return "https://s3/"

    async def generate_presigned_post(self, **_: object) -> dict[str, Any]:
        return {"url": "https://s3/", "fields": {}}

    async def on_transact_write_items(self, **asked: Any) -> None:
        puts = [part["Put"]["Item"] for part in asked["TransactItems"] if "Put" in part]
        self.records |= {item["processingId"]["S"]: item for item in puts}
        for change in [part["Update"] for part in asked["TransactItems"] if "Update" in part]:
            for mark in change["UpdateExpression"].partition("REMOVE ")[2].split(", "):
                self.records.get(change["Key"]["processingId"]["S"], {}).pop(mark.removeprefix("#"), None)

    async def on_get_item(self, **asked: Any) -> dict[str, Any]:
        found = self.records.get(asked["Key"]["processingId"]["S"])
        return {"Item": found} if found else {}

    async def on_update_item(self, **asked: Any) -> dict[str, Any]:
        found = self.records.get(asked["Key"]["processingId"]["S"], asked["Key"])
        maker = asked.get("ExpressionAttributeValues", {}).get(":maker")
        return {"Attributes": {**found, "maker": maker} if maker else found}

    async def on_get_object(self, **_: object) -> dict[str, Any]:
        return {"Body": Body(b"photo"), "ContentLength": 5, "ETag": '"e"', "LastModified": datetime.now(UTC)}

    async def on_get_queue_attributes(self, **_: object) -> dict[str, Any]:
        return {}

    async def on_receive_message(self, **_: object) -> dict[str, Any]:
        if not self.messages:
            self.counted["ReceiveMessage"] -= 1  # an idle poll is not of this image
            await asyncio.sleep(3600)
        found = {"MessageId": "m", "ReceiptHandle": "r", "Body": self.messages.pop()}
        return {
            "Messages": [{**found, "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1700000000000"}}]
        }


def service(aws: Aws, noted: Noted) -> tuple[Uploads, Catalog, Worker]:
    """The use cases and the worker over the real stores."""
    client: Any = aws
    clients = AwsClients(
        config=AwsConfig(region="us-east-1"),
        s3=client,
        s3_presign=client,
        sqs=client,
        dynamodb=client,
        dynamodb_once=client,
        cloudfront=client,
        events=client,
        credentials=None,
    )
    table = Table(clients, "table")
    quota = Quota(store=DynamoUsageStore(table), defaults=LIMITS)
    stores = AllStores(
        jobs=DynamoJobStore(table),
        source=S3ObjectStore(clients, "source"),
        processed=S3ObjectStore(clients, "processed"),
        queue=SqsMessageQueue(clients, "https://sqs/queue"),
    )
    retention = timedelta(days=30)
    converter = Converter(
        jobs=stores.jobs,
        source=stores.source,
        processed=stores.processed,
        renderer=ScriptedRenderer(),
        suspect_renderer=ScriptedRenderer(),
        eraser=Eraser(stores=stores, quota=quota),
        source_bucket="source",
        max_bytes=1000,
        retention=retention,
        lease_seconds=60,
        quota=quota,
        maker=MAKER,
    )
    uploads = Uploads(stores=stores, quota=quota, max_bytes=1000)
    catalog = Catalog(stores=stores, quota=quota, retention=retention)
    return uploads, catalog, Worker(stores.queue, converter, WorkerConfig(slots=1), probes=Probes((noted,)))


def arrival(key: str) -> str:
    """S3's message about an upload."""
    s3 = {"bucket": {"name": "source"}, "object": {"key": key, "size": 5, "eTag": "e", "sequencer": "0061"}}
    record = {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-11-23T09:00:00.000Z",
        "s3": s3,
    }
    return json.dumps({"Records": [record]})


async def test_the_calls_of_an_image_are_those_that_the_page_counts() -> None:
    aws, noted = Aws(), Noted()
    uploads, catalog, worker = service(aws, noted)
    request = UploadRequest(
        filename="a.jpg", extension="jpg", terms=Terms(content_type="image/jpeg"), expires_in_seconds=3600
    )
    submission = await uploads.submit("default", request)
    asked = aws.counted - Counter({"GetItem": 1})  # the tenant's limits, which are believed for five seconds
    assert asked == CALLS["API, `POST /images/upload-url`"]

    aws.counted.clear()
    aws.messages.append(arrival(submission.job.original_key))
    worker.start()

    async def settled() -> bool:
        return aws.counted["DeleteMessageBatch"] > 0

    await eventually(settled)
    once = Counter({"GetQueueAttributes": 1})  # the process's first question to the queue
    assert aws.counted - once == CALLS["worker"]
    assert noted.messages == {"settled": 1}

    aws.counted.clear()
    await catalog.status("default", submission.job.processing_id)
    assert aws.counted == CALLS["API, each `GET /images/status`"]
    for task in (*worker._receivers, *worker._upkeep):
        task.cancel()


# -- capacity units ---------------------------------------------------------------------------------------------------


def test_an_item_is_as_large_as_dynamodb_says() -> None:
    """Names and texts by their UTF-8, numbers by two digits a byte and one more, 3 for a list or map, 1 an element."""
    assert item_bytes({"name": {"S": "é"}}) == 4 + 2
    assert item_bytes({"n": {"N": "1234"}}) == 1 + 3
    assert item_bytes({"n": {"N": "-12.30"}}) == 1 + 3
    assert item_bytes({"b": {"BOOL": True}}) == 2
    assert item_bytes({"b": {"B": b"12345"}}) == 6
    assert item_bytes({"l": {"L": [{"S": "ab"}, {"NULL": True}]}}) == 1 + 3 + (1 + 2) + (1 + 1)
    assert item_bytes({"m": {"M": {"k": {"S": "ab"}}}}) == 1 + 3 + (1 + 1 + 2)


def test_units_begin_with_every_kilobyte_written_and_every_four_read() -> None:
    assert [write_units(size) for size in (0, 1, 1024, 1025, 2048, 2049)] == [1, 1, 1, 2, 2, 3]
    assert [read_units(size) for size in (0, 4096, 4097)] == [1, 1, 2]


def test_the_units_of_an_image_are_added_up_by_hand() -> None:
    """A record is below 1 KB until it is claimed, and below 4 once it is completed, with its facts. The use of a day is
    written with its end."""
    assert [write_units(item_bytes(record)) for record in life()] == [1, 2, 4]
    units = image_write_units()
    created, accepted, finished, counted = 2 * (1 + 1), 2 * (1 + 2), 2 * (4 + 1), 3
    assert units.table == created + accepted + finished + counted
    assert units.by_time == 1 + 2 + 4 + 1
    assert units.by_status == 1 + (1 + 2) + (2 + 4)
    assert units.by_change == 1 + (1 + 1) + (1 + 1)
    assert units.total == units.table + units.by_time + units.by_status + 1 + 5
    assert image_read_units(3) == 1 + 1 + 3


def test_limits_are_in_images() -> None:
    found = {limit.name: limit.images_per_second for limit in limits()}
    assert found["one tenant in `by-time`: 4 shards, write units"] == pytest.approx(4 * 1000 / 8)
    assert found["`processed/` before S3 splits it, PUT"] == 3500 / 5
    assert list(found.values()) == sorted(found.values())


def test_the_page_says_in_words_what_is_reckoned() -> None:
    found = [round(limit.images_per_second) for limit in limits()]
    assert {174, 333, 1739} <= set(found)  # "about 170", for one tenant if the table is warm "330", and "1,700"
    assert round(1000 * (mean_source_bytes() + mean_variant_bytes()) / 1e9, 1) == 2.6  # "2.6 GB a second"
    assert SQS_IN_FLIGHT // PodSize().slots == 40_000
    assert sum(count for name, count in CALLS["worker"].items() if "Object" in name) + 1 == 7  # calls to KMS
    assert PRICE["sqs"] * 730 * 3600 / 15 < 0.10  # "less than ten cents a month"
    nat = month("kubernetes", Workload(s3_through_nat=1), PRICE).variable["S3 through NAT"]
    assert nat > month("lambda", Workload(), PRICE).own  # "more than all conversions"


# -- money ------------------------------------------------------------------------------------------------------------


def only(**prices: float) -> dict[str, float]:
    """Everything else is free."""
    return dict.fromkeys(PRICES, 0.0) | prices


def test_a_node_is_paid_by_the_cpu_of_the_images() -> None:
    work = Workload(
        images_per_month=1_000_000,
        cpu_seconds=0.54,
        utilization=0.5,
        pods_per_node=5,
        spot_share=0.5,
        spot_discount=0.6,
        min_pods=0,
    )
    assert pod_hours(work) == pytest.approx(300)  # 540,000 s at half use
    found = month("kubernetes", work, only(node=0.5))
    assert found.own == pytest.approx(300 / 5 * 0.5 * (1 - 0.5 * 0.6)) == pytest.approx(21)


def test_pods_that_must_be_there_are_paid_although_nothing_comes() -> None:
    found = month("kubernetes", Workload(images_per_month=0, spot_share=0), only(node=0.7))
    assert found.fixed["the least of the pods"] == pytest.approx(2 * 730 / 7 * 0.7)
    assert sum(found.variable.values()) == 0


def test_lambda_is_paid_by_memory_and_time() -> None:
    work = Workload(
        images_per_month=1000,
        cpu_seconds=1.0 + SERVICE_SECONDS,
        cpu_beside_lambda=0.5,
        wait_seconds=0.2,
        cold_share=0,
        lambda_mib=1769,
        api_seconds=0,
    )
    found = month("lambda", work, only(lambda_gb_second=1.0))
    assert found.own == pytest.approx(1000 * (1.0 / 0.5 + SERVICE_SECONDS + 0.2) * 1769 / 1024)
    assert month("lambda", work, only(lambda_request=1.0, api_request=10.0)).own == pytest.approx(1000 * (5 + 40))


def test_half_the_memory_is_half_the_processor_and_so_no_cheaper() -> None:
    whole = Workload(wait_seconds=0, cold_share=0, api_seconds=0)
    half = replace(whole, lambda_mib=whole.lambda_mib / 2)
    assert month("lambda", half, only(lambda_gb_second=1)).own == pytest.approx(
        month("lambda", whole, only(lambda_gb_second=1)).own
    )


def test_requests_are_paid_as_they_are_counted() -> None:
    work = Workload(images_per_month=1000, views=0, status_polls=3)
    assert month("kubernetes", work, only(s3_put=1.0)).total == 1000 * 6
    assert month("kubernetes", work, only(s3_get=1.0)).total == 1000 * 1
    assert month("kubernetes", work, only(dynamodb_write=1.0)).total == 1000 * image_write_units().total
    assert month("kubernetes", work, only(sqs=1.0)).variable["SQS"] == 1000 * 3


def test_what_is_the_same_in_both_designs_is_the_same() -> None:
    pods, functions = (month(design, Workload(), PRICE) for design in DESIGNS)
    assert pods.same == functions.same
    assert pods.total - pods.own == pytest.approx(functions.total - functions.own)


@given(images=st.floats(1e3, 1e9), name=st.sampled_from(DESIGNS))
def test_twice_the_images_cost_twice_but_for_what_is_fixed(images: float, name: Design) -> None:
    def at(count: float) -> Month:
        return month(name, Workload(images_per_month=count, min_pods=0, alarms=0), PRICE)

    one, two = at(images), at(2 * images)
    assert two.fixed == one.fixed
    assert sum(two.variable.values()) == pytest.approx(2 * sum(one.variable.values()))
    assert sum(two.same.values()) == pytest.approx(2 * sum(one.same.values()))


@pytest.mark.parametrize("name", PRICES)
def test_every_price_counts_somewhere(name: str) -> None:
    work = Workload(images_per_month=1e8, s3_through_nat=1)
    higher = {**PRICE, name: 2 * PRICE[name]}
    pods, functions = (month(design, work, higher).total - month(design, work, PRICE).total for design in DESIGNS)
    kept = sum(storage.totals(work, higher)) - sum(storage.totals(work, PRICE))
    assert min(pods, functions, kept) >= 0
    assert max(pods, functions, kept) > 0


@given(cluster=st.floats(0, 1), spot=st.floats(0, 1), cpu=st.floats(0.1, 3))
def test_at_the_break_even_both_designs_cost_the_same(cluster: float, spot: float, cpu: float) -> None:
    work = Workload(cluster_share=cluster, spot_share=spot, cpu_seconds=cpu)
    images = break_even("kubernetes", "lambda", work, PRICE)
    assert images is not None
    at = replace(work, images_per_month=images)
    assert month("kubernetes", at, PRICE).own == pytest.approx(month("lambda", at, PRICE).own, rel=1e-6)
    more, fewer = (replace(work, images_per_month=images * factor) for factor in (1.5, 0.67))
    assert month("kubernetes", more, PRICE).own < month("lambda", more, PRICE).own
    assert month("kubernetes", fewer, PRICE).own > month("lambda", fewer, PRICE).own


def test_where_functions_cost_nothing_there_is_no_break_even() -> None:
    free = {**PRICE, "lambda_gb_second": 0, "lambda_request": 0, "api_request": 0}
    assert break_even("kubernetes", "lambda", Workload(), free) is None


def test_every_price_names_its_page_and_its_time() -> None:
    for name, price in PRICES.items():
        assert price.usd > 0, name
        assert price.source.startswith("https://aws.amazon.com/"), name
        assert price.held, name


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("in.toml", "[work]\nimages_per_month = 5_000_000\n[prices]\nnode = 0.34\n"),
        ("in.json", '{"work": {"images_per_month": 5000000}, "prices": {"node": 0.34}}'),
    ],
)
def test_inputs_come_from_a_file_and_arguments_win(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    file, out = tmp_path / name, tmp_path / "out.json"
    file.write_text(text)
    cost.main(["--inputs", str(file), "--price", "node=0.2", "--prices", "--json", str(out)])
    written = json.loads(out.read_text())
    assert written["work"]["images_per_month"] == 5_000_000
    assert written["prices"]["node"]["usd"] == 0.2
    printed = capsys.readouterr().out
    assert "| 5,000,000 images a month, USD |" in printed
    assert "| `node` | 0.2 |" in printed


@pytest.mark.parametrize(
    "wrong", [["--price", "gold=1"], ["--work", "luck=1"], ["--work", "views=many"], ["--work", "views"]]
)
def test_an_input_that_there_is_not_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cost.main(wrong)
    assert "error" in capsys.readouterr().err


# -- the plan ---------------------------------------------------------------------------------------------------------


def test_a_plan_is_added_up_by_hand() -> None:
    """100 photographs of 12 megapixels a second: 90 pods on 13 nodes, of which half are Spot at 40 % of the price."""
    found = plan(100, 12)
    assert (found.pods, found.processors, found.max_replicas) == (90, 104, 180)
    units = image_write_units()
    assert (found.table_writes, found.writes) == (100 * units.table, 100 * units.total)
    pod_month = 0.41056 * 0.7 / 7 * 730
    fixed = 257.73 - 59.94  # but for the least of the pods
    million_images = 100 * 730 * 3600 / 1e6
    queue = million_images * 3 * 0.4 + million_images * 3 * 3e-3 * 10
    assert found.converting == pytest.approx(90 * pod_month + fixed + queue, rel=0.04)  # and the load balancer's use
    assert found.keeping > 100 * 730 * 3600 * 12 * 3.25e6 / 1e9 * 0.023  # S3 alone, for twelve months


@given(rate=st.floats(0.1, 3000), megapixels=st.sampled_from(SIZES))
def test_the_most_pods_work_off_an_hours_queue_within_an_hour(rate: float, megapixels: float) -> None:
    able = plan(rate, megapixels).max_replicas * images_per_second(PodSize(), image_cpu_seconds(megapixels))
    assert able - rate >= rate


def test_the_page_on_capacity_says_in_words_what_is_reckoned() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
    base, slope = LINE.base + SERVICE_SECONDS, LINE.per_megapixel
    assert f"= {base:.3f} + {slope:.4f} x megapixels" in page
    assert f"/ {1 - HEADROOM:g} )" in page
    assert f"({mean_megapixels():.1f} megapixels in the mean)" in page
    narrowest = min(limit.images_per_second for limit in limits() if limit.name.startswith("one tenant, `LIMIT"))
    assert f"at about {int(narrowest)} images a second" in page


def test_an_image_that_takes_as_much_longer_on_an_arm_node_costs_the_same_there() -> None:
    work = Workload(images_per_month=100 * 730 * 3600)
    for price in ARM.values():
        slower = replace(work, cpu_seconds=work.cpu_seconds * still_cheaper(price))
        there = slower.cpu_seconds * price.usd
        assert there == pytest.approx(work.cpu_seconds * default_prices()["node"])
        assert still_cheaper(price) > 1  # or it would not be worth a line


def test_the_plan_of_another_node_differs_by_the_price_of_the_nodes_alone() -> None:
    here, there = plan(100, 12), plan(100, 12, node_usd=0.29)
    pods = pod_hours(Workload(images_per_month=100 * 730 * 3600, cpu_seconds=image_cpu_seconds(12.0), utilization=0.7))
    assert here.converting - there.converting == pytest.approx(pods / 7 * 0.7 * (PRICE["node"] - 0.29))
    assert (here.pods, here.keeping) == (there.pods, there.keeping)


def test_the_page_on_capacity_does_not_say_that_anything_was_measured_on_arm() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
    assert "**Nothing was measured there.**" in page
    assert "x86-64" in MACHINE


def test_the_page_on_capacity_names_values_that_the_chart_has() -> None:
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
    chart = yaml.safe_load((Path(__file__).parents[2] / "helm" / "image-service" / "values.yaml").read_text())
    named = set(re.findall(r"`((?:config|autoscaling)\.[\w.]+)`", page))
    assert len(named) >= 6
    for name in named:
        found = chart
        for step in name.split("."):
            assert step in found, name
            found = found[step]
