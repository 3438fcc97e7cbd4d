"""Logs: one JSON object on each line, or short lines on a terminal. They include the records of `logging`."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor

from processor.probe import TRACE, Position
from service.observe.terminal import TerminalRenderer

#: Libraries that log too much at `info`. The warnings of libvips about damaged files are not needed either: the job
#: says why it failed.
_QUIET = dict.fromkeys(("aiobotocore", "aioboto3", "botocore", "boto3", "urllib3", "asyncio"), "WARNING") | {
    "pyvips": "ERROR"
}
#: The fields at the beginning of a line.
_FIRST = ("timestamp", "level", "event")


def set_up_logging(level: str, style: Literal["auto", "json", "console"], *, viewer: str | None = None) -> None:
    """Send every log line of this process to standard error, in one format.

    `viewer` is the base URL of variants, for the lines on a terminal.
    """
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _traced,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # values of variables may be secrets
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderers: list[Processor] = (
        [TerminalRenderer(viewer=viewer)] if console else [_first_things_first, structlog.processors.JSONRenderer()]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # It logs a piece of each request that is not HTTP. A stranger may send anything, and a client may send a secret.
    logging.getLogger("aiohttp.server").setLevel("CRITICAL")
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)


def _traced(_: Any, __: str, line: EventDict) -> EventDict:
    """Add the id of the trace, if there is one."""
    if position := Position.read(TRACE.get()):
        line["traceId"] = position.trace
    return line


def _first_things_first(_: Any, __: str, line: EventDict) -> EventDict:
    """Sort the fields: time, level and event, then the fields of the line, then those of the context."""
    return {**{name: line[name] for name in _FIRST if name in line}, **line}
