"""Turns the outputs of a stack into values of the chart: `python -m infra.values --stack truss-image-dev`.

Outputs are named after settings: `QueueUrl` becomes `config.queueUrl`, which becomes `QUEUE_URL`. Needs Python alone,
and the AWS CLI when it is to ask for the outputs itself. The result is JSON, which Helm reads as well as YAML.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: Outputs that are no settings, and where they belong; None for what only people need.
OTHERS: Mapping[str, str | None] = {
    "ServiceRoleArn": "roleArn",
    "ServicePolicyArn": None,
    "SignInUrl": None,
    "DistributionDomainName": None,
    "DeadLetterQueueArn": None,
}
#: Longest that AWS may take to describe a stack, in seconds.
TIMEOUT_SECONDS = 60


class NoOutputs(Exception):
    """The outputs cannot be had; the message says why."""


def values_of(outputs: Mapping[str, str]) -> dict[str, Any]:
    """The chart's values for the outputs of a stack. Raises `NoOutputs` when there are none."""
    if not outputs:
        raise NoOutputs("The stack has no outputs: has it been created?")
    config = {name[0].lower() + name[1:]: value for name, value in outputs.items() if name not in OTHERS}
    account = {place: outputs[name] for name, place in OTHERS.items() if place and name in outputs}
    return {"config": config} | ({"serviceAccount": account} if account else {})


def outputs_of(description: Any) -> dict[str, str]:
    """The outputs in what `aws cloudformation describe-stacks` prints. Raises `NoOutputs`."""
    try:
        (stack,) = description["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
    except (KeyError, TypeError, ValueError):
        raise NoOutputs("This is not what `aws cloudformation describe-stacks` prints for one stack.") from None


def describe(stack: str, region: str | None) -> Any:
    """Ask AWS. Raises `NoOutputs` with what the AWS CLI says."""
    command = ["aws", "cloudformation", "describe-stacks", "--output", "json", "--stack-name", stack]
    try:
        done = subprocess.run(
            [*command, *(("--region", region) if region else ())],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise NoOutputs("The AWS CLI is not installed; --outputs reads a file instead.") from None
    except subprocess.TimeoutExpired:
        raise NoOutputs(f"AWS did not answer within {TIMEOUT_SECONDS} s.") from None
    if done.returncode:
        raise NoOutputs(done.stderr.strip() or f"The AWS CLI ended with {done.returncode}.")
    return json.loads(done.stdout)


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
        values = values_of(outputs_of(description))
    except NoOutputs as error:
        print(f"infra.values: {error}", file=sys.stderr)
        return 1
    print(json.dumps(values, indent=2))
    return 0


def _read(path: str) -> Any:
    try:
        return json.loads(sys.stdin.read() if path == "-" else Path(path).read_text())
    except (OSError, ValueError) as error:
        raise NoOutputs(f"{path}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
