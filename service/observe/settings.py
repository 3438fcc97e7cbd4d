"""The settings of the logs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class LogSettings(BaseModel):
    """The settings of one component."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(alias="LOG_LEVEL", description="Least level that is logged."),
    ] = "info"
    revision: Annotated[
        str,
        Field(
            alias="REVISION",
            max_length=64,
            description="What this was built from, for `truss_build_info`; set by the image.",
        ),
    ] = "unknown"
    traces: Annotated[
        Literal["off", "otlp"],
        Field(
            alias="TRACES",
            description="`otlp` sends traces of requests and jobs to an OpenTelemetry collector, which the `OTEL_*` "
            "variables of its SDK name. It needs the extra `traces`, which the image has.",
        ),
    ] = "off"
    log_format: Annotated[
        Literal["auto", "json", "console"],
        Field(alias="LOG_FORMAT", description="`auto` is `console` on a terminal and `json` elsewhere."),
    ] = "auto"
