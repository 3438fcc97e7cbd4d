"""A cluster that is reached by a kubeconfig, as kubectl and Helm show it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from helm.rendering import CHART, RELEASE

Document = dict[str, Any]

#: Longest that one command may take.
COMMAND_SECONDS = 300
DEPLOYER = CHART.parents[1] / "k8s" / "deployer.yaml"


class Refused(AssertionError):
    """A command that failed. It says what was run, and what came back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """One namespace of a cluster, and who works in it: the owner of the kubeconfig, or whom that one impersonates."""

    name: str
    apis: frozenset[str]
    user: str = ""
    group: str = ""

    def as_member_of(self, group: str) -> Namespace:
        """The same, seen by a user of this group alone."""
        return replace(self, user="somebody", group=group)

    def as_owner(self) -> Namespace:
        """The same, seen by the owner of the kubeconfig."""
        return replace(self, user="", group="")

    def serves(self, api: str) -> bool:
        return api in self.apis

    async def kubectl(self, *arguments: str, given: str = "") -> str:
        """What it prints. Raises `Refused`."""
        who = ["--as", self.user, "--as-group", self.group, "--as-group", "system:authenticated"] if self.user else []
        return await run("kubectl", "--namespace", self.name, *who, *arguments, given=given)

    async def helm(self, *arguments: str, given: str = "") -> str:
        """What it prints. Raises `Refused`."""
        who = ["--kube-as-user", self.user, "--kube-as-group", self.group] if self.user else []
        return await run("helm", "--namespace", self.name, *who, *arguments, given=given)

    async def install(self, *arguments: str, values: Mapping[str, Any]) -> str:
        """Install or upgrade the release with these values, and wait for nothing but the API."""
        return await self.helm(
            "upgrade", RELEASE, str(CHART), "--install", "--values", "-", *arguments, given=json.dumps(values)
        )

    async def apply(self, documents: Iterable[Document], *arguments: str) -> str:
        text = yaml.safe_dump_all(documents)
        return await self.kubectl("apply", "--server-side", *arguments, "--filename", "-", given=text)

    async def get(self, kind: str, name: str) -> Document:
        found: Document = json.loads(await self.kubectl("get", kind, name, "--output", "json"))
        return found

    async def all(self, kinds: str, **labels: str) -> list[Document]:
        chosen = ",".join(f"{label}={value}" for label, value in labels.items())
        listed = json.loads(await self.kubectl("get", kinds, "--selector", chosen, "--output", "json"))
        found: list[Document] = listed["items"]
        return found


async def run(*command: str, given: str = "") -> str:
    """What a command prints. Raises `Refused`."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(given.encode()), COMMAND_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise Refused(f"{' '.join(command)}: {out.decode()}{err.decode()}")
    return out.decode()


def missing() -> str:
    """Why there is no cluster to test with; empty when there is one."""
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG names no cluster: with one, `make cluster` installs the chart on it"
    absent = [name for name in ("kubectl", "helm") if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def deployers(namespace: str, group: str) -> list[Document]:
    """What `k8s/deployer.yaml` makes, for another namespace and another group."""
    text = DEPLOYER.read_text()
    documents = list(yaml.safe_load_all(text))
    for document in documents:
        kind, metadata = document["kind"], document["metadata"]
        if kind == "Namespace":
            metadata["name"] = namespace
        else:
            metadata["namespace"] = namespace
        for subject in document.get("subjects", []):
            subject["name"] = group
    return documents
