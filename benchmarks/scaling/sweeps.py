"""Sweeps that justify the values of the chart. Each varies one value, and keeps the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from benchmarks.scaling.autoscaler import Policy, Rules, ScalerConfig
from benchmarks.scaling.cluster import ClusterConfig
from benchmarks.scaling.figures import Figures, figures, headings, row
from benchmarks.scaling.pods import PodSize
from benchmarks.scaling.scenarios import BURST, DAY, PULSES, REDRIVE, SCENARIOS, STEP, Scenario
from benchmarks.scaling.simulation import SEED, World, simulate

#: The seeds for the spread of a result.
SEEDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A set of values. Missing ones are those of the chart."""

    scaler: ScalerConfig = field(default_factory=ScalerConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    pod: PodSize = field(default_factory=PodSize)
    seed: int = SEED

    @property
    def world(self) -> World:
        """The world with these values."""
        return World(scaler=self.scaler, cluster=self.cluster, pod=self.pod, seed=self.seed)


SHIPPED = ScalerConfig()
#: Without the cpu trigger, which would hide the effect of the queue trigger.
QUEUE_ALONE = replace(SHIPPED, cpu_percent=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A value of the chart, its settings, and the scenarios in which it matters."""

    name: str
    settings: Mapping[str, Setting]
    scenarios: tuple[Scenario, ...]

    def table(self) -> str:
        """One table for each scenario."""
        parts = []
        for scenario in self.scenarios:
            rows = [row(name, run(scenario, setting)) for name, setting in self.settings.items()]
            parts.append("\n".join([f"`{scenario.name}`: {scenario.says}.\n", headings(self.name), *rows]))
        return "\n\n".join(parts)


def _down(stabilization: int, percent: int = 50, period: int = 60) -> Setting:
    policy = Policy(kind="Percent", value=percent, period_seconds=period)
    rules = Rules(stabilization_seconds=stabilization, policies=(policy,))
    return Setting(scaler=replace(SHIPPED, scale_down=rules))


def _cpu(pod: PodSize) -> dict[str, Setting]:
    named = {"none": None, "90 %": 90, "80 %": 80, "70 %": 70}
    return {name: Setting(scaler=replace(SHIPPED, cpu_percent=each), pod=pod) for name, each in named.items()}


def _pod(pod: PodSize, most: int) -> Setting:
    return Setting(scaler=replace(SHIPPED, queue_length=pod.slots, max_replicas=most), pod=pod)


def _cached(seconds: int) -> Setting:
    return Setting(scaler=replace(SHIPPED, use_cached_metrics=True, polling_seconds=seconds))


SWEEPS: Mapping[str, Sweep] = {
    "queue-length": Sweep(
        name="`queueLength`",
        settings={
            "3, with the cpu trigger": Setting(),
            **{str(n): Setting(scaler=replace(QUEUE_ALONE, queue_length=n)) for n in (1, 2, 3, 4, 6)},
        },
        scenarios=(DAY, STEP),
    ),
    "cpu": Sweep(name="cpu trigger", settings=_cpu(PodSize()), scenarios=(DAY,)),
    "cpu-lent": Sweep(
        name="cpu trigger; pods get 2 processors",
        settings={
            name: setting for name, setting in _cpu(PodSize(cpus=2, request=1)).items() if name in ("none", "80 %")
        },
        scenarios=(DAY,),
    ),
    "pod": Sweep(
        name="pod",
        settings={
            "1 processor, 1 thread": _pod(PodSize(threads=1), 20),
            "1 processor, 2 threads": _pod(PodSize(), 20),
            "1 processor, 4 threads": _pod(PodSize(threads=4), 20),
            "2 processors, 2 threads": _pod(PodSize(cpus=2), 10),
        },
        scenarios=(DAY,),
    ),
    "min": Sweep(
        name="`minReplicaCount`",
        settings={str(n): Setting(scaler=replace(SHIPPED, min_replicas=n)) for n in (1, 2, 4, 8)},
        scenarios=(STEP, PULSES),
    ),
    "max": Sweep(
        name="`maxReplicaCount`",
        settings={str(n): Setting(scaler=replace(SHIPPED, max_replicas=n)) for n in (10, 20, 40, 80)},
        scenarios=(BURST, REDRIVE),
    ),
    "down": Sweep(
        name="`stabilizationWindowSeconds`",
        settings={str(n): _down(n) for n in (0, 60, 300, 600)},
        scenarios=(DAY, PULSES),
    ),
    "down-policy": Sweep(
        name="scale-down policy",
        settings={
            "100 % in 15 s": _down(300, 100, 15),
            "50 % in 60 s": _down(300),
            "25 % in 60 s": _down(300, 25),
            "10 % in 60 s": _down(300, 10),
        },
        scenarios=(PULSES,),
    ),
    "polling": Sweep(
        name="queue's length is",
        settings={"asked for": Setting(), **{f"up to {n} s old": _cached(n) for n in (15, 30, 60)}},
        scenarios=(STEP,),
    ),
    "nodes": Sweep(
        name="room on nodes for",
        settings={f"{n} more pods": Setting(cluster=ClusterConfig(spare=n)) for n in (0, 5, 18)},
        scenarios=(STEP, BURST),
    ),
}


@lru_cache(maxsize=256)
def _figures(name: str, setting: Setting) -> Figures:
    (scenario,) = (each for each in SCENARIOS if each.name == name)
    return figures(simulate(scenario, setting.world))


def run(scenario: Scenario, setting: Setting | None = None) -> Figures:
    """The figures of a scenario. It is simulated once for the same values."""
    return _figures(scenario.name, setting or Setting())


def scenarios_table() -> str:
    """Every scenario with the values of the chart."""
    rows = [row(f"`{scenario.name}`", run(scenario)) for scenario in SCENARIOS]
    return "\n".join([headings("scenario"), *rows])


def spread_table(scenario: Scenario = DAY) -> str:
    """One scenario with several seeds. It shows how much two rows may differ by chance."""
    rows = [row(f"{n}", run(scenario, Setting(seed=SEED + n))) for n in range(SEEDS)]
    return "\n".join([f"`{scenario.name}`: {scenario.says}.\n", headings("seed"), *rows])
