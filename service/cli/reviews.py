"""`truss-image review`: images that are held until somebody has looked at them, from the command line."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import click

from service.cli.asking import run, shared
from service.cli.submit import environment, exit_codes

if TYPE_CHECKING:
    from service.client.reviews import ReviewCommands

_EPILOG = f"""{environment("images:review")}

JSON lines (--json): the answers of the API, one a line.

{exit_codes("it is done", "the call was refused")}"""


@click.group()
def review() -> None:
    """List, show, approve and reject images that are held for a review, as docs/review.md describes it."""


@review.command(name="list", epilog=_EPILOG)
@shared
def list_(*, url: str, api_key: str | None, json_output: bool) -> None:
    """List images that wait, oldest first: uniqueId, processingId, since when, why, file name."""
    _run(url, api_key, lambda commands: commands.show_all(), json_output=json_output)


@review.command(epilog=_EPILOG)
@click.argument("unique_id")
@click.option("--clear", is_flag=True, help="With URLs also of a picture that a moderation has looked at.")
@shared
def show(unique_id: str, *, clear: bool, url: str, api_key: str | None, json_output: bool) -> None:
    """Show what is held of an image, with URLs that work for five minutes."""
    _run(url, api_key, lambda commands: commands.show(unique_id, clear=clear), json_output=json_output)


@review.command(epilog=_EPILOG)
@click.argument("unique_id")
@click.argument("processing_id")
@click.option("--comment", default="", help="A word for the owner.")
@shared
def approve(
    unique_id: str, processing_id: str, *, comment: str, url: str, api_key: str | None, json_output: bool
) -> None:
    """Publish what is held of an image, of the job that was looked at."""
    _decide(url, api_key, "approve", (unique_id, processing_id, comment), json_output=json_output)


@review.command(epilog=_EPILOG)
@click.argument("unique_id")
@click.argument("processing_id")
@click.option("--comment", default="", help="Why, for the owner.")
@shared
def reject(
    unique_id: str, processing_id: str, *, comment: str, url: str, api_key: str | None, json_output: bool
) -> None:
    """Delete what is held of an image, of the job that was looked at."""
    _decide(url, api_key, "reject", (unique_id, processing_id, comment), json_output=json_output)


def _decide(url: str, api_key: str | None, decision: str, about: tuple[str, str, str], *, json_output: bool) -> None:
    _run(url, api_key, lambda commands: commands.decide(decision, *about), json_output=json_output)


def _run(
    url: str, api_key: str | None, story: Callable[[ReviewCommands], Coroutine[Any, Any, None]], *, json_output: bool
) -> None:
    """Ends the command."""
    from service.client.reviews import ReviewCommands

    run(url, api_key, ReviewCommands, story, json_output=json_output)
