"""What became of one photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

COMPLETED, FAILED, INTERRUPTED = "completed", "failed", "interrupted"
NEEDS_REVIEW, REJECTED = "needs_review", "rejected"
#: Statuses that do not change any more, or not before somebody has looked at the image.
ENDS = frozenset({COMPLETED, FAILED, NEEDS_REVIEW, REJECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one photo. `seconds` runs from its first look, `sent` counts the bytes that were uploaded."""

    photo: str
    status: str
    seconds: float | None = None
    sent: int = 0
    #: The service had it before this run.
    existing: bool = False
    processing_id: str = ""
    unique_id: str = ""
    #: The API's `processedImages`.
    variants: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    #: Nothing will change any more: the job has ended, or there is none.
    ended: bool = True

    @property
    def ok(self) -> bool:
        """Whether every variant is there."""
        return self.status == COMPLETED
