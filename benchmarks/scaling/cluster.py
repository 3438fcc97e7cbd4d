"""The nodes of a cluster. A pod starts at once on a free place, or waits for a new node."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """Times in seconds. They are assumptions about a cluster, not measurements of one."""

    #: From a pod with a place until it takes messages: pull the image, start the process, pass the probes.
    start_seconds: float = 10.0
    #: From a pod without a place until its new node is ready: the least and the most.
    node_seconds: tuple[float, float] = (60.0, 90.0)
    #: Pods on a node of eight processors. One processor is for the node itself and its agents.
    pods_per_node: int = 7
    #: Free places at the beginning.
    spare: int = 5
    #: How long a place stays free before its node is removed (`consolidateAfter` of Karpenter).
    linger_seconds: float = 300.0


@dataclass(slots=True)
class Cluster:
    """Gives places to pods and takes them back."""

    config: ClusterConfig
    chance: random.Random
    #: For each free place, the time until which it stays.
    _empty: list[float] = field(default_factory=list)
    #: Nodes that were ordered: when they are ready, and their free places.
    _coming: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The first free places stay for ever: they are on nodes that the cluster has anyway."""
        self._empty = [float("inf")] * self.config.spare

    def place(self, now: float) -> float:
        """Place a new pod. The result is the time at which it takes its first message."""
        self._arrive(now)
        if self._empty:
            # The place that would go soonest is used first, as a scheduler does that packs pods.
            self._empty.remove(min(self._empty))
            return now + self.config.start_seconds
        for number, (when, places) in enumerate(self._coming):
            if places:
                self._coming[number] = (when, places - 1)
                return when + self.config.start_seconds
        when = now + self.chance.uniform(*self.config.node_seconds)
        self._coming.append((when, self.config.pods_per_node - 1))
        return when + self.config.start_seconds

    def leave(self, now: float) -> None:
        """Free the place of a pod that has ended."""
        self._empty.append(now + self.config.linger_seconds)

    def _arrive(self, now: float) -> None:
        for when, places in self._coming:
            if when <= now:
                self._empty += [when + self.config.linger_seconds] * places
        self._coming = [(when, places) for when, places in self._coming if when > now]
        self._empty = [until for until in self._empty if until > now]
