"""A model of KEDA and the HorizontalPodAutoscaler: how many pods they want for a queue, and how fast.

The rules are those of Kubernetes' `autoscaling/v2` and of KEDA's `aws-sqs-queue` trigger with `scaleOnInFlight`. When
the autoscaler asks, KEDA asks the queue. `pollingInterval` only decides how soon the first pod comes when there is
none. With `useCachedMetrics`, the answer is as old as the last poll. `cooldownPeriod` is only about the way to zero
pods. So both have no effect while there is at least one pod.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

#: How often the autoscaler looks, in seconds (kube-controller-manager, `--horizontal-pod-autoscaler-sync-period`).
SYNC_SECONDS = 15.0
#: A metric within this distance of its target changes nothing (`--horizontal-pod-autoscaler-tolerance`).
TOLERANCE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A limit on the change in a period, in pods or in per cent of the pods."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_seconds: int

    def most(self, at_start: int) -> int:
        """The most pods, from the number when the period began."""
        return at_start + self.value if self.kind == "Pods" else math.ceil(at_start * (1 + self.value / 100))

    def least(self, at_start: int) -> int:
        """The fewest pods, from the number when the period began."""
        return at_start - self.value if self.kind == "Pods" else int(at_start * (1 - self.value / 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One direction of `behavior`. Of several policies, the one that allows the most counts."""

    stabilization_seconds: int
    policies: tuple[Policy, ...]


#: The default of Kubernetes for growth: double, or four pods more, every 15 seconds, without a delay.
SCALE_UP = Rules(
    stabilization_seconds=0,
    policies=(
        Policy(kind="Percent", value=100, period_seconds=15),
        Policy(kind="Pods", value=4, period_seconds=15),
    ),
)
#: The chart's values for shrinking: after five minutes, and at most half in a minute.
SCALE_DOWN = Rules(stabilization_seconds=300, policies=(Policy(kind="Percent", value=50, period_seconds=60),))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalerConfig:
    """The values of the chart, by their names there."""

    min_replicas: int = 2
    max_replicas: int = 20
    #: Messages for each pod, waiting or in work.
    queue_length: int = 3
    #: The target of the cpu trigger, in per cent of the request. None means that there is no such trigger.
    cpu_percent: int | None = 80
    scale_up: Rules = SCALE_UP
    scale_down: Rules = SCALE_DOWN
    #: How old the length of the queue may be, in seconds. Only for `use_cached_metrics`.
    polling_seconds: int = 15
    use_cached_metrics: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """The metrics at one moment. `cpu_percent` is the mean of the ready pods, in per cent of their request."""

    messages: int
    ready: int
    cpu_percent: float = 0.0


@dataclass(slots=True)
class Autoscaler:
    """The autoscaler. It remembers its recommendations and changes, as the real one does."""

    config: ScalerConfig
    _recommended: deque[tuple[float, int]] = field(default_factory=deque)
    _changes: deque[tuple[float, int]] = field(default_factory=deque)

    def decide(self, now: float, current: int, sight: Sight) -> int:
        """The number of pods from now on."""
        config = self.config
        wanted = by_queue(sight.messages, current, config.queue_length)
        if config.cpu_percent is not None:
            wanted = max(wanted, by_cpu(sight, current, config.cpu_percent))
        stable = self._stabilized(now, current, wanted)
        allowed = self._limited(now, current, stable)
        decided = min(max(allowed, config.min_replicas), config.max_replicas)
        if decided != current:
            self._changes.append((now, decided - current))
        return decided

    def _stabilized(self, now: float, current: int, wanted: int) -> int:
        """The number within the recommendations of the window. Growing and shrinking have their own windows."""
        up, down = self.config.scale_up.stabilization_seconds, self.config.scale_down.stabilization_seconds
        self._recommended.append((now, wanted))
        while self._recommended[0][0] < now - max(up, down):
            self._recommended.popleft()
        lowest = min(count for when, count in self._recommended if when >= now - up)
        highest = max(count for when, count in self._recommended if when >= now - down)
        return min(max(current, lowest), highest)

    def _limited(self, now: float, current: int, wanted: int) -> int:
        """The number within the policies, each counted from the number when its period began."""
        if wanted > current:
            ups = self.config.scale_up.policies
            limit = max((policy.most(self._at_start(now, current, policy)) for policy in ups), default=wanted)
            return min(wanted, max(current, limit))
        if wanted < current:
            downs = self.config.scale_down.policies
            limit = min((policy.least(self._at_start(now, current, policy)) for policy in downs), default=wanted)
            return max(wanted, min(current, limit))
        return current

    def _at_start(self, now: float, current: int, policy: Policy) -> int:
        return current - sum(change for when, change in self._changes if when > now - policy.period_seconds)


def by_queue(messages: int, current: int, queue_length: int) -> int:
    """`ceil(messages / queueLength)`, or no change within the tolerance, as for an external metric with an average."""
    if current and abs(1 - messages / (queue_length * current)) <= TOLERANCE:
        return current
    return math.ceil(messages / queue_length)


def by_cpu(sight: Sight, current: int, target_percent: int) -> int:
    """The number for a resource metric. Before growing, pods that are not ready count as idle."""
    if not sight.ready:
        return current
    ratio = sight.cpu_percent / target_percent
    if abs(1 - ratio) <= TOLERANCE:
        return current
    if ratio < 1 or sight.ready >= current:
        return math.ceil(ratio * sight.ready)
    damped = ratio * sight.ready / current
    return current if damped <= 1 + TOLERANCE else math.ceil(damped * current)
