"""The facts about a picture in answers, and the question for more of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from processor.facts import Facts
from service.auth.middleware import require
from service.auth.principal import Scope
from service.http.wire import Question, is_empty

EXAMPLE = {
    "colour": "#7a7879",
    "colours": [{"rgb": "#6b6a6c", "share": 0.61}, {"rgb": "#c9b8a4", "share": 0.22}],
    "blurhash": "L8D9e]-;~q_3WBj[ofj[D%ofIUay",
    "likeness": "252d6d8dddc4c4b0",
    "placeholder": "data:image/webp;base64,UklGRj4AAABXRUJQVlA4IDIAAABQAQCdASoQAAsABABoJZwABHQAAP54OaA1JOXZjJyR"
    "sFXlm/X7Xb9RkdtGFzQ/iLgAAA==",
    "metadata": {
        "camera": {"make": "Canon", "model": "EOS R6"},
        "lens": {"model": "RF24-70mm F2.8 L IS USM"},
        "exposure": {"seconds": 0.004, "aperture": 2.8, "iso": 200, "focalLength": 35},
        "takenAt": "2026-01-01T16:20:05.120+01:00",
        "caption": "Žofín, New Year",
        "creator": ["Ateliér Říp"],
        "copyright": "© 2026 Ateliér Říp",
        "privacy": {
            "found": ["position", "serialNumbers", "names", "thumbnail", "copyright"],
            "removed": ["position", "serialNumbers", "names", "thumbnail", "copyright"],
            "kept": [],
            "blocks": ["exif", "xmp"],
        },
    },
}
FactsAnswer = Annotated[
    dict[str, Any],
    Field(
        default={},
        exclude_if=is_empty,
        description="What was found out about the picture; not there when nothing was. `colour`: its average as "
        "`#rrggbb`, null if nothing of it is seen. `colours`: up to five of which it mostly consists, with shares. "
        "`placeholder`: a tiny WebP as a `data:` URI, and `blurhash`: a BlurHash, to show before the picture is there. "
        "`likeness`: a difference hash; few of its 64 bits differ between pictures that look alike. `metadata`: what "
        "EXIF, IPTC and XMP say, and under `privacy` what the file gave away, and what became of it. `position`: where "
        "the picture was taken, null if nothing says it; only with `include=position`. `faces`: how many there are and "
        "where the largest are, as fractions of the upright picture. `tags`: names of what a photograph shows, with "
        "scores. `embedding`: 1,280 bits to compare what pictures show. `nsfw`: a score. "
        "`moderation`: what came of that. `blurFaces`: which faces were hidden, and why that is not sure. More "
        "may be added.",
        examples=[EXAMPLE],
    ),
]


class FactsQuery(Question):
    """Which facts are shown only if they are asked for."""

    include: Literal["position"] | None = Field(
        default=None,
        description="`position`: the answer says in `facts` where the picture was taken. Needs the scope "
        "`images:position` too.",
    )


def shown(request: web.Request, facts: Facts, query: FactsQuery) -> Mapping[str, Any]:
    """What this caller asked for and may see. Raises `Forbidden`."""
    if query.include is None:
        return facts.for_tenant
    require(request, Scope.POSITION)
    return facts.everything
