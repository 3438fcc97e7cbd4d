"""How soon an image may have its next job: who has it made again and again waits, and takes no turns from others."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime

#: So many jobs of one image within a minute are made at once: somebody tries a picture, or corrects it.
FREE_JOBS = 5
WINDOW_SECONDS = 60.0
#: By how much the time between two jobs grows with each further one: an image comes to some eight in a minute.
STEP_SECONDS = 2
#: Longest pause, should the clock that an id was made by be wrong; shorter than it takes to queue a job once more.
MAX_PAUSE_SECONDS = 30
_JOB_ID = re.compile(r"img_(\d{1,15})_.*")


def pause_before_job(job_ids: Sequence[str], now: datetime) -> int:
    """Seconds until an image with these jobs, the newest last, may have another one. A job's id tells its time."""
    present = now.timestamp()
    recent = [moment for moment in _moments(job_ids) if present - moment < WINDOW_SECONDS]
    if len(recent) < FREE_JOBS:
        return 0
    due = max(recent) + STEP_SECONDS * (len(recent) - FREE_JOBS + 1)
    return min(MAX_PAUSE_SECONDS, max(0, math.ceil(due - present)))


def _moments(job_ids: Sequence[str]) -> list[float]:
    """Of the newest: more than these there cannot be in a minute."""
    newest = map(_JOB_ID.fullmatch, job_ids[-int(WINDOW_SECONDS) :])
    return [int(found[1]) / 1000 for found in newest if found is not None]
