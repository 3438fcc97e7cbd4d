"""Simulates a queue, its pods and KEDA: how long images wait, and how much the pods cost that wait for images.

    python -m benchmarks.simulate_scaling                                # every scenario as shipped, and every sweep
    python -m benchmarks.simulate_scaling --scenario burst --chart --max-replicas 40
    python -m benchmarks.simulate_scaling --sweep queue-length --json sweep.json

This is a model, not a measurement. Messages arrive at random at a scenario's rate, with sizes by `--sizes`. An image
costs the CPU that `benchmarks/cpu_per_megapixel.py` measured. Pods share their CPU between their threads. The
autoscaler follows the rules of Kubernetes and KEDA (`benchmarks/scaling/autoscaler.py`). A new node takes 60 to 90
seconds. The model has no failures, throttling, Spot interruptions, or other workloads on the nodes. The same arguments
give the same figures on every machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.scaling.autoscaler import Policy, Rules, ScalerConfig
from benchmarks.scaling.cluster import ClusterConfig
from benchmarks.scaling.figures import Figures, chart, figures, headings, row
from benchmarks.scaling.pods import PodSize, image_cpu_seconds
from benchmarks.scaling.scenarios import SCENARIOS, SIZES, Scenario, mean_megapixels
from benchmarks.scaling.simulation import SEED, World, simulate
from benchmarks.scaling.sweeps import SWEEPS, run, spread_table

#: The parts of the full output: every scenario's chart, the spread over seeds, and all sweeps.
ALL = "all"


def parser() -> argparse.ArgumentParser:
    """The arguments: every value of the chart and of the model, with the shipped values as defaults."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shipped, cluster, pod = ScalerConfig(), ClusterConfig(), PodSize()
    names = [scenario.name for scenario in SCENARIOS]
    found.add_argument("--scenario", choices=names, action="append", help="run these alone, without sweeps")
    found.add_argument("--sweep", choices=[*SWEEPS, ALL], action="append", help="print these sweeps alone")
    found.add_argument("--chart", action="store_true", help="draw queue and pods over time")
    found.add_argument("--json", type=Path, help="write every figure there")
    found.add_argument("--seed", type=int, default=SEED)
    found.add_argument("--min-replicas", type=int, default=shipped.min_replicas)
    found.add_argument("--max-replicas", type=int, default=shipped.max_replicas)
    found.add_argument("--queue-length", type=int, default=shipped.queue_length)
    found.add_argument(
        "--cpu-percent", type=int, default=shipped.cpu_percent, help="target of the cpu trigger; 0: none"
    )
    found.add_argument(
        "--stabilization", type=int, default=shipped.scale_down.stabilization_seconds, help="of the way down"
    )
    found.add_argument("--down-percent", type=int, default=shipped.scale_down.policies[0].value, help="in a minute")
    found.add_argument(
        "--cached-metrics", type=int, metavar="SECONDS", help="useCachedMetrics with this pollingInterval"
    )
    found.add_argument("--cpus", type=float, default=pod.cpus, help="processors of a pod")
    found.add_argument("--request", type=float, help="processors that a pod asks for, where it gets more")
    found.add_argument("--threads", type=int, default=pod.threads)
    found.add_argument("--sizes", type=_sizes, default=SIZES, help="megapixels:weight, as in 2:25,12:60,24:15")
    found.add_argument("--start-seconds", type=float, default=cluster.start_seconds, help="of a pod that has room")
    found.add_argument(
        "--node-seconds", type=float, nargs=2, default=cluster.node_seconds, help="of a node, least and most"
    )
    found.add_argument("--spare", type=int, default=cluster.spare, help="pods that find room at first")
    return found


def world(options: argparse.Namespace) -> World:
    """The model that the arguments describe."""
    down = Policy(kind="Percent", value=options.down_percent, period_seconds=60)
    scaler = ScalerConfig(
        min_replicas=options.min_replicas,
        max_replicas=options.max_replicas,
        queue_length=options.queue_length,
        cpu_percent=options.cpu_percent or None,
        scale_down=Rules(stabilization_seconds=options.stabilization, policies=(down,)),
        polling_seconds=options.cached_metrics or ScalerConfig().polling_seconds,
        use_cached_metrics=options.cached_metrics is not None,
    )
    cluster = ClusterConfig(
        start_seconds=options.start_seconds,
        node_seconds=(options.node_seconds[0], options.node_seconds[1]),
        spare=options.spare,
    )
    pod = PodSize(cpus=options.cpus, threads=options.threads, request=options.request)
    return replace(World(), scaler=scaler, cluster=cluster, pod=pod, sizes=options.sizes, seed=options.seed)


def run_scenarios(scenarios: Sequence[Scenario], given: World, *, draw: bool) -> list[Figures]:
    """Run the scenarios, and print each result as soon as it is there."""
    mean = mean_megapixels(given.sizes)
    print(f"images of {mean:.1f} MP in the mean, {image_cpu_seconds(mean):.2f} CPU s each\n")
    print(headings("scenario"))
    records = []
    for scenario in scenarios:
        records.append(simulate(scenario, given))
        print(row(f"`{scenario.name}`", figures(records[-1])))
    if draw:
        for scenario, record in zip(scenarios, records, strict=True):
            print(f"\n{scenario.name}: {scenario.says}\n{chart(record.samples, scenario.seconds)}")
    return [figures(record) for record in records]


def run_sweeps(names: Sequence[str]) -> dict[str, dict[str, list[Figures]]]:
    """Run and print the sweeps. All values except the varied one are as shipped."""
    found: dict[str, dict[str, list[Figures]]] = {}
    for name in names:
        sweep = SWEEPS[name]
        print(f"\n{sweep.table()}")
        found[name] = {
            value: [run(scenario, setting) for scenario in sweep.scenarios] for value, setting in sweep.settings.items()
        }
    return found


def _sizes(text: str) -> Mapping[float, float]:
    try:
        pairs = [pair.split(":") for pair in text.split(",")]
        return {float(size): float(weight) for size, weight in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(f"not megapixels:weight by commas: {text!r}") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the given scenarios and sweeps, or all."""
    options = parser().parse_args(arguments)
    everything = not options.scenario and not options.sweep
    wanted = [each for each in SCENARIOS if everything or each.name in (options.scenario or ())]
    sweeps = list(SWEEPS) if everything or ALL in (options.sweep or ()) else options.sweep or []
    document: dict[str, object] = {}
    if wanted:
        document["scenarios"] = [asdict(each) for each in run_scenarios(wanted, world(options), draw=options.chart)]
    if everything:
        print(f"\n{spread_table()}")
    document["sweeps"] = {
        name: {value: [asdict(each) for each in runs] for value, runs in values.items()}
        for name, values in run_sweeps(sweeps).items()
    }
    if options.json:
        options.json.write_text(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
