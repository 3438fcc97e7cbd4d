"""The ports of the local mode: what is asked for, and whether it can be had."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

from service.local import LocalError

#: Address that the local mode listens on. It is for a container, whose published ports lead to another address than
#: loopback. The local mode lets everybody in, so it listens for this machine alone unless it is told otherwise.
ADDRESS_VARIABLE = "LOCAL_ADDRESS"
LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104 - only when asked for
_HIGHEST = 65535
_REASONS = {
    errno.EADDRINUSE: "is taken by another program",
    errno.EACCES: "needs more rights than you have",
}


def address_of(environ: Mapping[str, str]) -> str:
    """Where to listen. URLs name the loopback address, so nothing that leaves it out would do. Raises `LocalError`."""
    given = environ.get(ADDRESS_VARIABLE) or LOOPBACK
    if given not in (LOOPBACK, EVERYWHERE):
        raise LocalError(f"{ADDRESS_VARIABLE}: got {given!r}; must be {LOOPBACK}, or {EVERYWHERE} within a container.")
    return given


def parse_port(text: str, variable: str) -> int:
    """A number that a port may have; 0 stands for a free one. Raises `LocalError`."""
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= _HIGHEST:
        raise LocalError(
            f"{variable}: got {text!r}; must be a whole number from 0 to {_HIGHEST}, where 0 takes a free port."
        )
    return port


def free_port(port: int, variable: str, address: str = LOOPBACK) -> int:
    """`port`, or a free one when that is 0. Raises `LocalError`, which names the variable."""
    try:
        return bindable(port, address)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"cannot be listened on ({error.strerror})")
        raise LocalError(f"Port {port} {reason}: choose another one with {variable}=, or {variable}=0.") from None


def refuse_equal(**ports: int | None) -> None:
    """Two that ask for the same port cannot both have it. Raises `LocalError`."""
    seen: dict[int, str] = {}
    for variable, port in ports.items():
        if port and port in seen:
            raise LocalError(f"{seen[port]} and {variable} are both {port}: choose different ports.")
        if port:
            seen[port] = variable


def bindable(port: int, address: str = LOOPBACK) -> int:
    """A port that can be listened on: `port`, or any when that is 0. Raises `OSError`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
        return int(probe.getsockname()[1])
