"""One simulated pod: its slots, its images, and the threads that share its CPU."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from benchmarks.scaling.pods import PodSize


class PodState(Enum):
    """The state of a pod. A draining pod finishes its images, and takes no new ones."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    GONE = "gone"


@dataclass(slots=True, eq=False)
class Pod:
    """An image waits for S3 (no CPU), then for a thread, and then shares the CPU with the other thread."""

    size: PodSize
    made_at: float
    state: PodState = PodState.STARTING
    made_ready_at: float | None = None
    taken: int = 0
    #: CPU seconds that this pod has used.
    spent: float = 0.0
    #: Counts the changes of the running images. An end that was predicted before the last change is not valid.
    version: int = 0
    _waiting: deque[tuple[float, float]] = field(default_factory=deque)
    #: The running images: the CPU of each until its end, and the time of its message.
    _running: list[tuple[float, float]] = field(default_factory=list)
    _served: float = 0.0
    _seen_at: float = 0.0
    #: CPU seconds that each running image gets in a second.
    _pace: float = 1.0
    _slots: int = field(init=False)

    def __post_init__(self) -> None:
        """Keep what every message needs."""
        self._slots = self.size.slots

    @property
    def free(self) -> int:
        """The number of messages that it can take now."""
        return self._slots - self.taken if self.state is PodState.READY else 0

    def begin(self, now: float, cpu_seconds: float, came_at: float) -> None:
        """The file of a message has been fetched."""
        self.advance(now)
        if len(self._running) < self.size.threads:
            self._running.append((self._served + cpu_seconds, came_at))
            self._share()
        else:
            self._waiting.append((cpu_seconds, came_at))
        self.version += 1

    def next_end(self, now: float) -> float | None:
        """The time at which the next image is done, if nothing changes before."""
        if not self._running:
            return None
        return now + (min(self._running)[0] - self._served) / self._pace

    def end(self, now: float) -> float:
        """End the next image. The result is the time of its message."""
        self.advance(now)
        first = min(self._running)
        self._running.remove(first)
        if self._waiting:
            cpu_seconds, came_at = self._waiting.popleft()
            self._running.append((self._served + cpu_seconds, came_at))
        self._share()
        self.taken -= 1
        self.version += 1
        return first[1]

    def advance(self, now: float) -> None:
        """Account for the time since the last change."""
        if self._running:
            elapsed = now - self._seen_at
            self._served += elapsed * self._pace
            self.spent += elapsed * self._pace * len(self._running)
        self._seen_at = now

    def _share(self) -> None:
        """The share of each image. A thread uses at most one processor."""
        self._pace = min(1.0, self.size.cpus / max(1, len(self._running)))
