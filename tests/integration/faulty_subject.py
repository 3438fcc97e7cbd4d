"""A subject with a fault, named by its first argument, which shows when it is asked about a file of that name."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import asdict, replace

from processor.sandbox.messages import receive, send
from tests.mutants.subject import Answer

SOUND = Answer(verdict="corrupt_image", seconds=0.1, estimate=1_000, reserved=1_000, peak=500)
HUGE = 512 * 1024 * 1024


def main() -> None:
    """Answer until nobody asks."""
    fault = sys.argv[1]
    receive(sys.stdin.buffer)
    send(sys.stdout.buffer, {})
    while True:
        question = receive(sys.stdin.buffer)
        answer = SOUND
        if question.body == b"hostile":
            answer = _faulty(fault, again=question.header["again"], small=question.header["small"])
        send(sys.stdout.buffer, asdict(answer))


def _faulty(fault: str, *, again: bool, small: bool) -> Answer:
    if fault == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "hang":
        time.sleep(3600)
    if fault == "memory of a child":
        _have_a_greedy_child()
    answers = {
        "raised": replace(SOUND, verdict="raised KeyError", trace="Traceback"),
        "code": replace(SOUND, verdict="something_new"),
        "late": replace(SOUND, seconds=999.0),
        "memory": replace(SOUND, peak=HUGE),
        "estimate": replace(SOUND, verdict="too_large_for_memory"),
        "differs": replace(SOUND, verdict="empty_file" if again else "corrupt_image"),
        "differs if small": replace(SOUND, verdict="in-4 4x4;") if small else SOUND,
    }
    return answers.get(fault, SOUND)


def _have_a_greedy_child() -> None:
    if os.fork() == 0:
        held = bytearray(b"x") * HUGE
        time.sleep(2)
        os._exit(len(held) & 1)
    os.wait()


if __name__ == "__main__":
    main()
