"""The probes of an application. They get every request, message, event, step and AWS call."""

from __future__ import annotations

from aiohttp import web

from processor.probe import Probes

PROBES = web.AppKey("probes", Probes)
