"""As much of a Kubernetes API as Helm asks before it makes anything: which APIs there are, how a deployment is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import helm_python

from helm.rendering import NAMESPACE, RELEASE

_DEPLOYMENTS = {"name": "deployments", "singularName": "deployment", "namespaced": True, "kind": "Deployment"}


@contextmanager
def cluster(apis: Sequence[str] = (), deployment: dict[str, Any] | None = None) -> Iterator[helm_python.Config]:
    """A cluster that serves `apis` beside Kubernetes' own, and perhaps runs the release's deployment already."""
    answers = _answers(["apps/v1", "autoscaling/v2", *apis], deployment)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path.partition("?")[0])
            body = json.dumps(
                found or {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
            ).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            with helm_python.Config(
                kubeconfig_content=_kubeconfig(server.server_port), namespace=NAMESPACE, storage_driver="memory"
            ) as config:
                yield config
        finally:
            server.shutdown()
            serving.join()


def _answers(apis: Sequence[str], deployment: dict[str, Any] | None) -> dict[str, Any]:
    groups = [
        {"name": api.partition("/")[0], "versions": [{"groupVersion": api, "version": api.partition("/")[2]}]}
        for api in apis
    ]
    lists: dict[str, Any] = {
        f"/apis/{api}": {"kind": "APIResourceList", "groupVersion": api, "resources": []} for api in apis
    }
    lists["/apis/apps/v1"]["resources"] = [_DEPLOYMENTS | {"verbs": ["get"]}]
    there = {f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}": deployment} if deployment else {}
    return {
        "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        **lists,
        **there,
    }


def _kubeconfig(port: int) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "nobody"}}],
        }
    )
