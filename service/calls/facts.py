"""The facts about a picture in answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from service.http.wire import is_empty

EXAMPLE = {
    "colour": "#7a7879",
    "likeness": "252d6d8dddc4c4b0",
    "placeholder": "data:image/webp;base64,UklGRj4AAABXRUJQVlA4IDIAAABQAQCdASoQAAsABABoJZwABHQAAP54OaA1JOXZjJyR"
    "sFXlm/X7Xb9RkdtGFzQ/iLgAAA==",
}
FactsAnswer = Annotated[
    dict[str, Any],
    Field(
        default={},
        exclude_if=is_empty,
        description="What was found out about the picture; not there when nothing was. `colour`: its average as "
        "`#rrggbb`, null if nothing of it is seen. `placeholder`: a tiny WebP as a `data:` URI, to show before the "
        "picture is there. `likeness`: a difference hash; few of its 64 bits differ between pictures that look "
        "alike. More may be added.",
        examples=[EXAMPLE],
    ),
]
