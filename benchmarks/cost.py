"""Compares the cost of images in this design and on Lambda, and finds from how many on this design is cheaper.

    python -m benchmarks.cost
    python -m benchmarks.cost --work images_per_month=2e7 --work spot_share=0 --price node=0.34
    python -m benchmarks.cost --inputs ours.toml --json cost.json

The prices are AWS's list prices of us-east-1, typed in by hand; `benchmarks/scaling/prices.py` has the page and the
time of each. `benchmarks/cpu_per_megapixel.py` measured the CPU of an image, and calls are counted from the code.
Everything else is an assumption with a name. A file of inputs is TOML or JSON:

    [work]
    images_per_month = 20_000_000
    [prices]
    node = 0.34
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from benchmarks.scaling import prices as listed
from benchmarks.scaling.costs import MILLION, Month, Workload, break_even, default_prices, month
from benchmarks.scaling.pods import image_cpu_seconds

#: Volumes of the table, in images a month.
VOLUMES = (100_000, MILLION, 10 * MILLION, 100 * MILLION, 1000 * MILLION)
#: Seconds in a month of 730 hours.
MONTH_SECONDS = 730 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The inputs of the calculation."""

    work: Workload
    prices: Mapping[str, float]


def same_pipeline(work: Workload) -> Workload:
    """Lambda with this service's pipeline instead of the earlier one."""
    return replace(work, cpu_beside_lambda=1.0)


def lines_table(inputs: Inputs) -> str:
    """One month, line by line."""
    pods, functions = _designs(inputs)
    rows = [f"| **fixed** | {sum(pods.fixed.values()):,.2f} | {sum(functions.fixed.values()):,.2f} |"]
    rows += [f"| {name} | {usd:,.2f} | |" for name, usd in pods.fixed.items()]
    rows += [f"| **by use** | {sum(pods.variable.values()):,.2f} | {sum(functions.variable.values()):,.2f} |"]
    rows += [f"| {name} | {usd:,.2f} | |" for name, usd in pods.variable.items()]
    rows += [f"| {name} | | {usd:,.2f} |" for name, usd in functions.variable.items()]
    rows += [f"| **the same in both** | {sum(pods.same.values()):,.2f} | {sum(functions.same.values()):,.2f} |"]
    rows += [f"| {name} | {usd:,.2f} | {functions.same[name]:,.2f} |" for name, usd in pods.same.items()]
    rows += [f"| **all** | {pods.total:,.2f} | {functions.total:,.2f} |"]
    head = f"| {inputs.work.images_per_month:,.0f} images a month, USD | this design | Lambda, sharp |"
    return "\n".join([head, "| --- | ---: | ---: |", *rows])


def volumes_table(inputs: Inputs, volumes: Sequence[float] = VOLUMES) -> str:
    """The cost of a million images at several volumes, without items that are the same in both designs."""
    rows = []
    for volume in volumes:
        at = replace(inputs, work=replace(inputs.work, images_per_month=volume))
        pods, functions = _designs(at)
        ported = month("lambda", same_pipeline(at.work), at.prices)
        own = [each.own * MILLION / volume for each in (pods, functions, ported)]
        same = sum(pods.same.values()) * MILLION / volume
        rate = volume / MONTH_SECONDS
        rows.append(f"| {volume:,.0f} | {rate:,.2f} | " + " | ".join(f"{usd:,.2f}" for usd in (*own, same)) + " |")
    head = ("images a month", "a second", "this design", "Lambda, sharp", "Lambda, this pipeline", "and in each")
    return "\n".join([f"| {' | '.join(head)} |", "| ---: | ---: | ---: | ---: | ---: | ---: |", *rows])


def break_evens(inputs: Inputs) -> dict[str, tuple[float | None, float | None]]:
    """For each changed input: the images per month from which this design is cheaper than Lambda, by pipeline."""
    work = inputs.work
    changed = {
        "nothing": work,
        "the cluster is there anyway (`cluster_share=0`)": replace(work, cluster_share=0),
        "all nodes on demand (`spot_share=0`)": replace(work, spot_share=0),
        "all nodes Spot (`spot_share=1`)": replace(work, spot_share=1),
        "pods are used by 30 % (`utilization=0.3`)": replace(work, utilization=0.3),
        "processors of nodes half as fast (`node_speed=0.5`)": replace(work, node_speed=0.5),
        "images of 2 MP": replace(work, cpu_seconds=image_cpu_seconds(2)),
        "images of 24 MP": replace(work, cpu_seconds=image_cpu_seconds(24)),
        "no gateway endpoint for S3 (`s3_through_nat=1`)": replace(work, s3_through_nat=1),
    }
    return {
        name: (
            break_even("kubernetes", "lambda", each, inputs.prices),
            break_even("kubernetes", "lambda", same_pipeline(each), inputs.prices),
        )
        for name, each in changed.items()
    }


def break_even_table(inputs: Inputs) -> str:
    """The table in Markdown."""
    rows = [f"| {name} | {_volume(one)} | {_volume(other)} |" for name, (one, other) in break_evens(inputs).items()]
    return "\n".join(["| what is changed | Lambda, sharp | Lambda, this pipeline |", "| --- | ---: | ---: |", *rows])


def read_inputs(options: argparse.Namespace) -> Inputs:
    """The inputs: defaults, then the file, then the arguments. Raises `ValueError` for an unknown name."""
    given: dict[str, dict[str, Any]] = {"work": {}, "prices": {}}
    if options.inputs:
        text = options.inputs.read_text()
        for part, values in (json.loads(text) if options.inputs.suffix == ".json" else tomllib.loads(text)).items():
            given[part] = dict(values)
    given["work"] |= dict(options.work)
    given["prices"] |= dict(options.price)
    unknown = set(given) - {"work", "prices"}
    unknown |= set(given["work"]) - {each.name for each in fields(Workload)} | set(given["prices"]) - set(listed.PRICES)
    if unknown:
        raise ValueError(f"no such input: {', '.join(sorted(unknown))}")
    work = Workload(**{name: float(value) for name, value in given["work"].items()})
    return Inputs(work=work, prices=default_prices() | {name: float(usd) for name, usd in given["prices"].items()})


def document(inputs: Inputs) -> dict[str, Any]:
    """All results as JSON values."""
    pods, functions = _designs(inputs)
    return {
        "work": asdict(inputs.work),
        "prices": {name: {**asdict(listed.PRICES[name]), "usd": usd} for name, usd in inputs.prices.items()},
        "kubernetes": {**asdict(pods), "own": pods.own, "total": pods.total},
        "lambda": {**asdict(functions), "own": functions.own, "total": functions.total},
        "breakEven": break_evens(inputs),
    }


def parser() -> argparse.ArgumentParser:
    """Names of prices and of the workload's fields are checked when they are read."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(each.name for each in fields(Workload))
    found.add_argument("--inputs", type=Path, metavar="FILE", help="TOML or JSON with `work` and `prices`")
    found.add_argument("--work", type=_pair, action="append", default=[], metavar="NAME=VALUE", help=names)
    found.add_argument(
        "--price", type=_pair, action="append", default=[], metavar="NAME=USD", help=", ".join(listed.PRICES)
    )
    found.add_argument("--prices", action="store_true", help="print every price with its source")
    found.add_argument("--json", type=Path, help="write everything there")
    return found


def _designs(inputs: Inputs) -> tuple[Month, Month]:
    return month("kubernetes", inputs.work, inputs.prices), month("lambda", inputs.work, inputs.prices)


def _volume(images: float | None) -> str:
    return "never" if images is None else f"{float(f'{images:.2g}'):,.0f}"


def _pair(text: str) -> tuple[str, float]:
    name, found, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not {'a number' if found else 'NAME=VALUE'}: {text!r}") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the inputs, calculate, print."""
    found = parser()
    options = found.parse_args(arguments)
    try:
        inputs = read_inputs(options)
    except ValueError as error:
        found.error(str(error))
    changed = {name: usd for name, usd in inputs.prices.items() if usd != listed.PRICES[name].usd}
    if options.prices:
        print(f"{listed.table(changed)}\n")
    print("AWS list prices of us-east-1, typed in by hand; --prices shows each with its source and date.\n")
    print(f"{lines_table(inputs)}\n\nA million images, USD:\n\n{volumes_table(inputs)}\n")
    print(f"This design is cheaper from so many images a month on:\n\n{break_even_table(inputs)}")
    if options.json:
        options.json.write_text(json.dumps(document(inputs), indent=2))


if __name__ == "__main__":
    main()
