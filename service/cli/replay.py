"""`truss-image replay`: an ended job made again on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.cli.start import no_garbage

if TYPE_CHECKING:
    from processor.catalog.replay import Case, Result
    from processor.jobs import Maker
    from processor.pipeline.engine import EngineConfig
    from processor.ports.renderer import Renderer
    from processor.stores.config import AwsCredentials
    from service.config import Settings

Target = Callable[[], "tuple[Settings, AwsCredentials | None]"]


async def replay_job(target: Target, processing_id: str, export: Path | None, *, with_metadata: bool) -> int:
    """Make a job again whose records and source are in the stage. Returns how many differences there were."""
    from processor.catalog.replay import case_of
    from processor.stores.clients import open_clients
    from service.wiring import engine_config, make_stores

    settings, credentials = target()
    async with open_clients(settings.aws(credentials)) as clients:
        stores = make_stores(settings, clients)
        case = await case_of(stores, processing_id, [settings.recipe], max_bytes=settings.max_upload_bytes)
    return await _replay(case, engine_config(settings), export, with_metadata=with_metadata)


async def replay_bundle(bundle: Path, export: Path | None, *, with_metadata: bool) -> int:
    """Make the job of a bundle again; it needs no stage. Returns how many differences there were."""
    from processor.catalog.replay import MAX_OTHER_BYTES, unpacked
    from processor.pipeline.engine import EngineConfig
    from processor.pipeline.limits import FileLimits
    from service.machine import memory_budget_bytes

    limits = FileLimits()
    case = unpacked(_bytes_of(bundle, limits.max_bytes + MAX_OTHER_BYTES), max_bytes=limits.max_bytes)
    config = EngineConfig(threads=1, memory_budget_bytes=memory_budget_bytes(), limits=limits)
    return await _replay(case, config, export, with_metadata=with_metadata)


def _bytes_of(bundle: Path, most: int) -> bytes:
    from processor.errors import NotReplayable

    if bundle.stat().st_size > most:
        raise NotReplayable("The bundle is too large.")
    return bundle.read_bytes()


async def _replay(case: Case, config: EngineConfig, export: Path | None, *, with_metadata: bool) -> int:
    """In a child process, as a suspect is: whatever the file does, it does it there."""
    from importlib.metadata import version

    from processor.catalog.replay import replayed
    from processor.jobs import Maker
    from processor.pipeline.engine import libvips_version
    from processor.sandbox.renderer import ChildRenderer

    renderer, maker = ChildRenderer(config), Maker(encoder=libvips_version(), service=version("truss-image"))
    try:
        found = _tell(case, await replayed(case, renderer, maker))
        if export is not None:
            await _export(case, export, renderer, maker, with_metadata=with_metadata)
    finally:
        await renderer.close()
    return found


def _tell(case: Case, now: Result) -> int:
    from processor.catalog.replay import differences

    before = case.expected
    click.echo(f"{case.processing_id}, recipe {case.recipe.reference}, {len(case.source)} bytes")
    if before.maker and before.maker != now.maker:
        click.echo(f"Made by {before.maker}; here by {now.maker}. Other versions may make other bytes.")
    if case.made is not None:
        as_before = "all" if not differences(case.stored, case.made) else "not all"
        click.echo("The source is without its metadata. It is compared with what it made where the bundle was written:")
        click.echo(f"{as_before} of that is what the original had made.")
    found = differences(before, now)
    for each in found:
        click.echo(f"different  {each.name}: {each.before}; here {each.now}")
    for name in sorted(now.files.keys() - {each.name for each in found}):
        click.echo(f"same       {name}")
    if now.error is not None and not found:
        click.echo(f"same       it fails as {now.error}")
    click.echo(f"{len(now.files) or 1} compared, {len(found)} differences")
    return len(found)


async def _export(case: Case, export: Path, renderer: Renderer, maker: Maker, *, with_metadata: bool) -> None:
    from processor.catalog.replay import differences, packed, stripped

    if not with_metadata and not case.is_stripped:
        case = await stripped(case, renderer, maker)
        changed = differences(case.stored, case.expected)
        if changed:
            click.echo("Without its metadata, the source makes something else: see --with-metadata.")
            for each in changed:
                click.echo(f"  {each.name}: {each.before}; without metadata {each.now}")
    written = _write(export, f"{case.processing_id}.zip", packed(case))
    click.echo(f"Written: {written}" + ("" if case.is_stripped else ", with the metadata of the picture"))


def _write(export: Path, name: str, bundle: bytes) -> Path:
    file = export / name if export.is_dir() else export
    file.write_bytes(bundle)
    return file


@click.command()
@click.argument("target", metavar="PROCESSING_ID|BUNDLE")
@click.option("--export", type=click.Path(path_type=Path), help="Write a bundle for a bug report: a file or a folder.")
@click.option("--with-metadata", is_flag=True, help="Leave the picture's metadata in the bundle.")
def replay(target: str, *, export: Path | None, with_metadata: bool) -> None:
    """Make an ended job again on this machine, and compare its files byte for byte.

    For a job, it reads its record and its source, and is configured by the same environment variables as `serve`;
    without them, it works on the local mode that runs over DATA_DIR. A bundle has all that it needs. The file is
    rendered in a child process. Nothing is stored. Exits with 1 when there is a difference.

    A bundle has the picture, the recipe and its watermarks, and no name, id of an image or tenant. Its picture has no
    EXIF, IPTC, XMP, texts or comments, unless --with-metadata says so; so it is another file, and is compared with
    what that made here.
    """
    with no_garbage():
        import asyncio

        from processor.errors import JobNotFound, NotReplayable, Unavailable

    from service.cli import _target

    path = Path(target)
    try:
        if path.is_file():
            found = asyncio.run(replay_bundle(path, export, with_metadata=with_metadata))
        else:
            found = asyncio.run(replay_job(_target, target, export, with_metadata=with_metadata))
    except (JobNotFound, NotReplayable, Unavailable) as error:
        raise click.ClickException(error.message) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or target}: {error.strerror}") from None
    sys.exit(1 if found else 0)
