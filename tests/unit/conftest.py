"""Unit tests touch no network: a socket that is opened by mistake fails the test that opened it."""

from __future__ import annotations

import pytest
import pytest_socket


@pytest.fixture(autouse=True)
def _no_sockets() -> None:
    # The event loop wakes itself through a pair of Unix sockets, which leave no machine.
    pytest_socket.disable_socket(allow_unix_socket=True)
