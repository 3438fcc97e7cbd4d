"""How a cluster sees this machine: the local AWS by an address, and Prometheus as an API of external metrics.

The rule by which Prometheus is asked is the chart's own, and is read as prometheus-adapter reads it. Everything else is
real: Prometheus, the API server that hands requests on, and the autoscaler that asks.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from cryptography import x509

from helm.rendering import CHART, RELEASE
from tests.certificates import self_signed
from tests.cluster.kube import Namespace, Refused
from tests.ports import held_port
from tests.waiting import eventually

#: The variable that says by which address the cluster reaches this machine.
ADDRESS_VARIABLE = "CLUSTER_REACHES_ME_AT"
LOOPBACK = "127.0.0.1"
API = "external.metrics.k8s.io/v1beta1"
API_SERVICE = "v1beta1.external.metrics.k8s.io"


def address() -> str:
    """That address. Without it the test is skipped."""
    given = os.environ.get(ADDRESS_VARIABLE)
    if not given:
        pytest.skip(f"{ADDRESS_VARIABLE} does not say how the cluster reaches this machine")
    return given


@asynccontextmanager
async def reachable(port: int) -> AsyncIterator[int]:
    """A port of that address behind which the port of the loopback address is."""

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(LOOPBACK, port)
        await asyncio.gather(_pipe(reader, inner_writer), _pipe(inner_reader, writer))

    server = await asyncio.start_server(hand_on, address(), 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def prometheus(folder: Path, metrics_port: int, labels: dict[str, str]) -> AsyncIterator[str]:
    """A Prometheus that collects the metrics of one process, with the labels that a service monitor gives them."""
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {
                "job_name": RELEASE,
                "static_configs": [{"targets": [f"{LOOPBACK}:{metrics_port}"], "labels": labels}],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = held_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(
                "prometheus",
                "--config.file",
                str(folder / "prometheus.yml"),
                "--storage.tsdb.path",
                str(folder / "tsdb"),
            ),
            *("--web.listen-address", f"{LOOPBACK}:{port}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://{LOOPBACK}:{port}"
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def external_metrics(namespace: Namespace, folder: Path, prometheus_url: str) -> AsyncIterator[None]:
    """Serve the metric of the chart's rule to the cluster, until the block ends. Skips where another serves metrics."""
    if namespace.serves(API):
        pytest.skip(f"another adapter serves {API}")
    host = f"adapter.{namespace.name}.svc"
    certificate = await asyncio.to_thread(_certificate, folder, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with aiohttp.ClientSession() as session:
        runner = web.AppRunner(_application(session, prometheus_url))
        await runner.setup()
        site = web.TCPSite(runner, address(), 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        try:
            await namespace.apply(_registration(namespace.name, port, certificate.read_bytes()))
            await eventually(lambda: _available(namespace), within=120, what="the API of external metrics")
            yield
        finally:
            await namespace.kubectl("delete", "apiservice", API_SERVICE)
            await runner.cleanup()


def _application(session: aiohttp.ClientSession, prometheus_url: str) -> web.Application:
    (rule,) = yaml.safe_load((CHART / "files" / "prometheus-adapter.yaml").read_text())["rules"]["external"]
    name, series = rule["name"]["as"], rule["seriesQuery"].partition("{")[0]

    async def resources(_: web.Request) -> web.Response:
        resource = {
            "name": name,
            "singularName": "",
            "namespaced": True,
            "kind": "ExternalMetricValueList",
            "verbs": ["get"],
        }
        return web.json_response(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API, "resources": [resource]}
        )

    async def values(request: web.Request) -> web.Response:
        labels = dict(part.split("=") for part in request.query.get("labelSelector", "").split(",") if part)
        labels[next(iter(rule["resources"]["overrides"]))] = request.match_info["namespace"]
        matchers = ",".join(f'{label}="{value}"' for label, value in labels.items())
        query = rule["metricsQuery"].replace("<<.Series>>", series).replace("<<.LabelMatchers>>", matchers)
        async with session.get(f"{prometheus_url}/api/v1/query", params={"query": query}) as answer:
            found = (await answer.json())["data"]["result"]
        items = [
            {"metricName": name, "metricLabels": each["metric"], "timestamp": _now(), "value": each["value"][1]}
            for each in found
        ]
        return web.json_response({"kind": "ExternalMetricValueList", "apiVersion": API, "items": items})

    application = web.Application()
    application.router.add_get(f"/apis/{API}", resources)
    application.router.add_get(f"/apis/{API}/namespaces/{{namespace}}/{name}", values)
    return application


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _registration(namespace: str, port: int, certificate: bytes) -> list[dict[str, Any]]:
    group, _, version = API.partition("/")
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "adapter", "namespace": namespace},
            "spec": {"type": "ExternalName", "externalName": address(), "ports": [{"port": port}]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": API_SERVICE},
            "spec": {
                "group": group,
                "version": version,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "service": {"name": "adapter", "namespace": namespace, "port": port},
                "caBundle": base64.b64encode(certificate).decode(),
            },
        },
    ]


async def _available(namespace: Namespace) -> bool:
    with contextlib.suppress(Refused):
        return API in (await namespace.kubectl("api-versions")).split()
    return False


def _certificate(folder: Path, host: str) -> Path:
    """A file with a key and a certificate that vouches for itself."""
    certificate, key = self_signed(host, x509.DNSName(host))
    file = folder / "adapter.pem"
    file.write_bytes(key + certificate)
    return file
