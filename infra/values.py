"""Turns the outputs of a stack into values of the chart: `python -m infra.values --stack truss-image-dev`.

Outputs are named after settings: `QueueUrl` becomes `config.queueUrl`, which becomes `QUEUE_URL`. An output is always
text; the chart's schema says which type its value has. Needs Python alone, and the AWS CLI when it is to ask for the
outputs itself. The result is JSON, which Helm reads as well as YAML.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.aws_cli import AwsFailed, NoCli, ask

#: Outputs that are no settings, and the value that they are for; None for what only people need.
OTHERS: Mapping[str, str | None] = {
    "ServiceRoleArn": "serviceAccount.roleArn",
    "PodIdentity": "serviceAccount.podIdentity",
    "ServicePolicyArn": None,
    "SignInUrl": None,
    "DistributionDomainName": None,
    "DeadLetterQueueArn": None,
}

_SCHEMA = Path(__file__).parents[1] / "helm" / "image-service" / "values.schema.json"
#: What JSON makes of each type of the schema.
_TYPES: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


class NoValues(Exception):
    """The values cannot be made; the message says why."""


def values_of(outputs: Mapping[str, str]) -> dict[str, Any]:
    """The chart's values for the outputs of a stack; an empty one is as good as none. Raises `NoValues`."""
    if not outputs:
        raise NoValues("The stack has no outputs: has it been created?")
    types = _types()
    values: dict[str, Any] = {}
    for name, text in outputs.items():
        path = _path(name)
        if path in types and text.strip():
            group, _, key = path.partition(".")
            values.setdefault(group, {})[key] = _typed(name, text, types[path])
    return values


def unknown_among(outputs: Iterable[str]) -> list[str]:
    """The outputs that no value of the chart is for and that nobody is known to need."""
    types = _types()
    return [name for name in outputs if name not in OTHERS and _path(name) not in types]


def _path(name: str) -> str:
    """Where an output goes, as in `config.queueUrl`; empty for nowhere."""
    return (OTHERS[name] or "") if name in OTHERS else f"config.{name[:1].lower()}{name[1:]}"


def _types() -> dict[str, list[str]]:
    """The types that each value may have, by its path."""
    try:
        groups = json.loads(_SCHEMA.read_text())["properties"]
    except (OSError, ValueError) as error:
        raise NoValues(f"{_SCHEMA}: {error}") from None
    return {
        f"{group}.{key}": [kinds] if isinstance(kinds := described.get("type", []), str) else kinds
        for group, found in groups.items()
        for key, described in found.get("properties", {}).items()
    }


def _typed(name: str, text: str, types: Sequence[str]) -> Any:
    """The text itself where the chart takes text, else what it says in JSON; a list may be written with commas."""
    if "string" in types:
        return text
    if "array" in types and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        value = json.loads(text, parse_constant=_no_number)
    except ValueError:
        value = None
    if type(value) not in [each for kind in types for each in _TYPES.get(kind, ())]:
        wanted = " or ".join(kind for kind in types if kind != "null")
        raise NoValues(f"The output {name} is {text!r}; the chart's {_path(name)} must be of the type {wanted}.")
    return value


def _no_number(text: str) -> Any:
    """JSON has no NaN and no Infinity, though Python reads them."""
    raise ValueError(text)


def outputs_of(description: Any) -> dict[str, str]:
    """The outputs in what `aws cloudformation describe-stacks` prints. Raises `NoValues`."""
    try:
        (stack,) = description["Stacks"]
        return {str(output["OutputKey"]): str(output["OutputValue"]) for output in stack.get("Outputs") or ()}
    except (KeyError, TypeError, ValueError):
        raise NoValues("This is not what `aws cloudformation describe-stacks` prints for one stack.") from None


def describe(stack: str, region: str | None) -> Any:
    """Ask AWS. Raises `NoValues` with what the AWS CLI says."""
    try:
        return ask("cloudformation", "describe-stacks", "--stack-name", stack, region=region)
    except NoCli as error:
        raise NoValues(f"{error} --outputs reads a file instead.") from None
    except AwsFailed as error:
        raise NoValues(str(error)) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the values; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.values", description=__doc__.partition("\n")[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--stack", help="name of the stack; asks AWS by its CLI")
    where.add_argument("--outputs", help="file with the output of `aws cloudformation describe-stacks`; - for stdin")
    parser.add_argument("--region", help="region of the stack, when it is not the CLI's own")
    given = parser.parse_args(arguments)
    try:
        description = describe(given.stack, given.region) if given.stack else _read(given.outputs)
        outputs = outputs_of(description)
        values, unknown = values_of(outputs), unknown_among(outputs)
    except NoValues as error:
        print(f"infra.values: {error}", file=sys.stderr)
        return 1
    if unknown:
        print(f"infra.values: left out, for the chart has no such value: {', '.join(unknown)}", file=sys.stderr)
    print(json.dumps(values, indent=2))
    return 0


def _read(path: str) -> Any:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise NoValues(f"{path}: {error}") from None
    return _json(text, path)


def _json(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise NoValues(f"{source}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
