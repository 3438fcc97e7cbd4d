"""`truss-image ls`, `process`, `rm`, `bulk` and `usage`: many images at once, from the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from service.cli.asking import run, shared
from service.cli.submit import environment, exit_codes

if TYPE_CHECKING:
    from service.client.images import Images

F = TypeVar("F", bound=Callable[..., None])

_CODES = exit_codes("every image is done", "at least one image failed, or the call was refused")
_STATUSES = click.Choice(["pending", "uploaded", "processing", "completed", "failed"])


def _options(options: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    """Options in front of others."""

    def add(command: F) -> F:
        for option in options:
            command = option(command)
        return command

    return add


def _filters(command: F) -> F:
    """The options of a filter."""
    for option in (
        click.option("--to", "created_to", metavar="TIME", help="Made at or before: like 2026-01-31."),
        click.option("--from", "created_from", metavar="TIME", help="Made at or after: like 2026-01-02T03:04:05Z."),
        click.option("--code", help="Whose conversion failed with this code."),
        click.option("--status", type=_STATUSES, help="Whose current job has this status."),
    ):
        command = option(command)
    return command


@click.command(
    name="ls",
    epilog=f"""\b
Examples:
  truss-image ls --status failed
  truss-image ls --code unavailable --limit 0 | truss-image process -

{environment("images:read")}

JSON lines (--json): the rows of `GET /images/list`.

{exit_codes("the list is printed", "the call was refused")}""",
)
@_filters
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="Most images; 0 for all.")
@shared
def list_(
    *,
    status: str | None,
    code: str | None,
    created_from: str | None,
    created_to: str | None,
    limit: int,
    url: str,
    api_key: str | None,
    json_output: bool,
) -> None:
    """List images, newest first: id, status, time, name, and why it failed."""
    chosen = _chosen(status, code, created_from, created_to)
    _run(url, api_key, lambda images: images.show(chosen, limit or None), json_output=json_output)


def _many(
    name: str, operation: str, scope: str, summary: str, options: Sequence[Callable[..., Any]] = ()
) -> click.Command:
    """A command that does something to images by their ids, or to all that match. `options` go into the request."""

    @click.command(
        name=name,
        help=f"""{summary}

Give ids, `-` for ids in the lines of the standard input, or a filter. A filter starts a bulk job in the service,
which is followed to its end. Ctrl-C does not end it.""",
        epilog=f"""\b
Examples:
  truss-image {name} 6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e
  truss-image ls --status failed | truss-image {name} -
  truss-image {name} --status failed --to 2026-01-31 --yes

{environment(f"images:read and {scope}")}

JSON lines (--json): uniqueId, status, processingId and error of each image; after a filter {{"total": the bulk job}}.

{_CODES}""",
    )
    @click.argument("unique_ids", nargs=-1, metavar="[UNIQUE_ID]...")
    @_filters
    @click.option("--all", "everything", is_flag=True, help="Every image of the tenant.")
    @click.option("--yes", is_flag=True, help="Do not ask before a filter or --all.")
    @_options(options)
    @shared
    def command(
        unique_ids: tuple[str, ...],
        *,
        status: str | None,
        code: str | None,
        created_from: str | None,
        created_to: str | None,
        everything: bool,
        yes: bool,
        url: str,
        api_key: str | None,
        json_output: bool,
        **given: str | None,
    ) -> None:
        more = {option: value for option, value in given.items() if value is not None}
        chosen: dict[str, Any] = _chosen(status, code, created_from, created_to)
        if everything:
            chosen["all"] = True
        if bool(chosen) == bool(unique_ids):
            raise click.UsageError("give ids, or a filter (--status, --code, --from, --to), or --all")
        if chosen:
            shown = ", ".join(f"{option} {value}" for option, value in chosen.items() if option != "all")
            if not yes:
                click.confirm(f"{name}: all images{f' with {shown}' if shown else ''}?", abort=True, err=True)
            _run(url, api_key, lambda images: images.matching(operation, chosen, more), json_output=json_output)
        ids = _read(unique_ids)
        _run(url, api_key, lambda images: images.each(operation, ids, more), json_output=json_output)

    return command


_PRESET = click.option("--preset", help="Name of the preset; without it, the one that each image has.")
process = _many("process", "process", "images:write", "Convert images again.", [_PRESET])
rm = _many("rm", "delete", "images:delete", "Delete images for ever, with all their variants.")


@click.command(
    epilog=f"""\b
{environment("images:read, and images:write to pause or cancel")}

{_CODES}"""
)
@click.argument("batch_id")
@click.option("--cancel", is_flag=True, help="Begin no further image. What is done stays done.")
@click.option("--pause/--resume", "paused", default=None, help="Begin no further image for now; or go on.")
@shared
def bulk(batch_id: str, *, cancel: bool, paused: bool | None, url: str, api_key: str | None, json_output: bool) -> None:
    """Follow the bulk job BATCH_ID to its end, and show what failed."""

    def story(images: Images) -> Coroutine[Any, Any, None]:
        if cancel:
            return images.cancel(batch_id)
        return images.follow(batch_id) if paused is None else images.rest(batch_id, paused=paused)

    _run(url, api_key, story, json_output=json_output)


@click.command(
    epilog=f"""\b
Examples:
  truss-image usage
  truss-image usage --from 2026-01-01 --to 2026-01-31 --json

{environment("images:read")}

JSON (--json): the answer of `GET /images/usage`.

{exit_codes("the table is printed", "the call was refused")}"""
)
@click.option("--from", "first", metavar="DAY", help="The first day: like 2026-01-01; by default 30 days up to --to.")
@click.option("--to", "last", metavar="DAY", help="The last day; by default today.")
@shared
def usage(*, first: str | None, last: str | None, url: str, api_key: str | None, json_output: bool) -> None:
    """Show what the tenant used, by day and API key: jobs, CPU, megapixels, bytes in, out and saved."""
    chosen = {name: value for name, value in (("from", first), ("to", last)) if value is not None}
    _run(url, api_key, lambda images: images.usage(chosen), json_output=json_output)


def _chosen(status: str | None, code: str | None, created_from: str | None, created_to: str | None) -> dict[str, str]:
    given = {"status": status, "code": code, "from": created_from, "to": created_to}
    return {name: value for name, value in given.items() if value is not None}


def _read(unique_ids: Sequence[str]) -> list[str]:
    from service.client.images import unique_ids_in

    found = [each for name in unique_ids for each in (unique_ids_in(sys.stdin) if name == "-" else (name,))]
    return list(dict.fromkeys(found))


def _run(
    url: str, api_key: str | None, story: Callable[[Images], Coroutine[Any, Any, None]], *, json_output: bool
) -> None:
    """Ends the command."""
    from service.client.images import Images

    run(url, api_key, Images, story, json_output=json_output)
