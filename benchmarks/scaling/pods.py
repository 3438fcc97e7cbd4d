"""How many pods a rate of images needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.scaling.measured import LINE, Line

#: CPU seconds of the service for an image besides the pipeline: JSON, digests, calls of the client and of AWS. It is
#: the value of the smallest image in `measured.SERVICE`, rounded up. It hardly grows with the image.
SERVICE_SECONDS = 0.03
#: The part of a pod's CPU that a plan leaves free, because the load varies, and a pod or a zone may fail.
HEADROOM = 0.30
#: The rates and sizes in the table.
RATES = (1, 10, 100, 1000, 3000)
SIZES = (2.0, 12.0, 24.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSize:
    """The size of a pod. A node that is not full may give it more `cpus` than its `request`."""

    cpus: float = 1.0
    threads: int = 2
    #: None means the same as `cpus`, as on a full node.
    request: float | None = None

    @property
    def slots(self) -> int:
        """Messages in work at the same time (`WORKER_SLOTS`): one more than threads, so that one can download."""
        return self.threads + 1

    @property
    def requested(self) -> float:
        """The processors that are 100 % of its utilisation."""
        return self.cpus if self.request is None else self.request


def image_cpu_seconds(megapixels: float, line: Line = LINE) -> float:
    """CPU seconds of the service for one photograph."""
    return line.cpu_seconds(megapixels) + SERVICE_SECONDS


def images_per_second(pod: PodSize, cpu_seconds: float) -> float:
    """The images a second of a pod that is always busy."""
    return min(pod.cpus, pod.threads) / cpu_seconds


def pods_for(rate: float, cpu_seconds: float, pod: PodSize, headroom: float = HEADROOM) -> int:
    """The pods for `rate` images a second, with a part of their CPU free; at least one."""
    return max(1, math.ceil(rate * cpu_seconds / (min(pod.cpus, pod.threads) * (1 - headroom)) - 1e-9))


def table(pod: PodSize | None = None, headroom: float = HEADROOM) -> str:
    """Pods by rate and size, in Markdown."""
    pod = pod or PodSize()
    costs = [image_cpu_seconds(size) for size in SIZES]
    head = [f"{size:g} MP" for size in SIZES]
    rows = [
        f"| {rate:,} | " + " | ".join(f"{pods_for(rate, cost, pod, headroom):,}" for cost in costs) + " |"
        for rate in RATES
    ]
    return "\n".join(
        [
            f"| images a second | {' | '.join(head)} |",
            f"| --- |{' ---: |' * len(SIZES)}",
            *rows,
            "| *CPU seconds an image* | " + " | ".join(f"{cost:.2f}" for cost in costs) + " |",
            "| *images a second and pod, at most* | "
            + " | ".join(f"{images_per_second(pod, cost):.2f}" for cost in costs)
            + " |",
        ]
    )
