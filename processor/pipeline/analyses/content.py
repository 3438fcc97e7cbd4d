"""Tells what a picture shows: tags, an embedding, and a score for what is not safe for work."""

from __future__ import annotations

import base64

from processor.pipeline.view import View

#: The least score of the first tag: the model thinks it likelier than all other names together. Below, it was wrong
#: about as often as right (`benchmarks/analysis.py`).
LEAST_SCORE = 0.5
#: The least score of a further tag, and the most tags.
LEAST_FURTHER, MOST_TAGS = 0.15, 3
#: The least length of the shorter side: half of what the model sees. It names anything that is blurred.
LEAST_SIDE = 112
_DECIMALS = 3


def tags(view: View) -> list[dict[str, str | float]]:
    """Up to three names with their scores, the likeliest first. Nothing is named that is drawn, small or unclear."""
    if min(view.width, view.height) < LEAST_SIDE or view.is_drawn:
        return []
    (_, best), *_ = named = view.content.named
    enough = [(name, score) for name, score in named[:MOST_TAGS] if score >= LEAST_FURTHER]
    return [{"name": name, "score": round(score, _DECIMALS)} for name, score in enough if best >= LEAST_SCORE]


def embedding(view: View) -> str:
    """1,280 bits in base64. Pictures of like content have more of them in common than others."""
    return base64.b64encode(view.content.embedding).decode()


def nsfw(view: View) -> float:
    """From 0 to 1: how sure the model is that the picture is not safe for work."""
    return round(view.nsfw, _DECIMALS)
