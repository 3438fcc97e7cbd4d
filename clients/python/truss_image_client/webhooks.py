"""Deliveries of webhooks: are they from the service, and what do they say (Standard Webhooks)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from truss_image_client.errors import WebhookRefused

#: How far the time of a delivery may be from now, in seconds.
TOLERANCE_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened to an image. `id` is the same however often it is sent: remember it for a day.

    `data` is as documented for each `type`. `document` is the whole CloudEvent as it came.
    """

    id: str
    type: str
    time: datetime
    subject: str
    data: Mapping[str, Any]
    document: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def verify(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> Event:
    """The event of a delivery, or of the same CloudEvent. Raises `WebhookRefused`.

    `body` must be the bytes as they came. `secret` is that of the webhook, or several while it is replaced. Signatures
    are compared in constant time.
    """
    sent = {name.lower(): value for name, value in headers.items()}
    identity, moment, signatures = (sent.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not identity or not moment or not signatures:
        raise WebhookRefused("a header of Standard Webhooks is missing")
    if (
        not (moment.isascii() and moment.isdecimal())
        or abs((time.time() if now is None else now) - int(moment)) > tolerance
    ):
        raise WebhookRefused("the delivery is too old, or from the future")
    text = body.encode() if isinstance(body, str) else body
    signed = f"{identity}.{moment}.".encode() + text
    given = [_signature(each) for each in signatures.split(" ") if each.startswith("v1,")]
    secrets = [secret] if isinstance(secret, str) else secret
    expected = [hmac.new(_key(each), signed, hashlib.sha256).digest() for each in secrets]
    # Every pair is compared, so that the time tells nothing.
    if not sum(hmac.compare_digest(one, other) for one in expected for other in given):
        raise WebhookRefused("the signature is wrong")
    return event(text)


def event(document: bytes | str | Mapping[str, Any]) -> Event:
    """The event of a CloudEvent that came over a trusted way, such as EventBridge's `detail`."""
    try:
        told = document if isinstance(document, Mapping) else json.loads(document)
        return Event(
            id=told["id"],
            type=told["type"],
            time=datetime.fromisoformat(told["time"]),
            subject=told.get("subject", ""),
            data=told.get("data", {}),
            document=told,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WebhookRefused("the body is no event") from None


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("the webhook's secret is `whsec_` and base64")
    return key


def _signature(text: str) -> bytes:
    try:
        return base64.b64decode(text.removeprefix("v1,"), validate=True)
    except (binascii.Error, ValueError):
        return b""
