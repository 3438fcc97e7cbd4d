"""The program that renders one image. `process` starts it and talks to it over its standard streams."""

from __future__ import annotations

import contextlib
import os
from typing import BinaryIO

from processor.pipeline.courtesy import step_aside, step_back
from processor.sandbox.confine import confine
from processor.sandbox.messages import receive


def main() -> None:
    """Do one task. If the parent ends, end silently."""
    questions, answers = _streams()
    with contextlib.suppress(EOFError, BrokenPipeError), questions, answers:
        opening = receive(questions)
        task = opening.header
        if task["patient"]:
            step_aside()
        else:
            step_back()
        confine(memory_bytes=task["memory_bytes"], cpu_seconds=task["cpu_seconds"])
        # libvips must not be loaded before the limits are set.
        from processor.sandbox.task import perform  # noqa: PLC0415 - see above

        perform(opening, questions, answers)


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output. From now on, anything that a library prints goes to standard error."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(0, "rb", closefd=False), os.fdopen(answers, "wb")


if __name__ == "__main__":
    main()
