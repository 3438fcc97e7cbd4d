"""The cost of storing the pictures of a month, by storage class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.scaling.costs import MILLION, Workload

#: The day on which a picture changes its class, and the days for which the stack keeps expired sources.
MOVED_ON, KEPT_NONCURRENT = 30, 7
DAYS_A_MONTH = 30
#: Objects of one image that S3 moves: the source, and the variants `large` and `webp`. It moves none below 128 KiB.
MOVED_SOURCES, MOVED_VARIANTS = 1, 2
#: Their part of the bytes of all variants. It is an assumption.
MOVED_PART = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageClass:
    """A storage class. `tiers` are the prices of the months after the change of class. The last one stays."""

    name: str
    tiers: tuple[str, ...]
    move: str | None = None
    watch: str | None = None


CLASSES = (
    StorageClass(name="STANDARD", tiers=("s3_gb",)),
    # Objects that nobody reads: one month frequent access, two months infrequent, then archive (AWS, "S3
    # Intelligent-Tiering").
    StorageClass(
        name="INTELLIGENT_TIERING",
        tiers=("s3_gb", "s3_ia_gb", "s3_ia_gb", "s3_ir_gb"),
        move="s3_it_move",
        watch="s3_it_object",
    ),
    StorageClass(name="STANDARD_IA", tiers=("s3_ia_gb",), move="s3_ia_move"),
    StorageClass(name="GLACIER_IR", tiers=("s3_ir_gb",), move="s3_ir_move"),
)


def kept(
    storage_class: StorageClass, prices: Mapping[str, float], *, gigabytes: float, objects: float, months: float
) -> float:
    """Dollars for objects that are moved after a month and kept for `months` in all, paid with the first month."""
    later = max(0, round(months) - MOVED_ON // DAYS_A_MONTH)
    tiers = [*storage_class.tiers, *[storage_class.tiers[-1]] * later][:later]
    moving = prices[storage_class.move] * objects if storage_class.move and later else 0.0
    watching = prices[storage_class.watch] * objects * later if storage_class.watch else 0.0
    return gigabytes * (prices["s3_gb"] * (months - later) + sum(prices[tier] for tier in tiers)) + moving + watching


def rows(work: Workload, prices: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Dollars for the sources and for the variants of a million images, by class."""
    sources, variants = MILLION * work.source_bytes / 1e9, MILLION * work.variant_bytes / 1e9
    months = work.months_kept
    found = []
    for each in CLASSES:
        moved = kept(each, prices, gigabytes=variants * MOVED_PART, objects=MILLION * MOVED_VARIANTS, months=months)
        small = kept(CLASSES[0], prices, gigabytes=variants * (1 - MOVED_PART), objects=0, months=months)
        source = kept(each, prices, gigabytes=sources, objects=MILLION * MOVED_SOURCES, months=months)
        found.append((f"`{each.name}`", source, moved + small))
    gone = sources * prices["s3_gb"] * (MOVED_ON + KEPT_NONCURRENT) / DAYS_A_MONTH
    return [*found, (f"`STANDARD`, sources deleted after {MOVED_ON} days", gone, found[0][2])]


def totals(work: Workload, prices: Mapping[str, float]) -> list[float]:
    """The sum of each row in dollars."""
    return [sources + variants for _, sources, variants in rows(work, prices)]


def table(work: Workload, prices: Mapping[str, float]) -> str:
    """In Markdown."""
    head = "| storage class from the 30th day on | sources | variants | both |\n| --- | ---: | ---: | ---: |"
    lines = [f"| {name} | {one:,.2f} | {other:,.2f} | {one + other:,.2f} |" for name, one, other in rows(work, prices)]
    return "\n".join([head, *lines])
