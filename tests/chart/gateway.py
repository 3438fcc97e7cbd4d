"""The part of the Gateway API that the chart writes, as its specification has it (`gateway.networking.k8s.io/v1`).

There is no wheel with models of it. Every field is here, but for those of filters and sessions, which users write.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Hostname = Annotated[str, StringConstraints(pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Duration = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ParentRef(_Closed):
    """The gateway that a route hangs on."""

    name: Name
    group: str | None = None
    kind: str | None = None
    namespace: Name | None = None
    sectionName: Name | None = None  # noqa: N815
    port: Port | None = None


class _Path(_Closed):
    type: Literal["Exact", "PathPrefix", "RegularExpression"]
    value: Annotated[str, StringConstraints(pattern="^/", max_length=1024)]


class _Match(_Closed):
    path: _Path | None = None
    headers: list[Any] | None = None
    queryParams: list[Any] | None = None  # noqa: N815
    method: str | None = None


class _Timeouts(_Closed):
    request: Duration | None = None
    backendRequest: Duration | None = None  # noqa: N815


class _BackendRef(_Closed):
    name: Name
    port: Port | None = None
    weight: int | None = None
    group: str | None = None
    kind: str | None = None
    namespace: Name | None = None
    filters: list[Any] | None = None


class _Rule(_Closed):
    name: str | None = None
    matches: list[_Match] | None = None
    filters: list[Any] | None = None
    backendRefs: list[_BackendRef] | None = None  # noqa: N815
    timeouts: _Timeouts | None = None


class _Spec(_Closed):
    parentRefs: Annotated[list[ParentRef], Field(max_length=32)]  # noqa: N815
    hostnames: Annotated[list[Hostname], Field(max_length=16)] | None = None
    rules: Annotated[list[_Rule], Field(min_length=1, max_length=16)]


class HTTPRoute(_Closed):
    """Of it, what the chart may set."""

    apiVersion: Literal["gateway.networking.k8s.io/v1"]  # noqa: N815
    kind: Literal["HTTPRoute"]
    metadata: dict[str, Any]
    spec: _Spec
