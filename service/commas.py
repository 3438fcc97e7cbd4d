"""Lists as variables write them."""

from __future__ import annotations


def comma_separated(value: object) -> object:
    """`a, b` as a list; what is no text is as it is."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
