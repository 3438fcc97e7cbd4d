"""Keys, names and rights."""

from __future__ import annotations

import uuid
from collections import Counter

from processor.jobs import JobStatus
from processor.stores.schema import SHARDS, Names, list_key, service_policy, shard, status_key, table_definition


def test_an_image_is_in_the_same_partition_for_ever() -> None:
    assert shard("123456789") == 0xCBF43926 % SHARDS  # the check value of CRC-32


def test_images_are_spread_over_all_partitions() -> None:
    counts = Counter(shard(str(uuid.UUID(int=number * 2**64 + number))) for number in range(4000))
    assert set(counts) == set(range(SHARDS))
    assert max(counts.values()) < 2 * min(counts.values())


def test_no_two_tenants_share_a_partition() -> None:
    tenants = ["a", "a#0", "a#0#pending", "a#", "", "#"]
    keys = [list_key(tenant, number) for tenant in tenants for number in range(SHARDS)]
    assert len(keys) == len(set(keys))
    by_status = [status_key(tenant, n, status) for tenant in tenants for n in range(SHARDS) for status in JobStatus]
    assert len(by_status) == len(set(by_status))


def test_the_table_is_found_by_processing_id() -> None:
    definition = table_definition("t")
    assert definition["KeySchema"] == [{"AttributeName": "processingId", "KeyType": "HASH"}]


def test_the_service_may_not_scan_nor_touch_anothers_things() -> None:
    names = Names.of_stage("dev", "123456789012")
    policy = service_policy(names, "arn:queue", "arn:dead", "arn:table")
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    resources = {resource for statement in policy["Statement"] for resource in statement["Resource"]}
    assert "dynamodb:Scan" not in actions
    assert not [action for action in actions if "*" in action]
    assert "*" not in resources
