"""How many pods a rate of images needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.scaling.measured import LINE, Line

#: CPU seconds that the service spends on an image beside the pipeline: JSON, digests, the calls to AWS and of the
#: client. What the smallest image shows in `measured.SERVICE`, rounded up; it hardly grows with the image.
SERVICE_SECONDS = 0.03
#: Part of a pod's CPU that a plan leaves free: what comes is uneven, and a pod or a zone may be lost.
HEADROOM = 0.30
#: Rates and sizes that the table shows.
RATES = (1, 10, 100, 1000, 3000)
SIZES = (2.0, 12.0, 24.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSize:
    """What one pod has. `cpus` is what it gets; a node that is not full may give it more than its `request`."""

    cpus: float = 1.0
    threads: int = 2
    #: None: the same as `cpus`, as on a node that is full.
    request: float | None = None

    @property
    def slots(self) -> int:
        """Messages in work at once (`WORKER_SLOTS`): one more than threads, so that a download overlaps."""
        return self.threads + 1

    @property
    def requested(self) -> float:
        """Processors that its utilisation is counted against."""
        return self.cpus if self.request is None else self.request


def image_cpu_seconds(megapixels: float, line: Line = LINE) -> float:
    """CPU seconds of the service for one photograph."""
    return line.cpu_seconds(megapixels) + SERVICE_SECONDS


def images_per_second(pod: PodSize, cpu_seconds: float) -> float:
    """What a pod brings when it never waits."""
    return min(pod.cpus, pod.threads) / cpu_seconds


def pods_for(rate: float, cpu_seconds: float, pod: PodSize, headroom: float = HEADROOM) -> int:
    """Pods that convert `rate` images a second with a part of their CPU left free; never fewer than one."""
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
