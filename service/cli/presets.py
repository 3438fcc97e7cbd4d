"""`truss-image presets`: variants of one's own, from the command line."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import click

from service.cli.asking import epilog, run, shared

if TYPE_CHECKING:
    from service.client.presets import PresetCommands


@click.group()
def presets() -> None:
    """List, show, write, delete, try and backfill presets: variants of your own, as docs/presets.md describes them."""


@presets.command(name="ls", epilog=epilog("images:read"))
@shared
def list_(*, url: str, api_key: str | None, json_output: bool) -> None:
    """List the presets in their newest version; the default has a star."""
    _run(url, api_key, lambda commands: commands.show_all(), json_output=json_output)


@presets.command(epilog=epilog("images:read"))
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="A version; without it, the newest.")
@shared
def get(name: str, *, version: int | None, url: str, api_key: str | None, json_output: bool) -> None:
    """Print the document of a preset, as `put` takes it."""
    _run(url, api_key, lambda commands: commands.show(name, version), json_output=json_output)


@presets.command(epilog=epilog("images:admin"))
@click.argument("name")
@click.argument("document", type=click.File())
@shared
def put(name: str, document: TextIO, *, url: str, api_key: str | None, json_output: bool) -> None:
    """Write a preset from a DOCUMENT, a JSON file; `-` is the standard input."""
    content = _parsed(document)
    _run(url, api_key, lambda commands: commands.put(name, content), json_output=json_output)


@presets.command(epilog=epilog("images:admin"))
@click.argument("name")
@click.option("--force", is_flag=True, help="Also if images have it. They keep their variants and their recipe.")
@shared
def rm(name: str, *, force: bool, url: str, api_key: str | None, json_output: bool) -> None:
    """Delete a preset with all its versions."""
    _run(url, api_key, lambda commands: commands.remove(name, force=force), json_output=json_output)


@presets.command(epilog=epilog("images:admin"))
@click.argument("name")
@shared
def default(name: str, *, url: str, api_key: str | None, json_output: bool) -> None:
    """Make a preset the default of uploads that name none; `standard` is the built-in one."""
    _run(url, api_key, lambda commands: commands.choose_default(name), json_output=json_output)


@presets.command(
    epilog=f"""\b
Examples:
  truss-image presets preview --preset avatar --picture me.jpg
  truss-image presets preview --document avatar.json --image 6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e

{epilog("images:write")}"""
)
@click.option("--preset", help="Name of a preset.")
@click.option("--document", type=click.File(), help="In its place: a document, a JSON file.")
@click.option("--picture", type=click.File("rb"), help="A picture of at most 4 MiB.")
@click.option("--image", "unique_id", metavar="UNIQUE_ID", help="In its place: an image of the tenant's.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("preview"),
    show_default=True,
    help="Folder for the files.",
)
@shared
def preview(
    *,
    preset: str | None,
    document: TextIO | None,
    picture: BinaryIO | None,
    unique_id: str | None,
    out: Path,
    url: str,
    api_key: str | None,
    json_output: bool,
) -> None:
    """Make the variants of a picture, and write them into a folder. The service stores nothing."""
    if (preset is None) == (document is None):
        raise click.UsageError("give --preset or --document")
    if (picture is None) == (unique_id is None):
        raise click.UsageError("give --picture or --image")
    given = {
        "preset": preset,
        "document": None if document is None else _parsed(document),
        "picture": None if picture is None else base64.b64encode(picture.read()).decode(),
        "uniqueId": unique_id,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    _run(url, api_key, lambda commands: commands.preview(asked, out), json_output=json_output)


@presets.command(epilog=epilog("images:read"))
@click.argument("name")
@click.option(
    "--samples",
    "out",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Show some of them before, and write into this folder what they would become.",
)
@shared
def plan(name: str, *, out: Path | None, url: str, api_key: str | None, json_output: bool) -> None:
    """Say how many images have another version of a preset, and what a backfill would cost."""
    _run(url, api_key, lambda commands: commands.plan(name, out), json_output=json_output)


@presets.command(epilog=epilog("images:read and images:write"))
@click.argument("name")
@shared
def backfill(name: str, *, url: str, api_key: str | None, json_output: bool) -> None:
    """Convert images with another version of a preset again, and follow the bulk job to its end. Ctrl-C does not end
    it; `truss-image bulk` pauses or cancels it."""
    _run(url, api_key, lambda commands: commands.backfill(name), json_output=json_output)


def _parsed(document: TextIO) -> object:
    try:
        return json.load(document)
    except (ValueError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{document.name} is not JSON: {error}") from None


def _run(
    url: str, api_key: str | None, story: Callable[[PresetCommands], Coroutine[Any, Any, None]], *, json_output: bool
) -> None:
    """Ends the command."""
    from service.client.presets import PresetCommands

    run(url, api_key, PresetCommands, story, json_output=json_output)
