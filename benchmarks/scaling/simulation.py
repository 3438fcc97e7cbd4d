"""A simulation by events: a queue, the pods that empty it, and the autoscaler. A seed makes it repeatable."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from math import fsum

from benchmarks.scaling.autoscaler import SYNC_SECONDS, Autoscaler, ScalerConfig, Sight
from benchmarks.scaling.cluster import Cluster, ClusterConfig
from benchmarks.scaling.pod import Pod, PodState
from benchmarks.scaling.pods import PodSize, image_cpu_seconds
from benchmarks.scaling.scenarios import SIZES, Scenario, arrivals

#: Time between two samples, in seconds.
SAMPLE_SECONDS = 5.0
#: The seed of all random numbers.
SEED = 20_261_123


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything except the load."""

    scaler: ScalerConfig = field(default_factory=ScalerConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    pod: PodSize = field(default_factory=PodSize)
    sizes: Mapping[float, float] = field(default_factory=lambda: SIZES)
    #: Seconds that one image waits for S3, SQS and DynamoDB. It takes a slot then, but no CPU.
    wait_seconds: float = 0.25
    #: Gives the CPU seconds of an image from its megapixels.
    cpu_seconds: Callable[[float], float] = image_cpu_seconds
    seed: int = SEED


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The state at one moment. `age` is the age of the oldest waiting message, in seconds."""

    at: float
    waiting: int
    in_work: int
    pods: int
    ready: int
    age: float


@dataclass(slots=True, kw_only=True)
class Record:
    """The record of a run. Times are in seconds."""

    scenario: str
    came: int = 0
    done: int = 0
    waiting: int = 0
    in_work: int = 0
    #: For each image, the time from its message to its variants.
    servable: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    pod_seconds: float = 0.0
    #: CPU seconds of the ready pods, and the part that images used.
    cpu_seconds_had: float = 0.0
    cpu_seconds_used: float = 0.0


Happening = tuple[float, int, Callable[[], None]]


class Simulation:
    """Runs one scenario in one world, once."""

    def __init__(self, scenario: Scenario, world: World) -> None:
        self._scenario = scenario
        self._world = world
        # Two random generators, so that worlds with different scaling get the same images.
        self._incoming = random.Random(world.seed)
        self._cluster = Cluster(world.cluster, random.Random(world.seed + 1))
        self._scaler = Autoscaler(world.scaler)
        costs = {size: world.cpu_seconds(size) for size in world.sizes}
        self._costs, self._weights = list(costs.values()), list(accumulate(world.sizes.values()))
        self._queue: deque[tuple[float, float]] = deque()
        self._pods: list[Pod] = []
        self._hungry: deque[Pod] = deque()
        self._events: list[Happening] = []
        self._number = 0
        self._now = 0.0
        self._spent_at_sync = 0.0
        self._cached = (float("-inf"), 0)
        self.record = Record(scenario=scenario.name)

    def run(self) -> Record:
        """Run the scenario from its beginning to its end."""
        self._set_up()
        end = self._scenario.seconds
        while self._events and self._events[0][0] <= end:
            self._now, _, happen = heapq.heappop(self._events)
            happen()
        self._now = end
        self._close()
        return self.record

    @property
    def _wanted(self) -> list[Pod]:
        """The pods that the Deployment counts. Draining pods are not among them."""
        return [pod for pod in self._pods if pod.state in (PodState.STARTING, PodState.READY)]

    def _set_up(self) -> None:
        for _ in range(self._world.scaler.min_replicas):
            pod = Pod(self._world.pod, 0.0)
            self._pods.append(pod)
            self._ready(pod)
        for _ in range(self._scenario.backlog):
            self._arrive()
        self._next_arrival(arrivals(self._scenario, self._incoming))
        self._at(0.0, self._sync)
        self._at(0.0, self._sample)

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        self._number += 1  # events of the same time happen in the order in which they were added
        heapq.heappush(self._events, (when, self._number, happen))

    # -- messages

    def _next_arrival(self, times: Iterator[float]) -> None:
        when = next(times, None)
        if when is None:
            return

        def come() -> None:
            self._arrive()
            self._next_arrival(times)

        self._at(when, come)

    def _arrive(self) -> None:
        self.record.came += 1
        (cost,) = self._incoming.choices(self._costs, cum_weights=self._weights)
        self._queue.append((self._now, cost))
        self._feed()

    def _feed(self) -> None:
        """Give messages to the pods in turn, as a queue does with many long polls."""
        while self._queue and self._hungry:
            pod = self._hungry.popleft()
            if not pod.free:
                continue
            came_at, cost = self._queue.popleft()
            pod.taken += 1
            if pod.free:
                self._hungry.append(pod)
            self._at(self._now + self._world.wait_seconds, self._fetched(pod, cost, came_at))

    def _fetched(self, pod: Pod, cost: float, came_at: float) -> Callable[[], None]:
        def happen() -> None:
            pod.begin(self._now, cost, came_at)
            self._announce_end(pod)

        return happen

    def _announce_end(self, pod: Pod) -> None:
        when = pod.next_end(self._now)
        if when is None:
            return
        version = pod.version

        def happen() -> None:
            if pod.version == version:
                self._end(pod)

        self._at(when, happen)

    def _end(self, pod: Pod) -> None:
        had_none_free = pod.free == 0
        came_at = pod.end(self._now)
        self.record.done += 1
        self.record.servable.append(self._now - came_at)
        self._announce_end(pod)
        if pod.state is PodState.DRAINING and pod.taken == 0:
            self._gone(pod)
        elif had_none_free and pod.free:
            self._hungry.append(pod)
            self._feed()

    # -- pods

    def _ready(self, pod: Pod) -> None:
        if pod.state is PodState.STARTING:
            pod.state = PodState.READY
            pod.advance(self._now)
            pod.made_ready_at = self._now
            self._hungry.append(pod)
            self._feed()

    def _gone(self, pod: Pod) -> None:
        pod.state = PodState.GONE
        self._pods.remove(pod)
        self._cluster.leave(self._now)
        self._account(pod)

    def _account(self, pod: Pod) -> None:
        pod.advance(self._now)
        self.record.pod_seconds += self._now - pod.made_at
        self.record.cpu_seconds_used += pod.spent
        if pod.made_ready_at is not None:
            self.record.cpu_seconds_had += (self._now - pod.made_ready_at) * pod.size.cpus

    def _scale(self, wanted: int) -> None:
        pods = self._wanted
        for _ in range(wanted - len(pods)):
            pod = Pod(self._world.pod, self._now)
            self._pods.append(pod)
            self._at(self._cluster.place(self._now), lambda pod=pod: self._ready(pod))  # type: ignore[misc]
        # A Deployment removes first the pods that are not ready, then the youngest.
        oldest_last = sorted(pods, key=lambda pod: (pod.state is PodState.READY, -pod.made_at))
        for pod in oldest_last[: max(0, len(pods) - wanted)]:
            pod.state = PodState.DRAINING
            if pod.taken == 0:
                self._gone(pod)

    # -- every so often

    def _sync(self) -> None:
        pods = self._wanted
        ready = [pod for pod in pods if pod.state is PodState.READY]
        sight = Sight(messages=self._messages(), ready=len(ready), cpu_percent=self._cpu_percent(ready))
        self._scale(self._scaler.decide(self._now, len(pods), sight))
        self._at(self._now + SYNC_SECONDS, self._sync)

    def _messages(self) -> int:
        scaler = self._world.scaler
        seen_at, count = self._cached
        if not scaler.use_cached_metrics or self._now - seen_at >= scaler.polling_seconds:
            count = len(self._queue) + self._in_work()
            self._cached = (self._now, count)
        return count

    def _cpu_percent(self, ready: list[Pod]) -> float:
        """The CPU that the pods used since the last look, in per cent of their requests."""
        for pod in self._pods:
            pod.advance(self._now)
        spent = self.record.cpu_seconds_used + fsum(pod.spent for pod in self._pods)
        used, self._spent_at_sync = spent - self._spent_at_sync, spent
        return 100 * used / (SYNC_SECONDS * self._world.pod.requested * len(ready)) if ready else 0.0

    def _in_work(self) -> int:
        return sum(pod.taken for pod in self._pods)

    def _sample(self) -> None:
        sample = Sample(
            at=self._now,
            waiting=len(self._queue),
            in_work=self._in_work(),
            pods=len(self._pods),
            ready=sum(pod.state is PodState.READY for pod in self._pods),
            age=self._now - self._queue[0][0] if self._queue else 0.0,
        )
        self.record.samples.append(sample)
        self._at(self._now + SAMPLE_SECONDS, self._sample)

    def _close(self) -> None:
        self.record.waiting = len(self._queue)
        self.record.in_work = self._in_work()
        for pod in self._pods:
            self._account(pod)


def simulate(scenario: Scenario, world: World | None = None) -> Record:
    """Run a simulation. The same scenario, world and seed give the same record."""
    return Simulation(scenario, world or World()).run()
