"""Short log lines for people at a terminal, with the most important part first."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from structlog.typing import EventDict

from processor.images import variant_key
from processor.recipes import FULL_SIZE

#: The longest path, and the longest other value, in characters. A line stays well below 120 characters.
PATH_CHARACTERS, VALUE_CHARACTERS = 64, 48
#: Characters of a request's id. They are enough to find it, and a request for a job's status fits into 80 columns.
ID_CHARACTERS = 6
#: Fields that every line has, or that nobody needs.
_LEFT_OUT = frozenset(
    {"event", "level", "timestamp", "logger", "exception", "exc_info", "stack", "requestId", "traceId"}
)
_RED, _YELLOW, _GREEN, _DIM, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
_COLOURS = {"warning": _YELLOW, "error": _RED, "critical": _RED, "exception": _RED}


class TerminalRenderer:
    """The last processor of a line. `viewer` is the base URL of variants. With it, lines link to finished pictures."""

    def __init__(self, *, viewer: str | None = None, colours: bool | None = None) -> None:
        self._viewer = viewer
        self._colours = _wants_colours() if colours is None else colours

    def __call__(self, _: Any, __: str, line: EventDict) -> str:
        """The text, without a newline at its end."""
        known = {"Request answered": self._request, "Event handled": self._event}
        said = known.get(line["event"], self._other)(line)
        text = f"{self._painted(_DIM, str(line['timestamp']))} {said}"
        return "\n".join([text, *(str(line[part]) for part in ("stack", "exception") if line.get(part))])

    def _request(self, line: Mapping[str, Any]) -> str:
        status = line["status"]
        colour = _GREEN if status < 400 else _YELLOW if status < 500 else _RED  # noqa: PLR2004 - HTTP's classes
        request_id = self._painted(_DIM, f"#{_shown(line.get('requestId', ''), PATH_CHARACTERS)[:ID_CHARACTERS]}")
        return (
            f"{line['method']} {_shown(line['path'], PATH_CHARACTERS)} {self._painted(colour, str(status))} "
            f"{line['duration_ms']:.0f} ms {request_id}"
        )

    def _event(self, line: Mapping[str, Any]) -> str:
        outcome, unique_id, processing_id = (line.get(name, "") for name in ("outcome", "uniqueId", "processingId"))
        told = [
            self._painted(_GREEN if outcome == "completed" else _YELLOW, outcome),
            f"image {_shown(unique_id, VALUE_CHARACTERS)}",
        ]
        if line.get("code"):
            told.append(f"({line['code']})")
        if "totalMs" in line:
            told.append(f"in {line['totalMs']} ms")
        if "format" in line:
            size = line["sourceBytes"] / 1_000_000
            told.append(f"from {line['format']} {line['width']} x {line['height']}, {size:.1f} MB")
        said = " ".join(told)
        if self._viewer and outcome == "completed":
            # A URL alone on its line is easy to click and to copy.
            if line.get("private"):  # nobody could follow a URL without a signature
                return said
            file_name = str(line.get("fullSize", FULL_SIZE.file_name))
            return f"{said}\n{self._viewer}/{variant_key(unique_id, processing_id, file_name)}"
        return said

    def _other(self, line: Mapping[str, Any]) -> str:
        values = (f"{name}={_shown(value, VALUE_CHARACTERS)}" for name, value in line.items() if name not in _LEFT_OUT)
        level = line.get("level", "info")
        event = _shown(line["event"], 1000)
        return " ".join([self._painted(_COLOURS[level], f"{level}: {event}") if level in _COLOURS else event, *values])

    def _painted(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colours and text else text


def _wants_colours() -> bool:
    """Only on a terminal, and not if `NO_COLOR` is set (https://no-color.org)."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _shown(value: object, most: int) -> str:
    """A value that may come from a stranger. It is cut, and has no control characters, which could hide other lines."""
    text = "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in str(value)[: most + 1])
    return text if len(text) <= most else f"{text[: most - 1]}…"
