"""Runs the AWS emulator, and stops it cleanly when the parent process is gone.

This file is executed by the Python of the emulator's own environment, where this project is not installed. The emulator
saves its state only on a clean exit, so it must not outlive or be orphaned by a parent that was killed: its standard
input is a pipe from the parent, which ends when the parent does, however that came about.

Its one argument is a file that it leaves behind once the state is saved, all of it: of what it cannot save, on a full
disk, the emulator only writes a line into its log.
"""

import logging
import os
import pathlib
import runpy
import signal
import sys
import threading


def _stop_with_the_parent() -> None:
    # Not by `sys.stdin`, whose lock a thread may not hold while the interpreter ends.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


class _Losses(logging.Handler):
    """Notes that something could not be saved."""

    lost = False

    def emit(self, record: logging.LogRecord) -> None:
        """Whatever else goes wrong is between the emulator and its log."""
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
