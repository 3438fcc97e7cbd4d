"""Shows a run: a row when a photo is done, a total at the end, and progress on a terminal.

Rows go to standard output, for people or as one JSON object per line. Everything else goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from service.client.result import FAILED, REJECTED, Result

if TYPE_CHECKING:
    from service.client.submit import Work

#: Shortest time between two updates of the progress display, in seconds.
REFRESH_SECONDS = 0.1
#: A terminal with fewer columns has no room for bars.
BAR_COLUMNS = 70

_GREEN, _RED, _YELLOW = 32, 31, 33


class ReaderGone(Exception):
    """Nobody reads the output any more, or it cannot be written."""


@dataclass(slots=True)
class Tally:
    """The results of all photos, as counts. `sent` is in bytes."""

    completed: int = 0
    existing: int = 0
    failed: int = 0
    interrupted: int = 0
    sent: int = 0
    started: float = field(default_factory=time.monotonic)

    def count(self, result: Result) -> None:
        kind = "existing" if result.existing else FAILED if result.status == REJECTED else result.status
        if hasattr(self, kind):
            setattr(self, kind, getattr(self, kind) + 1)
        self.sent += result.sent

    @property
    def all_ok(self) -> bool:
        """Whether every photo is completed, by this run or before it."""
        return not self.failed and not self.interrupted

    def document(self) -> dict[str, Any]:
        """The last line of the JSON output."""
        seconds = round(time.monotonic() - self.started, 3)
        return {
            "total": {
                "completed": self.completed,
                "alreadyThere": self.existing,
                "failed": self.failed,
                "interrupted": self.interrupted,
                "bytes": self.sent,
                "seconds": seconds,
            }
        }

    def sentence(self) -> str:
        seconds = time.monotonic() - self.started
        return (
            f"{self.completed} completed, {self.existing} already there, {self.failed} failed, "
            f"{self.interrupted} interrupted; {bytes_in_words(self.sent)} sent in {seconds:.1f} s"
        )


def row(result: Result, *, colour: bool = False) -> str:
    """A photo with its variants, or with the error. URLs are not wrapped, so that people can copy them."""
    status = "already there" if result.existing else result.status
    ids = f"  {result.processing_id}" if result.processing_id else ""
    seconds = "" if result.seconds is None else f" in {result.seconds:.1f} s"
    head = f"{painted(status, result.status, colour=colour)} {printable(result.photo)}{seconds}{ids}"
    lines = [head if result.ok or not result.error else f"{head}: {printable(result.error)}"]
    for name, variant in result.variants.items():
        pixels = f"{variant['width']}x{variant['height']}"
        lines.append(f"  {name:<10}{pixels:>12}{bytes_in_words(variant['size']):>12}  {variant['url']}")
    return "\n".join([lines[0], *map(printable, lines[1:])])


def json_row(result: Result) -> str:
    """The same as JSON, in ASCII and on one line."""
    return json.dumps(
        {
            "photo": result.photo,
            "status": result.status,
            "alreadyThere": result.existing,
            "seconds": None if result.seconds is None else round(result.seconds, 3),
            "bytes": result.sent,
            "processingId": result.processing_id or None,
            "uniqueId": result.unique_id or None,
            "processedImages": dict(result.variants),
            "error": result.error or None,
        }
    )


def printable(text: str) -> str:
    """The text with escapes for control characters. Names of files could move the cursor or end a line."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


@dataclass(slots=True, kw_only=True)
class Report:
    """Writes a row for each photo when its result is known, and counts the results."""

    json_output: bool
    display: Bars | None = None
    with_total: bool = True
    #: The command that shows jobs that have not ended. Their ids follow it.
    look_with: str = "truss-image status"
    tally: Tally = field(default_factory=Tally)
    #: Ids of jobs that have not ended when the run ends.
    _open: list[str] = field(default_factory=list)
    _not_begun: int = 0
    _reader_gone: bool = False

    def changed(self, work: Work) -> None:
        """Note that a photo has another state, or that more of it is sent."""
        if self.display is not None:
            self.display.changed(work)

    def done(self, work: Work, result: Result) -> None:
        """Report the result of a photo. Raises `ReaderGone`, once."""
        if self.display is not None:
            self.display.gone(work)
        self.show(result)

    def show(self, result: Result) -> None:
        """Raises `ReaderGone`, once."""
        self.tally.count(result)
        if not result.ended:
            self._open.append(result.processing_id)
        self.write(json_row(result) if self.json_output else row(result, colour=is_colourful(sys.stdout)))

    def not_begun(self, photo: str, status: str, error: str) -> None:
        """Report a photo without any call. People get only the number of such photos. Raises `ReaderGone`, once."""
        result = Result(photo=photo, status=status, error=error)
        self._not_begun += 1
        self.tally.count(result)
        if self.json_output:
            self.write(json_row(result))

    def finish(self, *, interrupted: bool, unusable: Exception | None) -> None:
        """Write how to continue, and the total. Raises `ReaderGone`."""
        if unusable is not None:
            self.note(f"Error: {printable(str(unusable))}")
        if self._not_begun:
            self.note(f"{self._not_begun} not begun")
        if not self.with_total:
            return
        if interrupted or self._open:
            self.note(self._how_to_go_on())
        if self.json_output:
            self.write(json.dumps(self.tally.document()))
        else:
            self.note(self.tally.sentence())

    def _how_to_go_on(self) -> str:
        if not self._open:
            return "Give the same command again to go on."
        ids = " ".join(self._open)
        return (
            "Give the same command again to go on: nothing is stored twice. "
            f"What is uploaded is converted meanwhile; look with: {self.look_with} {ids}"
        )

    def note(self, text: str) -> None:
        """Write a message for people to standard error."""
        if self.display is not None:
            self.display.aside()
        with suppress(OSError, AttributeError):  # standard error is closed, so nobody reads it
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def write(self, text: str) -> None:
        """Write a line of results. Raises `ReaderGone`, once."""
        if self._reader_gone or sys.stdout is None:  # None: it was closed before the start
            return
        if self.display is not None:
            self.display.aside()
        try:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        except OSError as error:
            self._reader_gone = True
            if not isinstance(error, BrokenPipeError):
                self.note(f"Error: the results cannot be written: {error.strerror or error}")
            raise ReaderGone from None


def is_colourful(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal with colours, and `NO_COLOR` is not set (no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal whose cursor can be moved."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


@contextmanager
def open_display(count: int) -> Iterator[Bars | None]:
    """Show the progress of `count` photos on standard error while the block runs. None: it is no terminal."""
    if not is_terminal(sys.stderr):
        yield None
        return
    display = Bars(count)
    try:
        yield display
    finally:
        display.aside()


class Bars:
    """A bar for all photos, and one for each photo in work. It is drawn after changes only, and needs no thread."""

    def __init__(self, count: int) -> None:
        # Imported here, because it takes time and is useless without a terminal.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.table import Column

        console = Console(stderr=True, highlight=False)
        console.width -= 4  # leaves room for the ^C that a terminal shows, so that it starts no new line
        bars = [BarColumn(bar_width=20)] if console.width >= BAR_COLUMNS else []
        self._progress = Progress(
            TextColumn(
                "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
            ),
            *bars,
            TextColumn("{task.fields[state]}", markup=False, table_column=Column(no_wrap=True)),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            auto_refresh=False,
            expand=True,
        )
        self._all = self._progress.add_task("all", total=count, state=f"0/{count}")
        self._count, self._done = count, 0
        self._lines: dict[int, Any] = {}
        self._drawn_at = 0.0

    def changed(self, work: Work) -> None:
        """Update the line of a photo in work."""
        if id(work) not in self._lines:
            name = printable(work.photo.shown.rpartition("/")[2])
            self._lines[id(work)] = self._progress.add_task(name, total=None, state=work.state)
        self._progress.update(self._lines[id(work)], total=work.size or None, completed=work.sent, state=work.state)
        self._draw()

    def gone(self, work: Work) -> None:
        """Remove the line of a photo that is done."""
        line = self._lines.pop(id(work), None)
        if line is not None:
            self._progress.remove_task(line)
        self._done += 1
        self._progress.update(self._all, completed=self._done, state=f"{self._done}/{self._count}")

    def aside(self) -> None:
        """Clear the display. The next change draws it again."""
        if self._drawn_at:
            self._progress.stop()
            self._drawn_at = 0.0

    def _draw(self) -> None:
        now = time.monotonic()
        if now - self._drawn_at < REFRESH_SECONDS:
            return
        if self._drawn_at:
            self._progress.refresh()
        else:
            self._progress.start()
        self._drawn_at = now


#: Of what is good, and of what failed; of all that is neither there is another.
_COLOURS = {"completed": _GREEN, "failed": _RED}


def painted(text: str, status: str, *, colour: bool) -> str:
    """In the colour of a status."""
    return f"\x1b[{_COLOURS.get(status, _YELLOW)}m{text}\x1b[0m" if colour else text


def bytes_in_words(count: int) -> str:
    """In kilobytes or megabytes."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1000:.1f} kB"  # noqa: PLR2004


def readable_anywhere(*streams: TextIO) -> None:
    """Let streams escape characters that their encoding lacks. Otherwise writing would fail after the work is done."""
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
