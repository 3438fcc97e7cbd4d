"""What images cost: measured by job, and added up by tenant, API key and day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace

#: The id of the API key by which the present work is asked for; empty for everybody else.
CALLER: ContextVar[str] = ContextVar("caller", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one job took and brought. `pixels` are those of the source, over all frames."""

    cpu_ms: int = 0
    pixels: int = 0
    bytes_in: int = 0
    #: Of all variants, in all formats.
    bytes_out: int = 0
    #: How much smaller the variant of the original's size is than the original.
    bytes_saved: int = 0

    def __add__(self, more: Cost) -> Cost:
        return Cost(**{name: count + getattr(more, name) for name, count in asdict(self).items()})


NOTHING = Cost()


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOfUse:
    """What a tenant used on a day (UTC), by one API key; an empty `key_id` stands for everybody else."""

    day: str
    key_id: str = ""
    #: Jobs that ended.
    completed: int = 0
    failed: int = 0
    cost: Cost = field(default_factory=Cost)

    @property
    def counts(self) -> Mapping[str, int]:
        """All counts by name."""
        return {"completed": self.completed, "failed": self.failed, **asdict(self.cost)}

    @classmethod
    def of_counts(cls, day: str, key_id: str, counts: Mapping[str, int]) -> DayOfUse:
        """The inverse of `counts`; what is missing is zero."""
        known = {name: int(counts.get(name, 0)) for name in cls(day=day).counts}
        ended = {name: known.pop(name) for name in ("completed", "failed")}
        return cls(day=day, key_id=key_id, cost=Cost(**known), **ended)

    def __add__(self, more: DayOfUse) -> DayOfUse:
        completed, failed = self.completed + more.completed, self.failed + more.failed
        return replace(self, completed=completed, failed=failed, cost=self.cost + more.cost)


def added_up(used: Iterable[DayOfUse]) -> tuple[DayOfUse, ...]:
    """One for each day and key, in their order."""
    found: dict[tuple[str, str], DayOfUse] = {}
    for each in used:
        name = each.day, each.key_id
        found[name] = found[name] + each if name in found else each
    return tuple(found[name] for name in sorted(found))
