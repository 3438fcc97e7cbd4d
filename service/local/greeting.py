"""The text that the local mode prints when it is ready: addresses, and commands to copy."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from service.local.first_key import FirstKey

#: Calls the API; answers end with a newline, so that two of them do not run into each other.
_API = r"""api() { curl -s -w '\n' "$@"; }"""
_API_WITH_KEY = r"""api() { curl -s -w '\n' -H "X-Api-Key: $TRUSS_IMAGE_API_KEY" "$@"; }"""
#: Lines stay below 80 characters and have no comment, which zsh would take for arguments; curl and Python are enough.
_STEPS = """\
    field() { python3 -c "import json; print(json.loads(input())['$1'])"; }
    curl -s -o photo.png "$TRUSS/sample.png"
    ISSUED=$(api "$TRUSS/images/upload-url" \\
      -H 'Content-Type: application/json' -d '{"filename": "photo.png"}')
    UPLOAD_URL=$(printf %s "$ISSUED" | field uploadUrl)
    PROCESSING_ID=$(printf %s "$ISSUED" | field processingId)
    UNIQUE_ID=$(printf %s "$ISSUED" | field uniqueId)
    curl -s -T photo.png -H 'Content-Type: image/png' "$UPLOAD_URL"
    for second in $(seq 60); do api "$TRUSS/images/status/$PROCESSING_ID" |
      grep -vE '"(pending|uploaded|processing)"' && break; sleep 1; done
"""
_MORE = """\
    api "$TRUSS/images/list"
    api "$TRUSS/images/processed/$UNIQUE_ID"
    api -X POST "$TRUSS/images/process/$UNIQUE_ID"
    api -X DELETE "$TRUSS/images/image/$UNIQUE_ID"
"""
#: How the key file is read where the service is in a container.
_IN_CONTAINER = "docker compose exec -T truss-image "


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The addresses to show. `locked`: calls need credentials. `contained`: the reader is outside of this container.
    `console`: it serves the page for people."""

    url: str
    aws_url: str
    folder: Path
    locked: bool = False
    key: FirstKey | None = None
    contained: bool = False
    console: bool = True


def greeting(addresses: Addresses, *, show_key: bool) -> str:
    """All of it. `show_key` is for a terminal alone: elsewhere the text is kept."""
    sections = [_addresses(addresses)]
    if addresses.key is not None:
        sections.append(_key(addresses.key, addresses, show_text=show_key))
    if addresses.locked and addresses.key is None:
        sections.append('  Calls need a token of the user pool: -H "Authorization: Bearer $TOKEN".')
    else:
        sections += ([] if addresses.contained else [_submit(addresses)]) + [_steps(addresses)]
    sections.append("  Ctrl-C stops it; uploads, variants and records are there at the next start.")
    return "\n" + "\n\n".join(sections) + "\n"


def command_name(started_as: str) -> str:
    """How to type this command in another terminal, in any folder."""
    path = Path(started_as).absolute()
    found = shutil.which(path.name)
    if found is not None and Path(found).absolute() == path:
        return path.name
    return shlex.quote(str(path))


def _addresses(addresses: Addresses) -> str:
    console = f"    Console    {addresses.url}/images/console\n" if addresses.console else ""
    return (
        "  Truss image service, on this machine alone\n\n"
        f"{console}"
        f"    API        {addresses.url}\n"
        f"    Reference  {addresses.url}/images/docs\n"
        f"    AWS        {addresses.aws_url} (emulated; its data is in {addresses.folder})"
    )


def _key(key: FirstKey, addresses: Addresses, *, show_text: bool) -> str:
    read = f"cat {shlex.quote(str(key.path))}"
    told = "  Calls need a key. In every terminal from which you call, this takes it from its file:\n\n"
    if key.token and show_text:
        told = f"  A new key that opens everything, shown this once:\n\n    {key.token}\n\n{told}"
    return f'{told}    export TRUSS_IMAGE_API_KEY="$({_IN_CONTAINER if addresses.contained else ""}{read})"'


def _submit(addresses: Addresses) -> str:
    return (
        "  In another terminal, the whole way in one command, with this picture or yours:\n\n"
        f"    curl -s -o photo.png {addresses.url}/sample.png\n"
        f"    {command_name(sys.argv[0])} submit --url {addresses.url} photo.png"
    )


def _steps(addresses: Addresses) -> str:
    return (
        "  Step by step, as a program does it: get a URL, upload to it, follow the job:\n\n"
        f"    export TRUSS={addresses.url}\n"
        f"    {_API_WITH_KEY if addresses.key else _API}\n"
        f"{_STEPS}\n"
        "  Then everything so far, the image's variants, convert it again, delete it:\n\n"
        f"{_MORE.rstrip()}"
    )
