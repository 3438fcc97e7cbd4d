"""Runs the AWS emulator, and stops it cleanly when the parent process is gone.

The Python of the emulator's own environment runs this file, and this project is not installed there. The emulator saves
its state only on a clean exit, also if the parent was killed. Its standard input is a pipe from the parent. The pipe
ends when the parent ends, for any reason.

Its one argument is a file. It creates the file at the end if all of the state was saved. If something cannot be saved,
for example on a full disk, the emulator only writes a line to its log.
"""

import logging
import os
import pathlib
import runpy
import signal
import sys
import threading


def _stop_with_the_parent() -> None:
    # Not `sys.stdin`: a thread must not hold its lock while the interpreter ends.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


class _Losses(logging.Handler):
    """Remembers whether something could not be saved."""

    lost = False

    def emit(self, record: logging.LogRecord) -> None:
        """Other errors are only in the emulator's log."""
        self.lost = self.lost or "failed to save" in record.getMessage()


if __name__ == "__main__":
    saved = pathlib.Path(sys.argv.pop())
    threading.Thread(target=_stop_with_the_parent, daemon=True).start()
    losses = _Losses(logging.ERROR)
    logging.getLogger("persistence").addHandler(losses)
    try:
        runpy.run_module("ministack", run_name="__main__")
    finally:
        if not losses.lost:
            saved.touch()
