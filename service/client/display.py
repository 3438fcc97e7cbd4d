"""What `truss-image submit` shows: a progress line a photo, then a table of what came back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from service.client.submit import Progress as Listener
from service.client.submit import Result


@contextmanager
def progress_display(photos: Sequence[Path], console: Console) -> Iterator[Listener]:
    """A listener that keeps one line a photo up to date while the block runs."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
        console=console,
    )
    lines: dict[Path, TaskID] = {}
    with progress:
        for photo in photos:
            total = photo.stat().st_size
            lines[photo] = progress.add_task(escape(photo.name), total=total, state="waiting", start=False)

        def listen(photo: Path, state: str, sent: int) -> None:
            line = lines[photo]
            if state == "asking":
                progress.start_task(line)
            if state == "uploading":
                progress.update(line, completed=sent, state=state)
            else:
                progress.update(line, state=state)
            if state in ("completed", "failed"):
                progress.stop_task(line)

        yield listen


def show(results: Sequence[Result], console: Console) -> None:
    """Every photo with its variants, or with the reason why there are none."""
    for result in results:
        colour = "green" if result.ok else "red"
        head = f"[{colour}]{result.status}[/] {escape(str(result.photo))} in {result.seconds:.1f} s"
        tail = f"  {result.processing_id}" if result.ok else f": {escape(result.error)}"
        console.print(head + tail, soft_wrap=True)
        for name, variant in result.variants.items():
            pixels = f"{variant['width']}x{variant['height']}"
            size = f"{variant['size'] / 1000:.1f} kB"
            # Not in a table, which would fold the URL: it is there to be copied.
            console.print(f"  {name:<10}{pixels:>12}{size:>12}  {variant['url']}", soft_wrap=True, markup=False)


def as_json(results: Sequence[Result]) -> str:
    """The same for machines: one object a photo."""
    return json.dumps(
        [
            {
                "photo": str(result.photo),
                "status": result.status,
                "seconds": round(result.seconds, 3),
                "processingId": result.processing_id or None,
                "uniqueId": result.unique_id or None,
                "processedImages": dict(result.variants),
                "error": result.error or None,
            }
            for result in results
        ],
        indent=2,
    )
