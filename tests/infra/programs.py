"""The programs of the deployment page, for one who follows it beside the emulator.

`aws` is the real one; what the emulator has no part for is answered here, and the template is sent as the emulator
takes it. `helm` renders the chart. `kubectl exec` runs the command that a pod would run. What would leave the machine
does nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

#: Folder with what the programs know of each other.
STATE = "PROGRAMS_STATE"
ISSUER = "https://oidc.eks.us-east-1.amazonaws.com/id/ABC123"
#: Longest that a stack may be in progress, in seconds.
_DEADLINE = 300


def aws(arguments: Sequence[str]) -> int:
    """Waiting for what is in progress takes the AWS CLI half a minute at least, so it begins when there is an end."""
    if arguments[:2] == ["eks", "describe-cluster"]:
        sys.stdout.write(f"{ISSUER}\n")
        return 0
    if arguments[0] == "eks" or arguments[:2] == ["ecr", "get-login-password"]:
        return 0
    state = _state()
    sent = [
        str(state / Path(each).with_suffix(".json").name) if each.startswith("infra/cloudformation/") else each
        for each in arguments
    ]
    if arguments[:2] == ["cloudformation", "wait"] and arguments[2].startswith("stack-"):
        _settle(arguments[arguments.index("--stack-name") + 1])
    return _real_aws(sent).returncode


def helm(arguments: Sequence[str]) -> int:
    """`upgrade` makes what the chart makes of the values, and keeps the settings of the pods and their role."""
    if arguments[0] != "upgrade":
        return 0
    from helm.rendering import render  # noqa: PLC0415 - the other programs need no Helm

    values: dict[str, Any] = {}
    for option, given in pairwise(arguments):
        if option == "--values":
            _merge(values, json.loads(Path(given).read_text()))
        if option in ("--set", "--set-string"):
            path, _, text = given.partition("=")
            value: Any = text if option == "--set-string" else yaml.safe_load(text)
            for key in reversed(path.split(".")):
                value = {key: value}
            _merge(values, value)
    objects = render(values)
    account = objects["serviceaccount.yaml"][0]["metadata"]
    (container,) = objects["deployment.yaml"][0]["spec"]["template"]["spec"]["containers"]
    release = {
        "environment": objects["configmap.yaml"][0]["data"],
        "role": account["annotations"]["eks.amazonaws.com/role-arn"],
        "image": container["image"],
    }
    (_state() / "release.json").write_text(json.dumps(release))
    return 0


def kubectl(arguments: Sequence[str]) -> int:
    """`exec` runs its command as a pod of the release does, once the test has put the pod's variables there."""
    if arguments[0] != "exec":
        return 0
    command = arguments[arguments.index("--") + 1 :]
    pod = json.loads((_state() / "pod.json").read_text())
    program = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    return subprocess.run(program, env={**os.environ, **pod}, check=False).returncode


def _merge(values: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _settle(stack: str) -> None:
    command = ["cloudformation", "describe-stacks", "--stack-name", stack, "--query", "Stacks[0].StackStatus"]
    end = time.monotonic() + _DEADLINE
    while "IN_PROGRESS" in _real_aws(command, capture_output=True, text=True).stdout:
        assert time.monotonic() < end, f"{stack} is in progress for too long"


def _real_aws(arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    return subprocess.run([os.environ["REAL_AWS"], *arguments], check=False, **options)


def _state() -> Path:
    return Path(os.environ[STATE])


if __name__ == "__main__":
    sys.exit({"aws": aws, "helm": helm, "kubectl": kubectl}[sys.argv[1]](sys.argv[2:]))
