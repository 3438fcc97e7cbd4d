"""The bill of keeping pictures agrees with the bill of the month, and with what the stack does."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scaling import storage
from benchmarks.scaling.costs import Workload, default_prices, month
from tests.infra.template import Stack, load

PRICES = default_prices()


def _rows(work: Workload) -> dict[str, tuple[float, float]]:
    return {name: (sources, variants) for name, sources, variants in storage.rows(work, PRICES)}


def test_the_standard_class_costs_what_the_month_costs() -> None:
    sources, variants = _rows(Workload())["`STANDARD`"]
    assert math.isclose(sources + variants, month("kubernetes", Workload(), PRICES).same["S3, storage"])


def test_every_class_that_the_stack_offers_is_in_the_bill() -> None:
    offered = load()["Parameters"]["SourceStorageClass"]["AllowedValues"]
    assert offered == load()["Parameters"]["VariantStorageClass"]["AllowedValues"]
    assert [each.name for each in storage.CLASSES] == offered


def test_pictures_are_moved_in_the_bill_on_the_day_on_which_the_stack_moves_them() -> None:
    stack = Stack({"SourceStorageClass": "STANDARD_IA"})
    rules = {rule["Id"]: rule for rule in stack.resource("SourceBucket")["LifecycleConfiguration"]["Rules"]}
    assert rules["move-sources"]["Transitions"][0]["TransitionInDays"] == storage.MOVED_ON
    assert rules["forget-old-versions"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == storage.KEPT_NONCURRENT


def test_a_month_is_paid_at_the_price_of_its_tier() -> None:
    tiering = storage.CLASSES[1]
    paid = storage.kept(tiering, PRICES, gigabytes=1000, objects=1e6, months=6)
    standard, rare, never = (PRICES[name] for name in ("s3_gb", "s3_ia_gb", "s3_ir_gb"))
    per_gigabyte = 2 * standard + 2 * rare + 2 * never
    assert math.isclose(paid, 1000 * per_gigabyte + 1e6 * (PRICES["s3_it_move"] + 5 * PRICES["s3_it_object"]))


@given(months=st.integers(12, 120))
def test_the_longer_pictures_are_kept_the_more_a_rarer_class_saves(months: int) -> None:
    rows = _rows(Workload(months_kept=months))
    both = {name: sum(each) for name, each in rows.items()}
    assert both["`GLACIER_IR`"] < both["`STANDARD_IA`"] < both["`STANDARD`"]
    assert both["`INTELLIGENT_TIERING`"] < both["`STANDARD`"]


@pytest.mark.parametrize("storage_class", storage.CLASSES, ids=lambda each: each.name)
def test_what_is_kept_for_a_month_is_never_moved(storage_class: storage.StorageClass) -> None:
    paid = storage.kept(storage_class, PRICES, gigabytes=10, objects=1e6, months=1)
    assert math.isclose(paid, 10 * PRICES["s3_gb"])
