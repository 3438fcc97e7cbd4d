"""The cost of a month, in this design and on Lambda."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import fsum
from typing import Literal

from benchmarks.scaling.calls import calls_of, image_read_units, image_write_units, record_bytes
from benchmarks.scaling.measured import CPU_BESIDE_SHARP
from benchmarks.scaling.pods import SERVICE_SECONDS, image_cpu_seconds
from benchmarks.scaling.prices import HOURS, PRICES
from benchmarks.scaling.scenarios import mean_megapixels, mean_source_bytes, mean_variant_bytes

MILLION = 1_000_000
MIB_PER_GIB = 1024
SECONDS_PER_HOUR = 3600
#: New connections a second for one capacity unit of a load balancer (AWS, "ELB pricing").
CONNECTIONS_PER_LCU = 25
#: A Lambda function with so many MiB has one processor (AWS, "Configure Lambda function memory").
MIB_PER_CPU = 1769
#: The break-even is searched between these numbers of images a month.
LEAST, MOST = 1e3, 1e12

Design = Literal["kubernetes", "lambda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The load and the assumptions."""

    images_per_month: float = MILLION
    #: For one image, with the pipeline of this service: CPU seconds, bytes uploaded, bytes stored.
    cpu_seconds: float = image_cpu_seconds(mean_megapixels())
    source_bytes: float = mean_source_bytes()
    variant_bytes: float = mean_variant_bytes()
    #: Seconds that a conversion waits for AWS.
    wait_seconds: float = 0.25
    #: How often a client asks for the status of an image.
    status_polls: float = 3
    #: How often an image is viewed in its first month, the size of the variant, and the share of cache hits.
    views: float = 10
    view_bytes: float = 100_000
    edge_hits: float = 0.9
    #: Months for which source and variants are kept. All of them are paid with the image.
    months_kept: float = 12
    #: Bytes of logs for one image, and of answers to its client.
    log_bytes: float = 2500
    answer_bytes: float = 10_000
    alarms: float = 10
    # -- this design
    #: The used part of the pods' CPU, as in the simulated day.
    utilization: float = 0.6
    min_pods: float = 2
    pod_cpus: float = 1
    #: Pods on a node: eight processors, less what the node itself and its agents need.
    pods_per_node: float = 7
    #: How much faster a processor of the node is than the one that was measured.
    node_speed: float = 1.0
    #: The part of the node hours on Spot, and the discount of Spot.
    spot_share: float = 0.5
    spot_discount: float = 0.6
    #: The part of the cluster's own cost (control plane, system nodes, NAT gateway) for this service.
    cluster_share: float = 1.0
    system_nodes: float = 2
    nat_gateways: float = 1
    #: Zones with an interface endpoint for SQS; S3 and DynamoDB have gateway endpoints, which cost nothing.
    sqs_endpoint_zones: float = 2
    #: 1 if S3 is reached through the NAT gateway, because there is no gateway endpoint; else 0.
    s3_through_nat: float = 0
    # -- Lambda
    #: The CPU of this pipeline, as a part of the CPU of the pipeline on Lambda.
    cpu_beside_lambda: float = CPU_BESIDE_SHARP
    lambda_mib: float = MIB_PER_CPU
    #: How much faster a processor of Lambda is than the one that was measured.
    lambda_speed: float = 1.0
    #: The part of the conversions with a cold start, and the billed seconds that it adds.
    cold_share: float = 0.01
    cold_seconds: float = 1.5
    #: A request to the API on Lambda: seconds and memory.
    api_seconds: float = 0.03
    api_mib: float = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """Dollars a month, by line. `fixed` lines do not depend on images. `same` lines are equal in both designs."""

    fixed: Mapping[str, float] = field(default_factory=dict)
    variable: Mapping[str, float] = field(default_factory=dict)
    same: Mapping[str, float] = field(default_factory=dict)

    @property
    def own(self) -> float:
        """The sum without the lines that are equal in both designs."""
        return fsum((*self.fixed.values(), *self.variable.values()))

    @property
    def total(self) -> float:
        """The sum of all lines."""
        return fsum((self.own, *self.same.values()))


def default_prices() -> dict[str, float]:
    """The prices in dollars, by name."""
    return {name: price.usd for name, price in PRICES.items()}


def month(design: Design, work: Workload, prices: Mapping[str, float]) -> Month:
    """The costs of one month."""
    own = _kubernetes(work, prices) if design == "kubernetes" else _lambda(work, prices)
    return Month(fixed=own.fixed, variable=own.variable, same=_same(work, prices))


def pod_hours(work: Workload) -> float:
    """The pod hours of a month, from the CPU that the images need."""
    seconds = work.images_per_month * work.cpu_seconds / work.node_speed
    return seconds / work.pod_cpus / work.utilization / SECONDS_PER_HOUR


def break_even(cheaper_if_many: Design, other: Design, work: Workload, prices: Mapping[str, float]) -> float | None:
    """The least images a month for which the first design costs no more than the second. None if there are none."""

    def gap(images: float) -> float:
        at = replace(work, images_per_month=images)
        return month(cheaper_if_many, at, prices).own - month(other, at, prices).own

    if gap(MOST) > 0:
        return None
    low, high = LEAST, MOST
    if gap(low) <= 0:
        return low
    while high / low > 1 + 1e-9:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if gap(middle) <= 0 else (middle, high)
    return high


def _kubernetes(work: Workload, prices: Mapping[str, float]) -> Month:
    images = work.images_per_month
    node = prices["node"] * (1 - work.spot_share * work.spot_discount)
    least = work.min_pods * HOURS
    needed = pod_hours(work)
    requests = images * (1 + work.status_polls)
    calls = calls_of("SendMessage") + calls_of("ReceiveMessage") + calls_of("DeleteMessageBatch")
    idle_polls = work.min_pods * HOURS * SECONDS_PER_HOUR / 20 + HOURS * SECONDS_PER_HOUR / 15
    through_nat = images * (work.source_bytes + work.variant_bytes) / 1e9 * work.s3_through_nat
    return Month(
        fixed={
            "EKS control plane": prices["eks_cluster"] * HOURS * work.cluster_share,
            "system nodes": prices["system_node"] * HOURS * work.system_nodes * work.cluster_share,
            "NAT gateway": prices["nat"] * HOURS * work.nat_gateways * work.cluster_share,
            "load balancer": prices["alb"] * HOURS,
            "SQS endpoints": prices["endpoint"] * HOURS * work.sqs_endpoint_zones,
            "SQS, idle polls and KEDA": prices["sqs"] * idle_polls,
            "the least of the pods": node / work.pods_per_node * least,
        },
        variable={
            "nodes, beyond the least of the pods": node / work.pods_per_node * max(0.0, needed - least),
            "SQS": prices["sqs"] * images * calls + prices["endpoint_gb"] * images * calls * 3e3 / 1e9,
            "load balancer, by use": prices["alb_lcu"] * requests / (CONNECTIONS_PER_LCU * SECONDS_PER_HOUR),
            "S3 through NAT": prices["nat_gb"] * through_nat,
        },
    )


def _lambda(work: Workload, prices: Mapping[str, float]) -> Month:
    images = work.images_per_month
    pipeline = max(0.0, work.cpu_seconds - SERVICE_SECONDS)
    cpu = (pipeline / work.cpu_beside_lambda + work.cpu_seconds - pipeline) / work.lambda_speed
    processors = min(1.0, work.lambda_mib / MIB_PER_CPU)
    seconds = cpu / processors + work.wait_seconds + work.cold_share * work.cold_seconds
    requests = images * (1 + work.status_polls)
    gb_second = prices["lambda_gb_second"]
    return Month(
        variable={
            "Lambda, conversions": images * seconds * work.lambda_mib / MIB_PER_GIB * gb_second,
            "Lambda, API": requests * work.api_seconds * work.api_mib / MIB_PER_GIB * gb_second,
            "Lambda, requests": prices["lambda_request"] * (images + requests),
            "API Gateway": prices["api_request"] * requests,
        }
    )


def _same(work: Workload, prices: Mapping[str, float]) -> Mapping[str, float]:
    images = work.images_per_month
    puts = 1 + calls_of("PutObject (processed)")
    views = images * work.views
    kept = images * (work.source_bytes + work.variant_bytes) / 1e9 * work.months_kept
    records = images * record_bytes() / 1e9
    writes = prices["dynamodb_write"] * images * image_write_units().total
    reads = prices["dynamodb_read"] * images * image_read_units(work.status_polls)
    gets = images * calls_of("GetObject") + views * (1 - work.edge_hits)
    return {
        "S3, requests": images * puts * prices["s3_put"] + gets * prices["s3_get"],
        "S3, storage": kept * prices["s3_gb"],
        "DynamoDB, requests": writes + reads,
        "DynamoDB, storage": records * prices["dynamodb_gb"],
        "CloudFront": views * (work.view_bytes / 1e9 * prices["cloudfront_gb"] + prices["cloudfront_request"]),
        "API, data out": images * work.answer_bytes / 1e9 * prices["out_gb"],
        "CloudWatch": images * work.log_bytes / 1e9 * prices["logs_gb"] + work.alarms * prices["alarm"],
    }
