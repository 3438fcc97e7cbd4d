"""What runs of the chart's release, as outputs of a workflow's step: `python3 -m infra.release`.

It prints `revision`, the newest one that was deployed; empty when there is none. With `--take-over RUN` it first makes
the release ready for the workflow's run of that number: it undoes what a job has begun and could not end, because Helm
changes nothing before that, and refuses when a later run has deployed already.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

#: The label of a revision that says which run of the workflow made it.
RUN = "run"
#: How Helm undoes something: it waits for pods, and not for objects of operators, which may have trouble of their own.
TIMEOUT = ("--timeout", "10m")
UNDO = ("--wait=legacy", "--force-conflicts", *TIMEOUT)


class HelmRelease:
    """One release, through the command `helm`, which says itself what went wrong."""

    def __init__(self, name: str, namespace: str) -> None:
        self._name = name
        self._namespace = ("--namespace", namespace)

    def newest(self) -> str:
        """The status of the newest revision; empty when there is none."""
        listed = self._json("list", "--filter", f"^{self._name}$")
        return str(listed[0]["status"]) if listed else ""

    def deployed(self) -> str:
        """The newest revision that was deployed; empty when there is none."""
        revisions = self._json("history", self._name) if self.newest() else []
        found = [each["revision"] for each in revisions if each["status"] == "deployed"]
        return str(max(found)) if found else ""

    def made_by_run(self, revision: str) -> int:
        """The run of the workflow that made it; 0 when it was somebody else."""
        metadata = self._json("get", "metadata", self._name, "--revision", revision)
        return int((metadata.get("labels") or {}).get(RUN, 0))

    def undo_what_is_pending(self) -> None:
        """Go back to what was deployed; what was never deployed is removed."""
        if not self.newest().startswith("pending-"):
            return
        if before := self.deployed():
            self._helm("rollback", self._name, before, *UNDO)
        else:
            self._helm("uninstall", self._name, "--wait", *TIMEOUT)

    def _json(self, *arguments: str) -> Any:
        return json.loads(self._helm(*arguments, "--output", "json"))

    def _helm(self, *arguments: str) -> str:
        command = ["helm", *arguments, *self._namespace]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def take_over(release: HelmRelease, run: int) -> None:
    """Make it ready to be changed by this run."""
    release.undo_what_is_pending()
    deployed = release.deployed()
    if deployed and (later := release.made_by_run(deployed)) > run:
        raise SystemExit(
            f"Run {later} of the workflow has deployed already, and this is run {run}: start a new run instead."
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the outputs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", default="image-service")
    parser.add_argument("--namespace", default="truss-image")
    parser.add_argument(
        "--take-over", type=int, metavar="RUN", help="the number of the workflow's run that will change it"
    )
    options = parser.parse_args(arguments)
    release = HelmRelease(options.release, options.namespace)
    try:
        if options.take_over is not None:
            take_over(release, options.take_over)
        print(f"revision={release.deployed()}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    main()
