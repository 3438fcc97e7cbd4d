"""The child program with one fault in it, named by the argument, for `test_child.py`."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from processor.pipeline import render as pipeline
from processor.sandbox import child, task
from processor.sandbox import messages as frames

#: Taken before anything else happens here.
DESCRIPTORS = sorted(int(entry.name) for entry in Path("/dev/fd").iterdir())
#: The child's own copy of its standard output.
ANSWERS = 3


def spin() -> NoReturn:
    resource.setrlimit(resource.RLIMIT_CPU, (1, 2))
    while True:
        pass


def flood(header: bytes) -> NoReturn:
    os.write(ANSWERS, header)
    while True:
        os.write(ANSWERS, bytes(65_536))


def devour() -> NoReturn:
    eaten = []
    while True:
        eaten.append(bytes(1 << 24))


def devour_in_c() -> NoReturn:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    while True:
        ctypes.memset(libc.malloc(1 << 24), 1, 1 << 24)


def leave_a_heir() -> NoReturn:
    if os.fork() == 0:
        signal.pause()
    os.abort()


FAULTS: dict[str, Callable[[], object]] = {
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "hang": lambda: ctypes.PyDLL(None).pause(),  # with the interpreter's lock in its hands
    "spin": spin,
    "leave": lambda: os._exit(0),
    "raise": lambda: 1 // 0,
    "garbage": lambda: os.write(ANSWERS, b"not a frame at all") and os._exit(0),
    "flood": lambda: flood(b""),
    "flood-of-a-frame": lambda: flood(frames.opening({"variants": [], "parts": []}, 2**40)),
    "nested": lambda: flood(frames.HEAD.pack(200_000, 0) + b"[" * 200_000),
    "no-object": lambda: flood(frames.HEAD.pack(2, 0) + b"[]"),
    "no-variants": lambda: flood(frames.opening({}, 0)),
    "unknown-code": lambda: flood(frames.opening({"error": "lease_lost"}, 0)),
    "no-code": lambda: flood(frames.opening({"error": 7}, 0)),
    "devour": devour,
    "devour-in-c": devour_in_c,
    "heir": leave_a_heir,
}


#: What the child says it found out, where it lies.
LIES: dict[str, object] = {
    "facts-unasked": {"faces": 7},
    "facts-without-end": {"colour": "x" * 100_000},
    "facts-too-deep": {"colour": [[[[[[[]]]]]]]},
    "facts-of-no-kind": {"colour": float("nan")},
    "no-facts": None,
}


def facts() -> dict[str, Any]:
    """What the child sees of the world while it renders."""
    kinds = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_FSIZE")
    return {
        "environment": dict(os.environ),
        "descriptors": DESCRIPTORS,
        "limits": {kind: resource.getrlimit(getattr(resource, kind))[0] for kind in kinds},
        "session": os.getsid(0) == os.getpid(),
        "directory": str(Path.cwd()),
    }


def main(fault: str) -> None:
    """Run the child, with the fault where the decoder would be."""
    true_render = pipeline.render
    true_send = frames.send

    def render(*args: Any, **options: Any) -> Any:
        if fault in FAULTS:
            FAULTS[fault]()
        return true_render(*args, **options)

    def tell_facts(stream: Any, header: Any, buffers: Any = ()) -> None:
        if fault == "facts" and buffers:
            buffers = (b"RIFF....WEBP" + json.dumps(facts()).encode(),) * len(buffers)
        if fault in LIES and "facts" in header:
            header = {"facts": LIES[fault]}
        true_send(stream, header, buffers)

    pipeline.render = render
    task.send = tell_facts  # type: ignore[attr-defined]
    child.main()


if __name__ == "__main__":
    match sys.argv[1]:
        case "not-even-start":
            sys.exit(1)
        case "start-slowly":
            signal.pause()
        case name:
            main(name)
