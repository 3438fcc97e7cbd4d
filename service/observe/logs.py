"""Logs: one JSON object a line for machines, a short line for a terminal; the standard library's records join in."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor

from processor.probe import TRACE, Position
from service.observe.terminal import TerminalRenderer

#: Libraries that tell more at `info` than anybody reads. What libvips says of a damaged file is no warning either: the
#: job says why it failed.
_QUIET = dict.fromkeys(("aiobotocore", "aioboto3", "botocore", "boto3", "urllib3", "asyncio"), "WARNING") | {
    "pyvips": "ERROR"
}
#: What a reader looks at first.
_FIRST = ("timestamp", "level", "event")


def set_up_logging(level: str, style: Literal["auto", "json", "console"], *, viewer: str | None = None) -> None:
    """Send every log line of this process to standard error, in one format.

    `viewer` is the base of variants' URLs, for whoever reads the lines on a terminal.
    """
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _traced,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # without the values of variables, some of which are secrets
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
    # It logs requests that are no HTTP, with a piece of each: whatever a stranger sends, or a client by mistake.
    logging.getLogger("aiohttp.server").setLevel("CRITICAL")
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)


def _traced(_: Any, __: str, line: EventDict) -> EventDict:
    """The trace that tells more, where there is one."""
    if position := Position.read(TRACE.get()):
        line["traceId"] = position.trace
    return line


def _first_things_first(_: Any, __: str, line: EventDict) -> EventDict:
    """When, how bad, what: then what the line itself says, and behind it what is known on the way to it."""
    return {**{name: line[name] for name in _FIRST if name in line}, **line}
