"""A probe of deliveries to webhooks. It counts them for Prometheus, and logs one line for each try."""

from __future__ import annotations

import logging

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from processor.ports.webhooks import Delivery, DeliveryStatus, OffReason
from processor.probe import Span

#: Upper bounds in seconds, from the event to its delivery: at once, or after a day of tries.
_LAG_BUCKETS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 28800, 86400)
#: The results of a try.
DELIVERED, RETRIED, GIVEN_UP = "delivered", "retried", "given_up"

log = structlog.get_logger(__name__)


class Deliveries:
    """The probe. Labels do not name tenants or endpoints."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ends = Counter(
            "truss_webhook_deliveries",
            "Tries to deliver an event to a webhook: `delivered`; `retried`: it failed and is tried again; `given_up`. "
            "`code` says why one failed.",
            ("end", "code"),
            registry=registry,
        )
        self._lag = Histogram(
            "truss_webhook_lag_seconds",
            "From an event until a webhook had taken it.",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self._ends.labels(DELIVERED, "")
        self._wait = Histogram(
            "truss_webhook_wait_seconds",
            "How late a delivery is tried: from the event, or from when it was to be tried next. A receiver that is "
            "slow, or that wants to be left alone, makes its own deliveries late.",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self._off = Counter(
            "truss_webhooks_switched_off",
            "Webhooks that were switched off: `failing` for days, or `gone`.",
            ("reason",),
            registry=registry,
        )
        for reason in (OffReason.FAILING, OffReason.GONE):  # a rate needs a zero to begin with
            self._off.labels(reason.value)

    def begun(self, span: Span) -> None:
        """Only results are reported."""

    def ended(self, span: Span) -> None:
        if span.error is not None:
            return
        if span.name == "switch off":
            self._off.labels(span.facts["reason"]).inc()
        elif span.name == "delivery":
            self._tried(span)

    def _tried(self, span: Span) -> None:
        delivery: Delivery = span.facts["delivery"]
        tried = span.facts["tried"]
        attempt = delivery.attempts[-1] if tried else None
        end, code = _end(delivery), delivery.code or (attempt.code if attempt else "")
        self._ends.labels(end, code).inc()
        if attempt is not None:
            self._wait.observe(max(0.0, (attempt.at - span.facts["due"]).total_seconds()))
        if attempt is not None and end == DELIVERED:
            self._lag.observe(max(0.0, (attempt.at - delivery.event_at).total_seconds()))
        fields: dict[str, object] = {"end": end, **({"code": code} if code else {}), "type": delivery.type}
        if attempt is not None:
            fields |= {"status": attempt.status, "durationMs": attempt.milliseconds}
        log.log(
            logging.WARNING if end == GIVEN_UP else logging.INFO,
            "Webhook delivery",
            **fields,
            tries=delivery.tries,
            tenant=delivery.tenant,
            webhookId=delivery.webhook_id,
            eventId=delivery.event_id,
            **({"uniqueId": delivery.unique_id, "processingId": delivery.processing_id} if delivery.unique_id else {}),
        )


def _end(delivery: Delivery) -> str:
    return {DeliveryStatus.DELIVERED: DELIVERED, DeliveryStatus.PENDING: RETRIED}.get(delivery.status, GIVEN_UP)
