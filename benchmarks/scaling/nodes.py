"""Nodes with Arm processors: how much slower a conversion may be there and still be cheaper."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.scaling.prices import EC2, PRICES, Price

#: Nodes of the same size as the one of the bill. Nothing was measured on them.
ARM: Mapping[str, Price] = {
    "c7g.2xlarge": Price(usd=0.29, per="hour of 8 vCPU (Graviton3), 16 GiB, Linux, on demand", source=EC2),
    "c8g.2xlarge": Price(usd=0.31904, per="hour of 8 vCPU (Graviton4), 16 GiB, Linux, on demand", source=EC2),
}
#: The node of the bill.
NODE = "c7a.2xlarge"


def still_cheaper(price: Price) -> float:
    """At this multiple of the CPU seconds, an image costs as much as on the node of the bill."""
    return PRICES["node"].usd / price.usd


def table() -> str:
    """In Markdown."""
    rows = [f"| {name} | {price.usd:.3f} | {still_cheaper(price):.2f} |" for name, price in ARM.items()]
    head = f"| node | USD an hour | cheaper while an image takes less than so many times the CPU of a {NODE} |"
    return "\n".join([head, "| --- | ---: | ---: |", f"| {NODE} | {PRICES['node'].usd:.3f} | 1 |", *rows])
