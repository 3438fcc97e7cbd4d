"""What is asked to know whether a process can work."""

from __future__ import annotations

from collections import Counter

from processor.errors import Unavailable
from service.observe.checks import first_answers
from service.observe.health import Health


async def test_what_has_answered_once_is_asked_no_more_and_what_has_not_is_asked_again() -> None:
    asked: Counter[str] = Counter()

    async def table() -> None:
        asked["table"] += 1

    async def queue() -> None:
        asked["queue"] += 1
        if asked["queue"] < 3:
            raise Unavailable

    ready = Health(first_answers({"table": table, "queue": queue}), fresh_seconds=0)
    states = [await ready.states() for _ in range(5)]
    assert [state["queue"] for state in states] == ["failing", "failing", "ok", "ok", "ok"]
    assert {state["table"] for state in states} == {"ok"}
    assert asked == {"table": 1, "queue": 3}
