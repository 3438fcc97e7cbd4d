"""Runs the AWS emulator, and stops it cleanly when the parent process is gone.

This file is executed by the Python of the emulator's own environment, where this project is not installed. The emulator
saves its state only on a clean exit, so it must not outlive or be orphaned by a parent that was killed: its standard
input is a pipe from the parent, which ends when the parent does, however that came about.
"""

import os
import runpy
import signal
import sys
import threading


def _stop_with_the_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_stop_with_the_parent, daemon=True).start()
    runpy.run_module("ministack", run_name="__main__")
