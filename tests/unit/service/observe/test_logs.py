"""Logs, as machines and people read them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from service.observe.logs import set_up_logging
from service.observe.terminal import TerminalRenderer


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
        structlog.get_logger("processor.work.worker").info("Event handled", outcome="completed")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["outcome"], line["requestId"]) == ("Event handled", "completed", "r-1")
    assert (line["level"], line["logger"]) == ("info", "processor.work.worker")
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


REQUEST = {
    "method": "GET",
    "route": "/images/status/{processingId}",
    "path": "/images/status/img_1767323045678_9f86d081884c7d65",
    "status": 200,
    "duration_ms": 12.4,
    "bytes": 512,
    "tenant": "default",
    "subject": "anonymous",
    "requestId": "7d1f0f2c9b3e4c6d8a5b4f3e2d1c0b9a",
}
UNIQUE_ID, PROCESSING_ID = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e", "img_1767323045678_9f86d081884c7d65"


def test_on_a_terminal_a_request_is_one_short_line_in_the_order_that_people_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logging("info", "console")
    structlog.get_logger("service.http.middleware").info("Request answered", **REQUEST)
    shown = capsys.readouterr().err
    assert re.fullmatch(rf"\d\d:\d\d:\d\d GET {REQUEST['path']} 200 12 ms #7d1f0f\n", shown)
    assert len(shown.rstrip()) <= 80


@given(
    path=st.text(max_size=300),
    method=st.sampled_from(["GET", "OPTIONS"]),
    request_id=st.text(max_size=128),
    status=st.integers(100, 599),
)
def test_whatever_a_stranger_asks_for_is_one_line_that_stays_short_and_writes_over_nothing(
    path: str, method: str, request_id: str, status: int
) -> None:
    line = {**REQUEST, "event": "Request answered", "timestamp": "12:00:00", "path": path, "method": method}
    shown = TerminalRenderer(colours=False)(None, "", {**line, "requestId": request_id, "status": status})
    assert len(shown) < 110
    assert shown.isprintable()


def test_a_finished_picture_is_linked_where_it_can_be_opened(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "console", viewer="http://127.0.0.1:8080")
    event = {"uniqueId": UNIQUE_ID, "processingId": PROCESSING_ID}
    log = structlog.get_logger("processor.work.worker")
    log.info("Event handled", outcome="completed", totalMs=312, **event)
    log.info("Event handled", outcome="completed", totalMs=312, private=True, **event)  # it cannot be opened so
    log.warning("Event handled", outcome="failed", code="corrupt_image", **event)
    first, url, private, second = capsys.readouterr().err.splitlines()
    assert private.endswith(f" completed image {UNIQUE_ID} in 312 ms")
    assert first.endswith(f" completed image {UNIQUE_ID} in 312 ms")
    assert url == f"http://127.0.0.1:8080/processed/{UNIQUE_ID}/{PROCESSING_ID}/webp.webp"
    assert second.endswith(f" failed image {UNIQUE_ID} (corrupt_image)")


def test_an_error_shows_its_trace_on_a_terminal_but_no_values_of_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logging("info", "console")
    password = "hunter2"
    try:
        int("broken")
    except ValueError:
        structlog.get_logger().exception("It broke", code="c", password_is_known=bool(password))
    shown = capsys.readouterr().err
    assert "error: It broke code=c" in shown
    assert "ValueError: invalid literal" in shown
    assert "hunter2" not in shown


def test_colours_are_for_terminals_whose_user_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    line = {**REQUEST, "event": "Request answered", "timestamp": "12:00:00"}
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[32m200\x1b[0m" in TerminalRenderer()(None, "", dict(line))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in TerminalRenderer()(None, "", dict(line))
