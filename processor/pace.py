"""How soon an image may have its next job. A caller who asks again and again waits, and uses up no turns of others."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime

#: How many jobs of one image a minute start at once: somebody tries or corrects a picture.
FREE_JOBS = 5
WINDOW_SECONDS = 60.0
#: How much longer each further pause is, in seconds. An image then gets about eight jobs a minute.
STEP_SECONDS = 2
#: The longest pause, in case the clock that made an id was wrong. It is shorter than the time after which a job is
#: queued again.
MAX_PAUSE_SECONDS = 30
_JOB_ID = re.compile(r"img_(\d{1,15})_.*")


def pause_before_job(job_ids: Sequence[str], now: datetime) -> int:
    """Seconds until an image with these jobs (the newest last) may have another one. The id of a job contains
    its time."""
    present = now.timestamp()
    recent = [moment for moment in _moments(job_ids) if present - moment < WINDOW_SECONDS]
    if len(recent) < FREE_JOBS:
        return 0
    due = max(recent) + STEP_SECONDS * (len(recent) - FREE_JOBS + 1)
    return min(MAX_PAUSE_SECONDS, max(0, math.ceil(due - present)))


def _moments(job_ids: Sequence[str]) -> list[float]:
    """The times of the newest jobs; a minute has no more than these."""
    newest = map(_JOB_ID.fullmatch, job_ids[-int(WINDOW_SECONDS) :])
    return [int(found[1]) / 1000 for found in newest if found is not None]
