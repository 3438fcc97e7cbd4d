"""`truss-image watch`: what happens to images, as it happens, on the command line."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from service.cli.submit import Client, environment, exit_codes, interruptible, json_option, key_option, url_option
from service.client.address import without_credentials

if TYPE_CHECKING:
    from service.client.api import Api

#: What the API tells of; here without what all begin with.
_KINDS = tuple(
    kind.removeprefix("image.")
    for kind in (
        *("image.uploaded", "image.processing", "image.variant"),
        *(
            "image.needs_review",
            "image.rejected",
            "image.completed",
            "image.failed",
            "image.superseded",
            "image.deleted",
        ),
    )
)


@click.command(
    epilog=f"""\b
Examples:
  truss-image watch
  truss-image watch --type completed --type failed
  truss-image watch --job img_1767323045678_9f86d081884c7d65 && echo done
  truss-image watch --json | jq -r 'select(.type == "image.variant").data.variant.url'

\b
A line has the time by the clock of this machine, what happened, the uniqueId, and
  variant      its name, width x height, bytes and URL; of a private one, its key
  completed    how many variants, and their bytes together
  failed       the code that says why
  needs_review why a reviewer must look at it; rejected: what the reviewer said
  superseded   the job that took its place

{environment("images:read")}

JSON lines (--json): the events of `GET /images/events`, each a CloudEvent. The end of a job that was over before is
told from its status, without an id.

{exit_codes("the job of --job is completed", "the job of --job ended otherwise, or the call was refused")}"""
)
@click.option("--type", "kinds", type=click.Choice(_KINDS), multiple=True, help="Only these; may be given many times.")
@click.option("--image", "unique_id", metavar="UNIQUE_ID", help="Only of this image.")
@click.option("--job", "processing_id", metavar="PROCESSING_ID", help="Only of this job, to its end.")
@click.option("--after", "last_id", metavar="EVENT_ID", help="Begin behind this event, not more than an hour ago.")
@json_option
@key_option
@url_option
def watch(
    *,
    kinds: tuple[str, ...],
    unique_id: str | None,
    processing_id: str | None,
    last_id: str | None,
    url: str,
    api_key: str | None,
    json_output: bool,
) -> None:
    """Show what happens to images, one line for each event, from now on.

    It goes on until Ctrl-C. When the connection breaks, it connects again and misses nothing of the last hour. With
    --job it ends with the job.
    """
    import asyncio

    from service.client.display import Report, readable_anywhere
    from service.client.watch import Watcher

    readable_anywhere(sys.stdout, sys.stderr)
    report = Report(json_output=json_output, with_total=False)
    go_on_with = _same_command()

    async def story(api: Api) -> None:
        await Watcher(
            api=api,
            report=report,
            kinds=frozenset(kinds),
            unique_id=unique_id or "",
            processing_id=processing_id or "",
            last_id=last_id or "",
            go_on_with=go_on_with,
        ).watch()

    with interruptible():
        code = asyncio.run(Client(url, api_key, report).run(story))
    sys.exit(code)


def _same_command() -> str:
    """This command, for what comes behind an event; without the key."""
    context = click.get_current_context()
    words = ["truss-image", "watch"]
    for kind in context.params["kinds"]:
        words += ["--type", kind]
    for option, name in (("--image", "unique_id"), ("--job", "processing_id")):
        words += [option, context.params[name]] if context.params[name] else []
    if context.params["json_output"]:
        words.append("--json")
    if context.get_parameter_source("url") is ParameterSource.COMMANDLINE:
        words += ["--url", without_credentials(context.params["url"])]
    return shlex.join([*words, "--after"])
