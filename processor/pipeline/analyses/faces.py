"""Tells where the faces in a picture are."""

from __future__ import annotations

from typing import Any

from processor.faces import fact_of
from processor.pipeline.view import View


def faces(view: View) -> dict[str, Any]:
    """How many there are, and the largest, as fractions of the picture. Raises `LookingOff`, `LookingFailed`."""
    return fact_of(view.faces)
