"""Where pods find room: on a node that is there, at once, or on one that has to come first."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """Times in seconds. They are assumptions about a cluster, not measurements of one."""

    #: From a pod that has room until it takes messages: image on the node, process, probes.
    start_seconds: float = 10.0
    #: From a pod without room until its node is there with the image, the least and the most.
    node_seconds: tuple[float, float] = (60.0, 90.0)
    #: Pods that fit on a node: eight processors, less what the node itself and its agents need.
    pods_per_node: int = 7
    #: Pods for which there is room at first, beside those that run.
    spare: int = 5
    #: How long an empty place stays before its node goes (Karpenter's `consolidateAfter`).
    linger_seconds: float = 300.0


@dataclass(slots=True)
class Cluster:
    """Gives places to pods and takes them back."""

    config: ClusterConfig
    chance: random.Random
    #: Until when each empty place stays.
    _empty: list[float] = field(default_factory=list)
    #: Nodes on their way: when they come, and how many places on them are not promised yet.
    _coming: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The spare room stays for good: it is on nodes which the cluster has anyway."""
        self._empty = [float("inf")] * self.config.spare

    def place(self, now: float) -> float:
        """When a pod that is made now takes its first message."""
        self._arrive(now)
        if self._empty:
            # What goes soonest is used first, as a scheduler that packs would.
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
        """A pod has ended."""
        self._empty.append(now + self.config.linger_seconds)

    def _arrive(self, now: float) -> None:
        for when, places in self._coming:
            if when <= now:
                self._empty += [when + self.config.linger_seconds] * places
        self._coming = [(when, places) for when, places in self._coming if when > now]
        self._empty = [until for until in self._empty if until > now]
