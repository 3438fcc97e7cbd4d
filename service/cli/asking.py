"""What all commands have in common that ask the API and print its answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from service.cli.submit import Client, environment, exit_codes, interruptible, json_option, key_option, url_option

if TYPE_CHECKING:
    from service.client.commands import Commands

F = TypeVar("F", bound=Callable[..., None])
C = TypeVar("C", bound="Commands")

_CODES = exit_codes("it is done", "the call was refused")


def shared(command: F) -> F:
    """Add the options that all of them have."""
    for option in (json_option, key_option, url_option):
        command = option(command)
    return command


def epilog(scope: str) -> str:
    """The end of the help of a command that prints answers and needs this scope."""
    return f"{environment(scope)}\n\nJSON lines (--json): the answers of the API, one a line.\n\n{_CODES}"


def run(
    url: str, api_key: str | None, kind: type[C], story: Callable[[C], Coroutine[Any, Any, None]], *, json_output: bool
) -> None:
    """Do what is asked, and end the process with the exit code."""
    import asyncio

    from service.client.display import Report, readable_anywhere

    readable_anywhere(sys.stdout, sys.stderr)
    report = Report(json_output=json_output, with_total=False)
    with interruptible():
        code = asyncio.run(Client(url, api_key, report).run(lambda api: story(kind(api=api, report=report))))
    sys.exit(code)
