"""What KEDA and the HorizontalPodAutoscaler make of a queue: how many pods there should be, and how fast.

The rules are those of Kubernetes' `autoscaling/v2` and of KEDA's `aws-sqs-queue` trigger with `scaleOnInFlight`. KEDA
answers the autoscaler with what the queue says at that moment; `pollingInterval` decides only how soon the first pod
comes when there is none, unless `useCachedMetrics` is on: then the answer is as old as the last poll. `cooldownPeriod`
concerns nothing but the way to zero pods, so with at least one pod neither of the two does anything.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

#: How often the autoscaler looks, in seconds (kube-controller-manager, `--horizontal-pod-autoscaler-sync-period`).
SYNC_SECONDS = 15.0
#: A metric so near to its target changes nothing (`--horizontal-pod-autoscaler-tolerance`).
TOLERANCE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """At most so many pods, or per cent of the pods, in a period."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_seconds: int

    def most(self, at_start: int) -> int:
        """Pods after growing as far as allowed from what there was when the period began."""
        return at_start + self.value if self.kind == "Pods" else math.ceil(at_start * (1 + self.value / 100))

    def least(self, at_start: int) -> int:
        """Pods after shrinking as far as allowed."""
        return at_start - self.value if self.kind == "Pods" else int(at_start * (1 - self.value / 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One direction of `behavior`: of several policies the one that allows the most counts."""

    stabilization_seconds: int
    policies: tuple[Policy, ...]


#: Kubernetes' own way up: double, or four pods more, every 15 seconds, without waiting.
SCALE_UP = Rules(
    stabilization_seconds=0,
    policies=(
        Policy(kind="Percent", value=100, period_seconds=15),
        Policy(kind="Pods", value=4, period_seconds=15),
    ),
)
#: The chart's way down: not before five minutes, and at most half in a minute.
SCALE_DOWN = Rules(stabilization_seconds=300, policies=(Policy(kind="Percent", value=50, period_seconds=60),))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalerConfig:
    """The chart's values, by their names there."""

    min_replicas: int = 2
    max_replicas: int = 20
    #: Messages, waiting and in work, for each pod that there should be.
    queue_length: int = 3
    #: CPU utilisation that the cpu trigger aims at, in per cent of the request; None: no such trigger.
    cpu_percent: int | None = 80
    scale_up: Rules = SCALE_UP
    scale_down: Rules = SCALE_DOWN
    #: Only with `use_cached_metrics`: how old the queue's length may be, in seconds.
    polling_seconds: int = 15
    use_cached_metrics: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the autoscaler sees at one moment. `cpu_percent` is the mean over pods that are ready, of their request."""

    messages: int
    ready: int
    cpu_percent: float = 0.0


@dataclass(slots=True)
class Autoscaler:
    """Remembers what it recommended and did, as the real one does."""

    config: ScalerConfig
    _recommended: deque[tuple[float, int]] = field(default_factory=deque)
    _changes: deque[tuple[float, int]] = field(default_factory=deque)

    def decide(self, now: float, current: int, sight: Sight) -> int:
        """Pods that there should be from now on."""
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
        """Down only as far as everything recommended in the window; up likewise, with its own window."""
        up, down = self.config.scale_up.stabilization_seconds, self.config.scale_down.stabilization_seconds
        self._recommended.append((now, wanted))
        while self._recommended[0][0] < now - max(up, down):
            self._recommended.popleft()
        lowest = min(count for when, count in self._recommended if when >= now - up)
        highest = max(count for when, count in self._recommended if when >= now - down)
        return min(max(current, lowest), highest)

    def _limited(self, now: float, current: int, wanted: int) -> int:
        """As far as the policies allow, counted from what there was when each one's period began."""
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
    """`ceil(messages / queueLength)`, or no change within the tolerance: an external metric with an average value."""
    if current and abs(1 - messages / (queue_length * current)) <= TOLERANCE:
        return current
    return math.ceil(messages / queue_length)


def by_cpu(sight: Sight, current: int, target_percent: int) -> int:
    """A resource metric: pods that are not ready yet are taken to use nothing when that speaks against more."""
    if not sight.ready:
        return current
    ratio = sight.cpu_percent / target_percent
    if abs(1 - ratio) <= TOLERANCE:
        return current
    if ratio < 1 or sight.ready >= current:
        return math.ceil(ratio * sight.ready)
    damped = ratio * sight.ready / current
    return current if damped <= 1 + TOLERANCE else math.ceil(damped * current)
