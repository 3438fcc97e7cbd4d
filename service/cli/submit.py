"""`truss-image submit` and `status`: what a client does with photos, from the command line."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import click
from click.core import ParameterSource

from service.client.address import base_url, header_value, without_credentials

if TYPE_CHECKING:
    from service.client.api import Api
    from service.client.display import Report
    from service.client.run import End
    from service.client.submit import Photo

#: Where `make run` serves, and where the client goes when nothing else is said.
LOCAL_PORT = 8080
#: Most that is read from the standard input, in bytes: more than any service of this kind accepts.
MAX_INPUT_BYTES = 5 * 1024**3

#: Exit codes, as `--help` explains them; 2 is click's.
FAILED, UNUSABLE, INTERRUPTED, READER_GONE = 1, 3, 130, 141

_FIELDS = """\b
JSON lines (--json), one object a photo as soon as it is done:
  photo            the name as it was given
  status           completed, needs_review, rejected, failed or interrupted
  alreadyThere     true: the service had it before this run
  seconds, bytes   how long it took, how much was uploaded
  processingId     names the job; null when none was made
  uniqueId         names the image; null when there is none
  processedImages  url, width, height, size, ... by variant
  error            why it is not completed, else null
The last line is {"total": {"completed", "alreadyThere", "failed",
"interrupted", "bytes", "seconds"}}."""


def environment(scopes: str) -> str:
    """The variables that a command of the client reads, as `--help` explains them."""
    return f"""\b
Environment:
  TRUSS_IMAGE_URL      base URL of the service
  TRUSS_IMAGE_API_KEY  API key with {scopes}
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, NO_COLOR  as usual"""


def exit_codes(good: str, bad: str) -> str:
    """Likewise, what a command of the client ends with."""
    return f"""\b
Exit codes:
  0    {good}
  1    {bad}
  2    the command line is wrong
  3    the service cannot be used: no answer, another service, bad key
  130  interrupted, by Ctrl-C or SIGTERM
  141  the results could not be written any more, as after | head -1"""


_ENVIRONMENT = environment("images:read and images:write")
_EXIT_CODES = exit_codes("every photo is completed, by this run or an earlier one", "at least one photo failed")


def _url(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        return base_url(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--url' (TRUSS_IMAGE_URL)") from None


def _key(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    try:
        return header_value(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--api-key' (TRUSS_IMAGE_API_KEY)") from None


url_option = click.option(
    "--url",
    envvar="TRUSS_IMAGE_URL",
    default=f"http://127.0.0.1:{LOCAL_PORT}",
    show_default=True,
    callback=_url,
    help="Base URL of the service; without a scheme, https, or http for this machine.",
)
key_option = click.option(
    "--api-key",
    envvar="TRUSS_IMAGE_API_KEY",
    callback=_key,
    help="Sent as X-Api-Key. Rather set the variable: others can see arguments.",
)
_timeout_option = click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=1),
    default=300.0,
    show_default=True,
    help="Longest that one photo may take, in seconds.",
)
json_option = click.option("--json", "json_output", is_flag=True, help="Print JSON lines, see below.")


@click.command(
    epilog=f"""\b
Examples:
  truss-image submit photo.jpg
  truss-image submit --url https://images.example.com *.jpg
  truss-image submit --json *.jpg | jq -r '.processedImages.webp.url // empty'
  curl -s https://example.com/a.png | truss-image submit --name a.png -

{_ENVIRONMENT}

{_FIELDS}

{_EXIT_CODES}"""
)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@url_option
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=4, show_default=True, help="Photos under way at once."
)
@_timeout_option
@key_option
@click.option("--name", help="What the standard input is called; its extension counts.")
@click.option("--preset", help="Name of the preset; without it, the tenant's default.")
@json_option
def submit(
    photos: tuple[str, ...],
    *,
    url: str,
    concurrency: int,
    timeout_seconds: float,
    api_key: str | None,
    name: str | None,
    preset: str | None,
    json_output: bool,
) -> None:
    """Upload each PHOTO and wait for its variants; `-` is the standard input.

    Results are printed as they come, and a total at the end (on stderr). A photo that fails does not stop the others.
    Repeat a run that was interrupted: it goes on where it stopped, and nothing is stored twice, even under another
    name.
    """
    import asyncio

    from service.client.display import Report, open_display, readable_anywhere

    readable_anywhere(sys.stdout, sys.stderr)
    if name is not None and "-" not in photos:
        raise click.UsageError("--name is for the standard input: give - as PHOTO")
    with interruptible(), _opened(list(dict.fromkeys(photos)), name) as opened, open_display(len(opened)) as display:
        report = Report(json_output=json_output, display=display, look_with=_status_command(url))
        client = Client(url, api_key, report)
        story = client.submit(opened, concurrency=concurrency, timeout_seconds=timeout_seconds, preset=preset)
        code = asyncio.run(story)
    sys.exit(code)


@click.command(
    epilog=f"""\b
Examples:
  truss-image status img_1767323045678_9f86d081884c7d65
  truss-image status --wait --json $(cat ids)

{_ENVIRONMENT}

JSON lines and exit codes are those of `truss-image submit`, without the total. Here `status` may also be pending,
uploaded or processing, which is no failure."""
)
@click.argument("processing_ids", nargs=-1, required=True, metavar="PROCESSING_ID...")
@url_option
@key_option
@click.option("--wait", is_flag=True, help="Wait until each is completed or failed.")
@_timeout_option
@json_option
def status(
    processing_ids: tuple[str, ...],
    *,
    url: str,
    api_key: str | None,
    wait: bool,
    timeout_seconds: float,
    json_output: bool,
) -> None:
    """Show how far jobs have come, and where their variants are."""
    import asyncio

    from service.client.display import Report, readable_anywhere

    readable_anywhere(sys.stdout, sys.stderr)
    unique = list(dict.fromkeys(processing_ids))
    longest_wait_seconds = timeout_seconds if wait else None
    client = Client(url, api_key, Report(json_output=json_output, with_total=False))
    with interruptible():
        code = asyncio.run(client.look(unique, longest_wait_seconds))
    sys.exit(code)


def _status_command(url: str) -> str:
    """It finds the service that this command was given, unless that is in the environment anyway."""
    words = ["truss-image", "status"]
    if click.get_current_context().get_parameter_source("url") is ParameterSource.COMMANDLINE:
        words += ["--url", without_credentials(url)]
    return shlex.join(words)


@dataclass(frozen=True, slots=True)
class Client:
    """What both commands are told; each returns its exit code."""

    url: str
    api_key: str | None = field(repr=False)
    report: Report

    async def submit(
        self, photos: Sequence[Photo], *, concurrency: int, timeout_seconds: float, preset: str | None = None
    ) -> int:
        from service.client.submit import Submitter

        def story(api: Api) -> Coroutine[Any, Any, None]:
            return Submitter(
                api=api,
                concurrency=concurrency,
                timeout_seconds=timeout_seconds,
                observer=self.report,
                preset=preset,
            ).submit(photos)

        return await self.run(story)

    async def look(self, processing_ids: Sequence[str], patience_seconds: float | None) -> int:
        from service.client.submit import look_up

        return await self.run(
            lambda api: look_up(api, processing_ids, self.report.show, patience_seconds=patience_seconds)
        )

    async def run(self, story: Callable[[Api], Coroutine[Any, Any, None]]) -> int:
        from service.client.api import open_api
        from service.client.run import attend

        async with open_api(self.url, self.api_key) as api:
            end = await attend(story(api))
        return self._conclude(end, api.unusable)

    def _conclude(self, end: End, unusable: Exception | None) -> int:
        from service.client.display import ReaderGone
        from service.client.run import End

        try:
            if end is not End.READER_GONE:
                self.report.finish(interrupted=end is End.INTERRUPTED, unusable=unusable)
        except ReaderGone:
            end = End.READER_GONE
        if end is End.DONE:
            return UNUSABLE if unusable is not None else FAILED if not self.report.tally.all_ok else 0
        if end is End.INTERRUPTED:
            return INTERRUPTED
        _forget_output()
        return READER_GONE


def _forget_output() -> None:
    """What is left in the buffer goes nowhere, or the interpreter would complain of it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C before the work began, or after it ended."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@contextlib.contextmanager
def _opened(names: Sequence[str], name: str | None) -> Iterator[list[Photo]]:
    """The photos; the standard input becomes a file first: its size and checksum are told before it is sent."""
    from service.client.submit import Photo

    with contextlib.ExitStack() as stack:
        photos = []
        for each in names:
            if each == "-":
                spooled = stack.enter_context(tempfile.NamedTemporaryFile(prefix="truss-image-"))
                _spool(sys.stdin.buffer, spooled)
                photos.append(Photo(path=Path(spooled.name), shown="-", name=name or "stdin"))
            else:
                photos.append(Photo(path=Path(each), shown=each))
        yield photos


def _spool(source: BinaryIO, target: IO[bytes]) -> None:
    try:
        left = MAX_INPUT_BYTES
        while chunk := source.read(min(left + 1, 1024 * 1024)):
            left -= len(chunk)
            if left < 0:
                raise click.ClickException(f"the standard input has more than {MAX_INPUT_BYTES} bytes")
            target.write(chunk)
        target.flush()
    except OSError as error:
        raise click.ClickException(f"the standard input cannot be kept: {error.strerror or error}") from None
