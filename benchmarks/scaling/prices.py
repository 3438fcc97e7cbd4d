"""AWS list prices of us-east-1 in US dollars, typed in by hand. Without taxes and free tiers.

`held` is the time of a price. Check a price before you decide by it. Every price can be replaced by an option.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: The hours of a month in the examples of AWS.
HOURS = 730


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A price: `usd` for one `per`."""

    usd: float
    per: str
    source: str
    held: str = "2025"


_AWS = "https://aws.amazon.com"
#: Pages on which the prices are listed.
_EKS, EC2 = f"{_AWS}/eks/pricing/", f"{_AWS}/ec2/pricing/on-demand/"
_S3, _SQS, _DYNAMODB = f"{_AWS}/s3/pricing/", f"{_AWS}/sqs/pricing/", f"{_AWS}/dynamodb/pricing/on-demand/"
_LAMBDA, _API = f"{_AWS}/lambda/pricing/", f"{_AWS}/api-gateway/pricing/"
_CLOUDFRONT, _CLOUDWATCH = f"{_AWS}/cloudfront/pricing/", f"{_AWS}/cloudwatch/pricing/"
_ALB, _VPC, _LINK = f"{_AWS}/elasticloadbalancing/pricing/", f"{_AWS}/vpc/pricing/", f"{_AWS}/privatelink/pricing/"

PRICES: Mapping[str, Price] = {
    "eks_cluster": Price(usd=0.10, per="hour of a control plane", source=_EKS),
    "node": Price(usd=0.41056, per="hour of a c7a.2xlarge (8 vCPU, 16 GiB), Linux, on demand", source=EC2),
    "system_node": Price(usd=0.0416, per="hour of a t3.medium, Linux, on demand", source=EC2),
    "alb": Price(usd=0.0225, per="hour of an Application Load Balancer", source=_ALB),
    "alb_lcu": Price(usd=0.008, per="LCU hour", source=_ALB),
    "nat": Price(usd=0.045, per="hour of a NAT gateway", source=_VPC),
    "nat_gb": Price(usd=0.045, per="GB through a NAT gateway", source=_VPC),
    "endpoint": Price(usd=0.01, per="hour of an interface endpoint in one zone", source=_LINK),
    "endpoint_gb": Price(usd=0.01, per="GB through an interface endpoint", source=_LINK),
    "s3_put": Price(usd=0.005e-3, per="PUT, POST or LIST", source=_S3),
    "s3_get": Price(usd=0.0004e-3, per="GET", source=_S3),
    "s3_gb": Price(usd=0.023, per="GB and month, S3 Standard", source=_S3),
    "s3_ia_gb": Price(
        usd=0.0125, per="GB and month, S3 Standard-IA, and what is rare in Intelligent-Tiering", source=_S3
    ),
    "s3_ir_gb": Price(
        usd=0.004, per="GB and month, S3 Glacier Instant Retrieval, and what is rarest there", source=_S3
    ),
    "s3_it_object": Price(usd=0.0025e-3, per="object and month, watched by Intelligent-Tiering", source=_S3),
    "s3_it_move": Price(usd=0.01e-3, per="object moved to Intelligent-Tiering", source=_S3),
    "s3_ia_move": Price(usd=0.01e-3, per="object moved to Standard-IA", source=_S3),
    "s3_ir_move": Price(usd=0.02e-3, per="object moved to Glacier Instant Retrieval", source=_S3),
    "sqs": Price(usd=0.40e-6, per="request, standard queue", source=_SQS),
    "dynamodb_write": Price(usd=0.625e-6, per="write request unit", source=_DYNAMODB, held="since 2024-11"),
    "dynamodb_read": Price(usd=0.125e-6, per="read request unit", source=_DYNAMODB, held="since 2024-11"),
    "dynamodb_gb": Price(usd=0.25, per="GB and month", source=_DYNAMODB),
    "cloudfront_gb": Price(usd=0.085, per="GB out, first 10 TB, North America and Europe", source=_CLOUDFRONT),
    "cloudfront_request": Price(usd=0.0100e-4, per="HTTPS request, United States", source=_CLOUDFRONT),
    "out_gb": Price(usd=0.09, per="GB out to the internet", source=EC2),
    "logs_gb": Price(usd=0.50, per="GB of logs taken in", source=_CLOUDWATCH),
    "alarm": Price(usd=0.10, per="alarm and month", source=_CLOUDWATCH),
    "lambda_gb_second": Price(usd=0.0000166667, per="GB-second, x86", source=_LAMBDA),
    "lambda_request": Price(usd=0.20e-6, per="request", source=_LAMBDA),
    "api_request": Price(usd=1.00e-6, per="request to an HTTP API, first 300 million", source=_API),
}


def table(prices: Mapping[str, float] | None = None) -> str:
    """Every price with its source, in Markdown. `prices` are the replaced ones."""
    given = prices or {}
    rows = [
        f"| `{name}` | {given.get(name, price.usd):.10g} | {price.per} | <{price.source}> | "
        f"{'given' if name in given else price.held} |"
        for name, price in PRICES.items()
    ]
    return "\n".join(["| name | USD | for one | listed at | held |", "| --- | ---: | --- | --- | --- |", *rows])
