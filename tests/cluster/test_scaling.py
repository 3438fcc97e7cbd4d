"""How many pods there shall be follows a real queue, waiting and in work together, up and down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from helm.rendering import RELEASE
from processor.stores.clients import AwsClients, open_clients
from service.local.emulator import REGION
from tests.chart.release import example
from tests.cluster.kube import Namespace
from tests.cluster.pods import UNSCHEDULED
from tests.cluster.seen import address, external_metrics, prometheus, reachable
from tests.fleet import Stage, run_service, run_stage
from tests.ports import held_port
from tests.waiting import eventually

#: Messages for each pod.
QUEUE_LENGTH = 2
#: No waiting for calm, so that a test sees the way down.
AT_ONCE: dict[str, Any] = {
    "scaleDown": {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }
}
SCALER: dict[str, Any] = {
    "minReplicas": 2,
    "maxReplicas": 10,
    "queueLength": QUEUE_LENGTH,
    # It would need a metrics-server; and a metric that nobody serves lets an autoscaler only go up.
    "cpu": {"enabled": False},
    "behavior": AT_ONCE,
}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with run_stage(tmp_path / "aws", "cluster") as made:
        yield made


class Queue:
    """The queue of the stage, as its producers and its consumers use it."""

    def __init__(self, clients: AwsClients, url: str) -> None:
        self._sqs = clients.sqs
        self._url = url

    async def send(self, messages: int) -> None:
        for _ in range(messages):
            await self._sqs.send_message(QueueUrl=self._url, MessageBody="a picture")

    async def take(self, messages: int) -> None:
        """Into work, for an hour."""
        taken = 0
        while taken < messages:
            answer = await self._sqs.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=min(10, messages - taken), VisibilityTimeout=3600
            )
            taken += len(answer.get("Messages", []))

    async def empty(self) -> None:
        await self._sqs.purge_queue(QueueUrl=self._url)


@pytest.fixture
async def queue(stage: Stage) -> AsyncIterator[Queue]:
    async with open_clients(stage.aws.config()) as clients:
        found = Queue(clients, stage.made.queue_url)
        await found.empty()
        yield found


async def _follows(namespace: Namespace, queue: Queue) -> None:
    """Eight messages in work and none that waits are four pods; two more that wait are five; none are the fewest."""

    async def replicas(wanted: int) -> None:
        async def reached() -> bool:
            return bool((await namespace.get("deployment", RELEASE))["spec"].get("replicas") == wanted)

        await eventually(reached, within=180, what=f"{wanted} pods")

    await replicas(4)
    await queue.send(2)
    await replicas(5)
    await queue.empty()
    await replicas(2)


async def test_an_hpa_follows_the_queue_by_what_the_service_tells_prometheus(
    namespace: Namespace, stage: Stage, queue: Queue, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """Between Prometheus and the API server is a stand-in for prometheus-adapter, which follows the chart's rule."""
    await queue.send(8)
    await queue.take(8)
    port = held_port()
    labels = {"namespace": namespace.name}
    async with AsyncExitStack() as stack:
        log = tmp_path / "service.log"
        await stack.enter_async_context(run_service(stage, session, log, ROLES="api", METRICS_PORT=str(port)))
        url = await stack.enter_async_context(prometheus(tmp_path, port, labels))
        await stack.enter_async_context(external_metrics(namespace, tmp_path, url))
        hpa = SCALER | {"metricName": "truss_queue_depth"}
        await namespace.install(values=example() | UNSCHEDULED | {"autoscaling": {"hpa": hpa}})
        await _follows(namespace, queue)


def _port(stage: Stage) -> int:
    return URL(stage.aws.endpoint_url).port or 0


def _with_keda(stage: Stage, port: int, **more: Any) -> dict[str, Any]:
    """The release, and the keys by which KEDA reads the queue of the local AWS."""
    values = example() | UNSCHEDULED
    values["config"] |= {
        "queueUrl": stage.made.queue_url,
        "awsRegion": REGION,
        "awsEndpointUrl": f"http://{address()}:{port}",
    }
    keys = {"id": stage.credentials.access_key_id, "secret": stage.credentials.secret_access_key}
    values["extraObjects"] = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": keys},
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "TriggerAuthentication",
            "metadata": {"name": "by-keys"},
            "spec": {
                "secretTargetRef": [
                    {"parameter": "awsAccessKeyID", "name": "keys", "key": "id"},
                    {"parameter": "awsSecretAccessKey", "name": "keys", "key": "secret"},
                ]
            },
        },
    ]
    values["autoscaling"] = {"keda": SCALER | {"enabled": True, "authenticationRef": "by-keys"} | more}
    return values


@pytest.fixture
def with_keda(namespace: Namespace) -> Namespace:
    if not namespace.serves("keda.sh/v1alpha1"):
        pytest.skip("the cluster does not serve keda.sh/v1alpha1")
    return namespace


async def test_keda_follows_the_queue(with_keda: Namespace, stage: Stage, queue: Queue) -> None:
    await queue.send(8)
    await queue.take(8)
    async with reachable(_port(stage)) as port:
        await with_keda.install(values=_with_keda(stage, port))
        await _follows(with_keda, queue)


async def test_keda_falls_back_to_twice_the_fewest_pods_while_it_cannot_read_the_queue(
    with_keda: Namespace, stage: Stage
) -> None:
    async with reachable(_port(stage)) as port:
        values = _with_keda(stage, port, fallback={"failureThreshold": 1})
        values["config"]["queueUrl"] = f"{stage.made.queue_url}-gone"
        await with_keda.install(values=values)

        async def fallen_back() -> bool:
            return bool((await with_keda.get("deployment", RELEASE))["spec"].get("replicas") == 4)

        await eventually(fallen_back, within=240, what="the fallback")
