"""The generated parts of the pages on capacity and costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks import cost
from benchmarks.scaling import calls, measured, nodes, plan, pods, prices, storage, sweeps
from benchmarks.scaling.autoscaler import ScalerConfig
from benchmarks.scaling.costs import Workload, break_even, default_prices
from benchmarks.scaling.figures import chart
from benchmarks.scaling.scenarios import BURST, SCENARIOS, SIZES, STEP, mean_megapixels
from benchmarks.scaling.simulation import simulate


def line() -> str:
    """How to calculate another size or rate."""
    pods_are = f"pods = ceil( images a second x CPU seconds an image / {1 - pods.HEADROOM:g} )"
    base, each = f"{pods.image_cpu_seconds(0):.3f}", f"{measured.LINE.per_megapixel:.4f}"
    cpu = f"CPU seconds of a photograph from {measured.FIT_FROM:g} megapixels on = {base} + {each} x megapixels"
    return f"```\n{pods_are}\n{cpu}\n```"


def values() -> str:
    """The values of the chart, by their names in KEDA and Kubernetes."""
    config, pod = ScalerConfig(), pods.PodSize()
    (down,) = config.scale_down.policies
    rows = (
        ("`minReplicaCount`", config.min_replicas),
        ("`maxReplicaCount`", config.max_replicas),
        ("`queueLength`", f"{config.queue_length}: the slots of a pod with {pod.threads} threads"),
        ("`scaleOnInFlight`", "`true`"),
        ("cpu trigger, `Utilization`", f"{config.cpu_percent} % of the request"),
        ("`pollingInterval`", "KEDA's own 30 s; without effect while the least is 1 or more"),
        ("`cooldownPeriod`", "KEDA's own 300 s; without effect likewise"),
        ("`useCachedMetrics`", "`false`"),
        ("`behavior.scaleUp`", "Kubernetes' own: 100 % or 4 pods in 15 s, whichever is more, at once"),
        ("`behavior.scaleDown.stabilizationWindowSeconds`", config.scale_down.stabilization_seconds),
        ("`behavior.scaleDown.policies`", f"{down.value} % in {down.period_seconds} s"),
    )
    return "\n".join(["| value | shipped |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])


def pods_table() -> str:
    """Pods by rate and size, and the rate of the chart's maximum of pods."""
    mean, most, pod = mean_megapixels(), ScalerConfig().max_replicas, pods.PodSize()
    each = pods.image_cpu_seconds(mean)
    able = most * pods.images_per_second(pod, each)
    mixed = ", ".join(f"{weight:g} % of {size:g} MP" for size, weight in SIZES.items())
    planned = able * (1 - pods.HEADROOM)
    takes = f"Images of mixed sizes ({mixed}; {mean:.1f} MP in the mean) take {each:.2f} CPU seconds each."
    brings = f"The shipped most of {most} pods convert {able:.0f} of them a second, or {planned:.0f} with the headroom."
    return f"{pods.table()}\n\n{takes}\n{brings}"


def charts() -> str:
    """A burst and a step, over time."""
    drawn = (
        f"`{each.name}`: {each.says}.\n\n```\n{chart(simulate(each).samples, each.seconds)}\n```"
        for each in (BURST, STEP)
    )
    return "\n\n".join(drawn)


def scenarios() -> str:
    """The scenarios and their results."""
    named = "\n".join(f"- `{each.name}`: {each.says}" for each in SCENARIOS)
    return f"{named}\n\n{sweeps.scenarios_table()}"


def cheaper() -> str:
    """The number of images from which on this design is cheaper."""
    found = [
        break_even("kubernetes", "lambda", work, default_prices())
        for work in (Workload(), cost.same_pipeline(Workload()))
    ]
    sharp, ported = (f"{(images or 0) / 1e6:.1f} million" for images in found)
    said = (
        f"**Below about {sharp} images a month Lambda is cheaper**, and below {ported} if this service's pipeline ran "
        "there. The reason is what this design costs before the first image."
    )
    return f"{said}\n\n{cost.break_even_table(_inputs())}"


def assumptions() -> str:
    """Every assumption except prices, in Markdown."""
    work = Workload()
    rows = [f"| `{name}` | {f'{getattr(work, name):,.4f}'.rstrip('0').rstrip('.')} |" for name in Workload.__slots__]
    return "\n".join(["| input | value |", "| --- | ---: |", *rows])


def _inputs() -> cost.Inputs:
    return cost.Inputs(work=Workload(), prices=default_prices())


SECTIONS: Mapping[str, Callable[[], str]] = {
    "scaling-plan": plan.table,
    "scaling-line": line,
    "scaling-arm": nodes.table,
    "scaling-values": values,
    "scaling-measured": measured.files_table,
    "scaling-service": measured.service_table,
    "scaling-pods": pods_table,
    "scaling-scenarios": scenarios,
    "scaling-charts": charts,
    "scaling-spread": sweeps.spread_table,
    **{f"sweep-{name}": sweep.table for name, sweep in sweeps.SWEEPS.items()},
    "scaling-calls": calls.calls_table,
    "scaling-units": calls.units_table,
    "scaling-limits": calls.limits_table,
    "cost-lines": lambda: cost.lines_table(_inputs()),
    "cost-volumes": lambda: cost.volumes_table(_inputs()),
    "cost-storage": lambda: storage.table(Workload(), default_prices()),
    "cost-break-even": cheaper,
    "cost-assumptions": assumptions,
    "cost-prices": prices.table,
}
