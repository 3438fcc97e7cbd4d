"""Nodes with Arm processors: how much slower a conversion may be there and still be cheaper."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.scaling.plan import dollars, plan
from benchmarks.scaling.prices import EC2, PRICES, Price

#: Nodes of the same size as the one of the bill. Nothing was measured on them.
ARM: Mapping[str, Price] = {
    "c7g.2xlarge": Price(usd=0.29, per="hour of 8 vCPU (Graviton3), 16 GiB, Linux, on demand", source=EC2),
    "c8g.2xlarge": Price(usd=0.31904, per="hour of 8 vCPU (Graviton4), 16 GiB, Linux, on demand", source=EC2),
}
#: The node of the bill.
NODE = "c7a.2xlarge"
#: The load of the example: photographs a second, megapixels.
RATE, MEGAPIXELS = 100, 12.0


def still_cheaper(price: Price) -> float:
    """At this multiple of the CPU seconds, an image costs as much as on the node of the bill."""
    return PRICES["node"].usd / price.usd


def table() -> str:
    """In Markdown."""
    rows = [
        f"| {name} | {price.usd:.3f} | {still_cheaper(price):.2f} | {dollars(_service(price.usd))} |"
        for name, price in ({NODE: PRICES["node"]} | dict(ARM)).items()
    ]
    cheaper = f"cheaper while an image takes less than so many times the CPU of a {NODE}"
    example = f"USD a month, service, if it takes the same: {RATE} photographs of {MEGAPIXELS:g} megapixels a second"
    return "\n".join([f"| node | USD an hour | {cheaper} | {example} |", "| --- | ---: | ---: | ---: |", *rows])


def _service(node_usd: float) -> float:
    return plan(RATE, MEGAPIXELS, node_usd=node_usd).converting
