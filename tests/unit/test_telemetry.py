"""Logs, as machines and people read them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from service.telemetry import set_up_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_one_json_object_with_what_is_bound(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "auto")
    with structlog.contextvars.bound_contextvars(requestId="r-1"):
        structlog.get_logger("processor.worker").info("Event handled", outcome="completed")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["outcome"], line["requestId"]) == ("Event handled", "completed", "r-1")
    assert (line["level"], line["logger"]) == ("info", "processor.worker")
    assert line["timestamp"].endswith("Z")


def test_the_standard_librarys_records_join_in(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json")
    try:
        int("broken")
    except ValueError:
        logging.getLogger("somewhere").exception("It %s", "broke")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["logger"]) == ("It broke", "error", "somewhere")
    assert "ValueError: invalid literal" in line["exception"]


def test_what_is_below_the_level_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("warning", "json")
    structlog.get_logger().info("nothing")
    logging.getLogger("somewhere").info("nothing")
    assert capsys.readouterr().err == ""


def test_a_person_gets_a_readable_form(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "console")
    structlog.get_logger("x").warning("Look here", code="c")
    shown = capsys.readouterr().err
    assert "Look here" in shown
    assert not shown.startswith("{")


def test_what_a_stranger_sends_as_a_request_line_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json")
    logging.getLogger("aiohttp.server").error("Error handling request from GET /?secret HTTP/9.9")
    assert capsys.readouterr().err == ""
