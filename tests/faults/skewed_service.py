"""`python -m service` on a machine whose clock is wrong by `CLOCK_SKEW_SECONDS`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import aiobotocore.signers
import botocore.auth
import botocore.compat
import botocore.signers

from processor import clock
from service.cli import serve


def skew(seconds: float) -> None:
    """Set every clock of this process that tells the time of day: the service's own, and the one that AWS requests and
    presigned URLs are signed by."""
    true_time, true_now = time.time, clock.now
    time.time = lambda: true_time() + seconds
    clock.now = lambda: true_now() + timedelta(seconds=seconds)
    for module in (botocore.auth, botocore.signers, aiobotocore.signers):
        # Each has the function under a name of its own.
        setattr(module, "get_current_datetime", _late(botocore.compat.get_current_datetime, seconds))  # noqa: B010


def _late(now: Callable[..., datetime], seconds: float) -> Callable[..., datetime]:
    def skewed(*given: Any, **named: Any) -> datetime:
        return now(*given, **named) + timedelta(seconds=seconds)

    return skewed


if __name__ == "__main__":
    skew(float(os.environ["CLOCK_SKEW_SECONDS"]))
    serve()
