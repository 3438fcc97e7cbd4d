"""Runs the AWS emulator, and stops it cleanly when the parent process is gone.

This file is executed by the Python of the emulator's own environment, where this project is not installed. The emulator
saves its state only on a clean exit, so it must not outlive or be orphaned by a parent that was killed: its standard
input is a pipe from the parent, which ends when the parent does, however that came about.

Its one argument is a file that it leaves behind once the state is saved.
"""

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


if __name__ == "__main__":
    saved = pathlib.Path(sys.argv.pop())
    threading.Thread(target=_stop_with_the_parent, daemon=True).start()
    try:
        runpy.run_module("ministack", run_name="__main__")
    finally:
        saved.touch()
