"""Converts records to the values of the table, and back."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal

from processor.codec import Codec, Layout
from processor.jobs import Image, Job, Source, Terms
from processor.ports.backlog import Backlog
from processor.ports.bulk import BulkJob
from processor.ports.keys import ApiKey
from processor.ports.webhooks import Delivery
from processor.stores.schema import KEY, TTL


def seconds_value(seconds: float) -> Decimal:
    """A time in seconds as a value. DynamoDB has no binary floats, but stores decimal digits without loss."""
    return Decimal(repr(float(seconds)))


#: The names and defaults in existing tables that differ from the classes.
RECORDS = Codec(
    {
        Job: Layout(
            names={"processing_id": KEY, "created_at": "timestamp", "expires_at": TTL, "variants": "processedImages"},
            always=("metadata", "attempts"),
        ),
        # The previous release reads `sequencer`.
        Image: Layout(names={"expires_at": TTL}, always=("metadata",), beside={"sequencer": ""}),
        Source: Layout(always=("event_time",), beside={"sequencer": ""}),
        Terms: Layout(names={each.name: each.name for each in fields(Terms)}, always=("once",)),
        Backlog: Layout(always=("dead_letters",)),
        ApiKey: Layout(names={"lifetime": "lifetimeSeconds"}),
        BulkJob: Layout(names={"bulk_id": KEY, "expires_at": TTL}, always=("state", "version")),
        # A delivery has a key of its own.
        Delivery: Layout(names={"expires_at": TTL, "processing_id": "jobId"}, always=("status", "tries", "attempts")),
    },
    number=seconds_value,
)
