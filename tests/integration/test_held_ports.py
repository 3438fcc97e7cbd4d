"""What tests start gets the port that it was promised."""

from __future__ import annotations

import socket
import sys

import pytest

from tests.ports import held_port


def test_a_process_listens_on_the_port_that_is_held_for_it_and_is_reached() -> None:
    port = held_port()
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(("127.0.0.1", port)):
        server.accept()[0].close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems let nobody share a port that is held")
def test_a_port_that_is_held_is_not_free_and_nobody_answers_on_it() -> None:
    port = held_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
