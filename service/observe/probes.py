"""The probes of an application: what is told of requests, messages, events, their steps, and calls of AWS."""

from __future__ import annotations

from aiohttp import web

from processor.probe import Probes

PROBES = web.AppKey("probes", Probes)
