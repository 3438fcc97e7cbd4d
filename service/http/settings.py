"""The settings that say where the service listens, whom it answers, and for how long."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from service.http.urls import origins


class HttpSettings(BaseModel):
    """The settings of one component."""

    host: Annotated[str, Field(alias="HOST", description="Address to listen on.")] = "0.0.0.0"  # noqa: S104 - a pod's
    port: Annotated[int, Field(alias="PORT", ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = (
        8080
    )
    metrics_port: Annotated[
        int | None,
        Field(
            alias="METRICS_PORT",
            ge=0,
            le=65535,
            description="Port of `GET /metrics`, for Prometheus; 0 takes a free one; without it there is none.",
        ),
    ] = None
    cors_origins: Annotated[
        tuple[str, ...],
        BeforeValidator(origins),
        Field(
            alias="CORS_ORIGINS",
            description="Origins that may call the API from a browser, by commas, as in `https://app.example.com`; `*` "
            "for any.",
        ),
    ] = ()
    client_timeout_seconds: Annotated[
        float,
        Field(
            alias="CLIENT_TIMEOUT_SECONDS",
            gt=0,
            le=300,
            description="Longest that a client may take to send its first request's headers, or a body.",
        ),
    ] = 20
    keepalive_seconds: Annotated[
        float,
        Field(
            alias="KEEPALIVE_SECONDS",
            gt=0,
            le=3600,
            description="How long a connection is kept between two requests; must exceed the load balancer's idle "
            "timeout.",
        ),
    ] = 75
    stop_delay_seconds: Annotated[
        float,
        Field(
            alias="STOP_DELAY_SECONDS",
            ge=0,
            le=600,
            description="How long requests are still answered after the order to stop, each with `Connection: close`: "
            "until every load balancer has heard of it.",
        ),
    ] = 15
    http_timeout_seconds: Annotated[
        int,
        Field(
            alias="HTTP_TIMEOUT_SECONDS",
            ge=1,
            le=300,
            description="Longest that running requests may take to end on shutdown, after that.",
        ),
    ] = 15
