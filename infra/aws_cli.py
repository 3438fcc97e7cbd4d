"""Asks AWS by its CLI, which needs no library."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

#: Longest that AWS may take for one answer, in seconds.
TIMEOUT_SECONDS = 60


class AwsFailed(Exception):
    """There is no answer; the message is what the CLI says, or why it says nothing."""


class NoCli(AwsFailed):
    """The AWS CLI is not installed."""


def ask(*command: str, region: str | None = None) -> Any:
    """The answer to `aws COMMAND`; None where nothing is printed. Raises `AwsFailed`."""
    try:
        done = subprocess.run(
            ["aws", "--output", "json", *command, *_in(region)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise NoCli("The AWS CLI is not installed.") from None
    except subprocess.TimeoutExpired:
        raise AwsFailed(f"AWS did not answer within {TIMEOUT_SECONDS} s.") from None
    if done.returncode:
        raise AwsFailed(done.stderr.strip() or f"The AWS CLI ended with {done.returncode}.")
    try:
        return json.loads(done.stdout) if done.stdout.strip() else None
    except ValueError as error:
        raise AwsFailed(f"The AWS CLI: {error}") from None


def _in(region: str | None) -> Sequence[str]:
    return ("--region", region) if region else ()
