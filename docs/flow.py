"""Draws how an upload flows through the system, for the README: `python -m docs.flow` writes `flow.svg`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

FILE = Path(__file__).with_name("flow.svg")
WIDTH, HEIGHT = 880, 410

#: Colours in the light and in the dark.
STYLE = """\
text { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328 }
.name { font-weight: 600; text-anchor: middle }
.note { font-size: 12px; fill: #59636e; text-anchor: middle }
.step { font-size: 12px; fill: #59636e }
.box { fill: #ffffff; stroke: #8c959f; stroke-width: 1.2 }
.ours { fill: #ddf4ff; stroke: #0969da }
.around { fill: none; stroke: #0969da; stroke-dasharray: 5 4 }
.arrow { fill: none; stroke: #59636e; stroke-width: 1.4; marker-end: url(#head) }
.data { stroke: #0969da; stroke-width: 2.2; marker-end: url(#bold) }
#head path { fill: #59636e }
#bold path { fill: #0969da }
.number { fill: #0969da }
.digit { font-size: 11px; font-weight: 600; fill: #ffffff; text-anchor: middle }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .note, .step { fill: #9198a1 }
  .box { fill: #161b22; stroke: #6e7681 }
  .ours { fill: #0c2d4d; stroke: #4493f8 }
  .around { stroke: #4493f8 }
  .arrow { stroke: #9198a1 }
  .data { stroke: #4493f8 }
  #head path { fill: #9198a1 }
  #bold path { fill: #4493f8 }
  .number { fill: #1f6feb }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A part of the system; `x` and `y` are its middle."""

    name: str
    note: str = ""
    x: int
    y: int
    ours: bool = False
    width: int = 132
    height: int = 54

    def drawn(self) -> str:
        left, top = self.x - self.width // 2, self.y - self.height // 2
        kind = "box ours" if self.ours else "box"
        rect = f'<rect class="{kind}" x="{left}" y="{top}" width="{self.width}" height="{self.height}" rx="8"/>'
        up = 4 if self.note else -5
        name = f'<text class="name" x="{self.x}" y="{self.y - up}">{escape(self.name)}</text>'
        note = f'<text class="note" x="{self.x}" y="{self.y + 15}">{escape(self.note)}</text>' if self.note else ""
        return rect + name + note


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """`path` is SVG's. The step's words begin at `at`, behind its number. `data`: pictures go this way."""

    path: str
    step: str = ""
    words: str = ""
    at: tuple[int, int] = (0, 0)
    data: bool = False

    def drawn(self) -> str:
        kind = "arrow data" if self.data else "arrow"
        x, y = self.at
        digit = f'<text class="digit" x="{x}" y="{y + 4}">{self.step}</text>'
        number = f'<circle class="number" cx="{x}" cy="{y}" r="9"/>{digit}'
        words = f'<text class="step" x="{x + (15 if self.step else 0)}" y="{y + 4}">{escape(self.words)}</text>'
        path = f'<path class="{kind}" d="{self.path}"/>'
        return path + (number if self.step else "") + (words if self.words else "")


BOXES = (
    Box(name="Client", note="browser, app, server", x=90, y=80, width=144),
    Box(name="API", x=440, y=80, ours=True),
    Box(name="Worker", note="libvips", x=440, y=240, ours=True),
    Box(name="DynamoDB", note="jobs", x=780, y=80),
    Box(name="S3", note="sources, private", x=90, y=240),
    Box(name="SQS", x=265, y=240, width=84),
    Box(name="S3", note="variants, private", x=440, y=365),
    Box(name="CloudFront", x=265, y=365, width=106),
    Box(name="Viewer", x=90, y=365),
)

ARROWS = (
    Arrow(path="M166 66 H370", step="1", words="ask for an upload URL", at=(190, 50)),
    Arrow(path="M166 94 H370", step="4", words="wait for the job", at=(190, 112)),
    Arrow(path="M90 109 V209", step="2", words="upload", at=(108, 160), data=True),
    Arrow(path="M158 240 H219", words="event", at=(168, 230)),
    Arrow(path="M309 240 H370", words="poll", at=(326, 230)),
    Arrow(path="M508 80 H710", words="pending job", at=(560, 68)),
    Arrow(path="M508 232 H780 V111", step="3", words="completed", at=(560, 218)),
    Arrow(path="M440 269 V334", words="variants", at=(452, 306), data=True),
    Arrow(path="M372 365 H322", data=True),
    Arrow(path="M210 365 H160", data=True),
)


def drawing() -> str:
    """The SVG. It follows the reader's choice of light or dark."""
    shapes = [*(box.drawn() for box in BOXES), *(arrow.drawn() for arrow in ARROWS)]
    heads = "".join(
        f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="{size}" markerHeight="{size}"'
        ' orient="auto-start-reverse" markerUnits="userSpaceOnUse"><path d="M0 0 L10 5 L0 10 z"/></marker>'
        for name, size in (("head", 10), ("bold", 12))
    )
    title = "How an upload flows: client, API, S3, SQS, worker, S3, CloudFront, viewer"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
            f"<title>{title}</title>",
            f"<style>\n{STYLE}</style>",
            f"<defs>{heads}</defs>",
            '<rect class="around" x="356" y="22" width="168" height="264" rx="14"/>',
            '<text class="note" x="440" y="16">one process, many pods</text>',
            *shapes,
            "</svg>\n",
        ]
    )


def main() -> int:
    FILE.write_text(drawing())
    return 0


if __name__ == "__main__":
    sys.exit(main())
