"""What a steady rate of images needs: pods, processors, write units, dollars."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.scaling.autoscaler import ScalerConfig
from benchmarks.scaling.calls import image_write_units
from benchmarks.scaling.costs import Workload, default_prices, month
from benchmarks.scaling.measured import FILES, PHOTO, Measured
from benchmarks.scaling.pods import HEADROOM, PodSize, image_cpu_seconds, pods_for
from benchmarks.scaling.prices import HOURS

#: The rates and sizes in the table.
RATES = (1, 10, 100, 1000)
SIZES = (2.0, 12.0)
#: Processors of a node. Pods get all but one.
NODE_CPUS = 8
#: The most pods, as a multiple of what the rate needs. So a backlog of an hour is gone within an hour.
SPARE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan for one rate. Dollars are for a month."""

    pods: int
    #: Of all nodes.
    processors: int
    max_replicas: int
    #: Write units a second, of the table alone and with its indexes.
    table_writes: float
    writes: float
    #: The cost of the service, and of storage and delivery.
    converting: float
    keeping: float


def plan(rate: float, megapixels: float, *, node_usd: float | None = None) -> Plan:
    """The plan for `rate` photographs a second, with another price for an hour of a node if one is given.

    Raises `StopIteration` for a size that was not measured.
    """
    photo, cpu = _photo(megapixels), image_cpu_seconds(megapixels)
    scaler, units = ScalerConfig(), image_write_units()
    pods = max(scaler.min_replicas, pods_for(rate, cpu, PodSize()))
    work = Workload(
        images_per_month=rate * HOURS * 3600,
        cpu_seconds=cpu,
        source_bytes=photo.file_bytes,
        variant_bytes=photo.variant_bytes,
        utilization=1 - HEADROOM,
    )
    prices = default_prices() | ({} if node_usd is None else {"node": node_usd})
    bill = month("kubernetes", work, prices)
    return Plan(
        pods=pods,
        processors=NODE_CPUS * math.ceil(pods / work.pods_per_node),
        max_replicas=max(scaler.max_replicas, SPARE * pods),
        table_writes=rate * units.table,
        writes=rate * units.total,
        converting=bill.own,
        keeping=bill.total - bill.own,
    )


def _photo(megapixels: float) -> Measured:
    return next(each for each in FILES if each.kind == PHOTO and round(each.megapixels, 1) == megapixels)


def table() -> str:
    """In Markdown."""
    rows = []
    for megapixels in SIZES:
        for rate in RATES:
            found = plan(rate, megapixels)
            rows.append(
                f"| {megapixels:g} | {rate:,} | {found.pods:,} | {found.processors:,} | {found.max_replicas:,} "
                f"| {found.table_writes:,.0f} / {found.writes:,.0f} | {dollars(found.converting)} "
                f"| {dollars(found.keeping)} |"
            )
    names = ("megapixels", "images a second", "pods", "vCPU", "`maxReplicas`", "write units a second")
    head = f"| {' | '.join(names)} | USD, service | USD, pictures |"
    return "\n".join([head, "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", *rows])


def dollars(usd: float) -> str:
    """Dollars with two significant digits."""
    return f"{float(f'{usd:.2g}'):,.0f}"
