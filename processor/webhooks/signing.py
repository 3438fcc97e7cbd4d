"""The headers of a delivery, as Standard Webhooks defines them."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks import Webhook

#: Bytes of a secret: 24 to 64 (Standard Webhooks, "Signature scheme").
SECRET_BYTES = 32
PREFIX = "whsec_"


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def message_id(event_id: str) -> str:
    """The id of a delivery, the same for every try. It has no full stops, because they separate the signed fields."""
    return event_id.replace(".", "-")


def signed(event_id: str, body: bytes, now: datetime, keys: Sequence[str]) -> dict[str, str]:
    """The headers, with one signature for each secret."""
    id_, text = message_id(event_id), body.decode()
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(id_, now, text) for key in keys),
    }
