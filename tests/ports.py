"""Ports for processes that tests start, which nothing else on this machine is given meanwhile."""

from __future__ import annotations

import socket
import sys


def held_port() -> int:
    """A port of the loopback address that the one who is told it can listen on, and nobody else is handed out.

    A port that is only looked up is free again until the process listens, and another test may get it. So it stays
    bound, without listening, for as long as the tests run: Linux lets whoever names it share it, by `SO_REUSEADDR`.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = int(holder.getsockname()[1])
        if sys.platform == "linux":
            holder.detach()
        return port
