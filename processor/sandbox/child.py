"""The program that tries one suspect image; `quarantine` starts it and talks to it over its standard streams."""

from __future__ import annotations

import contextlib
import os
from typing import BinaryIO

from processor.pipeline.courtesy import step_back
from processor.sandbox.confine import confine
from processor.sandbox.messages import receive


def main() -> None:
    """Answer one order, or end without a word when the parent does."""
    source, answers = _streams()
    with contextlib.suppress(EOFError, BrokenPipeError), source, answers:
        order = receive(source).header
        step_back()
        confine(memory_bytes=order["memory_bytes"], cpu_seconds=order["cpu_seconds"])
        # Only now, with the limits in place, is there to be any libvips in this process.
        from processor.sandbox.attempt import attempt  # noqa: PLC0415 - see above

        attempt(order, source, answers)


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output; what a library prints from now on goes where its complaints go."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(0, "rb", closefd=False), os.fdopen(answers, "wb")


if __name__ == "__main__":
    main()
