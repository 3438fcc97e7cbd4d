"""Whatever a model is asked is counted, and what goes wrong is told once with its cause."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from processor.errors import LookingFailed, LookingOff
from processor.looks import LONGEST_CAUSE, TALLY, Looks, Result, Tally
from processor.pipeline import view
from processor.pipeline.hiding import LOOK_SECONDS, Looker
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import STANDARD, blurring, hiding_faces
from processor.sandbox.answers import pack_end, read_end
from service.observe.looks import LookCounter
from tests import corpus

PICTURE = corpus.png(corpus.flat(64, 64, (1, 2, 3)))
HIDING = hiding_faces(STANDARD, blurring("pixels"))


@pytest.fixture
def tally(monkeypatch: pytest.MonkeyPatch) -> Tally:
    made = Tally()
    for module in ("view", "hiding", "moderating"):
        monkeypatch.setattr(f"processor.pipeline.{module}.TALLY", made)
    return made


def _raising(error: Exception) -> Any:
    def look(*_: object) -> Any:
        raise error

    return look


def _counts(tally: Tally) -> dict[tuple[str, str], int]:
    return {(looks.model, looks.result.value): looks.count for looks in tally.all()}


@pytest.mark.parametrize("error", [LookingFailed("The model faces failed: Fail: no"), OSError("no")])
def test_a_detector_that_fails_is_told_of_once_with_the_cause(
    tally: Tally, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(view, "find_faces", _raising(error))
    with capture_logs() as logs:
        render(PICTURE, inspect(PICTURE, FileLimits()), HIDING, Deadline(60))
    assert [line["event"] for line in logs] == ["Look failed"]
    assert (logs[0]["model"], logs[0]["log_level"]) == ("faces", "warning")
    assert "no" in logs[0]["why"]
    assert type(error).__name__ in logs[0]["why"]
    assert _counts(tally) == {("faces", "failed"): 1}


@pytest.mark.parametrize(("function", "analysis"), [("nsfw_score", "nsfw"), ("find_faces", "faces")])
def test_so_is_an_analysis_that_fails(
    tally: Tally, monkeypatch: pytest.MonkeyPatch, function: str, analysis: str
) -> None:
    monkeypatch.setattr(view, function, _raising(LookingFailed("no")))
    with capture_logs() as logs:
        made = render(PICTURE, inspect(PICTURE, FileLimits()), replace(STANDARD, analyses=(analysis,)), Deadline(60))
    assert analysis not in made.facts.everything
    assert [line["event"] for line in logs] == ["Look failed"]
    assert list(_counts(tally).values()) == [1]


def test_where_there_is_no_model_it_is_counted_and_no_line_is_written(
    tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "find_faces", _raising(LookingOff()))
    with capture_logs() as logs:
        render(PICTURE, inspect(PICTURE, FileLimits()), HIDING, Deadline(60))
    assert (logs, _counts(tally)) == ([], {("faces", "off"): 1})


def test_a_look_that_is_not_made_for_want_of_time_is_told_of(tally: Tally) -> None:
    times = iter([0.0, LOOK_SECONDS + 1])
    with capture_logs() as logs:
        Looker(Deadline(60), times.__next__).find(corpus.flat(64, 64, (1, 2, 3)))
    assert [(line["event"], line["result"]) for line in logs] == [("Look failed", "late")]
    assert _counts(tally) == {("faces", "late"): 1}


def test_what_a_child_process_asked_comes_back_with_its_picture() -> None:
    child = Tally()
    with capture_logs(), pytest.raises(ValueError, match="broken"), child.look("nsfw"):
        raise ValueError("broken" * LONGEST_CAUSE)
    with child.look("faces"):
        pass
    _, _, looked = read_end(pack_end(*_nothing(), child.all()), ())
    assert looked == child.all()
    assert max(len(looks.cause) for looks in looked) == LONGEST_CAUSE


def _nothing() -> tuple[Any, int]:
    made = render(PICTURE, inspect(PICTURE, FileLimits()), replace(STANDARD, analyses=()), Deadline(60))
    return made.facts, 0


@pytest.mark.parametrize(
    "looks",
    [
        None,
        {},
        ["faces"],
        [["faces", "ok", 1, 0.1]],
        [["faces", "fine", 1, 0.1, ""]],
        [["other", "ok", 1, 0.1, ""]],
        [["faces", "ok", 0, 0.1, ""]],
        [["faces", "ok", 1, -1, ""]],
        [["faces", "ok", 1, float("inf"), ""]],
        [["faces", "failed", 1, 0.1, "x" * (LONGEST_CAUSE + 1)]],
        [["faces", "ok", 1, 0.1, ""]] * 100,
    ],
    ids=str,
)
def test_a_child_that_tells_of_anything_else_is_not_believed(looks: Any) -> None:
    with pytest.raises(ValueError, match=r"no (end|looks)|fine"):
        read_end({**pack_end(*_nothing()), "looks": looks}, ())


def test_metrics_count_looks_by_model_and_result_from_the_beginning() -> None:
    tally, registry = Tally(), CollectorRegistry()
    registry.register(LookCounter(tally))

    def of(result: Result) -> float | None:
        return registry.get_sample_value("truss_looks_total", {"model": "faces", "result": result.value})

    assert (of(Result.OK), of(Result.FAILED)) == (0, 0)
    assert registry.get_sample_value("truss_look_seconds_total", {"model": "nsfw"}) == 0
    with capture_logs():
        tally.add(Looks(model="faces", result=Result.FAILED, count=2, seconds=1.5, cause="no"))
        tally.add(Looks(model="faces", result=Result.FAILED, count=1, seconds=0.5))
    assert (of(Result.OK), of(Result.FAILED)) == (0, 3)
    assert registry.get_sample_value("truss_look_seconds_total", {"model": "faces"}) == 2.0
    assert tally.all()[0].cause == "no"


def test_there_is_one_tally_for_all_threads_of_a_process() -> None:
    assert LookCounter().tally is TALLY
