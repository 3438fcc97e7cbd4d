"""What a look at the content of a picture finds, and how much it sees."""

from __future__ import annotations

from dataclasses import dataclass

#: Sides of the square that the models take, in pixels.
SQUARE = 224


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one look found. Scores are those of the model, from 0 to 1; of all its names they add up to 1."""

    #: The likeliest names with their scores, the likeliest first.
    named: tuple[tuple[str, float], ...]
    #: 1,280 bits: which features of the model are there.
    embedding: bytes
