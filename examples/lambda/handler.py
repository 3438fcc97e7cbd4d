"""An AWS Lambda that is told what happens to pictures: by a rule on the EventBridge bus, or by a webhook.

As a webhook it is behind a function URL or an HTTP API, and `WEBHOOK_SECRET` has the webhook's secret.
"""

from __future__ import annotations

import base64
import logging
import os
from typing import Any

from truss_image_client import WebhookRefused, webhooks
from truss_image_client.webhooks import Event

log = logging.getLogger()
log.setLevel(logging.INFO)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """On the bus, `detail` is our event, and only the service may put it there. A webhook is signed."""
    if "detail" in event:
        react(webhooks.event(event["detail"]))
        return {}
    try:
        react(_delivered(event))
    except WebhookRefused as refused:
        log.warning("Refused a delivery: %s", refused)
        return {"statusCode": 401}
    return {"statusCode": 204}


def react(event: Event) -> None:
    """What your application does. Events may come twice: `event.id` tells."""
    match event.type:
        case "image.completed":
            log.info("%s is ready: %s", event.subject, sorted(event.data["processedImages"]))
        case "image.failed":
            log.info("%s failed: %s", event.subject, event.data["error"]["code"])
        case _:
            log.info("%s: %s", event.subject, event.type)


def _delivered(request: dict[str, Any]) -> Event:
    body = request.get("body") or ""
    text = base64.b64decode(body) if request.get("isBase64Encoded") else body.encode()
    return webhooks.verify(text, request.get("headers", {}), os.environ["WEBHOOK_SECRET"])
