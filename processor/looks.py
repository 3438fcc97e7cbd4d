"""What models were asked in this process: how often, how long it took, and what went wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import structlog

from processor.errors import LookingOff

#: Characters of a cause that are told: an error's text may be of any length.
LONGEST_CAUSE = 300

log = structlog.get_logger(__name__)


class Result(StrEnum):
    """What came of a look."""

    OK = "ok"
    OFF = "off"  # there is no model
    FAILED = "failed"
    LATE = "late"  # it was not made, because those before it had taken too long


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """Looks of one model with one result. `seconds` are those of the processor; a `cause` is that of the last
    failure."""

    model: str
    result: Result
    count: int = 1
    seconds: float = 0.0
    cause: str = ""

    def to_json(self) -> list[Any]:
        """For another process."""
        return [self.model, self.result.value, self.count, self.seconds, self.cause]

    @classmethod
    def from_json(cls, told: Any) -> Looks:
        """The inverse. Raises `ValueError` for anything else."""
        match told:
            case [str(model), str(result), int(count), int() | float() as seconds, str(cause)] if (
                count > 0 and 0 <= seconds < float("inf") and len(cause) <= LONGEST_CAUSE
            ):
                return cls(model=model, result=Result(result), count=count, seconds=float(seconds), cause=cause)
        raise ValueError("no looks")


class Tally:
    """Counts looks. All threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: dict[tuple[str, Result], Looks] = {}

    @contextmanager
    def look(self, model: str) -> Iterator[None]:
        """A look, by the thread that runs the block. What it raises is told once, here, and raised on."""
        began = time.thread_time()
        result, cause = Result.OK, ""
        try:
            yield
        except LookingOff:
            result = Result.OFF
            raise
        except BaseException as error:
            result, cause = Result.FAILED, f"{type(error).__name__}: {error}"[:LONGEST_CAUSE]
            raise
        finally:
            self.add(Looks(model=model, result=result, seconds=time.thread_time() - began, cause=cause))

    def add(self, looks: Looks) -> None:
        """Looks of this process, or of a child that has told of them."""
        if looks.result in (Result.FAILED, Result.LATE):
            log.warning("Look failed", model=looks.model, result=looks.result.value, looks=looks.count, why=looks.cause)
        name = (looks.model, looks.result)
        with self._lock:
            before = self._looks.get(name)
            if before is not None:
                count, seconds = before.count + looks.count, before.seconds + looks.seconds
                looks = replace(looks, count=count, seconds=seconds, cause=looks.cause or before.cause)
            self._looks[name] = looks

    def all(self) -> Sequence[Looks]:
        """Everything so far."""
        with self._lock:
            return tuple(self._looks.values())


#: That of this process.
TALLY = Tally()
